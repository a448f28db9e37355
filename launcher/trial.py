"""`doctor --live`: a small machine is rented to see that it really ends itself, for cents that are named before."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal

from launcher import codec
from launcher.books import note_rate, spent_usd
from launcher.creating import create_for
from launcher.display import money, span
from launcher.errors import Exit, LaunchError
from launcher.events import Happened
from launcher.exposure import Reservation
from launcher.interrupt import Interrupted
from launcher.lock import sole_writer
from launcher.request import Request
from launcher.run import Ending, Outcome, Run, State
from launcher.run_names import run_name
from launcher.settle import settle
from launcher.sight import look
from launcher.steps import Ended, step_to
from launcher.teardown import LOOKS, NOT_SEEN_SECONDS, leaving, tear_down
from launcher.world import World
from pricing.budget import expected_usd_per_hour
from pricing.estimate import NOTHING, Estimate, Times
from pricing.interval import Interval
from pricing.memory import Fit
from pricing.offer import Offer
from pricing.plan import Choice, Plan
from pricing.terms import Terms
from pricing.workload import Method, ModelShape, Workload
from providers.base import OVER, Finding, Instance, InstanceState, Level, NoCredentials, ProviderError

LEASE_SECONDS = 120
"""What the trial's machine is told that it may live; it starts later than this where its image comes slowly."""
LATE_SECONDS = 900.0
"""How long after its lease a machine may take to boot and to end itself, before we end it and call the trial lost."""
DISK_GIB = 40
"""A small disk; a provider may make it no larger than this for a trial."""
LAST_SECONDS = 120.0
"""For our own ending of it, and the proof."""
SECONDS_PER_HOUR = 3600
CENT_PART_USD = Decimal("0.0001")

