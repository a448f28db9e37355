"""The judge of the kills notices each promise that is broken, and nothing else."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from launcher.ledger import Ledger
from launcher.records import RunRecord
from launcher.run import Outcome, Run, State
from tests.cloud.client import Machine, Reading
from tests.soak_kill.drawn import Life, drawn
from tests.soak_kill.judge import judge, weights
from tests.soak_kill.life import Player, Typed

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIFE = replace(next(life for life in map(drawn, range(99)) if life.guarded and life.returns), budget_usd="1")
STEPS = int(str(LIFE.job["steps"]))
UNGUARDED = replace(next(life for life in map(drawn, range(99)) if not life.guarded), budget_usd="1")


@dataclass
class FakeCloud:
    """A cloud that is asked afterwards."""

    one: Machine
    alive: tuple[str, ...] = ()
    peak: int = 1
    left: list[str] = field(default_factory=list)

    def meter(self) -> Reading:
        return Reading(total_usd=self.one.usd, alive=self.alive, peak=self.peak, machines=1)

    def machines(self) -> tuple[Machine, ...]:
        return (self.one,)

    def call(self, verb: str) -> object:
        return {"clock": {"origin": BEGAN.isoformat()}, "left": self.left}[verb]


@dataclass
class Afterwards:
    """What is left of a life."""

    cloud: FakeCloud
    life: Life = LIFE
    folder: Path = Path("/nonexistent")
    typed: list[Typed] = field(default_factory=list)
    budgets: list[str] = field(default_factory=list)
    sick_books: list[str] = field(default_factory=list)
    left_seconds: float = 0
    billed_after_reap: tuple[str, ...] = ()
    processes: list[str] = field(default_factory=list)

    def left_over(self) -> list[str]:
        return self.processes


def machine(root: Path, **changes: Any) -> Machine:
    """One that ran for 100 s, and whose job was done."""
    (root / "run").mkdir(parents=True, exist_ok=True)
    (root / "run" / "progress.jsonl").write_text('{"event": "done", "outcome": "succeeded"}\n')
    made = Machine(
        cloud="aws", id="i-1", region="r", zone="z", instance_type="t", spot=False, state="terminated", reason="",
        address="", port=22, ssh=False, root=root, tags={}, created=0, started=1, ended=101, egress_bytes=0,
        usd=Decimal("0.5"), bill={"seconds": "100", "compute_usd": "0.02"}, user_data="",
    )  # fmt: skip
    return replace(made, **changes)


def record(folder: Path, told: Mapping[str, object] | None = None, steps: int = STEPS, **changes: Any) -> RunRecord:
    """A run that succeeded, with its results in `folder`."""
    adapter = folder / "adapter" / "adapter_model.safetensors"
    adapter.parent.mkdir(parents=True, exist_ok=True)
    adapter.write_bytes(weights(steps))
    digest = hashlib.sha256(adapter.read_bytes()).hexdigest()
    rows = [{"path": "adapter/adapter_model.safetensors", "sha256": digest}]
    (folder / "manifest.json").write_text(json.dumps({"files": rows}))
    receipt = {
        "outcome": "succeeded",
        "spent_usd": "0.51",
        "terminated": {"confirmed": True, "at": (BEGAN + timedelta(seconds=110)).isoformat()},
        "results": {"verified": True},
        **(told or {}),
    }
    made = RunRecord(
        id="run", name="n", created_at=BEGAN, state=State.TERMINATED, outcome=Outcome.SUCCEEDED,
        budget_usd=Decimal(1), spent_usd=Decimal(0), provider="aws", region="r", zone="z", instance_type="t",
        market="spot", instance_id="i-1", out_dir=folder, receipt_json=json.dumps(receipt), open_intents=0,
        maybe_usd_per_hour=None,
    )  # fmt: skip
    return replace(made, **changes)


def rules(left: Afterwards, run: RunRecord | None) -> list[str]:
    """What was broken."""
    return [one.rule for one in judge(cast("Player", left), run).breaches]


def typed(words: str, code: int, err: str = "") -> Typed:
    """A command that is over."""
    return Typed(words=tuple(words.split()), code=code, began=0, ended=1, err=err)


def test_a_life_that_went_well_breaks_nothing(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")), typed=[typed("launch", -9), typed("reap", 0)])
    assert rules(left, record(tmp_path / "out")) == []
    assert rules(left, None) == []


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"typed": [typed("reap", 7, "still there")]}, "R6"),
        ({"typed": [typed("attach", 70)]}, "exit"),
        ({"typed": [typed("attach", 1, "Traceback (most recent call last)")]}, "exit"),
        ({"sick_books": ["row 3 missing from index"]}, "books"),
        ({"billed_after_reap": ("i-1",)}, "R1"),
        ({"processes": ["ssh -o ControlMaster=auto"]}, "process"),
    ],
)
def test_what_is_left_of_a_life_is_noticed(tmp_path: Path, changes: dict[str, Any], rule: str) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")), **changes)
    assert rules(left, record(tmp_path / "out")) == [rule]


@pytest.mark.parametrize(
    ("changes", "rule"), [({"alive": ("i-1",)}, "R1"), ({"peak": 2}, "R2"), ({"left": ["key pair k"]}, "left")]
)
def test_what_the_cloud_still_has_is_noticed(tmp_path: Path, changes: dict[str, Any], rule: str) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box"), **changes))
    assert rules(left, record(tmp_path / "out")) == [rule]


def test_a_cent_over_the_budget_is_noticed_where_the_machine_ends_itself(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box", usd=Decimal("1.01"))), left_seconds=1000)
    assert rules(left, record(tmp_path / "out", {"spent_usd": "1.02"})) == ["R3"]


def test_the_budget_is_that_of_the_resume_that_the_run_has_and_of_no_resume_that_was_refused(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box", usd=Decimal("1.5"))), budgets=["2"])
    told = {"spent_usd": "1.6"}
    assert rules(left, record(tmp_path / "out", told, budget_usd=Decimal(2))) == []
    assert rules(left, record(tmp_path / "out", told)) == ["R3"]


def test_where_only_we_end_a_machine_the_time_without_us_is_allowed_for_and_no_more(tmp_path: Path) -> None:
    # 0.77 $/h, and 20 sim seconds in each real one: 100 s without us are 0.43 $
    left = Afterwards(FakeCloud(machine(tmp_path / "box", usd=Decimal("1.4"))), life=UNGUARDED, left_seconds=100)
    run = record(tmp_path / "out", {"spent_usd": "1.5", "outcome": "lost", "results": {"verified": False}})
    assert rules(left, run) == []
    left.cloud.one = replace(left.cloud.one, usd=Decimal("1.45"))
    assert rules(left, run) == ["R3"]


@pytest.mark.parametrize(
    "told",
    [
        {"spent_usd": "0.49"},
        {"terminated": {"confirmed": True, "at": (BEGAN + timedelta(seconds=90)).isoformat()}},
        {"results": {"verified": False}},
    ],
)
def test_a_receipt_that_says_what_is_not_so_is_noticed(tmp_path: Path, told: dict[str, object]) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    assert rules(left, record(tmp_path / "out", told)) == ["R7"]


def test_results_that_are_not_what_the_receipt_says_are_noticed(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    run = record(tmp_path / "out")
    (run.out_dir / "adapter" / "adapter_model.safetensors").write_bytes(b"torn")
    assert rules(left, run) == ["R7", "R7"]


def test_a_success_without_a_job_that_was_done_is_noticed(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    (tmp_path / "box" / "run" / "progress.jsonl").write_text('{"event": "step"}\n')
    assert rules(left, record(tmp_path / "out")) == ["R7"]


def test_a_training_that_was_shortened_is_a_success_only_where_that_is_said(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    progress = f'{{"event": "step", "step": {STEPS - 1}}}\n{{"event": "done", "outcome": "succeeded"}}\n'
    (tmp_path / "box" / "run" / "progress.jsonl").write_text(progress)
    why = {"why": f"trained for {STEPS - 1} of {STEPS} steps, to stay within its limits"}
    assert rules(left, record(tmp_path / "out", why, steps=STEPS - 1)) == []
    assert rules(left, record(tmp_path / "out", why)) == ["R7"]
    assert rules(left, record(tmp_path / "out", steps=STEPS - 1)) == ["R7"]


def test_a_job_that_was_done_and_did_not_come_home_is_noticed_unless_somebody_stopped_it(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    run = record(tmp_path / "out", {"outcome": "lost", "results": {"verified": False}})
    assert rules(left, run) == ["R5"]
    left.typed = [typed("stop --json", -9)]
    assert rules(left, run) == []


def test_a_job_that_was_done_after_it_was_told_to_save_is_no_breach_where_what_it_made_is_here(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    progress = f'{{"event": "step", "step": {STEPS}}}\n{{"event": "done", "outcome": "succeeded"}}\n'
    (tmp_path / "box" / "run" / "progress.jsonl").write_text(progress)
    told = {"outcome": "out of budget", "why": ""}
    assert rules(left, record(tmp_path / "out", told)) == []
    assert rules(left, record(tmp_path / "out", told, steps=STEPS - 1)) == ["R5"]
    assert rules(left, record(tmp_path / "out", {**told, "results": {"verified": False}})) == ["R5"]


def test_what_a_second_laptop_tells_counts_with_the_first_one_s_receipt(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box", usd=Decimal("0.9"))), folder=tmp_path)
    first = record(tmp_path / "out")
    assert rules(left, first) == ["R7"]
    ledger = Ledger(tmp_path / "second" / "ledger.sqlite")
    run = Run(
        id="run", name="n", created_at=BEGAN, budget_usd=Decimal(1), deadline_at=None, out_dir=tmp_path,
        state=State.PLANNED, ending=None, attempts=[], parts=(),
    )  # fmt: skip
    ledger.open_run(run, request="{}", plan="{}")
    ledger.note_receipt(run, json.dumps({"spent_usd": "0.45"}))
    ledger.close()
    assert rules(left, first) == []


def test_results_for_which_the_budget_left_no_time_are_no_breach_where_that_is_said(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    told = {"outcome": "out of budget", "results": {"verified": False}}
    why = "the results could not be pulled (not all files came home whole: eval/base.json: no time left)"
    assert rules(left, record(tmp_path / "out", {**told, "why": why})) == []
    assert rules(left, record(tmp_path / "out", {**told, "why": "the budget does not allow it to go on"})) == ["R5"]


def test_a_job_that_was_done_on_a_machine_that_was_taken_back_need_not_come_home(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box", reason="Server.SpotInstanceTermination")))
    assert rules(left, record(tmp_path / "out", {"outcome": "lost", "results": {"verified": False}})) == []


def test_a_run_that_is_not_closed_after_the_last_reap_is_noticed(tmp_path: Path) -> None:
    left = Afterwards(FakeCloud(machine(tmp_path / "box")))
    assert rules(left, record(tmp_path / "out", open_intents=1)) == ["books"]
    assert rules(left, record(tmp_path / "out", state=State.TERMINATING)) == ["books"]
