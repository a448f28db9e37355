"""What `docs/estimate.md` shows: `launch estimate` of the example in a world that stands still, so that it is stable.

No account, no Hub, one day, the prices that ship with the program; run as a program of its own, with nothing of the
reader's environment.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DAY = datetime(2026, 11, 24, 20, 4, tzinfo=UTC)
WORDS = ("--job", "examples/support-json", "--model", "mistralai/Mistral-7B-Instruct-v0.3", "--budget", "5")
CONFIG = """\
default_providers: [aws, lambda, runpod]
electricity_usd_per_kwh: 0.32
hardware: {name: rtx4090, price_usd: 1800}
"""


def told(*words: str) -> str:
    """What the program prints on standard output; raises `CalledProcessError` where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG)
        environ = {
            "PATH": os.environ["PATH"], "HOME": folder, "LAUNCH_HOME": str(Path(folder) / "home"),
            "LAUNCH_CONFIG": str(config), "HF_ENDPOINT": "http://127.0.0.1:1", "AWS_EC2_METADATA_DISABLED": "true",
            "COLUMNS": "80", "NO_COLOR": "1", "TZ": "UTC",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "docs.estimate_sample", *words],
            cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return done.stdout.rstrip()


def main() -> int:
    """The command, with the clock at `DAY`."""
    from launcher import cli
    from launcher.world import Console, World, real_world

    def frozen(environ: Mapping[str, str], console: Console) -> World:
        return replace(real_world(environ, console), now=lambda: DAY)

    return cli.main(["estimate", *sys.argv[1:]], make_world=frozen)


if __name__ == "__main__":
    sys.exit(main())
