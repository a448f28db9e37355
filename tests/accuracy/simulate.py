"""`python -m tests.accuracy.simulate`: 10,000 runs drawn from the measured error, against the odds that were told.

Each of 200 random plans (cards, prices, spot and on demand, models, data, budgets) chooses its machine; 50 runs of it
are then drawn. Training and evaluation together are off by a ratio of residuals.csv (published runs, each without its
own source), and so is the peak of memory; the other phases, of which nothing was published, are drawn from their own
intervals. Spot machines are taken away at a rate that is drawn too. A run stops where the guard's first lease says so,
although a lease is renewed in truth where less was spent; it is billed as the provider rounds.
"""

import csv
import dataclasses
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from jobs.shapes import known
from pricing.budget import cost_usd
from pricing.estimate import (
    CARD_PHASES,
    DEFAULT_RECLAIMS_PER_HOUR,
    DEFAULT_RECLAIMS_PER_HOUR_HIGH,
    ENDING_PHASES,
    SETUP_PHASES,
)
from pricing.fit_budget import fitted_plan
from pricing.gpus import Gpu, all_gpus
from pricing.interval import Interval
from pricing.kinds import Kinds
from pricing.odds import Z_90
from pricing.offer import Market, Offer
from pricing.plan import Choice, Plan, make_plan, smallest_budget_usd
from pricing.workload import Method, Workload
from tests.pricing.samples import offer, spot, terms, workload

