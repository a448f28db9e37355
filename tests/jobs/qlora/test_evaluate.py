"""The evaluation's arms: the same rows, one load, a prompt that no test row has chosen, and no arm answered twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from jobs.qlora import evaluate  # noqa: E402 - after the check that torch is there
from jobs.qlora.asking import Speaker  # noqa: E402 - after the check that torch is there
from jobs.qlora.evaluate import Loaded  # noqa: E402 - after the check that torch is there
from jobs.qlora.job import UNFIT, Adjacent, Job, Prompted, write_text  # noqa: E402 - after the check that torch is there
from jobs.qlora.score import metrics_of  # noqa: E402 - after the check that torch is there
from jobs.qlora.template import prompt_ids  # noqa: E402 - after the check that torch is there
from jobs.qlora.tuning import Prompts  # noqa: E402 - after the check that torch is there
from tests.jobs.qlora.trained import job_in, rows  # noqa: E402 - after the check that torch is there
from tests.jobs.qlora.workplace import Event  # noqa: E402 - after the check that torch is there

TASKS = (Adjacent(name="other", data="x", limit=2, metric="field_f1"), Adjacent(name="public", harness="quiz", limit=7))
TEXTS = ("Answer with a JSON object.", "Copy the order's number, and nothing else.")


@dataclass
class Loads:
    """Loads a model once, whatever asks for it, and counts how often one was wanted."""

    made: dict[str, Speaker] = field(default_factory=dict)
    wanted: int = 0

    def __call__(self, job: Job, arm: str) -> Speaker:
        self.wanted += 1
        if arm not in self.made:
            self.made[arm] = evaluate.load(job, arm)
        return self.made[arm]


@dataclass
class Quiz:
    """A harness that needs no network: it notes what it was asked."""

    asked: list[tuple[str | None, int | None]] = field(default_factory=list)

    def __call__(self, job: Job, speaker: Any, task: Adjacent) -> Mapping[str, Any]:
        assert speaker.model is not None
        self.asked.append((task.harness, task.limit))
        figures = {"alias": "quiz", "acc,none": 0.75, "acc_stderr,none": 0.1}
        return {"results": {"quiz": figures}, "n-samples": {"quiz": {"original": 9, "effective": 7}}}


def write_rows(job: Job, part: str, pairs: list[Any]) -> None:
    write_text(job.prepared / f"{part}.jsonl", "".join(json.dumps(pair) + "\n" for pair in pairs))


def make_job(run: Path, **changes: Any) -> Job:
    """Whole (not in 4 bits), so that it is quick; 24 rows to train on, 3 to validate on, 5 to test on."""
    job = job_in(run, validation=3, method="lora")
    write_rows(job, "test", rows("test", 0, 5))
    write_rows(job, "adjacent/other", rows("test", 20, 24))
    for number, text in enumerate(TEXTS):
        write_text(job.bundle / "prompts" / f"system-{number}.txt", text + "\n")
    prompted = Prompted(system=TEXTS, shots=2)
    return replace(job, **{"prompted": prompted, "adjacent": TASKS, "max_new_tokens": 4, **changes})


def events(job: Job, kind: str) -> list[Event]:
    lines = job.progress.read_text().splitlines() if job.progress.exists() else []
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def document(job: Job, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.out / "eval" / f"{file}.json").read_text())
    return found


def items(job: Job, file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (job.out / "eval" / f"{file}.jsonl").read_text().splitlines()]


def codes(job: Job) -> set[str]:
    return {event["code"] for event in events(job, "warning")}


@pytest.fixture(scope="module")
def loads() -> Loads:
    return Loads()


@pytest.fixture(scope="module")
def quiz() -> Quiz:
    return Quiz()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, loads: Loads, quiz: Quiz) -> Job:
    """The base's step, done once for all tests here."""
    made = make_job(tmp_path_factory.mktemp("evaluated"))
    evaluate.evaluate(made, "base", Loaded(made, "base", loads), quiz)
    return made


