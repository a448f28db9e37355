"""Evaluate in one load: the base with the bare and with its best prompt, or the tuned model; then other tasks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import harness, parity
from .answers import Answers, Questions, ask_all, longest_answer
from .asking import Speaker, is_out_of_memory
from .base import find_base, load_base, load_tokenizer
from .job import UNFIT, Adjacent, Job, give_up, read_job, sha256, tell, write_json, write_text
from .prepared import read_pairs
from .prompted import BARE, Way
from .score import metrics_of, misfit
from .template import Pair
from .tuning import Prompts, digest, system_texts

CUT_SHARE = 0.05
"""More answers than that, cut at the most new tokens, are told: a score of cut answers says little (assumed)."""
END_ROWS = 8
"""Training rows in which it is looked for what ends a turn: one is enough where all end alike."""
ADJACENT_METRICS = {"field_f1": "json_fields", "accuracy": "classification", "rouge_l": "rouge_l", "exact": "exact"}
"""The metric of `evaluate.metrics` that brings an adjacent task's figure."""


@dataclass(frozen=True)
class Arm:
    """One set of rows for one model in one way. `told` is its name in events, `file` its place under out/eval."""

    told: str
    file: str
    pairs: Sequence[Pair]
    metrics: tuple[str, ...]
    longest: int | None = None
    way: Way = BARE
    about: dict[str, Any] = field(default_factory=dict)
    """What its figures' file says besides."""


def load(job: Job, arm: str) -> Speaker:
    """Base or tuned model, each in a process of its own (see the trap in README.md); the tuned one proved to be it."""
    base = find_base(job)
    model, tokenizer = load_base(base, quantise=job.quantise).eval(), load_tokenizer(base)
    if arm == "tuned":
        from peft import PeftModel  # late: the base arm does not need it

        model = PeftModel.from_pretrained(model, job.out / "adapter").eval()
        parity.check(job, model, tokenizer)
    return Speaker(model, tokenizer, read_pairs(job, "train")[:END_ROWS])


class Loaded:
    """The model of this process, loaded when the first question is put to it: a repeated step may have none."""

    def __init__(self, job: Job, arm: str, load: Callable[[Job, str], Speaker] = load) -> None:
        self.job, self.arm, self.load = job, arm, load

    @cached_property
    def speaker(self) -> Speaker:
        """The model, ready to be asked."""
        return self.load(self.job, self.arm)

    @cached_property
    def mark(self) -> str:
        """What the model is made of, as a hash: its base, whether in 4 bits, and the adapter's weights."""
        made = [(self.job.run / "model.json").read_text(encoding="utf-8"), self.job.quantise]
        if self.arm == "tuned":
            weights = self.job.out / "adapter" / "adapter_model.safetensors"
            if not weights.is_file():
                give_up("there is no adapter to evaluate: the train step has not finished")
            made.append(sha256(weights))
        return digest(made)


def main() -> None:
    """Evaluate the base (bare, then prompted), or the tuned model; each on the test rows, then on adjacent tasks."""
    parser = argparse.ArgumentParser(prog="run.py evaluate", description=__doc__)
    parser.add_argument("--arm", choices=("base", "tuned"), required=True)
    name: str = parser.parse_args().arm
    job = read_job()
    begin(job, name, Loaded(job, name))


def begin(job: Job, name: str, loaded: Loaded) -> None:
    """Evaluate; where the card holds neither model nor a single row, say so: another machine may."""
    try:
        evaluate(job, name, loaded)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        print(error, file=sys.stderr)
        give_up(f"out of memory: this card does not hold {job.model} and one row to answer; take a larger one", UNFIT)


def evaluate(job: Job, name: str, loaded: Loaded, run: harness.Harness = harness.run) -> None:
    """All that is asked of one model; `run` runs a task of the harness."""
    refuse_early(job, loaded)
    part, pairs = test_pairs(job)
    warn_of_misfits(job, pairs)
    if pairs:
        answer(job, loaded, Arm(name, name, pairs, job.metrics, job.max_new_tokens))
    if pairs and name == "base" and job.prompted is not None:
        answer(job, loaded, prompted(job, loaded, pairs, validates=part == "test"))
    for task in job.adjacent:
        adjacent(job, loaded, task, run)


def refuse_early(job: Job, loaded: Loaded) -> None:
    """End before any row is answered where what is asked for later is not there: the adapter, a system text."""
    assert loaded.mark
    if loaded.arm == "base":
        system_texts(job)


def test_pairs(job: Job) -> tuple[str, list[Pair]]:
    """The test part; where there is none, validation, and it is said."""
    for part in ("test", "validation"):
        if pairs := read_pairs(job, part):
            return part, pairs
        tell(job, "warning", code=f"no-{part}-rows", text=f"there are no {part} rows to evaluate on")
    return "", []


def warn_of_misfits(job: Job, pairs: Sequence[Pair]) -> None:
    """A metric that says nothing about these rows was refused on the laptop; a job run by hand is told."""
    for metric in job.metrics:
        if why := misfit(metric, [pair["completion"][0]["content"] for pair in pairs]):
            tell(job, "warning", code="metric-misfit", text=why)


