"""The one question: what it will cost, what the worst is, and whether to go on."""

from dataclasses import replace
from decimal import Decimal

from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.request import Request
from launcher.world import World
from pricing.plan import Choice, Plan

HOURS_PER_DAY = 24
DEARER = 2
"""A yes to a machine that does not end itself covers others that cost up to so many times as much by the hour."""


def consent(plan: Plan, request: Request, world: World, *, what: str = "launch it") -> tuple[Plan, Request]:
    """Ask once, unless `--yes` said so already; the plan and the request as they were agreed to.

    `what` is asked about, "on" which machine follows.

    Who agrees to a machine that does not end itself agrees to such machines for this run, up to the price that was
    said; who was not asked about one does not get one, by failover neither. Raises `LaunchError` (exit 2) when declined
    or nobody can answer.
    """
    if request.yes:
        return plan, request
    best = plan.choices[0]
    unguarded = not best.offer.guarded
    if unguarded and not request.accept_unguarded:
        for line in _unguarded_lines(best, world):
            world.console.tell(Warned(run="", at=world.now(), code="unguarded", text=line))
    question = f"{what} on {best.offer.instance_type} ({best.offer.provider})"
    question += ", which does not end itself?" if unguarded else "?"
    answer = world.console.ask(question, default=not unguarded or request.accept_unguarded)
    if answer is None:
        raise LaunchError(
            "there is no terminal to ask on, and no --yes",
            code="no-terminal",
            exit_code=Exit.USAGE,
            hint="add --yes to launch without the question; --dry-run shows the plan only",
        )
    if not answer:
        raise LaunchError("declined; nothing was created", code="declined", exit_code=Exit.USAGE)
    if request.accept_unguarded:
        return plan, request
    most = DEARER * best.worst_usd_per_hour if unguarded else Decimal(0)
    kept = tuple(one for one in plan.choices if one.offer.guarded or one.worst_usd_per_hour <= most)
    if not unguarded:
        return replace(plan, choices=kept), request
    return replace(plan, choices=kept), replace(request, accept_unguarded=True, unguarded_usd_per_hour=most)


def _unguarded_lines(best: Choice, world: World) -> list[str]:
    """What a machine without a stop of its own costs if this laptop dies, and what would end it then."""
    hourly, name = best.worst_usd_per_hour, best.offer.provider
    bill = f"it costs {hourly:.2f} per hour, {hourly * HOURS_PER_DAY:.2f} per day, without end"
    others = f"another one that has to take its place costs at most {DEARER} times as much"
    ways = f"`launch doctor --provider {name}` says how to get a guard, `launch reap --elsewhere` prints one to set up"
    return [
        f"{name} machines do not end by themselves: if this laptop dies and nobody runs `launch reap`, {bill}",
        others,
        f"what ends one there: {world.provider(name).traits.guard}; {ways} on another machine",
    ]
