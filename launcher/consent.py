"""The one question: what it will cost, what the worst is, and whether to go on."""

from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.request import Request
from launcher.world import World
from pricing.plan import Plan

HOURS_PER_DAY = 24


def consent(plan: Plan, request: Request, world: World) -> None:
    """Ask once, unless `--yes` said so already. Raises `LaunchError` (exit 2) when declined or nobody can answer."""
    if request.yes:
        return
    best = plan.choices[0]
    for line in _unguarded_lines(plan):
        world.console.tell(Warned(run="", at=world.now(), code="unguarded", text=line))
    answer = world.console.ask(f"launch it on {best.offer.instance_type} ({best.offer.provider})?", default=True)
    if answer is None:
        raise LaunchError(
            "there is no terminal to ask on, and no --yes",
            code="no-terminal",
            exit_code=Exit.USAGE,
            hint="add --yes to launch without the question; --dry-run shows the plan only",
        )
    if not answer:
        raise LaunchError("declined; nothing was created", code="declined", exit_code=Exit.USAGE)


def _unguarded_lines(plan: Plan) -> list[str]:
    """What an offer without a stop of its own costs if this laptop dies and nobody runs `reap`."""
    best = plan.choices[0]
    if best.offer.guarded:
        return []
    hourly = best.worst_usd_per_hour
    text = (
        f"{best.offer.provider} machines do not end by themselves: if this laptop dies and nobody runs `launch reap`, "
        f"it costs {hourly:.2f} per hour, {hourly * HOURS_PER_DAY:.2f} per day, without end"
    )
    return [text]
