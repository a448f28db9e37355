"""Make the transcripts that the README shows: one real run in the test cloud, one on this machine; `make record`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cloud.client import running

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "docs" / "runs"
EXAMPLE = ROOT / "examples" / "support-json"


def main() -> None:
    """Run both, keep what was printed and the receipt."""
    RUNS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        own = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            "LAUNCH_HOME": str(Path(folder) / "home"),
            "COLUMNS": "90",
            "NO_COLOR": "1",
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
    said = done.stdout.replace(str(place) + "/", "")
    (RUNS / f"{name}.txt").write_text(f"$ launch {' '.join(words)}\n{said.rstrip()}\n")
    (receipt,) = place.glob("runs/*/receipt.json")
    (RUNS / f"{name}.receipt.json").write_text(receipt.read_text().replace(str(place) + "/", ""))


if __name__ == "__main__":
    main()
