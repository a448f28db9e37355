"""A ledger with runs that are over: launched one after the other in the fake world, each as slow as it is told to be."""

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from launcher import flow
from launcher.price import current_plan
from launcher.receipt import Receipt
from pricing import gpus
from pricing.estimate import phase_seconds
from pricing.offer import Market
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Stage, Work

STEPS = 20
MEASURED = ("install", "model", "train", "evaluate")
"""Phases that the machine's inside decides, and that can be told how long they take."""


def ran(stage: Stage, run_id: str, slow: float | Mapping[str, float], *, outcome: str = "succeeded") -> Receipt:
    """A whole run on the first choice of its plan; phases take `slow` times what today's estimator says, uncorrected."""
    world = stage.laptop()
    stage.next_run = run_id
    run = stage.open_run(world)
    estimate = phase_seconds(current_plan(run, world).choices[0].offer, stage.workload)
    factors = slow if isinstance(slow, Mapping) else dict.fromkeys(MEASURED, slow)
    took = {name: estimate[name].expected * factors.get(name, 1.0) for name in MEASURED}
    stage.site.work = Work(
        install_seconds=took["install"], model_seconds=took["model"], steps=STEPS, step_seconds=took["train"] / STEPS,
        evaluate_seconds=took["evaluate"], outcome=outcome,
    )  # fmt: skip
    return flow.carry(run, world)


def aws_stage(folder: Path) -> Stage:
    """A stage with two cards, at a cloud that is called aws: runs come to be on either."""
    stage = Stage(folder)
    a10g = replace(fake_offer("g5.xlarge", usd="0.49", zone="us-east-2a"), provider="aws")
    l4 = replace(
        fake_offer("g6.xlarge", usd="0.45", market=Market.ON_DEMAND, zone="us-east-1b"),
        provider="aws", gpu=gpus.by_name("L4"),
    )  # fmt: skip
    stage.provider.catalogue = ()
    stage.also("aws", a10g, l4, traits=fake_traits())
    return stage


def past_runs(folder: Path) -> Stage:
    """Ten runs on two cards: training is slower than estimated, installing quicker, one job failed."""
    stage, dice = aws_stage(folder), random.Random(7)
    both = stage.others["aws"].catalogue
    names = "brave-otter calm-heron keen-mouse dry-finch shy-lynx bold-wren warm-seal fair-crane glad-stoat wise-hare"
    for number, name in enumerate(names.split()):
        stage.others["aws"].catalogue = both[1:] if number % 3 == 2 else both[:1]
        stage.workload = replace(stage.workload, epochs=float(dice.choice([1, 2, 4, 8])))
        slow = {
            "install": 0.7 * dice.lognormvariate(0, 0.15), "model": 0.9 * dice.lognormvariate(0, 0.2),
            "train": 1.25 * dice.lognormvariate(0, 0.12), "evaluate": 1.1 * dice.lognormvariate(0, 0.12),
        }  # fmt: skip
        ran(stage, f"{name}-{number:04x}", slow, outcome="failed" if number == 4 else "succeeded")
        stage.clock.sleep(20 * 3600)
    stage.others["aws"].catalogue = both
    return stage
