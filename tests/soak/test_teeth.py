"""The harness has teeth: planted bugs fit and are caught, mutants are drawn the same twice, explanations still hold.

`make soak-teeth` plants them all; here two are, which the first schedules catch.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak import mutants
from tests.soak.copies import NotSound, hunted, sound, spoilable
from tests.soak.mutants import Fate, Mutant
from tests.soak.notebook import Notebook, digest
from tests.soak.teeth import bitten, fits, planted
from tests.source import REPOSITORY

SOURCE = """
def _asked(seconds: float, most: int | None) -> bool:
    if most is None or seconds > 900.0:
        return False
    return seconds < 2 or seconds < most
"""
QUICK = ("accepted-is-ended", "end-is-not-proven")
"""Bugs that one of the first schedules notices."""


@pytest.fixture(scope="module")
def whole() -> Iterator[Path]:
    with sound() as tree:
        yield tree


@pytest.mark.parametrize("name", planted())
def test_a_planted_bug_still_fits_the_source(name: str) -> None:
    assert fits(name)


def test_at_least_forty_bugs_are_planted() -> None:
    assert len(planted()) >= 40
    assert len(planted()) <= mutants.COUNT


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_caught(name: str, whole: Path) -> None:
    bite = bitten(name, whole, schedules=60)
    assert bite.caught, bite.words


def test_who_noticed_a_bug_last_time_is_asked_first(whole: Path) -> None:
    """No other schedule is played, where there is a seed that notices it."""
    first = bitten(QUICK[1], whole, schedules=60)
    assert bitten(QUICK[1], whole, schedules=0, hint=first.words) == first
    assert not bitten(QUICK[1], whole, schedules=0).caught


def test_what_was_found_is_known_by_who_goes_on_and_holds_for_that_source_alone(tmp_path: Path) -> None:
    file, page = tmp_path / "kept" / "verdicts.jsonl", tmp_path / "page.md"
    page.write_text("| mutant | fate | by |\n| --- | --- | --- |\n| `a \\| b` | killed | seed 9: R1 |\n", "utf-8")
    Notebook(file, "this").add("a bug", "caught", "seed 3: R2 two machines")
    with file.open("a") as torn:
        torn.write('{"source": "this", "what": "ano')
    found, other = Notebook(file, "this", page), Notebook(file, "that", page)
    known = found.verdict("a bug")
    assert known is not None
    assert (known.fate, known.words) == ("caught", "seed 3: R2 two machines")
    assert other.verdict("a bug") is None
    assert other.hint("a bug") == "seed 3: R2 two machines"
    assert found.hint("`a | b`") == "seed 9: R1"
    assert found.hint("another") == ""


def test_a_source_is_another_one_after_any_edit(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("a = 1")
    first = digest(tmp_path)
    assert digest(tmp_path) == first
    (tmp_path / "one.py").write_text("a = 2")
    assert digest(tmp_path) != first


def test_what_does_not_run_shows_nothing(whole: Path) -> None:
    with spoilable(whole) as tree:
        (tree / "launcher" / "teardown.py").write_text("import nowhere")
        found = hunted(tree, schedules=1)
    assert not found.loads
    assert not found.noticed


def test_a_source_that_does_not_run_is_no_ground_to_plant_in(whole: Path) -> None:
    with spoilable(whole) as tree:
        (tree / "launcher" / "flow.py").write_text("import nowhere")
        with pytest.raises(NotSound, match="nowhere"), sound(tree):
            raise AssertionError


def test_mutants_are_made_of_behaviour_and_not_of_types_nor_of_large_numbers() -> None:
    made = mutants.mutants_of("somewhere.py", SOURCE)
    operators = {one.operator for one in made}
    assert {"ReplaceOrWithAnd", "AddNot", "ReplaceFalseWithTrue", "ReplaceComparisonOperator_Is_IsNot"} <= operators
    assert not any("Bit" in name for name in operators)
    assert {one.line for one in made if one.operator == "NumberReplacer"} == {"return seconds < 2 or seconds < most"}
    assert {one.function for one in made} == {"_asked"}
    less = [one for one in made if one.operator == "ReplaceComparisonOperator_Lt_Gt"]
    assert [one.nth for one in less] == [0, 1]


def test_no_two_mutants_have_the_same_name() -> None:
    """Lines of a function that read the same are told apart: a verdict is of one mutant."""
    for module in (*mutants.PLAYED, *mutants.ON_THE_MACHINE):
        names = [str(one) for one in mutants.mutants_of(module, (REPOSITORY / module).read_text("utf-8"))]
        assert len(names) == len(set(names))


def test_a_mutant_spoils_one_place(tmp_path: Path) -> None:
    (tmp_path / "somewhere.py").write_text(SOURCE)
    one = next(one for one in mutants.mutants_of("somewhere.py", SOURCE) if one.operator == "ReplaceOrWithAnd")
    one.spoil(tmp_path)
    assert (tmp_path / "somewhere.py").read_text() == SOURCE.replace("is None or", "is None and")


def test_the_same_seed_draws_the_same_mutants() -> None:
    first, again, other = (_some(seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_an_edit_elsewhere_draws_the_same_mutants(tmp_path: Path) -> None:
    """A seed's mutants are judged once, and stay: else each commit would have others."""
    lines = {module: set(range(1000)) for module in mutants.PLAYED}
    names = [str(one) for one, _ in zip(mutants.drawn(1, lines), range(200), strict=False)]
    for module in (*mutants.PLAYED, *mutants.ON_THE_MACHINE):
        text = (REPOSITORY / module).read_text("utf-8")
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).write_text(f"{text}\n\nif 1 < 2:\n    pass\n", "utf-8")
    again = [str(one) for one, _ in zip(mutants.drawn(1, lines, tmp_path), range(250), strict=False)]
    assert [name for name in again if "1 < 2" not in name][:150] == names[:150]


def _some(seed: int) -> list[Mutant]:
    lines = {module: set(range(1000)) for module in mutants.PLAYED}
    return [one for one, _ in zip(mutants.drawn(seed, lines), range(30), strict=False)]


def test_every_explanation_is_of_a_mutant_that_the_source_still_gives() -> None:
    assert mutants.unfitting() == []
    assert all(len(reason) > 20 for reason in mutants.explained().values())


@pytest.mark.parametrize("key", list(mutants.explained())[:1])
def test_a_mutant_that_is_explained_is_not_judged_again(key: tuple[str, str, str, str, int], tmp_path: Path) -> None:
    notebook = Notebook(tmp_path / "verdicts.jsonl", "a source")
    module, function, operator, line, nth = key
    one = Mutant(
        module=module, function=function, operator=operator, line=line, nth=nth, occurrence=0, at=(1, 0)
    )  # fmt: skip
    assert mutants.judged(one, tmp_path, notebook).fate is Fate.EXPLAINED
