"""Where a training's figures go besides: TensorBoard files always; W&B, MLflow, Trackio where the user has them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ASKED_BY = {
    "wandb": ("WANDB_API_KEY",),
    "mlflow": ("MLFLOW_TRACKING_URI",),
    "trackio": ("TRACKIO_SPACE_ID", "TRACKIO_PROJECT"),
}
"""A tracker by the environment variables that its own documentation names; one of them is enough."""
SUFFIX = ".tfevents"
"""At the end of an event file's name, so that the laptop knows what kind of file it is."""


def asked(environment: Mapping[str, str]) -> list[str]:
    """The trackers whose variables are set, in a fixed order."""
    return [name for name, variables in ASKED_BY.items() if any(environment.get(one) for one in variables)]


def chosen(
    environment: Mapping[str, str], *, private: bool, has: Callable[[str], bool]
) -> tuple[list[str], dict[str, str]]:
    """The trackers to report to, and those that were asked for and are left out, each with the reason."""
    wanted = asked(environment)
    if private:
        return [], dict.fromkeys(wanted, "the data is private (privacy: private)")
    there = [name for name in wanted if has(name)]
    return there, {name: "its package is not on this machine" for name in wanted if name not in there}


def is_installed(name: str) -> bool:
    """Whether the package can be imported, without importing it."""
    return importlib.util.find_spec(name) is not None


def tensorboard(folder: Path) -> Any:
    """The trainer's own callback for TensorBoard, writing into this folder."""
    from tensorboardX import SummaryWriter  # late: only the training writes
    from transformers.integrations import TensorBoardCallback

    folder.mkdir(parents=True, exist_ok=True)
    return TensorBoardCallback(SummaryWriter(logdir=str(folder), filename_suffix=SUFFIX))
