"""After a reclaim: which market the next machine of a run comes from, and in which order its offers are tried."""

from dataclasses import replace

from launcher import books
from launcher.events import Warned
from launcher.run import Outcome, Run
from launcher.world import World
from pricing.estimate import SETUP_PHASES
from pricing.offer import Market
from pricing.plan import Choice, Plan
from pricing.spot import Move, Standing, Step, next_move


def reordered(run: Run, plan: Plan, left_share: float, world: World) -> Plan:
    """The new plan of a run whose last machine was taken back: the move that fits it best is tried first.

    `left_share` is what is left of the training. Any other run, and one without a budget, keeps the plan's own order,
    the cheapest to finish first. Nothing is added and nothing taken away: what refuses is followed by the rest.
    """
    ending = run.ending
    if ending is None or ending.outcome is not Outcome.PREEMPTED or not run.budget_usd or not run.attempts:
        return plan
    move = next_move(standing(run, plan, left_share, world), plan)
    if move.choice is None or not plan.choices:
        return plan
    if plan.choices[0] is not move.choice:
        text = f"next {move.choice.offer.id} ({move.step}): {move.reason}"
        world.console.tell(Warned(run=run.id, at=world.now(), code="next-market", text=text))
    return replace(plan, choices=_move_first(plan, move))


def standing(run: Run, plan: Plan, left_share: float, world: World) -> Standing:
    """How far the run has come, by the last checkpoint that lies here. Raises `ValueError` without a budget."""
    if run.budget_usd is None:
        raise ValueError(f"{run.id} has no budget to be measured by")
    now, deadline = world.now(), run.deadline_at
    return Standing(
        budget_usd=run.budget_usd,
        spent_usd=max(books.NOTHING_USD, books.spent_usd(run, now)),
        done_share=min(1.0, max(0.0, 1.0 - left_share)),
        restart_seconds=_restart_seconds(run, plan),
        deadline_seconds=None if deadline is None else max(1.0, (deadline - run.began_at).total_seconds()),
        elapsed_seconds=max(0.0, (now - run.began_at).total_seconds()),
        lost_pools=frozenset(one.offer.pool for one in run.attempts if _was_reclaimed(run, one.number)),
    )


def _was_reclaimed(run: Run, number: int) -> bool:
    """The last one was, or we would not be here; of those before it the code of their ending is known."""
    attempt = run.attempts[number - 1]
    return attempt is run.attempt or attempt.end_code == str(Outcome.PREEMPTED)


def _restart_seconds(run: Run, plan: Plan) -> float:
    """What starting again takes: as long as this run's last machine really took, else by the estimate."""
    took = {name: one.phases[name] for one in run.attempts for name in SETUP_PHASES if name in one.phases}
    expected = {} if not plan.choices else _expected(plan.choices[0])
    return sum(took.get(name, expected.get(name, 0.0)) for name in SETUP_PHASES)


def _expected(choice: Choice) -> dict[str, float]:
    return {name: seconds.expected for name, seconds in choice.estimate.times.by_phase}


def _move_first(plan: Plan, move: Move) -> tuple[Choice, ...]:
    """The move's own choice, then the others of its market, then the rest: each part in the plan's order."""
    spot = move.step is Step.SPOT
    others = [choice for choice in plan.choices if choice is not move.choice]
    same = [choice for choice in others if (choice.offer.market is Market.SPOT) is spot]
    rest = [choice for choice in others if (choice.offer.market is Market.SPOT) is not spot]
    return tuple(choice for choice in (move.choice, *same, *rest) if choice is not None)
