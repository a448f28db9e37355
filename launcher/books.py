"""What a run has spent, what it may still spend, and how long its machine may live: one place for this arithmetic."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal

from launcher.run import Attempt, Run
from launcher.world import World
from pricing.budget import UNCAPPED_LEASE_SECONDS, Cap, expected_usd_per_hour, reserve_for
from pricing.plan import Choice, Plan
from providers.base import Instance, Traits

UNSEEN_SECONDS = 120.0
"""A stretch longer than this without a look at the price counts at the worst rate: it may have risen and fallen."""
SURELY_SEEN_SECONDS = 900.0
"""A machine that no list shows so soon after its create call never was; later it may have lived, unseen by us."""
SECONDS_PER_HOUR = 3600
CENT_PART_USD = Decimal("0.0001")
NOTHING_USD = Decimal(0)
MOST_BYTES = 2**50
"""Of traffic that costs nothing."""


def attempt_usd(attempt: Attempt, now: datetime) -> Decimal:
    """What one machine has cost so far: the stretches metered, the one since, and what the provider rounds up."""
    if attempt.never_was:
        return Decimal(0)
    rounding_usd = _usd(_begun_seconds(attempt, now), attempt.rate_usd_per_hour)
    total = attempt.metered_usd + _stretch_usd(attempt, attempt.rate_usd_per_hour, now) + rounding_usd
    return total.quantize(CENT_PART_USD, rounding=ROUND_UP)


def _begun_seconds(attempt: Attempt, now: datetime) -> float:
    """What is still to come of the provider's step of billing, or of its minimum, that is begun."""
    seconds = attempt.seconds(now)
    return max(0.0, attempt.offer.billing.billed_seconds(seconds) - seconds)


def _stretch_usd(attempt: Attempt, rate_usd_per_hour: Decimal, now: datetime) -> Decimal:
    """The time since the last look, at the higher of the rates around it, or at the worst after a long gap."""
    since, until = attempt.metered_at or attempt.started_at, attempt.ended_at or now
    seconds = max(0.0, (until - since).total_seconds())
    rate = max(rate_usd_per_hour, attempt.rate_usd_per_hour)
    return _usd(seconds, rate if seconds <= UNSEEN_SECONDS else max(rate, attempt.choice.worst_usd_per_hour))


def _usd(seconds: float, usd_per_hour: Decimal) -> Decimal:
    return usd_per_hour * Decimal(seconds) / SECONDS_PER_HOUR


def spent_usd(run: Run, now: datetime) -> Decimal:
    """What the run has cost so far, over all its attempts, with the egress of what was pulled."""
    return sum((attempt_usd(attempt, now) + attempt.egress_usd for attempt in run.attempts), Decimal(0))


def cap(run: Run, choice: Choice, plan: Plan, world: World) -> Cap:
    """The hard cap as it stands now, for a machine of `choice`, running or about to be made."""
    now, offer = world.now(), choice.offer
    running = bool(run.attempts) and run.attempt.gone_at is None
    worst = max(choice.worst_usd_per_hour, run.attempt.rate_usd_per_hour if running else Decimal(0))
    guard_delay_seconds = world.provider(offer.provider).traits.guard_delay_seconds
    return Cap(
        budget_usd=run.budget_usd,
        # The step that is begun is still to be lived: from now on its price may rise, too.
        spent_usd=spent_usd(run, now) + (_rise_usd(run.attempt, worst, now) if running else NOTHING_USD),
        worst_usd_per_hour=worst,
        reserve=reserve_for(
            offer,
            plan.workload,
            guard_delay_seconds,
            plan.terms.tax(offer.provider),
            stores=plan.terms.durable_store,
        ),
        billing=offer.billing,
        deadline_left_seconds=None if run.deadline_at is None else (run.deadline_at - now).total_seconds(),
        lived_seconds=run.attempt.seconds(now) if running else 0.0,
    )


def _rise_usd(attempt: Attempt, worst_usd_per_hour: Decimal, now: datetime) -> Decimal:
    """What the step that is begun may cost above the rate at which `attempt_usd` counts it."""
    if attempt.never_was or attempt.ended_at is not None:
        return NOTHING_USD
    return _usd(_begun_seconds(attempt, now), max(NOTHING_USD, worst_usd_per_hour - attempt.rate_usd_per_hour))


def lease_seconds(run: Run, choice: Choice, plan: Plan, world: World) -> int:
    """How long a machine may live from now by its own guard, so that nothing can exceed the budget."""
    return cap(run, choice, plan, world).lease_seconds


def talking_seconds(run: Run, plan: Plan, world: World) -> float:
    """How long one may still speak with a machine that works or saves, so that pull and end are paid for after it."""
    now_cap = cap(run, run.attempt.choice, plan, world)
    return now_cap.lease_seconds - now_cap.reserve.pull_seconds - now_cap.reserve.teardown_seconds


