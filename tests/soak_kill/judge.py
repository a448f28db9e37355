"""Judges a life by the test cloud's meter, by files, and by the process table; never by the program's own books.

R1 nothing is billed after one `reap`; R2 one machine at a time; R3 the bill within the budget; R5 a job that was done
came home; R6 the last `reap` has nothing to complain of; R7 no receipt says what is not so. "books", "process", "left",
"exit": the ledger opens and is whole; nothing of ours runs on; no key, group or volume lies about; every end is one of
the contract's exit codes, and none is our own bug.
"""

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from launcher.errors import Exit
from launcher.ledger import Ledger
from launcher.records import RunRecord
from launcher.run import State
from tests.cloud.client import Machine
from tests.soak_kill.life import Player

CODES = {int(one) for one in Exit} - {70}
START_SECONDS = 1.5
"""Real seconds between a command's start and its first look at the cloud, on a busy computer."""
TOLD_USD = Decimal("0.0005")
"""How much less than the meter a receipt may tell: both round."""
STOPS = ("stop",)
STEP = re.compile(r'"event": "step".*"step": (\d+)')


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A promise that was broken."""

    rule: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a life came to."""

    breaches: tuple[Breach, ...]
    share: float
    """Of the budget, what was billed."""
    outcome: str
    machines: int


def judged(player: Player) -> Verdict:
    """Everything is over; look at all of it."""
    return judge(player, _record(player))


def judge(player: Player, record: RunRecord | None) -> Verdict:
    """The same, with the run as the ledger has it; None where it died before it wrote one."""
    machines = player.cloud.machines()
    billed = player.cloud.meter().total_usd
    allowed = _budget_usd(player, record)
    found = [
        *_money(player, machines, billed, allowed),
        *_ends(player),
        *_books(player, record),
        *_receipts(player, record, machines, billed),
        *_results(player, record, machines),
        *_leftovers(player),
    ]
    outcome = "none" if record is None else str(record.outcome)
    share = float(billed / allowed)
    return Verdict(breaches=tuple(found), share=share, outcome=outcome, machines=len(machines))


def _record(player: Player) -> RunRecord | None:
    return _latest(player.laptop.home / "ledger.sqlite")


def _latest(file: Path) -> RunRecord | None:
    if not file.exists():
        return None
    ledger = Ledger(file)
    try:
        runs = ledger.runs()
        return runs[0] if runs else None
    finally:
        ledger.close()


def _budget_usd(player: Player, record: RunRecord | None) -> Decimal:
    """What was typed at `launch`; or at the `resume` whose budget the run has: one that was refused changes nothing."""
    typed = [Decimal(one) for one in player.budgets]
    known = None if record is None else record.budget_usd
    return known if known is not None and known in typed else Decimal(player.life.budget_usd)


def _money(player: Player, machines: tuple[Machine, ...], billed: Decimal, budget_usd: Decimal) -> Iterator[Breach]:
    reading = player.cloud.meter()
    for machine in reading.alive:
        yield Breach(rule="R1", text=f"{machine} is still billed")
    for machine in player.billed_after_reap or ():
        yield Breach(rule="R1", text=f"{machine} is still billed after one reap")
    if reading.peak > 1:
        yield Breach(rule="R2", text=f"{reading.peak} machines at once")
    allowed = budget_usd
    if not player.life.guarded and machines:
        rate = max(_rate(one) for one in machines)
        left = player.left_seconds + START_SECONDS * len(player.typed)
        allowed += rate * Decimal(str(round(left * player.life.scale, 3))) / 3600
    if billed > allowed:
        yield Breach(rule="R3", text=f"billed {billed:.4f} of {allowed:.4f} (budget {budget_usd})")


def _rate(machine: Machine) -> Decimal:
    seconds = Decimal(machine.bill["seconds"])
    return Decimal(machine.bill["compute_usd"]) / seconds * 3600 + Decimal("0.05") if seconds else Decimal(0)