def test_one_load_answers_the_base_the_prompted_base_and_every_other_task(job: Job, loads: Loads, quiz: Quiz) -> None:
    assert loads.wanted == 1
    assert quiz.asked == [("quiz", 7)]
    told = {event["arm"]: event["n"] for event in events(job, "result")}
    assert told == {"base": 5, "prompted": 5, "base/other": 2, "base/public": 7}
    assert [event["arm"] for event in events(job, "result")] == list(told)


def test_every_arm_answers_the_same_rows_in_their_order(job: Job) -> None:
    pairs = rows("test", 0, 5)
    for arm in ("base", "prompted"):
        found = items(job, arm)
        assert [item["item"] for item in found] == list(range(5))
        assert [item["prompt"] for item in found] == [pair["prompt"] for pair in pairs]
        assert [item["wanted"] for item in found] == [pair["completion"][0]["content"] for pair in pairs]
    assert [item["answer"] for item in items(job, "base")] != [item["answer"] for item in items(job, "prompted")]


OF_OTHER = ("exact", "json_fields")


@pytest.mark.parametrize(("file", "metrics"), [("base", None), ("prompted", None), ("adjacent/other.base", OF_OTHER)])
def test_the_figures_are_those_of_the_items(job: Job, file: str, metrics: tuple[str, ...] | None) -> None:
    figures, found = document(job, file), items(job, file)
    assert figures["metrics"] == metrics_of(found, metrics or job.metrics)
    assert {"exact", "field_f1", "loss"} <= set(figures["metrics"])
    assert figures["n"] == len(found)
    assert figures["new_tokens"] == sum(item["new_tokens"] for item in found)
    assert figures["prompt_tokens"] == sum(item["prompt_tokens"] for item in found)
    assert figures["seconds"] > 0
    assert figures["batch"] == len(found)


def test_an_adjacent_task_says_whose_figures_they_are(job: Job) -> None:
    assert document(job, "adjacent/other.base")["arm"] == "base"
    assert document(job, "adjacent/other.base")["name"] == "other"
    public = document(job, "adjacent/public.base")
    assert public["metrics"] == {"acc": 0.75}
    assert public["stderr"] == {"acc": 0.1}
    assert (public["arm"], public["name"], public["harness"], public["n"]) == ("base", "public", "quiz", 7)


def test_the_progress_counts_each_arm_up_to_its_rows(job: Job) -> None:
    told = [(event["arm"], event["done"], event["of"]) for event in events(job, "evaluated")]
    arms = list(dict.fromkeys(arm for arm, _, _ in told))
    assert arms == ["base", "prompts", "prompted", "base/other", "base/public"]
    assert [one for one in told if one[0] == "base"] == [("base", 0, 5), ("base", 5, 5)]
    trials = [(done, of) for arm, done, of in told if arm == "prompts"]
    assert trials == [(done, 18) for done in range(0, 19, 3)]  # 2 texts x (bare, and two draws of examples) x 3 rows


def test_the_prompt_is_one_of_those_that_were_tried_and_the_file_says_all_of_it(job: Job) -> None:
    prompt = document(job, "prompted")["prompt"]
    assert len(prompt["tried"]) == 6
    assert {(one["system"], one["shots"], one["draw"]) for one in prompt["tried"]} == {
        (number, shots, draw) for number in (0, 1) for shots, draw in ((0, 0), (2, 1), (2, 2))
    }
    chosen = prompt["tried"][prompt["chosen"]]
    assert prompt["system"] == TEXTS[chosen["system"]]
    assert len(prompt["shots"]) == 2 * chosen["shots"]
    assert all(one["metric"] == "exact" for one in prompt["tried"])


def test_the_examples_are_training_rows(job: Job) -> None:
    train = [pair["prompt"] + pair["completion"] for pair in rows("train", 0, 24)]
    ways = Prompts(job, validates=True).ways
    assert {len(way.examples) for way in ways} == {0, 2}
    assert all(one["prompt"] + one["completion"] in train for way in ways for one in way.examples)