RESIDUALS = Path(__file__).with_name("residuals.csv")
PLANS, RUNS_OF_A_PLAN = 200, 50
MODELS = (
    "Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-1.5B-Instruct", "meta-llama/Llama-3.2-3B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.3", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-14B-Instruct",
)  # fmt: skip
TARGETS = ("q_proj", "v_proj")
USD_PER_TFLOPS_HOUR = 0.014
"""About what a card's bf16 rate costs on demand (an A10G at 1.006 for 70); each offer lies around it, by a factor of
two up or down, so that no card always wins."""
BANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What became of one run."""

    fit_budget: bool
    is_spot: bool
    shortened: bool
    odds: float
    in_time: bool
    in_memory: bool
    cost_usd: Decimal
    budget_usd: Decimal

    @property
    def done(self) -> bool:
        """Finished, and within the budget."""
        return self.in_time and self.in_memory and self.cost_usd <= self.budget_usd


@dataclasses.dataclass(frozen=True, kw_only=True)
class Errors:
    """Measured over predicted, from sources that the prediction had not seen."""

    time: Floats
    memory: Floats


def errors() -> Errors:
    """As `make accuracy` wrote them."""
    rows = list(csv.DictReader(RESIDUALS.read_text(encoding="utf-8").splitlines()))
    time, memory = (
        np.array([float(row["ratio"]) for row in rows if row["kind"] == kind]) for kind in ("time", "memory")
    )
    return Errors(time=time, memory=memory)


def simulate(plans: int = PLANS, runs: int = RUNS_OF_A_PLAN, seed: int = 1) -> list[Run]:
    """Half of the plans with `--fit-budget`; plans in which nothing is a choice are drawn again."""
    generator, off = np.random.default_rng(seed), errors()
    found: list[Run] = []
    for number in range(plans):
        plan = _plan(generator, fit_budget=number % 2 == 0)
        found += _runs(plan, runs, off, generator)
    return found


# Plans


def _plan(generator: Generator, *, fit_budget: bool) -> Plan:
    while True:
        offers, job = _offers(generator), _workload(generator)
        enough = smallest_budget_usd(make_plan(offers, job, terms("0.01", least_odds=0.95)))
        if enough is None or enough > 500:
            continue
        # From far too little to more than enough: what is sure to pay for all of it is 1.
        share = generator.uniform(0.35, 1.25) if fit_budget else generator.uniform(0.6, 1.4)
        limits = terms(str((enough * Decimal(f"{share:.3f}")).quantize(Decimal("0.01"))))
        plan = (fitted_plan if fit_budget else make_plan)(offers, job, limits)
        if plan.choices:
            return plan


def _offers(generator: Generator) -> list[Offer]:
    cards = [card for card in all_gpus() if card.bf16 and card.cuda]
    chosen = generator.choice(len(cards), size=4, replace=False)
    return [_offer(cards[at], generator, is_spot=bool(generator.random() < 0.5)) for at in chosen]


def _offer(card: Gpu, generator: Generator, *, is_spot: bool) -> Offer:
    usd = card.bf16_tflops * USD_PER_TFLOPS_HOUR * 2 ** generator.uniform(-1, 1)
    on_demand = Decimal(f"{usd:.4f}")
    zone = f"z{generator.integers(1000)}"
    if not is_spot:
        return offer(str(on_demand), gpu=card, ram_gib=256.0, zone=zone, instance_type=card.name)
    price = (on_demand * Decimal(f"{generator.uniform(0.3, 0.9):.3f}")).quantize(Decimal("0.0001"))
    worst = {"worst_usd_per_hour": on_demand, "instance_type": card.name}
    return dataclasses.replace(spot(str(price), gpu=card, ram_gib=256.0, zone=zone, **worst))


def _workload(generator: Generator) -> Workload:
    name = str(generator.choice(MODELS))
    decoder, rows = known()[name], int(generator.integers(200, 8000))
    tokens = int(generator.integers(64, 1500))
    return workload(
        shape=decoder.shape(name, "the built-in table"),
        method=Method.QLORA if generator.random() < 0.7 else Method.LORA,
        lora_parameters=decoder.lora_parameters(16, TARGETS),
        examples=rows,
        tokens_per_epoch=rows * tokens,
        longest_tokens=2 * tokens,
        max_length=4096,
        epochs=float(generator.integers(1, 6)),
        micro_batch=int(2 ** generator.integers(0, 4)),
        evaluated_examples=int(generator.integers(0, 300)),
        download_gib=decoder.parameters * 2 / 1024**3,
    )


# Runs


def _runs(plan: Plan, runs: int, off: Errors, generator: Generator) -> list[Run]:
    choice = plan.choices[0]
    fitted, budget_usd, odds = plan.fitted, plan.terms.budget_usd, choice.odds
    assert budget_usd is not None
    assert odds is not None
    work, ending = _work_seconds(choice, plan.workload, runs, off, generator)
    kind = Kinds(plan.workload, plan.terms).able(choice.offer)
    stop_seconds = kind.stop_seconds(kind.working_lease_seconds(choice.worst_usd_per_hour))
    memory = choice.estimate.fit.needed_gib * generator.choice(off.memory, runs)
    return [
        Run(
            fit_budget=fitted is not None,
            is_spot=choice.offer.market is Market.SPOT,
            shortened=fitted is not None and fitted.is_less,
            odds=odds,
            in_time=seconds <= stop_seconds,
            in_memory=bool(gib <= choice.estimate.fit.usable_gib),
            cost_usd=_cost_usd(choice, plan, (min(seconds, stop_seconds), end), generator),
            budget_usd=budget_usd,
        )
        for seconds, end, gib in zip(work.tolist(), ending.tolist(), memory.tolist(), strict=True)
    ]


def _work_seconds(choice: Choice, job: Workload, runs: int, off: Errors, generator: Generator) -> tuple[Floats, Floats]:
    """Of each run the time until its results are there, and what pull and teardown take."""
    phases = dict(choice.estimate.times.by_phase)
    slow = generator.choice(off.time, runs)
    card = slow * sum(phases[name].expected for name in CARD_PHASES)
    drawn = {name: _drawn(phases[name], runs, generator) for name in (*SETUP_PHASES, *ENDING_PHASES)}
    work = card + sum((drawn[name] for name in SETUP_PHASES), np.zeros(runs))
    if choice.offer.market is Market.SPOT:
        train_seconds = slow * phases["train"].expected
        lost = train_seconds * min(1.0, job.save_steps / job.steps)
        work = work + _rework_seconds(work, lost, [phases[name] for name in SETUP_PHASES], generator)
    return work, sum((drawn[name] for name in ENDING_PHASES), np.zeros(runs))


def _rework_seconds(work: Floats, lost: Floats, restart: Sequence[Interval], generator: Generator) -> Floats:
    """Machines are taken at work and while they start again; each time it starts anew from the last checkpoint."""
    middle, high = DEFAULT_RECLAIMS_PER_HOUR, DEFAULT_RECLAIMS_PER_HOUR_HIGH
    rate = _drawn(Interval(low=middle**2 / high, expected=middle, high=high), len(work), generator)
    more, at_risk = np.zeros(len(work)), work
    while (taken := generator.poisson(rate * at_risk / 3600)).any():
        at_risk = np.zeros(len(work))
        for number in range(int(taken.max())):
            again = sum((_drawn(one, len(work), generator) for one in restart), np.zeros(len(work)))
            at_risk = at_risk + np.where(taken > number, again + generator.uniform(0, 1, len(work)) * lost, 0.0)
        more = more + at_risk
    return more


def _drawn(one: Interval, runs: int, generator: Generator) -> Floats:
    """The split log-normal through P10, P50 and P90."""
    scores = generator.standard_normal(runs)
    below, above = np.log(one.expected / one.low) / Z_90, np.log(one.high / one.expected) / Z_90
    return np.asarray(one.expected * np.exp(scores * np.where(scores > 0, above, below)))


def _cost_usd(choice: Choice, plan: Plan, seconds: tuple[float, float], generator: Generator) -> Decimal:
    """What the provider bills: work and ending, the latter cut off by the guard, which may be late by all of its delay.

    The price of a spot machine has risen by anything up to its limit, and all checkpoints have come home.
    """
    work_seconds, ending_seconds = seconds
    guard_seconds = plan.terms.guard_delay_seconds[choice.offer.provider]
    life_seconds = min(work_seconds + ending_seconds, choice.lease_seconds + generator.uniform(0, guard_seconds))
    rise = Decimal(f"{generator.random():.3f}")
    rate = choice.expected_usd_per_hour + rise * (choice.worst_usd_per_hour - choice.expected_usd_per_hour)
    return cost_usd(life_seconds, rate, choice.offer.billing) + choice.estimate.egress_usd


# The table


def table(runs: Sequence[Run]) -> str:
    """As Markdown: what was promised against what came about, and the odds told against the share that finished."""
    fit, plain = ([one for one in runs if one.fit_budget is wanted] for wanted in (True, False))
    rows = [
        _row("`--fit-budget`", "95 % at least", fit),
        _row("- of them shortened to fit", "95 % at least", [one for one in fit if one.shortened]),
        _row("- on demand", "95 % at least", [one for one in fit if not one.is_spot]),
        _row("- spot", "95 % at least", [one for one in fit if one.is_spot]),
        _row("without it", f"{np.mean([one.odds for one in plain]):.1%} on average", plain),
    ]
    for low, high in pairwise(BANDS):
        band = [one for one in plain if low <= one.odds < high or one.odds == high == 1]
        if band:
            told = f"{np.mean([one.odds for one in band]):.1%}"
            rows.append(_row(f"- odds of {low:.0%} to {high:.0%}", told, band))
    head = "| plans | promised | runs | finished within the budget | out of memory | cost within the budget |"
    return "\n".join([head, "|---|---|---:|---:|---:|---:|", *rows])


def _row(name: str, promised: str, runs: Sequence[Run]) -> str:
    def share(of: Callable[[Run], bool]) -> str:
        return f"{np.mean([of(one) for one in runs]):.1%}"

    paid = share(lambda one: one.cost_usd <= one.budget_usd)
    memory = share(lambda one: not one.in_memory)
    return f"| {name} | {promised} | {len(runs):,} | {share(lambda one: one.done)} | {memory} | {paid} |"


if __name__ == "__main__":
    print(table(simulate()))
