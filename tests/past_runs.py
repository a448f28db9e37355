"""A ledger with runs that are over, launched one after the other in the fake world, each as slow as it is told."""

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from launcher import flow
from launcher.attempt_records import NOT_TORCHS
from launcher.price import current_plan
from launcher.receipt import Receipt
from pricing import gpus
from pricing.estimate import phase_seconds
from pricing.offer import Market
from pricing.plan import Choice
from tests.fake_machine import FEES, fake_offer, fake_traits
from tests.fake_world import Stage, Work

STEPS = 20
MEASURED = ("install", "model", "train", "evaluate")
"""Phases that the machine's inside decides, and that can be told how long they take."""


def ran(
    stage: Stage, run_id: str, slow: float | Mapping[str, float], *, outcome: str = "succeeded", peak: float = 0.9
) -> Receipt:
    """A whole run on the first choice of its plan; a phase takes `slow` times what the bare estimate says.

    `peak`: torch's, over what was predicted.
    """
    world = stage.laptop()
    stage.next_run = run_id
    run = stage.open_run(world)
    choice = current_plan(run, world).choices[0]
    estimate = phase_seconds(choice.offer, stage.workload)
    factors = slow if isinstance(slow, Mapping) else dict.fromkeys(MEASURED, slow)
    took = {name: estimate[name].expected * factors.get(name, 1.0) for name in MEASURED}
    stage.site.work = Work(
        install_seconds=took["install"], model_seconds=took["model"], steps=STEPS, step_seconds=took["train"] / STEPS,
        evaluate_seconds=took["evaluate"], outcome=outcome,
        tokens_per_second=bare_rate(choice) / factors.get("train", 1.0),
        vram_gib=peak * sum(gib for name, gib in choice.estimate.fit.parts if name not in NOT_TORCHS),
    )  # fmt: skip
    return flow.carry(run, world)


def bare_rate(choice: Choice) -> float:
    """Tokens of the data by the second, as the estimate says where no run has corrected it."""
    return choice.estimate.tokens_per_second.expected * dict(choice.estimate.times.factors).get("train", 1.0)


def aws_stage(folder: Path) -> Stage:
    """A stage with two cards, at a cloud that is called aws: runs come to be on either."""
    stage = Stage(folder)
    fees = replace(FEES, egress_usd_per_gib=Decimal(0))  # the fake machines' checkpoints weigh nothing
    a10g = replace(fake_offer("g5.xlarge", usd="0.49", zone="us-east-2a"), provider="aws", boot_seconds=9.0, fees=fees)
    l4 = replace(
        fake_offer("g6.xlarge", usd="0.45", market=Market.ON_DEMAND, zone="us-east-1b"),
        provider="aws", gpu=gpus.by_name("L4"), boot_seconds=9.0, fees=fees,
    )  # fmt: skip
    stage.provider.catalogue = ()
    stage.also("aws", a10g, l4, traits=fake_traits())
    return stage


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, in memory where there is one: the ledger is synced thousands of times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def past_runs(folder: Path) -> Stage:
    """Ten runs on two cards: training is slower than estimated, installing quicker, one job failed."""
    stage, dice = aws_stage(folder), random.Random(7)
    both = stage.others["aws"].catalogue
    names = "brave-otter calm-heron keen-mouse dry-finch shy-lynx bold-wren warm-seal fair-crane glad-stoat wise-hare"
    for number, name in enumerate(names.split()):
        stage.others["aws"].catalogue = both[1:] if number % 3 == 2 else both[:1]
        stage.workload = replace(stage.workload, epochs=float(dice.choice([4, 8, 16])))
        slow = {
            "install": 0.7 * dice.lognormvariate(0, 0.15), "model": 0.9 * dice.lognormvariate(0, 0.2),
            "train": 1.25 * dice.lognormvariate(0, 0.12), "evaluate": 1.1 * dice.lognormvariate(0, 0.12),
        }  # fmt: skip
        outcome = "failed" if number == 4 else "succeeded"
        ran(stage, f"{name}-{number:04x}", slow, outcome=outcome, peak=dice.uniform(0.82, 0.97))
        stage.clock.sleep(20 * 3600)
    stage.others["aws"].catalogue = both
    return stage
