"""What is left of a run that ended early, and what a budget must be to finish it. Nothing is asked of any cloud."""

from dataclasses import replace
from decimal import ROUND_UP, Decimal

from launcher.books import spent_usd
from launcher.checkpoints import NAME
from launcher.price import current_plan, left_share
from launcher.run import Attempt, Outcome, Part, Run
from launcher.world import World
from pricing.estimate import estimate
from pricing.kinds import Kind, Kinds
from pricing.plan import Plan
from pricing.workload import Workload

GOOD_ODDS = 0.9
"""What a budget that we name ourselves should finish with (P90)."""
ROUND_USD = Decimal("0.10")
"""A budget that we name is rounded up to this: nobody types a cent more or less."""
SLACK = 1.05
"""A named budget pays for so many times the work: a training is watched, and shortened where its own forecast does not
fit, which a budget to the second would bring about (assumed)."""


def steps_done(run: Run, world: World) -> tuple[int, int] | None:
    """The step of the last checkpoint here, and of how many steps; None where no machine told of any step."""
    of = max((one.measured.of for one in run.attempts if one.measured is not None), default=0)
    saved = NAME.fullmatch(world.ledger.checkpoint(run.id) or "")
    return (int(saved[1]), of) if saved and of else None


def workload_left(run: Run, world: World, plan: Plan) -> Workload:
    """The plan's workload with what the last checkpoint leaves of the training, as the estimator would have it."""
    return replace(plan.workload, epochs=plan.workload.epochs * left_share(run, world))


def needed_usd(run: Run, world: World) -> Decimal | None:
    """The smallest budget, all that was spent included, that finishes the rest nine times in ten; None: no budget does.

    By the offers and prices of the run's own plan, and by the speed that its machines had, where that was lower than
    planned.
    """
    plan, run = current_plan(run, world), resumed(run, world)
    left = workload_left(run, world, plan)
    work = replace(left, epochs=left.epochs * slowness(run, plan) * SLACK)
    terms = replace(plan.terms, budget_usd=Decimal(0), least_odds=GOOD_ODDS, deadline_seconds=None, now=world.now())
    kinds = Kinds(work, replace(terms, accept_unguarded=True))
    able = [(kind, one.offer) for one in plan.choices if isinstance(kind := kinds.of(one.offer), Kind)]
    costs = [kind.needed_usd(kind.all_in_usd_per_hour(offer.worst_usd_per_hour)) for kind, offer in able]
    more = min(costs, default=None)
    if more is None:
        return None
    total = spent_usd(run, world.now()) + more
    return (total / ROUND_USD).to_integral_value(rounding=ROUND_UP) * ROUND_USD


def resumed(run: Run, world: World) -> Run:
    """The run as it stands once it goes on: what it came to so far is a part of it."""
    ending = run.ending
    part = Part(
        resumed_at=world.now(), budget_usd=run.budget_usd, spent_usd=spent_usd(run, world.now()),
        attempts=len(run.attempts), outcome=Outcome.LOST if ending is None else ending.outcome,
        why="" if ending is None else ending.why,
    )  # fmt: skip
    return replace(run, parts=(*run.parts, part))


def slowness(run: Run, plan: Plan) -> float:
    """How many times as long as planned the training's steps took, all of them together; 1 where it was no longer.

    By the last machine that was measured. A job that has more steps than was planned counts as slow, too.
    """
    measured = [one for one in run.attempts if one.measured is not None and one.measured.step_seconds is not None]
    return max(1.0, _slowness(measured[-1], plan)) if measured else 1.0


def _slowness(attempt: Attempt, plan: Plan) -> float:
    assert attempt.measured is not None
    assert attempt.measured.step_seconds is not None
    whole = estimate(attempt.offer, plan.workload, plan.terms)
    planned_seconds = next(phase.seconds.expected for phase in whole.phases if phase.name == "train")
    return attempt.measured.step_seconds * attempt.measured.of / planned_seconds if planned_seconds > 0 else 1.0
