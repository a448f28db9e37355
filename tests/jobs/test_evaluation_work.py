"""Whether all that the evaluation asks of the model is counted: arms, trials of prompts, adjacent tasks twice."""

from collections.abc import Mapping
from pathlib import Path

from jobs.evaluation_work import DRAWS, HARNESS_ROWS, SPARE_TOKENS, VALIDATION_ROWS, Prompts, Rows, asked
from jobs.qlora import answers, prompted
from jobs.tokens import Tally
from pricing.workload import Asked


def tally(count: int, length: int, answer: int) -> Tally:
    return Tally(lengths=(length,) * count, answers=(answer,) * count)


def rows(**more: Tally) -> Rows:
    parts = {"train": tally(300, 80, 20), **{name.replace("__", "/"): one for name, one in more.items()}}
    return Rows(parts=parts, test=tally(40, 100, 25), validation=parts.get("validation"))


def total(found: tuple[Asked, ...], arm: str) -> int:
    return sum(one.rows for one in found if one.arm == arm)


def test_base_and_tuned_answer_the_test_rows() -> None:
    found = asked({}, Prompts(), rows())
    one = Asked(arm="base", rows=40, row_tokens=100.0, new_tokens=25 + SPARE_TOKENS)
    assert found == (one, Asked(arm="tuned", rows=40, row_tokens=100.0, new_tokens=25 + SPARE_TOKENS))
    assert asked({}, Prompts(), Rows(parts={}, test=tally(0, 1, 1), validation=None)) == ()


def test_the_prompted_arm_reads_its_text_and_its_examples_with_every_row_and_every_trial() -> None:
    found = asked({}, Prompts(texts=(50, 200), shots=4), rows(validation=tally(120, 90, 20)))
    prompts = [one for one in found if one.arm == "prompted"]
    assert prompts[0].rows == 40
    assert prompts[0].row_tokens == 100 + 200 + 4 * 80
    trials = prompts[1:]
    assert len(trials) == 2 * (1 + prompted.DRAWS)
    assert {one.rows for one in trials} == {prompted.VALIDATION_ROWS}
    assert sorted(one.row_tokens - 90 for one in trials) == [50, 200, 370, 370, 520, 520]


def test_a_single_prompt_or_no_validation_rows_leave_nothing_to_try() -> None:
    assert total(asked({}, Prompts(texts=(50,)), rows(validation=tally(9, 9, 9))), "prompted") == 40
    assert total(asked({}, Prompts(texts=(50, 60), shots=3), rows()), "prompted") == 40


def test_adjacent_tasks_are_asked_before_and_after() -> None:
    evaluate: Mapping[str, object] = {
        "adjacent": [
            {"name": "sums", "data": "sums.jsonl", "limit": 15},
            {"name": "spell", "data": "spell.jsonl"},
            {"name": "arc", "harness": "arc_easy", "limit": 100},
            {"name": "mmlu", "harness": "mmlu"},
        ]
    }
    found = asked(evaluate, Prompts(), rows(adjacent__sums=tally(60, 30, 5), adjacent__spell=tally(8, 30, 5)))
    for arm in ("base", "tuned"):
        assert total(found, arm) == 40 + 15 + 8 + 400 + HARNESS_ROWS


def test_texts_are_measured_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 320)
    evaluate = {"prompted": {"system": "a.txt", "shots": 2}}
    assert Prompts.of(evaluate, [tmp_path / "a.txt"]) == Prompts(texts=(100,), shots=2)
    assert Prompts.of({"prompted": {"shots": 2}}, []) == Prompts(texts=(0,), shots=2)
    assert Prompts.of({}, []) == Prompts()


def test_the_figures_of_the_job_are_those_that_are_counted_with() -> None:
    assert (answers.SPARE_TOKENS, prompted.VALIDATION_ROWS, prompted.DRAWS) == (SPARE_TOKENS, VALIDATION_ROWS, DRAWS)
