"""What every step of the job shares: its folders, its settings, and how it tells the supervisor what happened."""

# Read by Python 3.9 too: the install step runs before a newer interpreter was chosen.
from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn

SAVED_AND_STOPPED = 75
FAILED, UNFIT = 1, 69
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Train:
    """How to train, in the words of transformers, peft and TRL; defaults for a model of some billion parameters."""

    method: str = "qlora"
    r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    target_modules: Any = ("q_proj", "v_proj")
    use_dora: bool = False
    use_rslora: bool = False
    epochs: float = 3
    learning_rate: float = 2e-4
    lr_scheduler_type: str = "cosine"
    warmup_ratio: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    neftune_noise_alpha: float | None = None
    max_length: int = 2048
    packing: bool = False
    per_device_train_batch_size: int = 4
    gradient_accumulation_steps: int = 4
    max_steps: int = -1
    save_steps: int = 50
    eval_steps: int | None = None
    early_stopping_patience: int | None = None
    seed: int = 17

    @property
    def targets(self) -> str | list[str]:
        """Peft's target_modules: "all-linear", or a list of names."""
        return self.target_modules if isinstance(self.target_modules, str) else list(self.target_modules)


@dataclass(frozen=True)
class Split:
    """Which shares of the rows to set aside, and the key whose rows must stay together."""

    validation: float = 0.0
    test: float = 0.0
    group: str | None = None


@dataclass(frozen=True)
class Prompted:
    """How many system texts were shipped (prompts/system-<n>.txt), and examples to try with each of them."""

    system: Any = ()
    shots: int = 0

    @property
    def texts(self) -> int:
        """How many system texts there are."""
        return 1 if isinstance(self.system, str) else len(self.system)


@dataclass(frozen=True)
class Adjacent:
    """A task besides the one that is trained: rows in data/adjacent/<name>.jsonl, or a task of the lm-eval harness."""

    name: str = ""
    data: str | None = None
    harness: str | None = None
    limit: int | None = None
    metric: str = "exact"


@dataclass(frozen=True)
class Export:
    """What is made of the adapter besides."""

    merged: bool = False
    gguf_adapter: bool = False


@dataclass(frozen=True)
class Job:
    """The folders and the settings of this run."""

    run: Path
    out: Path
    checkpoints: Path
    progress: Path
    model: str
    revision: str | None = None
    split: Split = field(default_factory=Split)
    train: Train = field(default_factory=Train)
    max_new_tokens: int | None = None
    metrics: tuple[str, ...] = ("exact", "json_fields")
    prompted: Prompted | None = None
    adjacent: tuple[Adjacent, ...] = ()
    export: Export = field(default_factory=Export)
    private: bool = False
    """Nobody outside this machine and its owner may see the data: no tracker."""
    data: dict[str, Any] = field(default_factory=dict)
    """The `data` block as it was given; `dataset` reads it where the rows were not made ready on a laptop."""

    @property
    def bundle(self) -> Path:
        """The folder that was shipped."""
        return self.run / "bundle"

    @property
    def quantise(self) -> bool:
        """Whether the base is loaded in 4 bits: "qlora" says so, "lora" keeps it whole."""
        return self.train.method == "qlora"

    @property
    def prepared(self) -> Path:
        """Where `prepare` leaves the rows for the other steps."""
        return self.run / "prepared"


def known(cls: type[Any], values: dict[str, Any] | None) -> Any:
    """An instance of the dataclass from those values that it knows; absent and null values keep its defaults."""
    names = cls.__dataclass_fields__
    return cls(**{key: value for key, value in (values or {}).items() if key in names and value is not None})


def read_job() -> Job:
    """The job as the environment and job.json describe it; ends with a sentence when they do not."""
    try:
        run = Path(os.environ["LAUNCH_RUN"])
        settings = json.loads(Path(os.environ["LAUNCH_JOB"]).read_text(encoding="utf-8"))["settings"]
        evaluate = settings.get("evaluate") or {}
        prompted = evaluate.get("prompted")
        return Job(
            run=run,
            out=Path(os.environ["LAUNCH_OUT"]),
            checkpoints=Path(os.environ["LAUNCH_CHECKPOINTS"]),
            progress=Path(os.environ["LAUNCH_PROGRESS"]),
            model=settings["model"],
            revision=settings.get("revision"),
            split=known(Split, (settings.get("data") or {}).get("split")),
            train=known(Train, settings.get("train")),
            max_new_tokens=evaluate.get("max_new_tokens"),
            metrics=tuple(evaluate.get("metrics") or ("exact", "json_fields")),
            prompted=None if prompted is None else known(Prompted, prompted),
            adjacent=tuple(known(Adjacent, one) for one in evaluate.get("adjacent") or ()),
            export=known(Export, settings.get("export")),
            private=settings.get("privacy") == "private",
            data=settings.get("data") or {},
        )
    except KeyError as missing:
        give_up(f"{missing} is not set; README.md shows how to run a step by hand")


def give_up(text: str, status: int = FAILED) -> NoReturn:
    """End this step with one clear sentence; UNFIT where it is this machine that cannot, and another may."""
    print(f"error: {text}", file=sys.stderr, flush=True)
    sys.exit(status)


def tell(job: Job, event: str, **fields: object) -> None:
    """Append one whole line to the progress file."""
    at = datetime.now(timezone.utc).isoformat()  # noqa: UP017 - Python 3.9 has no datetime.UTC
    line = json.dumps({"schema": 1, "event": event, "at": at, **fields}) + "\n"
    with job.progress.open("ab", buffering=0) as file:
        file.write(line.encode())


def write_json(path: Path, document: object) -> None:
    """Write aside, then rename: a reader sees all of it or none."""
    write_text(path, json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write aside, then rename, with the folders above made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def sha256(path: Path) -> str:
    """The hash of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()