def _ends(player: Player) -> Iterator[Breach]:
    for one in player.typed:
        if one.code >= 0 and one.code not in CODES:
            yield Breach(rule="exit", text=f"{' '.join(one.words[:2])} ended with {one.code}: {one.err[-600:]}")
        if "Traceback (most recent call last)" in one.err:
            yield Breach(rule="exit", text=f"{' '.join(one.words[:2])} showed a traceback: {one.err[-600:]}")
    last = [one for one in player.typed if one.words[0] == "reap"][-1:]
    if player.life.returns and last and last[0].code != 0:
        yield Breach(rule="R6", text=f"the last reap ended with {last[0].code}: {last[0].err[-600:]}")


def _books(player: Player, record: RunRecord | None) -> Iterator[Breach]:
    for text in dict.fromkeys(player.sick_books):
        yield Breach(rule="books", text=text)
    if record is None or not player.life.returns:
        return
    if (record.state, record.open_intents) != (State.TERMINATED, 0):
        yield Breach(rule="books", text=f"{record.state}, {record.open_intents} open intents after the last reap")


def _receipts(
    player: Player, record: RunRecord | None, machines: tuple[Machine, ...], billed: Decimal
) -> Iterator[Breach]:
    if record is None or record.receipt_json is None:
        return
    told = json.loads(record.receipt_json)
    yield from _same_on_disk(record, told, _second(player))
    if told["terminated"]["confirmed"]:
        at = datetime.fromisoformat(told["terminated"]["at"]) if told["terminated"]["at"] else None
        ends = [_ended(player, one) for one in machines]
        if any(end is None for end in ends):
            yield Breach(rule="R7", text="a receipt says terminated, and a machine runs")
        elif at is not None and any(end and end > at + timedelta(seconds=1) for end in ends):
            yield Breach(rule="R7", text=f"a receipt says terminated at {at}, and it was {ends}")
    spent_usd = Decimal(told["spent_usd"]) + _elsewhere_usd(player)
    if spent_usd + TOLD_USD < billed:
        yield Breach(rule="R7", text=f"a receipt says {spent_usd} spent, and {billed:.6f} were billed")


def _elsewhere_usd(player: Player) -> Decimal:
    """What a second laptop tells: a machine that it took over and ended is in its books, and may be in no others."""
    second = _second(player)
    told = {} if second is None or second.receipt_json is None else json.loads(second.receipt_json)
    return Decimal(told.get("spent_usd", 0))


def _second(player: Player) -> RunRecord | None:
    """The run as a second laptop has it, whose results lie in the same folder here."""
    return _latest(player.folder / "second" / "ledger.sqlite")


def _same_on_disk(record: RunRecord, told: Any, second: RunRecord | None) -> Iterator[Breach]:
    file = record.out_dir / "receipt.json"
    others = [json.loads(second.receipt_json)] if second is not None and second.receipt_json else []
    if file.exists() and json.loads(file.read_text()) not in [told, *others]:
        yield Breach(rule="R7", text="receipt.json is not the ledger's receipt")


def _ended(player: Player, machine: Machine) -> datetime | None:
    if machine.ended is None:
        return None
    origin = datetime.fromisoformat(player.cloud.call("clock")["origin"])
    return origin + timedelta(seconds=machine.ended)


