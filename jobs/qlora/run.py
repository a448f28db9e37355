"""Run one step of the job by name: `python run.py train`; what comes after the name goes to the step."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

STEPS = ("ahead", "install", "check", "download", "prepare", "evaluate", "train", "export")


def main() -> None:
    """Find this folder as a package under whatever name it was shipped, and run the step in it."""
    if len(sys.argv) < 2 or sys.argv[1] not in STEPS:
        sys.exit(f"usage: python run.py {{{','.join(STEPS)}}} [options]")
    here = Path(__file__).resolve().parent
    # The folder itself leaves the path: a module of ours such as `evaluate` would hide a public package of that name.
    sys.path[0] = str(here.parent)
    # Threads that wait by spinning starve each other on a small busy machine; read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Rows of many lengths would leave holes in a card's memory that nothing fits into; segments that grow do not.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    # One card, where there are several: TRL refuses to train where it sees more, and a second would only wait.
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    step = sys.argv.pop(1)
    runpy.run_module(f"{here.name}.{step}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
