"""One of everything that a console may have to say; every test says what it changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from launcher.errors import Exit, LaunchError
from launcher.events import (
    Forecast,
    Happened,
    IntentWritten,
    OfferRefused,
    PlanMade,
    Progressed,
    Pulled,
    Settled,
    Snapshot,
    StateChanged,
    Warned,
)
from launcher.receipt import Gain, Receipt, ReceiptPhase, Results, Score, Task, Terminated
from launcher.records import RunRecord
from launcher.run import Outcome, State
from pricing import gpus
from pricing.estimate import PHASES, Times
from pricing.interval import Dollars, Interval, around
from pricing.memory import Fit
from pricing.offer import Market, Offer
from pricing.plan import Choice, Plan, make_plan
from tests.pricing.samples import cpu, offer, spot, terms, workload

NOW = datetime(2026, 11, 24, 20, 4, 5, tzinfo=UTC)
RUN = "brave-otter-7f3a"
TITLE = "support-json · Mistral-7B-Instruct-v0.3 · qlora r16 · 412 examples, 0.31 M tokens x 3 epochs · tests 100"


def offers() -> tuple[Offer, ...]:
    """Three that would do, one that is too small, one that does not end itself."""
    fresh, old = NOW - timedelta(minutes=2), NOW - timedelta(days=3)
    return (
        spot("0.4912", seen_at=fresh, zone="us-east-2a", region="us-east-2", reclaims_per_hour=0.05),
        spot("0.3600", seen_at=fresh, zone="eu-north-1b", region="eu-north-1", reclaims_per_hour=0.4),
        offer("1.212", seen_at=old, instance_type="g5.2xlarge", ram_gib=32.0, vcpus=8),
        offer("0.526", seen_at=old, instance_type="g4dn.xlarge", gpu=gpus.by_name("T4")),
        offer("1.29", seen_at=old, provider="other", instance_type="gpu_1x_a100_sxm4", guarded=False,
              gpu=gpus.by_name("A100-40"), region="us-west-1", zone="", ram_gib=200.0),
        cpu(seen_at=NOW),
    )  # fmt: skip


def plan(budget: str | None = "5", **changes: Any) -> Plan:
    """Ranked and refused as the product does it; times and sizes are these here, whatever the estimator says today."""
    limits = terms(budget, now=NOW, interactive=True, asked_for=frozenset({"aws", "other"}), **changes)
    made = make_plan(offers(), workload(), limits)
    return replace(made, choices=tuple(_with_figures(choice, at) for at, choice in enumerate(made.choices)))


def _with_figures(choice: Choice, at: int) -> Choice:
    slower, gpu = 1 + at / 10, choice.offer.gpu
    assert gpu is not None, "the CPU is no choice here"
    times = Times(
        by_phase=tuple((name, around(100.0 * slower, 1.5)) for name in PHASES),
        seconds=Interval(low=2000.0, expected=2600.0, high=3700.0).times(slower),
        fit=Fit(needed_gib=7.8, usable_gib=gpu.usable_gib, margin=1.3, parts=(("weights", 7.8),)),
        tokens_per_second=Interval(low=740.0, expected=1180.0, high=1890.0),
        rework_seconds=0.0,
    )
    estimate = replace(choice.estimate, times=times, egress_usd=Decimal(0))
    odds = None if choice.odds is None else 0.99
    return replace(choice, estimate=estimate, lease_seconds=13_000 if choice.lease_seconds else 0, odds=odds)


def dollars(low: str, expected: str, high: str) -> Dollars:
    return Dollars(low_usd=Decimal(low), expected_usd=Decimal(expected), high_usd=Decimal(high))


def receipt(**changes: Any) -> Receipt:
    paper = Receipt(
        run=RUN,
        name="support-json",
        at=NOW + timedelta(minutes=57),
        started_at=NOW,
        outcome=Outcome.SUCCEEDED,
        exit_code=Exit.SUCCEEDED,
        why="",
        provider="aws",
        region="us-east-2",
        zone="us-east-2a",
        instance_type="g5.xlarge",
        market=Market.SPOT,
        attempts=1,
        budget_usd=Decimal(5),
        planned_usd=dollars("0.61", "0.83", "1.40"),
        spent_usd=Decimal("0.7912"),
        spent_is="metered by us from confirmed start and end, billed rate 0.4912/h",
        price_source="spot price history",
        price_seen_at=NOW - timedelta(minutes=2),
        phases=(
            ReceiptPhase(
                name="boot", seconds=71.24, usd=Decimal("0.0097"), planned_seconds=80.0, planned_usd=Decimal("0.0108")
            ),
            ReceiptPhase(name="train", seconds=2410.0, usd=Decimal("0.58"), planned_seconds=2600.0),
            ReceiptPhase(name="teardown", seconds=31.0, usd=Decimal("0.03"), planned_seconds=None),
        ),
        terminated=Terminated(confirmed=True, at=NOW + timedelta(minutes=56), looks=3),
        leftovers=(),
        results=Results(folder=Path("runs") / RUN, files=14, bytes=31_457_280, verified=True),
        scores=(
            Score(arm="base", metrics=(("exact", 0.02), ("partial", 0.31)), n=100),
            Score(arm="tuned", metrics=(("exact", 0.93), ("partial", 0.98)), n=100),
        ),
    )
    return replace(paper, **changes)


def gain(against: str, value: float, low: float, high: float, *, distinguishable: bool = True) -> Gain:
    return Gain(
        metric="exact", title="exact match", against=against, value=value, low=low, high=high, n=100,
        distinguishable=distinguishable,
    )  # fmt: skip


def scored_receipt(**changes: Any) -> Receipt:
    """Of a run with per-item results: three arms, and a task that was unlearned."""
    arms = (("base", 0.02, 0.31), ("prompted", 0.61, 0.80), ("tuned", 0.93, 0.98))
    paper = receipt(
        scores=tuple(Score(arm=arm, metrics=(("exact", exact), ("partial", part)), n=100) for arm, exact, part in arms),
        gains=(gain("base", 0.91, 0.85, 0.96), gain("prompted", 0.32, 0.22, 0.41)),
        adjacent=(
            Task(name="sums", metric="exact", base=0.95, tuned=0.60, state="dropped"),
            Task(name="french", metric="exact", base=0.81, tuned=0.80, state="held"),
            Task(name="dates", metric="exact", base=0.90, tuned=0.86, state="may have dropped"),
        ),
        verdict="worth it: exact match +0.32 over the best prompt (95 % 0.22 to 0.41, n=100), for $0.79",
    )
    return replace(paper, **changes)


def snapshot_of_work() -> Snapshot:
    phases = (("boot", 72.0), ("ship", 6.0), ("install", 108.0), ("model", 140.0), ("train", 1300.0))
    return Snapshot(
        phases=phases, step=142, of=233, loss=0.4123, loss_falls=True, tokens_per_second=1180.4, vram_gib=13.81,
        validation=(140, 0.4571, True), spent_usd=Decimal("0.4712"),
    )  # fmt: skip


def forecast() -> Forecast:
    seconds = Interval(low=2820, expected=3000, high=3240)
    return Forecast(run=RUN, at=NOW, seconds=seconds, usd=dollars("0.74", "0.79", "0.86"))


def events() -> list[Happened]:
    """One of every kind, in the order of a run."""
    first = plan().choices[0].offer
    head: dict[str, Any] = {"run": RUN, "at": NOW}
    return [
        PlanMade(run="", at=NOW, plan=plan(), title=TITLE),
        IntentWritten(
            **head, attempt=1, offer=first, nonce="ab12", worst_usd_per_hour=Decimal("1.1212"),
            lease_seconds=13_000, deadline=NOW + timedelta(seconds=13_000),
        ),
        OfferRefused(**head, offer=first, code="no-capacity", reason="no g5.xlarge is free there now"),
        StateChanged(**head, state=State.BOOTING, attempt=2, offer=first, instance_id="i-0abc"),
        Progressed(**head, snapshot=snapshot_of_work()),
        forecast(),
        Warned(**head, code="notice", text="the provider wants the machine back; checkpoint 120 is saved"),
        Pulled(**head, folder=Path("runs") / RUN, files=14, bytes=31_457_280, verified=True,
               refused=("../../.bashrc: leads out of the folder",)),
        Settled(**head, receipt=receipt()),
    ]  # fmt: skip


def record(**changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "id": RUN, "name": "support-json", "created_at": NOW - timedelta(hours=3), "state": State.RUNNING,
        "outcome": None, "budget_usd": Decimal(5), "spent_usd": Decimal("0.4712"), "provider": "aws",
        "region": "us-east-2", "zone": "us-east-2a", "instance_type": "g5.xlarge", "market": "spot",
        "instance_id": "i-0abc", "out_dir": Path("runs") / RUN, "receipt_json": None, "open_intents": 0,
        "maybe_usd_per_hour": None,
    }  # fmt: skip
    return RunRecord(**values | changes)


def failure() -> LaunchError:
    return LaunchError(
        "this model does not fit on an A10G\nneeds 27.9 GiB (13B, bf16 LoRA, 4 x 2048), the card has 22.0",
        code="does-not-fit",
        exit_code=Exit.REFUSED,
        hint="launch --set train.method=qlora     # needs 13.2 GiB",
        detail="raw: InsufficientMemory",
    )