def _results(player: Player, record: RunRecord | None, machines: tuple[Machine, ...]) -> Iterator[Breach]:
    if record is None:
        return
    nothing = {"outcome": "", "results": {"verified": False}}
    told: Any = json.loads(record.receipt_json) if record.receipt_json else nothing
    adapter = record.out_dir / "adapter" / "adapter_model.safetensors"
    if told["results"]["verified"]:
        yield from _unsound(record.out_dir)
    if told["outcome"] == "succeeded":
        if not told["results"]["verified"]:
            yield Breach(rule="R7", text="a receipt says succeeded, and its results are not verified")
        yield from _trained(adapter, told, machines, int(str(player.life.job["steps"])))
        if not any(_is_done(one) for one in machines):
            yield Breach(rule="R7", text="a receipt says succeeded, and no job did")
    elif not told["outcome"] or _is_said_to_be_forced(told) or not _must_come_home(player):
        return
    elif told["results"]["verified"] and _is_of(adapter, _steps_told(machines)):
        return  # it came to its end after it was told to save: what it made is here
    elif any(_is_done(one) and not _was_taken(one) for one in machines):
        yield Breach(rule="R5", text=f"a job was done, and the receipt says {told['outcome']}: {told.get('why')}")


def _trained(adapter: Path, told: Any, machines: tuple[Machine, ...], asked: int) -> Iterator[Breach]:
    """The adapter is that of the steps which the machines told of; that they were fewer than asked for must be said."""
    steps = _steps_told(machines) or asked
    if not _is_of(adapter, steps):
        yield Breach(rule="R7", text=f"a receipt says succeeded, and the adapter is not that of {steps} steps")
    if steps != asked and f"trained for {steps} of {asked} steps" not in (told.get("why") or ""):
        yield Breach(rule="R7", text=f"a receipt says succeeded, and not that {steps} of {asked} steps were trained")


def _steps_told(machines: tuple[Machine, ...]) -> int:
    return max((_last_step(one) for one in machines), default=0)


def _is_of(adapter: Path, steps: int) -> bool:
    return steps > 0 and adapter.is_file() and adapter.read_bytes() == weights(steps)


def _is_said_to_be_forced(told: Any) -> bool:
    """The budget left no time for all of the results, and the receipt says so."""
    return told["outcome"] == "out of budget" and "could not be pulled" in told["why"] and "no time left" in told["why"]


def _must_come_home(player: Player) -> bool:
    """Nobody asked to stop, no other laptop took it over, nobody was away for long, and somebody came back."""
    stopped = any(one.words[0] in STOPS for one in player.typed) or any(one.is_elsewhere for one in player.life.steps)
    return player.life.returns and not stopped and player.left_seconds * player.life.scale < 60


def _was_taken(machine: Machine) -> bool:
    """Whether its provider ended it: what it had just worked out may then be lost."""
    return machine.reason.startswith("Server.")


def _unsound(folder: Path) -> Iterator[Breach]:
    try:
        rows = json.loads((folder / "manifest.json").read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        yield Breach(rule="R7", text=f"a receipt says verified, and the manifest: {error}")
        return
    for row in rows:
        file = folder / row["path"]
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != row["sha256"]:
            yield Breach(rule="R7", text=f"a receipt says verified, and {row['path']} is not what the manifest says")


def weights(steps: int) -> bytes:
    """What the quick job trains in so many steps, however often it was taken up again."""
    seed = hashlib.sha256(b"quick").digest()
    for _ in range(steps):
        seed = hashlib.sha256(seed).digest()
    size = 4096
    data = (seed * (size // len(seed) + 1))[:size]
    header = {"lora": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def _is_done(machine: Machine) -> bool:
    """Whether the job there said that it is done, and well."""
    return any('"done"' in line and '"succeeded"' in line for line in _progress(machine))


def _last_step(machine: Machine) -> int:
    """The highest step that the job there told of; 0 where it told of none."""
    steps = (STEP.search(line) for line in _progress(machine))
    return max((int(found[1]) for found in steps if found), default=0)


def _progress(machine: Machine) -> Iterator[str]:
    for file in machine.root.glob("**/progress.jsonl"):
        yield from file.read_text(errors="replace").splitlines()


def _leftovers(player: Player) -> Iterator[Breach]:
    for line in player.left_over():
        yield Breach(rule="process", text=f"runs on: {line[:300]}")
    if player.life.returns:
        for one in player.cloud.call("left") or []:
            yield Breach(rule="left", text=f"lies about: {one}")