def prompted(job: Job, loaded: Loaded, pairs: Sequence[Pair], *, validates: bool) -> Arm:
    """The base with the prompt that is best on the validation rows; the test rows are only put to the chosen one."""
    prompts = Prompts(job, validates=validates)
    way, prompt = prompts.kept() or prompts.choose(loaded.speaker)
    return Arm("prompted", "prompted", pairs, job.metrics, job.max_new_tokens, way, {"prompt": prompt})


def adjacent(job: Job, loaded: Loaded, task: Adjacent, run: harness.Harness) -> None:
    """A task that was not trained: rows as for training, or one of lm-evaluation-harness."""
    about = {"arm": loaded.arm, "name": task.name}
    told, file = f"{loaded.arm}/{task.name}", f"adjacent/{task.name}.{loaded.arm}"
    if task.harness is not None:
        by_harness(job, loaded, task, file, run)
        return
    pairs = read_pairs(job, f"adjacent/{task.name}")[: task.limit]
    if not pairs:
        tell(job, "warning", code="no-adjacent-rows", text=f"there are no rows of the adjacent task {task.name}")
        return
    metrics = tuple(dict.fromkeys(("exact", ADJACENT_METRICS.get(task.metric, "exact"))))
    answer(job, loaded, Arm(told, file, pairs, metrics, about=about))


def by_harness(job: Job, loaded: Loaded, task: Adjacent, file: str, run: harness.Harness) -> None:
    """A task of the harness: its figures, without items."""
    mark = digest([loaded.mark, task.harness, task.limit, job.train.seed])
    figures = finished(job, file, mark)
    if figures is None:
        figures = harness.measure(job, loaded.speaker, task, loaded.arm, harness=run)
        if figures is None:
            return
        write_json(job.out / "eval" / f"{file}.json", {**figures, "made_of": mark})
    say(job, f"{loaded.arm}/{task.name}", figures)


def answer(job: Job, loaded: Loaded, arm: Arm) -> None:
    """One arm's items and figures, on disk and told; those of an earlier try of this step stand, if all is the same."""
    mark = digest([loaded.mark, list(arm.pairs), arm.metrics, arm.longest, arm.way.system, arm.way.shots])
    figures = finished(job, arm.file, mark)
    if figures is None:
        found = asked(job, loaded.speaker, arm)
        figures = written(job, arm, mark, found)
        warn_of_cuts(job, arm, found)
    say(job, arm.told, figures)


def say(job: Job, arm: str, figures: dict[str, Any]) -> None:
    """Tell and print an arm's figures."""
    tell(job, "result", arm=arm, metrics=figures["metrics"], n=figures["n"])
    print(f"{arm}: {figures['metrics']} on {figures['n']} rows")


def finished(job: Job, file: str, mark: str) -> dict[str, Any] | None:
    """The figures that lie there, if they are of the same model, rows and way."""
    try:
        known = json.loads((job.out / "eval" / f"{file}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and known.get("made_of") == mark else None


def asked(job: Job, speaker: Speaker, arm: Arm) -> Answers:
    """All rows answered, told on the way."""

    def told(done: int) -> None:
        tell(job, "evaluated", arm=arm.told, done=done, of=len(arm.pairs))

    told(0)
    longest = arm.longest or longest_answer(speaker.tokenizer, arm.pairs)
    return ask_all(speaker, Questions(arm.pairs, longest, arm.way), told)


def written(job: Job, arm: Arm, mark: str, found: Answers) -> dict[str, Any]:
    """Write the items, then the figures; returns these. Old figures go first: they never stand beside other items."""
    path = job.out / "eval" / f"{arm.file}.json"
    figures = {
        "arm": arm.told,
        "n": len(found.items),
        "metrics": metrics_of(found.items, arm.metrics),
        "seconds": round(found.seconds, 3),
        "new_tokens": found.new_tokens,
        "prompt_tokens": found.prompt_tokens,
        "batch": found.batch,
        "cut": found.cut,
        "made_of": mark,
        **arm.about,
    }
    path.unlink(missing_ok=True)
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in found.items)
    write_text(path.with_name(f"{path.name}l"), lines)
    write_json(path, figures)
    return figures


def warn_of_cuts(job: Job, arm: Arm, found: Answers) -> None:
    """Say what makes an arm's figures worth less than they look."""
    if found.cut > CUT_SHARE * len(found.items):
        text = f"{arm.told}: {found.cut} of {len(found.items)} answers were cut at the most new tokens"
        tell(job, "warning", code="cut-answers", text=f"{text}; evaluate.max_new_tokens sets how many there are")
    if found.too_long:
        text = f"{arm.told}: {found.too_long} of {len(found.items)} rows are longer than the model can see"
        tell(job, "warning", code="too-long-prompts", text=text)


if __name__ == "__main__":
    main()
