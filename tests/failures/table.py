"""Which test stands for which row of the failure catalogue, at which providers: read from the tests themselves."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.failures.stage import ALL, AWS, LAMBDA, RUNPOD

FOLDER = Path(__file__).parent
PROVIDERS: Mapping[str, tuple[str, ...]] = {"ALL": ALL, "AWS": (AWS,), "LAMBDA": (LAMBDA,), "RUNPOD": (RUNPOD,)}
NAMED = re.compile(r"test_row_(\d\d)_\w+")
ELSEWHERE = {40: ("tests/jobs/test_package.py", ("test_a_secret_in_a_file_is_not_shipped_and_its_line_is_told",
                                               "test_a_file_of_secrets_is_not_taken_for_data"))}  # fmt: skip
"""A bundle is packed before any provider is asked: the row holds for all of them."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of failure."""

    what: str
    applies: tuple[str, ...] = ALL
    why: str = ""
    """Why not to the others."""


ROWS: Mapping[int, Row] = {
    1: Row(what="the answer to create is lost, and the machine is there"),
    2: Row(what="create is sent twice, and there are twins"),
    3: Row(what="we die between the answer to create and its record"),
    4: Row(what="a new machine is listed late, or not found at first"),
    5: Row(what="capacity is shown, and create refused"),
    6: Row(what="capacity comes and goes within a minute"),
    7: Row(what="a quota looks like a lack of capacity", applies=(AWS, LAMBDA), why="Runpod has none by number"),
    8: Row(what="waiting for capacity without end"),
    9: Row(what="boto repeats a refused create by itself", applies=(AWS,), why="no boto elsewhere"),
    10: Row(
        what="an empty account looks like a lack of capacity",
        applies=(LAMBDA, RUNPOD),
        why="AWS sends a bill",
    ),
    11: Row(what="high stock that cannot be had", applies=(RUNPOD,), why="only Runpod tells a level of stock"),
    12: Row(what="a quantity in the launch call is refused", applies=(LAMBDA,), why="a rule of Lambda's"),
    13: Row(what="one-time spot and stopping exclude each other", applies=(AWS,), why="spot is AWS's alone"),
    14: Row(what="a machine dies before it runs"),
    15: Row(what="create is asked for too fast"),
    16: Row(what="provisioning never ends"),
    17: Row(what="running, and not reachable"),
    18: Row(what="an image comes slowly", applies=(LAMBDA, RUNPOD), why="AWS's boot deadline is 8 minutes: row 16"),
    19: Row(what="status and SSH disagree", applies=(LAMBDA,), why="elsewhere running comes first: row 17"),
    20: Row(what="unhealthy on arrival", applies=(LAMBDA,), why="a status of Lambda's; in Runpod's ERROR: row 14"),
    21: Row(what="nvidia-smi is fine, and the GPU does not compute"),
    22: Row(what="less than was sold: GPUs, VRAM, RAM"),
    23: Row(what="half the speed for the same name"),
    24: Row(what="somebody else answers at the address"),
    25: Row(what="the address changes", applies=(RUNPOD,), why="elsewhere it stays with the machine"),
    26: Row(what="apt is locked"),
    27: Row(what="another processor than expected"),
    28: Row(what="SSH breaks, and takes the job with it"),
    29: Row(what="a spot machine is taken, with notice or without"),
    30: Row(what="a hint of a rebalance, and no end", applies=(AWS,), why="spot is AWS's alone"),
    31: Row(what="the laptop loses the network for ten minutes"),
    32: Row(what="nobody tells the price"),
    33: Row(
        what="nothing of the service ends a machine",
        applies=(LAMBDA, RUNPOD),
        why="AWS ends what powers off: row 47",
    ),
    34: Row(what="the lease ends while results come home"),
    35: Row(what="the balance runs out", applies=(RUNPOD,), why="only Runpod is paid in advance"),
    36: Row(what="the disk is full"),
    37: Row(what="a slow line makes the pull long"),
    38: Row(what="a container begins anew", applies=(RUNPOD,), why="the others are machines"),
    39: Row(what="clocks differ"),
    40: Row(what="a secret lies in what is shipped"),
    41: Row(what="the price changes during the run"),
    42: Row(what="called terminated, and still there"),
    43: Row(what="terminate is swallowed"),
    44: Row(what="not found early, and no proof of an end"),
    45: Row(what="a gap in a list is taken for an end"),
    46: Row(what="ending a machine that is still pending", applies=(AWS,), why="a habit of boto's waiter"),
    47: Row(what="a failed boot, and nobody who ends the machine"),
    48: Row(what="switched off, and billed on", applies=(LAMBDA,), why="elsewhere an end from inside ends the bill"),
    49: Row(what="a firewall that is still held", applies=(AWS,), why="only AWS has one of ours"),
    50: Row(what="volumes, addresses, keys are left"),
    51: Row(what="two processes end the same machine"),
    52: Row(what="results are lost because the machine went first"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Test:
    """One test of a row."""

    row: int
    file: str
    name: str
    providers: tuple[str, ...]


def tests() -> Iterator[Test]:
    """All tests of rows, in the order of the files."""
    for path in sorted(FOLDER.glob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (named := NAMED.fullmatch(node.name)):
                yield Test(row=int(named[1]), file=path.name, name=node.name, providers=_providers(node))
    for row, (file, names) in ELSEWHERE.items():
        written = (FOLDER.parents[1] / file).read_text("utf-8")
        for name in names:
            if f"\ndef {name}(" in written:
                yield Test(row=row, file=file, name=name, providers=ALL)


def _providers(node: ast.FunctionDef) -> tuple[str, ...]:
    """Those of its `@at(...)`."""
    words = [
        word.id
        for mark in node.decorator_list
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "at"
        for word in ast.walk(mark)
        if isinstance(word, ast.Name) and word.id in PROVIDERS
    ]
    return tuple(name for word in words for name in PROVIDERS[word])


def table() -> str:
    """The table in tests/cloud/README.md."""
    found = list(tests())
    lines = ["| row | what happens | test | at |", "|---|---|---|---|"]
    for number, row in ROWS.items():
        why = f" ({row.why})" if row.why else ""
        for at, test in enumerate(one for one in found if one.row == number):
            head = f"| {number} | {row.what}{why}" if not at else "| | "
            lines.append(f"{head} | `{test.file}` `{test.name}` | {' '.join(test.providers)} |")
    return "\n".join(lines)