def test_no_test_row_has_a_say_in_the_choice_of_the_prompt(job: Job, loads: Loads, tmp_path: Path) -> None:
    other = make_job(tmp_path)
    asked, wanted = {"role": "user", "content": "Say aaa"}, {"role": "assistant", "content": "aaa"}
    poison = [{"prompt": [asked], "completion": [wanted]}]
    write_rows(other, "test", poison * 3)
    _, prompt = Prompts(other, validates=True).choose(loads.made["base"])
    assert prompt == document(job, "prompted")["prompt"]
    validation = rows("train", 24, 27)
    assert all(pair["prompt"] != row["prompt"] for row in validation for pair in rows("test", 0, 5))
    write_rows(other, "validation", poison)
    _, changed = Prompts(other, validates=True).choose(loads.made["base"])
    assert changed["tried"] != prompt["tried"]


def test_a_step_that_is_run_again_repeats_nothing_and_loads_nothing(job: Job, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (job.out / "eval").rglob("*.json*")}
    assert len(before) == 7
    again = replace(job, progress=tmp_path / "progress.jsonl")
    never, quiz = Loads(), Quiz()
    evaluate.evaluate(again, "base", Loaded(again, "base", never), quiz)
    assert never.wanted == 0
    assert quiz.asked == []
    assert {path: path.stat().st_mtime_ns for path in (job.out / "eval").rglob("*.json*")} == before
    told, before_told = ([event["metrics"] for event in events(one, "result")] for one in (again, job))
    assert told == before_told


def test_what_was_interrupted_goes_on_after_the_arms_that_are_whole(job: Job, loads: Loads, tmp_path: Path) -> None:
    evaluated = job.out / "eval"
    base = (evaluated / "base.json").read_bytes(), (evaluated / "base.json").stat().st_mtime_ns
    (evaluated / "adjacent" / "other.base.json").unlink()
    again = replace(job, progress=tmp_path / "progress.jsonl")
    evaluate.evaluate(again, "base", Loaded(again, "base", loads), Quiz())
    assert {event["arm"] for event in events(again, "evaluated")} == {"base/other"}
    assert base == ((evaluated / "base.json").read_bytes(), (evaluated / "base.json").stat().st_mtime_ns)


def test_other_rows_another_way_or_another_model_are_evaluated_anew(job: Job, tmp_path: Path) -> None:
    mark = document(job, "base")["made_of"]
    assert evaluate.finished(job, "base", mark)
    assert evaluate.finished(job, "base", mark[::-1]) is None
    assert evaluate.finished(job, "tuned", mark) is None
    model = Loaded(job, "base").mark
    assert Loaded(replace(job, train=replace(job.train, method="qlora")), "base").mark != model
    adapter = job.out / "adapter" / "adapter_model.safetensors"
    elsewhere = replace(job, out=tmp_path)
    marks = set()
    for weights in (b"one", b"other"):
        write_text(tmp_path / "adapter" / adapter.name, weights.decode())
        marks.add(Loaded(elsewhere, "tuned").mark)
    assert len(marks | {model}) == 3


@pytest.mark.parametrize(("shots", "examples"), [(2, 2), (0, 0)])
def test_without_validation_rows_the_first_text_is_taken_and_it_is_said(
    loads: Loads, tmp_path: Path, shots: int, examples: int, job: Job
) -> None:
    assert job.prompted
    other = make_job(tmp_path, prompted=replace(job.prompted, shots=shots))
    (other.prepared / "validation.jsonl").unlink()
    way, prompt = Prompts(other, validates=True).choose(loads.made["base"])
    assert way.system == TEXTS[0]
    assert len(way.examples) == examples
    assert prompt["tried"] == []
    assert codes(other) == {"prompt-not-chosen"}


