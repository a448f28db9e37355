"""What a run has spent, what it may still spend, and how long its machine may live: one place for this arithmetic."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from launcher.run import Attempt, Run
from launcher.world import World
from pricing.budget import Cap, cost_usd, expected_usd_per_hour, reserve_for
from pricing.plan import Choice, Plan
from providers.base import Instance


def attempt_usd(attempt: Attempt, now: datetime) -> Decimal:
    """What one machine has cost so far, at the highest rate that was seen, rounded up as the provider rounds."""
    if attempt.rate_usd_per_hour == 0 or attempt.never_was:
        return Decimal(0)
    return cost_usd(attempt.seconds(now), attempt.rate_usd_per_hour, attempt.offer.billing)


def spent_usd(run: Run, now: datetime) -> Decimal:
    """What the run has cost so far, over all its attempts, with the egress of what was pulled."""
    return sum((attempt_usd(attempt, now) + attempt.egress_usd for attempt in run.attempts), Decimal(0))


def cap(run: Run, choice: Choice, plan: Plan, world: World) -> Cap:
    """The hard cap as it stands now, for a machine of `choice`, running or about to be made."""
    now, offer = world.now(), choice.offer
    running = bool(run.attempts) and run.attempt.gone_at is None
    guard_delay_seconds = world.provider(offer.provider).traits.guard_delay_seconds
    return Cap(
        budget_usd=run.budget_usd,
        spent_usd=spent_usd(run, now),
        worst_usd_per_hour=choice.worst_usd_per_hour,
        reserve=reserve_for(offer, plan.workload, guard_delay_seconds, plan.terms.tax_fraction),
        billing=offer.billing,
        deadline_left_seconds=None if run.deadline_at is None else (run.deadline_at - now).total_seconds(),
        lived_seconds=run.attempt.seconds(now) if running else 0.0,
    )


def lease_seconds(run: Run, choice: Choice, plan: Plan, world: World) -> int:
    """How long a machine may live from now by its own guard, so that nothing can exceed the budget."""
    return cap(run, choice, plan, world).lease_seconds


def deadline(now: datetime, seconds: int) -> datetime:
    """When a lease of so many seconds ends."""
    return now + timedelta(seconds=seconds)


def note_rate(attempt: Attempt, instance: Instance, plan: Plan) -> bool:
    """Take over the rate that the provider says it bills; True when it is above the worst that was agreed."""
    billed = instance.billed_usd_per_hour
    if billed is None:
        return False
    offer = attempt.offer
    seen = replace(offer, usd_per_hour=billed, worst_usd_per_hour=max(billed, offer.worst_usd_per_hour))
    rate = expected_usd_per_hour(seen, attempt.choice.disk_gib, plan.terms.tax_fraction)
    attempt.rate_usd_per_hour = max(attempt.rate_usd_per_hour, rate)
    return billed > offer.worst_usd_per_hour


def note_egress(attempt: Attempt, size_bytes: int, tax_fraction: Decimal) -> None:
    """Count what left the provider's network: results and checkpoints that came home."""
    fee = attempt.offer.fees.egress_usd_per_gib * (1 + tax_fraction)
    attempt.egress_usd += fee * size_bytes / 2**30
