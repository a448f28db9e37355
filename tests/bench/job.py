"""`python -m tests.bench.job`: what the job's trainer adds to a step of plain TRL, on this machine.

Two trainers of the same settings, rows and model take turns step by step in one process: ours (guard, figures told and
written, TensorBoard file, adapter in float32), and TRL's own SFTTrainer with none of it. Whatever else the machine does
falls on both alike. The model has random weights, so that any size can be asked for.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.qlora.job import Job, Train, write_json, write_text
from tests.bench.__main__ import where_from
from tests.jobs.qlora.trained import rows
from tests.jobs.qlora.workplace import BASE

WARM_STEPS = 3
"""Of each trainer, that do not count: kernels are chosen and memory is taken in them."""
MOST_SHARE = 0.02
"""Of a step: what we may add."""


@dataclass
class Turns:
    """Lets one of two threads run at a time, a step each; times each step by the clock and by the processor."""

    names: tuple[str, str] = ("ours", "plain")
    free: dict[str, threading.Semaphore] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)
    told: list[float] = field(default_factory=list)
    """Processor seconds of each step in what is ours alone: figures told, guarded, and written for TensorBoard."""
    telling: float = 0.0
    """Of the present step, so far."""

    def __post_init__(self) -> None:
        for at, name in enumerate(self.names):
            self.free[name] = threading.Semaphore(1 if at == 0 else 0)
            self.wall[name], self.processor[name] = [], []

    def other(self, name: str) -> str:
        """The one whose turn is next."""
        return self.names[1 - self.names.index(name)]


def taking_turns(name: str, turns: Turns) -> Any:
    """A callback of the trainer: waits for its turn before each step."""
    from transformers import TrainerCallback  # late: seconds, and --help needs none of it

    class Turn(TrainerCallback):  # type: ignore[misc]  # the base class has no types
        began: tuple[float, float] | None = None

        def on_step_begin(self, *_args: Any, **_parts: Any) -> None:
            self.over()
            turns.free[name].acquire()
            self.began = (time.perf_counter(), time.process_time())

        def on_train_end(self, *_args: Any, **_parts: Any) -> None:
            self.over()

        def over(self) -> None:
            """The step is over, with all that was told and written of it."""
            if self.began is not None:
                turns.wall[name].append(time.perf_counter() - self.began[0])
                turns.processor[name].append(time.process_time() - self.began[1])
                if name == "ours":
                    turns.told.append(turns.telling)
                    turns.telling = 0.0
                turns.free[turns.other(name)].release()

    return Turn()


def random_base(folder: Path, layers: int, hidden: int) -> Path:
    """A model of the fixture's kind and vocabulary, with random weights of another size."""
    import torch  # late, as above
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(BASE)
    config.update({"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": 4 * hidden})
    config.update({"head_dim": hidden // config.num_attention_heads})
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (BASE / name).exists():
            shutil.copy(BASE / name, folder / name)
    return folder


def a_job(run: Path, base: Path, steps: int) -> Job:
    """A job that is ready to train on the example's rows."""
    train = Train(max_steps=steps, save_steps=steps + 1, max_length=256, per_device_train_batch_size=8,
                  gradient_accumulation_steps=1)  # fmt: skip
    job = Job(run=run, out=run / "out", checkpoints=run / "checkpoints", progress=run / "progress.jsonl", model="m",
              train=train)  # fmt: skip
    write_json(run / "model.json", {"path": str(base), "name": "random", "revision": None})
    write_text(job.prepared / "train.jsonl", "".join(json.dumps(pair) + "\n" for pair in rows("train", 0, 400)))
    return job


def ours(job: Job, turns: Turns) -> Any:
    """The job's own trainer, as the train step makes it."""
    from jobs.qlora.base import find_base  # late, as above
    from jobs.qlora.told import Told
    from jobs.qlora.train import make_trainer

    trainer = make_trainer(job, find_base(job), Told(job, None))
    for callback in trainer.callback_handler.callbacks:
        if type(callback).__name__ in {"Told", "TensorBoardCallback"}:
            for called in ("on_step_begin", "on_substep_end", "on_step_end", "on_log"):
                setattr(callback, called, timed(getattr(callback, called), turns))
    trainer.add_callback(taking_turns("ours", turns))
    return trainer


def timed(call: Any, turns: Turns) -> Any:
    """The same call, whose processor time is noted: of its own thread, so that no other work falls on it."""

    def noting(*args: Any, **parts: Any) -> Any:
        began = time.thread_time()
        try:
            return call(*args, **parts)
        finally:
            turns.telling += time.thread_time() - began

    return noting


def plain(job: Job, turns: Turns) -> Any:
    """TRL's trainer with the same settings, rows, model and adapter, and nothing of ours."""
    from trl import SFTTrainer  # late, as above

    from jobs.qlora.base import find_base, load_base, load_tokenizer
    from jobs.qlora.prepared import dataset_of
    from jobs.qlora.recipe import adapter, settings

    base = find_base(job)
    return SFTTrainer(
        model=load_base(base, quantise=True), args=settings(job, job.run / "trainer"),
        train_dataset=dataset_of(job, "train"),
        processing_class=load_tokenizer(base), peft_config=adapter(job.train),
        callbacks=[taking_turns("plain", turns)],
    )  # fmt: skip


def measured(layers: int, hidden: int, steps: int) -> Turns:
    """Both trainers, step by step in turn."""
    turns = Turns()
    with tempfile.TemporaryDirectory() as folder:
        base = random_base(Path(folder) / "base", layers, hidden)
        both = [make(a_job(Path(folder) / make.__name__, base, steps), turns) for make in (ours, plain)]
        threads = [threading.Thread(target=trainer.train) for trainer in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return turns


def share_added(ours: list[float], plain: list[float]) -> tuple[float, float, float]:
    """What ours takes beyond plain, as a share of plain: quartile, median, quartile of the steps' ratios."""
    ratios = [one / other - 1 for one, other in zip(ours[WARM_STEPS:], plain[WARM_STEPS:], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return low, middle, high


def told_share(turns: Turns) -> tuple[float, float, float]:
    """What our own calls take of the plain trainer's median step, both of the processor: quartile, median, quartile."""
    step = statistics.median(turns.processor["plain"][WARM_STEPS:])
    low, middle, high = statistics.quantiles((one / step for one in turns.told[WARM_STEPS:]), n=4)
    return low, middle, high


def main() -> int:
    """Measure, and print; 1 where our own calls take more than 2 % of a step in a quarter of the steps."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.job", description=__doc__)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    turns = measured(asked.layers, asked.hidden, asked.steps)
    print(where_from().replace("make bench", "python -m tests.bench.job"))
    for clock, times in (("wall clock", turns.wall), ("processor time", turns.processor)):
        low, middle, high = share_added(times["ours"], times["plain"])
        medians = {name: 1000 * statistics.median(times[name][WARM_STEPS:]) for name in turns.names}
        ratio = medians["ours"] / medians["plain"] - 1
        print(
            f"{clock:15} ours {medians['ours']:8.1f} ms   plain TRL {medians['plain']:8.1f} ms   "
            f"medians {ratio:+.1%}   step by step {middle:+.1%} ({low:+.1%} to {high:+.1%})"
        )
    low, middle, high = told_share(turns)
    each = 1000 * statistics.median(turns.told[WARM_STEPS:])
    print(f"our own calls   {each:.2f} ms of the processor a step: {middle:.2%} of it ({low:.2%} to {high:.2%})")
    return int(high > MOST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