def deadline(now: datetime, seconds: int) -> datetime:
    """When a lease of so many seconds ends."""
    return now + timedelta(seconds=seconds)


def note_rate(attempt: Attempt, instance: Instance, plan: Plan, now: datetime) -> bool:
    """Meter up to now, and go on at the rate that is billed; True when that is above what was agreed.

    A rate that nobody tells counts as the worst; a rise may have begun some time before the look that shows it.
    """
    offer = attempt.offer
    billed = offer.worst_usd_per_hour if instance.billed_usd_per_hour is None else instance.billed_usd_per_hour
    seen = offer
    if billed != offer.usd_per_hour:
        seen = replace(offer, usd_per_hour=billed, worst_usd_per_hour=max(billed, offer.worst_usd_per_hour))
    rate = expected_usd_per_hour(seen, attempt.choice.disk_gib, plan.terms.tax(offer.provider))
    if attempt.ended_at is None:
        attempt.metered_usd += _stretch_usd(attempt, rate, now) + _late_usd(attempt, rate, now)
        attempt.metered_at, attempt.rate_usd_per_hour = now, rate
    return billed > offer.worst_usd_per_hour


def _late_usd(attempt: Attempt, rate_usd_per_hour: Decimal, now: datetime) -> Decimal:
    rise = rate_usd_per_hour - attempt.rate_usd_per_hour
    seconds = min(UNSEEN_SECONDS, attempt.seconds(now))
    return _usd(seconds, rise) if attempt.metered_at is not None and rise > 0 else Decimal(0)


def note_absent(attempt: Attempt, traits: Traits, now: datetime, *, was_seen: bool) -> None:
    """Nothing is there, and the ledger knows of no machine: it never was, or counts as if it had been until now.

    That it does where the look is a late one, or where an earlier process saw it and had no room to write so.
    """
    # From the first call on, whatever was taken for not looked since (`awake`): it may have lived while we slept.
    late = was_seen or (now - attempt.started_at).total_seconds() > traits.settle_seconds + SURELY_SEEN_SECONDS
    last = attempt.deadline + timedelta(seconds=traits.guard_delay_seconds)
    attempt.never_was, attempt.gone_at = not late, now
    attempt.ended_at = attempt.ended_at or (min(now, last) if attempt.offer.guarded else now)


def pull_limits(run: Run, plan: Plan, world: World) -> tuple[int, float]:
    """How many bytes may leave the provider now, and for how long, so that the end of the machine is still paid for."""
    now_cap = cap(run, run.attempt.choice, plan, world)
    reserve, fee = now_cap.reserve, _egress_fee(run.attempt, plan.terms.tax(run.attempt.offer.provider))
    last_seconds = reserve.teardown_seconds + reserve.guard_seconds
    if now_cap.budget_usd is None:
        return MOST_BYTES, max(reserve.pull_seconds, now_cap.lease_seconds - reserve.teardown_seconds)
    spare = (
        now_cap.budget_usd - now_cap.spent_usd - _usd(last_seconds + reserve.pull_seconds, now_cap.worst_usd_per_hour)
    )
    home_gib = Decimal(str(plan.workload.result_gib + plan.workload.merged_gib))
    egress_usd, time_usd = shared_out(spare, fee * home_gib)
    seconds = reserve.pull_seconds + float(_seconds(time_usd, now_cap.worst_usd_per_hour))
    if now_cap.deadline_left_seconds is not None:
        seconds = min(seconds, max(reserve.pull_seconds, now_cap.deadline_left_seconds - last_seconds))
    return MOST_BYTES if fee == 0 else min(MOST_BYTES, int(egress_usd / fee * 2**30)), seconds


def shared_out(spare_usd: Decimal, home_usd: Decimal) -> tuple[Decimal, Decimal]:
    """What is left for bringing results home: for bytes, and for the time that they take.

    Half for each; but what the plan said that the results would cost (`home_usd`) comes before the time, or a merged
    model, which was priced and agreed to, would stay behind for want of a part of its fee.
    """
    spare_usd = max(Decimal(0), spare_usd)
    bytes_usd = max(spare_usd / 2, min(spare_usd, home_usd))
    return bytes_usd, spare_usd - bytes_usd


def _seconds(usd: Decimal, usd_per_hour: Decimal) -> Decimal:
    return usd * SECONDS_PER_HOUR / usd_per_hour if usd_per_hour else Decimal(UNCAPPED_LEASE_SECONDS)


def note_egress(attempt: Attempt, size_bytes: int, tax_fraction: Decimal) -> None:
    """Count what left the provider's network: results and checkpoints that came home."""
    attempt.egress_usd += _egress_fee(attempt, tax_fraction) * size_bytes / 2**30


def _egress_fee(attempt: Attempt, tax_fraction: Decimal) -> Decimal:
    return attempt.offer.fees.egress_usd_per_gib * (1 + tax_fraction)
