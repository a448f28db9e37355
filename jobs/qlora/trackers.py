"""Where a training's figures go besides: TensorBoard files always; W&B, MLflow, Trackio where the user has them."""

# Read by Python 3.9 too: the install step asks which packages are wanted.
from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .job import Job, tell

ASKED_BY = {
    "wandb": ("WANDB_API_KEY",),
    "mlflow": ("MLFLOW_TRACKING_URI",),
    "trackio": ("TRACKIO_SPACE_ID", "TRACKIO_PROJECT"),
}
"""A tracker by the environment variables that its own documentation names; one of them is enough."""
FOLDER = "trackers"
"""In the run's folder: packages of trackers, beside the interpreter's own and after them."""
SUFFIX = ".tfevents"
"""At the end of an event file's name, so that the laptop knows what kind of file it is."""


def asked(environment: Mapping[str, str], *, private: bool) -> list[str]:
    """The trackers whose variables are set, in a fixed order; none where nobody may see the data."""
    wanted = [name for name, variables in ASKED_BY.items() if any(environment.get(one) for one in variables)]
    return [] if private else wanted


def chosen(
    environment: Mapping[str, str], *, private: bool, has: Callable[[str], bool]
) -> tuple[list[str], dict[str, str]]:
    """The trackers to report to, and those that were asked for and are left out, each with the reason."""
    wanted = asked(environment, private=False)
    if private:
        return [], dict.fromkeys(wanted, "the data is private (privacy: private)")
    there = [name for name in wanted if has(name)]
    return there, {name: "its package is not on this machine" for name in wanted if name not in there}


def callbacks(job: Job, environment: Mapping[str, str]) -> list[Any]:
    """The trainer's own callbacks for what was chosen; what was left out is said."""
    added = str(job.run / FOLDER)
    if added not in sys.path:
        sys.path.append(added)
    names, left_out = chosen(environment, private=job.private, has=is_installed)
    for name, why in left_out.items():
        tell(job, "warning", code="tracker", text=f"{name} is not told of this training: {why}")
    return [tensorboard(job.out / "logs" / "tensorboard"), *(harmless(job, name) for name in names)]


def is_installed(name: str) -> bool:
    """Whether the package can be imported, without importing it."""
    return importlib.util.find_spec(name) is not None


def tensorboard(folder: Path) -> Any:
    """The trainer's callback for TensorBoard, writing into this folder."""
    from tensorboardX import SummaryWriter  # late: only the training writes
    from transformers.integrations import TensorBoardCallback

    folder.mkdir(parents=True, exist_ok=True)
    return TensorBoardCallback(SummaryWriter(logdir=str(folder), filename_suffix=SUFFIX))


def harmless(job: Job, name: str) -> Any:
    """The trainer's callback for a tracker, that is let go of at its first failure."""
    from transformers import TrainerCallback  # late, as above
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    class Harmless(TrainerCallback):  # type: ignore[misc]  # the base class has no types
        """A tracker that is down, or whose key is wrong, costs its figures and not the training."""

        inner: Any = None
        is_lost = False

        def on_train_begin(self, *args: Any, **parts: Any) -> None:
            self.safely("on_train_begin", args, parts)

        def on_log(self, *args: Any, **parts: Any) -> None:
            self.safely("on_log", args, parts)

        def on_train_end(self, *args: Any, **parts: Any) -> None:
            self.safely("on_train_end", args, parts)

        def safely(self, what: str, args: tuple[Any, ...], parts: dict[str, Any]) -> None:
            if self.is_lost:
                return
            try:
                self.inner = self.inner or INTEGRATION_TO_CALLBACK[name]()
                getattr(self.inner, what)(*args, **parts)
            except Exception as error:  # each tracker has errors of its own, with no base in common
                self.is_lost = True
                text = f"{name} is not told of this training any more: {type(error).__name__}: {str(error)[:200]}"
                tell(job, "warning", code="tracker", text=text)

    return Harmless()
