"""What README.md shows of `launch data`: the example's rows with their planted faults, as the program tells them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100


def told() -> str:
    """The whole page, made anew in an empty home; raises `CalledProcessError` where the program fails."""
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home, "LAUNCH_HOME": home, "COLUMNS": str(WIDTH), "TZ": "UTC"}
        done = subprocess.run(
            [sys.executable, "-m", "launcher", "data", "--job", "examples/support-json"],
            cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return done.stdout.rstrip() + "\n"


def beginning(lines: int) -> str:
    """So many lines of it, and how many more there are."""
    every = told().splitlines()
    return "\n".join([*every[:lines], f"... {len(every) - lines} more lines"]) + "\n"
