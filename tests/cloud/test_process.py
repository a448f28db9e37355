"""The test cloud as a process: by hand, as a child, and on its own feet."""

import ast
import signal
import subprocess
import sys
from pathlib import Path

from tests.cloud.client import REPOSITORY

HERE = Path(__file__).parent
PRODUCT = {"launcher", "providers", "jobs", "pricing"}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_judge_imports_nothing_of_what_it_judges() -> None:
    for path in HERE.glob("*.py"):
        assert not imported(path) & PRODUCT, path.name


def test_by_hand_it_says_what_to_export_and_ends_on_ctrl_c() -> None:
    argv = [sys.executable, "-m", "tests.cloud"]
    # As a script's `&` starts it: there the shell has the signal ignored.
    background = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *argv]
    with subprocess.Popen(background, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as cloud:
        assert cloud.stdout is not None
        lines = []
        for line in cloud.stdout:
            lines.append(line)
            if "_sim/state" in line:
                break
        cloud.send_signal(signal.SIGINT)
        assert cloud.wait(timeout=20) == 0
    exported = {line.split()[1].partition("=")[0] for line in lines if line.startswith("export ")}
    assert {"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "LAUNCH_CONFIG", "LAUNCH_HOME"} <= exported


def test_it_ends_when_the_program_that_started_it_is_gone() -> None:
    argv = [sys.executable, "-m", "tests.cloud", "--for-program"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True) as cloud:
        assert cloud.stdout is not None
        assert cloud.stdin is not None
        assert '"aws"' in cloud.stdout.readline()
        cloud.stdin.close()  # what the kernel does for a program that dies
        assert cloud.wait(timeout=20) == 0