NO_MODEL = ModelShape(
    name="none", parameters=1, hidden=1, layers=1, heads=1, kv_heads=1, intermediate=1, vocabulary=1,
    tied_embeddings=True, source="no job runs in a trial",
)  # fmt: skip
NO_JOB = Workload(
    shape=NO_MODEL, method=Method.QLORA, lora_rank=1, lora_parameters=1, examples=1, tokens_per_epoch=1,
    longest_tokens=1, epochs=1, max_length=1, micro_batch=1, accumulation=1, evaluated_examples=0,
    evaluated_new_tokens=0, arms=1, download_gib=0.0, shipped_gib=0.0, result_gib=0.0, tokens_are="counted",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One machine to be tried, and the most that it may cost."""

    offer: Offer
    most_usd: Decimal


def trials(names: Sequence[str], world: World) -> tuple[list[Trial], list[tuple[str, Finding]]]:
    """What there is to prove at these providers, and why not, where one cannot be asked."""
    found: list[Trial] = []
    failed: list[tuple[str, Finding]] = []
    for name in names:
        try:
            offer = world.provider(name).trial()
        except NoCredentials:
            continue
        except ProviderError as error:
            failed.append((name, Finding(level=Level.ERROR, subject="trial", text=error.text, fix=error.fix)))
            continue
        if offer is not None:
            worst = expected_usd_per_hour(
                replace(offer, usd_per_hour=offer.worst_usd_per_hour), DISK_GIB, world.config.tax_for(name)
            )
            usd = worst * Decimal(LEASE_SECONDS + LATE_SECONDS + LAST_SECONDS) / SECONDS_PER_HOUR
            found.append(Trial(offer=offer, most_usd=usd.quantize(CENT_PART_USD, rounding=ROUND_UP)))
    return found, failed


def question(trial: Trial) -> str:
    """What is asked before a cent is spent."""
    offer, minutes = trial.offer, LEASE_SECONDS // 60
    what = f"{offer.instance_type} ({offer.vcpus} vCPUs, {money(offer.usd_per_hour)}/h)"
    return (
        f"{offer.provider}: rent {what} to see that it ends itself after {minutes} minutes? "
        f"It costs {money(trial.most_usd)} at most."
    )


def told(trial: Trial) -> str:
    """What is said where nobody asks."""
    return f"{trial.offer.provider}: a trial takes some minutes, and costs {money(trial.most_usd)} at most"


def agreed(trial: Trial, world: World, *, yes: bool) -> bool:
    """Whether a person wants it. Raises `LaunchError` where nobody can be asked, and nobody said yes before."""
    if yes:
        return True
    answer = world.console.ask(question(trial), default=False)
    if answer is None:
        raise LaunchError(
            "a trial costs money, and nobody can be asked here",
            code="no-terminal",
            exit_code=Exit.USAGE,
            hint="launch doctor --live --yes",
        )
    return answer


def prove(trial: Trial, world: World) -> Finding:
    """Rent it, watch it end itself, prove that it is gone, and keep the books like those of every run."""
    run = _opened(trial, world)
    quiet = replace(world, console=_Quiet(world))
    with sole_writer(world.run_folder(run.id), world.sleep), leaving(run, quiet):
        finding, outcome = _tried(run, quiet)
        ending = Ending(outcome=outcome, why=finding.text if outcome is not Outcome.SUCCEEDED else "")
        world.ledger.end(run, ending, world.now())
        tear_down(run, quiet)
        world.ledger.advance(run, State.TERMINATED, world.now())
        with suppress(LaunchError):  # no machine came about: there is nothing for a receipt to tell
            settle(run, quiet)
    cost = f"; it cost {money(spent_usd(run, world.now()))} (launch receipt {run.id})"
    return replace(finding, text=finding.text + cost)


def _opened(trial: Trial, world: World) -> Run:
    now, offer = world.now(), trial.offer
    tax = world.config.tax_for(offer.provider)
    worst = replace(offer, usd_per_hour=offer.worst_usd_per_hour)
    most_seconds = LEASE_SECONDS + LATE_SECONDS + LAST_SECONDS
    times = Times(
        by_phase=(),
        seconds=Interval(low=0.0, expected=most_seconds / 2, high=most_seconds),
        fit=Fit(needed_gib=0.0, usable_gib=0.0, margin=1.0, parts=()),
        tokens_per_second=NOTHING,
        rework_seconds=0.0,
    )
    rate = expected_usd_per_hour(offer, DISK_GIB, tax)
    choice = Choice(
        offer=offer,
        estimate=Estimate(offer=offer, times=times, usd_per_hour=rate, egress_usd=Decimal(0)),
        worst_usd_per_hour=expected_usd_per_hour(worst, DISK_GIB, tax),
        lease_seconds=LEASE_SECONDS,
        disk_gib=DISK_GIB,
        finish_usd=trial.most_usd / 2,
    )
    terms = Terms(
        budget_usd=trial.most_usd,
        tax_fraction=world.config.default_tax_fraction,
        tax_fractions={offer.provider: tax},
        now=now,
        deadline_seconds=None,
        accept_unguarded=True,
        interactive=False,
    )
    run_id = run_name()
    run = Run(
        id=run_id,
        name="guard trial",
        created_at=now,
        budget_usd=trial.most_usd,
        deadline_at=now + timedelta(seconds=LEASE_SECONDS + LATE_SECONDS),
        out_dir=world.run_folder(run_id) / "results",
        state=State.PLANNED,
    )
    request = Request(budget_usd=trial.most_usd, providers=(offer.provider,), accept_unguarded=True, yes=True)
    plan = Plan(choices=(choice,), rejected=(), workload=NO_JOB, terms=terms)
    world.run_folder(run_id).mkdir(parents=True, exist_ok=True, mode=0o700)
    asked = Reservation(usd=trial.most_usd, cap_usd=world.config.exposure_cap_usd, now=now, command="")
    world.ledger.open_run(run, request=codec.dump(request), plan=codec.dump(plan), reservation=asked)
    return run


def _tried(run: Run, world: World) -> tuple[Finding, Outcome]:
    choice = codec.load(Plan, world.ledger.plan(run.id)).choices[0]
    step_to(run, State.PROVISIONING, world)
    try:
        refused = create_for(run, choice, LEASE_SECONDS, world)
        if refused is not None:
            return _failed(f"no machine was to be had: {refused.text}", refused.fix), Outcome.FAILED
        return _watched(run, world)
    except Ended as end:
        return _failed(end.ending.why), Outcome.LOST
    except Interrupted:
        return _failed("stopped, as asked", "launch doctor --live"), Outcome.CANCELLED


def _watched(run: Run, world: World) -> tuple[Finding, Outcome]:
    """Until it is gone without us, or too late, or dearer than was said."""
    plan = codec.load(Plan, world.ledger.plan(run.id))
    attempt, provider = run.attempt, world.provider(run.attempt.offer.provider)
    over_at = attempt.started_at + timedelta(seconds=LEASE_SECONDS)
    lines: tuple[str, ...] = ()
    absent = 0
    while world.now() < over_at + timedelta(seconds=LATE_SECONDS):
        seen = look(run, world, provider.traits.look_seconds)
        if seen is not None and not _is_away(seen) and note_rate(attempt, seen, plan, world.now()):
            most = attempt.offer.worst_usd_per_hour
            why = f"{seen.id} is billed at {seen.billed_usd_per_hour}/h, above the {most} that was said; we end it"
            return _failed(why), Outcome.FAILED
        if seen is not None and seen.state is InstanceState.STOPPED:
            fix = "what stops and is not removed goes on costing a little: it does not count as guarded"
            return _failed(f"{seen.id} stopped itself, and did not end itself", fix), Outcome.FAILED
        if seen is not None and seen.state is InstanceState.RUNNING:
            lines = _heard(seen, world) or lines
        absent = absent + 1 if seen is not None and _is_away(seen) else 0
        if absent >= LOOKS and attempt.instance is not None and not _another_door_shows(attempt.instance, world):
            return _gone(attempt.instance, lines, over_at, world)
        world.sleep(max(NOT_SEEN_SECONDS, provider.traits.look_seconds) if absent else provider.traits.look_seconds)
    name = "" if attempt.instance is None else attempt.instance.id
    late = span((world.now() - over_at).total_seconds())
    return _failed(f"{name} did not end itself within {late} after its lease; we end it"), Outcome.FAILED


def _is_away(instance: Instance) -> bool:
    return instance.state is InstanceState.ABSENT or instance.state in OVER


def _another_door_shows(instance: Instance, world: World) -> bool:
    try:
        return world.provider(instance.provider).still_there(instance) is True
    except ProviderError:
        return False


def _heard(instance: Instance, world: World) -> tuple[str, ...]:
    try:
        return world.provider(instance.provider).console(instance)
    except ProviderError:
        return ()


def _gone(instance: Instance, lines: tuple[str, ...], over_at: datetime, world: World) -> tuple[Finding, Outcome]:
    """Gone before its time, it was something else that ended it, which proves nothing."""
    if world.now() < over_at:
        return _failed(f"{instance.id} was gone before its lease was over: that proves nothing"), Outcome.LOST
    return world.provider(instance.provider).note_trial(instance, lines), Outcome.SUCCEEDED


def _failed(
    text: str, fix: str = "launch doctor --live     # again, or go on unguarded: --accept-unguarded"
) -> Finding:
    return Finding(level=Level.ERROR, subject="trial", text=text, fix=fix)


class _Quiet:
    """Tells nothing of a trial but what went wrong with it: `doctor` tells the rest in its own words."""

    def __init__(self, world: World) -> None:
        self._console = world.console

    def tell(self, event: Happened) -> None:
        """Nothing."""

    def fail(self, error: LaunchError, run: str) -> None:
        """As ever."""
        self._console.fail(error, run)

    def ask(self, question: str, *, default: bool) -> bool | None:
        """As ever."""
        return self._console.ask(question, default=default)
