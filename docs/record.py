"""Make the transcripts that the README shows: one real run in the test cloud, one on this machine; `make record`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from launcher import display, kept
from tests.cloud.client import running

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "docs" / "runs"
WIDTH = 90
EXAMPLE = ROOT / "examples" / "support-json"


def main() -> None:
    """Run both, keep what was printed and the receipt."""
    RUNS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        own = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            "LAUNCH_HOME": str(Path(folder) / "home"),
            "COLUMNS": str(WIDTH),
            "NO_COLOR": "1",
            "TZ": "UTC",
        }
        record("local", ["--provider", "local"], own, Path(folder))
        with running() as cloud:
            record("aws", ["--budget", "5", "--gpu", "a10g"], {**own, **cloud.environ()}, Path(folder))


def record(name: str, words: list[str], environ: Mapping[str, str], folder: Path) -> None:
    """One launch of the example; raises where it fails."""
    shutil.copytree(EXAMPLE.parent, folder / name)
    command = [sys.executable, "-m", "launcher", *words, "--yes"]
    place = folder / name / EXAMPLE.name
    done = subprocess.run(
        command, cwd=place, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stdout)
    (receipt,) = place.glob("runs/*/receipt.json")
    kept_text = receipt.read_text().replace(str(place) + "/", "")
    (RUNS / f"{name}.receipt.json").write_text(kept_text)
    # The temporary folder's long name made the program break lines: told again without it.
    story = re.sub(rf"\s+{re.escape(str(place))}/", " ", done.stdout[: done.stdout.index("\nsucceeded")])
    ending = display.receipt(kept.receipt(kept_text), width=WIDTH)
    (RUNS / f"{name}.txt").write_text(f"$ launch {' '.join(words)}\n{story.rstrip()}\n\n{ending.rstrip()}\n")


if __name__ == "__main__":
    main()