def test_validation_rows_that_are_tested_on_choose_nothing(loads: Loads, tmp_path: Path) -> None:
    other = make_job(tmp_path, adjacent=())
    (other.prepared / "test.jsonl").unlink()
    evaluate.evaluate(other, "base", Loaded(other, "base", loads), Quiz())
    assert [(event["arm"], event["n"]) for event in events(other, "result")] == [("base", 3), ("prompted", 3)]
    assert {"no-test-rows", "prompt-not-chosen"} <= codes(other)
    assert document(other, "prompted")["prompt"]["tried"] == []


def test_examples_that_the_model_cannot_see_are_left_out_and_it_is_said(loads: Loads, tmp_path: Path) -> None:
    other = make_job(tmp_path, prompted=Prompted(system=TEXTS, shots=20))
    (other.prepared / "validation.jsonl").unlink()
    speaker = loads.made["base"]
    way, _ = Prompts(other, validates=True).choose(speaker)
    assert 0 < len(way.examples) < 20
    assert "fewer-examples" in codes(other)
    longest = max(rows("train", 0, 24), key=lambda pair: len(pair["prompt"][0]["content"]))
    asked = prompt_ids(speaker.tokenizer, way.put(longest["prompt"]))
    assert speaker.context
    assert len(asked) + 4 <= speaker.context


def test_a_system_text_that_was_not_shipped_ends_the_step_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, never = make_job(tmp_path), Loads()
    (other.bundle / "prompts" / "system-1.txt").unlink()
    with pytest.raises(SystemExit):
        evaluate.evaluate(other, "base", Loaded(other, "base", never), Quiz())
    assert never.wanted == 0, "it ends before a model is loaded"
    assert "system-1.txt is missing" in capsys.readouterr().err


def test_figures_that_say_little_come_with_a_warning(job: Job, tmp_path: Path) -> None:
    assert "cut-answers" in codes(job)
    other = make_job(tmp_path, metrics=("classification",))
    evaluate.warn_of_misfits(other, rows("test", 0, 20))
    assert codes(other) == {"metric-misfit"}


def test_a_harness_that_fails_costs_its_own_task_only(job: Job, loads: Loads, tmp_path: Path) -> None:
    def broken(job: Job, speaker: Any, task: Adjacent) -> Mapping[str, Any]:
        raise OSError("no such data set")

    other = make_job(tmp_path, prompted=None, adjacent=TASKS[::-1])
    evaluate.evaluate(other, "base", Loaded(other, "base", loads), broken)
    assert [event["arm"] for event in events(other, "result")] == ["base", "base/other"]
    assert "harness-failed" in codes(other)
    assert not (other.out / "eval" / "adjacent" / "public.base.json").exists()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft's own way to ask
def test_a_card_that_does_not_hold_the_model_is_said_so_that_another_machine_may_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_job: Job, _arm: str) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    other = make_job(tmp_path)
    with pytest.raises(SystemExit) as ended:
        evaluate.begin(other, "base", Loaded(other, "base", full))
    assert ended.value.code == UNFIT
    assert "this card does not hold" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # peft asks transformers in words of its last version
def test_the_tuned_arm_is_the_base_with_the_adapter_asked_barely(
    job: Job, loads: Loads, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_job(tmp_path)
    with pytest.raises(SystemExit):
        evaluate.evaluate(other, "tuned", Loaded(other, "tuned"))
    assert "no adapter" in capsys.readouterr().err
    write_adapter(other)
    evaluate.evaluate(other, "tuned", Loaded(other, "tuned", loads), Quiz())
    assert "no-parity" in codes(other)
    told = [event["arm"] for event in events(other, "result")]
    assert told == ["tuned", "tuned/other", "tuned/public"]
    tokens, bare = ([one["prompt_tokens"] for one in items(*of)] for of in ((other, "tuned"), (job, "base")))
    assert tokens == bare
    assert document(other, "tuned")["metrics"]["loss"] != document(job, "base")["metrics"]["loss"]
    assert document(other, "adjacent/other.tuned")["arm"] == "tuned"


def write_adapter(job: Job) -> None:
    """An adapter that changes every answer: its weights are drawn, not learned."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from tests.jobs.qlora.workplace import BASE

    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    tuned.save_pretrained(job.out / "adapter")
