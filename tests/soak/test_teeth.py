"""The harness has teeth: planted bugs fit and are caught, mutants are drawn the same twice, explanations still hold.

`make soak-teeth` plants them all; here two are, which the first schedules catch.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak import mutants
from tests.soak.copies import NotSound, hunted, sound, spoilable
from tests.soak.mutants import Fate, Mutant
from tests.soak.teeth import bitten, fits, planted

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


def test_a_mutant_spoils_one_place(tmp_path: Path) -> None:
    (tmp_path / "somewhere.py").write_text(SOURCE)
    one = next(one for one in mutants.mutants_of("somewhere.py", SOURCE) if one.operator == "ReplaceOrWithAnd")
    one.spoil(tmp_path)
    assert (tmp_path / "somewhere.py").read_text() == SOURCE.replace("is None or", "is None and")


def test_the_same_seed_draws_the_same_mutants() -> None:
    first, again, other = (_some(seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def _some(seed: int) -> list[Mutant]:
    lines = {module: set(range(1000)) for module in mutants.PLAYED}
    return [one for one, _ in zip(mutants.drawn(seed, lines), range(30), strict=False)]


def test_every_explanation_is_of_a_mutant_that_the_source_still_gives() -> None:
    assert mutants.unfitting() == []
    assert all(len(reason) > 20 for reason in mutants.explained().values())


@pytest.mark.parametrize("key", list(mutants.explained())[:1])
def test_a_mutant_that_is_explained_is_not_judged_again(key: tuple[str, str, str, str, int], tmp_path: Path) -> None:
    module, function, operator, line, nth = key
    one = Mutant(
        module=module, function=function, operator=operator, line=line, nth=nth, occurrence=0, at=(1, 0)
    )  # fmt: skip
    assert mutants.judged(one, tmp_path).fate is Fate.EXPLAINED
