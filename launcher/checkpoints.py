"""The checkpoints of a run that lie on this disk: which is the newest that is whole, by the hashes that it carries."""

import json
import re
from pathlib import Path

from launcher.landing import Landing, PullError

NAME = re.compile(r"step-(\d{1,12})")
"""How the job names what it has after so many steps."""
MANIFEST = "manifest.json"


def step_of(name: str) -> int:
    """How many steps are behind the checkpoint of that name; 0 where no checkpoint is called so."""
    found = NAME.fullmatch(name)
    return 0 if found is None else int(found[1])


def newest_whole(folder: Path) -> str | None:
    """The name of the checkpoint of most steps whose every file is what its manifest says; None where there is none."""
    if not folder.is_dir():
        return None
    found = [(int(name[1]), one.name) for one in folder.iterdir() if (name := NAME.fullmatch(one.name))]
    return next((name for _, name in sorted(found, reverse=True) if is_whole(folder / name)), None)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file that the manifest names is there, with its sha256. No link is followed."""
    if checkpoint.is_symlink() or not checkpoint.is_dir():
        return False
    try:
        with Landing(checkpoint) as landing:
            files = json.loads(landing.read(MANIFEST))["files"]
            return all(landing.sha256(str(one["path"])) == one["sha256"] for one in files)
    except (PullError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
