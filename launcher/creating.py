"""One choice, one create call: an intent on disk before it, a certain answer before anything else is tried."""

import hashlib
import secrets
from dataclasses import replace
from datetime import timedelta

from jobs import package
from launcher import books, called, keys, on_disk
from launcher.codec import dump
from launcher.events import IntentWritten, OfferRefused, Warned
from launcher.intents import adopt, close_absent, find_machine
from launcher.interrupt import Interrupted
from launcher.mistakes import from_provider
from launcher.price import current_plan, left_share
from launcher.run import Attempt, Run
from launcher.world import World
from pricing.estimate import Interval, estimate
from pricing.plan import Choice, Plan
from providers.base import (
    Ambiguous,
    AuthFailed,
    Boot,
    ContractBroken,
    Instance,
    InstanceRequest,
    NoFunds,
    NotSetUp,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
    Unreachable,
)

COOL_DOWN_SECONDS = 180
"""How long a pool that had no capacity is left alone (three minutes, as Karpenter does)."""
AGAIN_SECONDS = (1, 2, 4, 8, 16)
"""Before a call is repeated of which the provider says, or our own side knows, that nothing came of it."""
LONGEST_PAUSE_SECONDS = 60.0
"""A provider that asks for more patience than this is left for the next choice."""

NOTHING_DONE = (Throttled, Unreachable)
BY_A_PERSON = (QuotaExceeded, AuthFailed, NotSetUp, NoFunds)
"""Refusals that waiting does not mend: they concern more than one choice, and no pool is to blame."""


def create(run: Run, choice: Choice, plan: Plan, world: World) -> ProviderError | None:
    """Ask for one machine. None: there is one now, and the run has it; else why there is certainly none."""
    lease = books.lease_seconds(run, choice, plan, world)
    if lease < choice.estimate.seconds.expected:
        error = ProviderError("what is left of the budget would not last", code="over-budget")
        _tell_refused(run, choice, error.code, error.text, world)
        return error
    return create_for(run, choice, lease, world)


def create_for(run: Run, choice: Choice, lease: int, world: World) -> ProviderError | None:
    """The same, with a machine that lives for `lease` seconds."""
    attempt = _write_intent(run, choice, lease, world)
    try:
        instance = _call(run, world)
    except NOTHING_DONE as error:
        return _refused(run, attempt, error, world)
    except (Ambiguous, Unavailable, ContractBroken) as error:
        return _after_no_clear_answer(run, instance_request(run, attempt, world), error, world)
    except ProviderError as error:
        return _refused(run, attempt, error, world)
    adopt(run, attempt, instance, world)
    return None


def _write_intent(run: Run, choice: Choice, lease: int, world: World) -> Attempt:
    now = world.now()
    attempt = Attempt(
        number=len(run.attempts) + 1,
        choice=choice,
        nonce=secrets.token_hex(12),
        started_at=now,
        deadline=books.deadline(now, lease),
        lease_seconds=lease,
        rate_usd_per_hour=choice.expected_usd_per_hour,
        account=world.provider(choice.offer.provider).account(),
        whole_training=_whole_training(run, choice, world),
    )
    request = instance_request(run, attempt, world)
    if attempt.number == 1:  # its keys, made just now: without them nobody would get in
        on_disk.sync(world.run_folder(run.id) / "keys", world.home)
    world.ledger.open_attempt(run, attempt, _sha256(request))
    called.note(run, attempt.nonce, world)
    world.console.tell(
        IntentWritten(
            run=run.id,
            at=now,
            attempt=attempt.number,
            offer=choice.offer,
            nonce=attempt.nonce,
            worst_usd_per_hour=choice.worst_usd_per_hour,
            lease_seconds=lease,
            deadline=attempt.deadline,
        )
    )
    return attempt


def _whole_training(run: Run, choice: Choice, world: World) -> Interval | None:
    """What the choice would take for all of the training, where it is for what a checkpoint leaves of it."""
    if left_share(run, world) == 1.0:
        return None
    plan = current_plan(run, world)
    whole = estimate(choice.offer, plan.workload, plan.terms)
    return next(phase.seconds for phase in whole.phases if phase.name == "train")


def instance_request(run: Run, attempt: Attempt, world: World) -> InstanceRequest:
    """The create call of an attempt, built from what is on disk: built again it is the same, byte for byte."""
    own = keys.make(world.run_folder(run.id) / "keys")
    boot = Boot(
        deadman=package.deadman(),
        lease_seconds=attempt.lease_seconds,
        authorized_key=own.client_public,
        host_key_private=own.host_private,
        host_key_public=own.host_public,
    )
    return InstanceRequest(
        offer=attempt.offer,
        run_id=run.id,
        attempt=attempt.number,
        nonce=attempt.nonce,
        deadline=attempt.deadline,
        disk_gib=attempt.choice.disk_gib,
        boot=boot,
    )


def _sha256(request: InstanceRequest) -> str:
    public = replace(request, boot=replace(request.boot, host_key_private=""))
    return hashlib.sha256(dump(public).encode()).hexdigest()


def _call(run: Run, world: World) -> Instance:
    """`create`, repeated only where nothing was done: with a lease that ends when the first one would have ended."""
    for seconds in AGAIN_SECONDS:
        try:
            return _ask(run, instance_request(run, run.attempt, world), world)
        except NOTHING_DONE as error:
            told_seconds = error.wait_seconds if isinstance(error, Throttled) else 0.0
            if told_seconds > LONGEST_PAUSE_SECONDS:
                raise
            _wait(run, max(float(seconds), told_seconds), world)
            if not _shorten_lease(run.attempt, world):
                raise
    return _ask(run, instance_request(run, run.attempt, world), world)


def _shorten_lease(attempt: Attempt, world: World) -> bool:
    """By what was waited, since it counts from the machine's birth; False: nothing is left of it."""
    left_seconds = int((attempt.deadline - world.now()).total_seconds())
    attempt.lease_seconds = min(attempt.lease_seconds, left_seconds)
    return attempt.lease_seconds > 0


def _wait(run: Run, seconds: float, world: World) -> None:
    """Between two calls there is certainly no machine: who turns round here leaves nothing to look for."""
    try:
        world.sleep(seconds)
    except Interrupted:
        close_absent(run, run.attempt, "stopped before the next try", world)
        raise


def _ask(run: Run, request: InstanceRequest, world: World) -> Instance:
    """One create call; when it was made is on disk before it, since the settle window counts from the last one."""
    attempt = run.attempt
    attempt.asked_at = world.now()
    world.ledger.save_attempt(run, attempt)
    try:
        return world.provider(request.offer.provider).create(request)
    finally:
        attempt.asked_at = world.now()  # an answer may be waited for in vain, and the call be served at the end of it


def _after_no_clear_answer(
    run: Run, request: InstanceRequest, error: ProviderError, world: World
) -> ProviderError | None:
    """The machine may exist. Where the cloud knows our token, asking again is the look; else only listing is."""
    text = f"the create call got no clear answer ({error.text}); looking for the machine"
    world.console.tell(Warned(run=run.id, at=world.now(), code="create-unclear", text=text))
    provider = world.provider(request.offer.provider)
    if provider.traits.idempotent_create:
        try:
            adopt(run, run.attempt, _ask(run, request, world), world)
        except ProviderError:
            return None if find_machine(run, world) else error
        return None
    return None if find_machine(run, world) else error


def _refused(run: Run, attempt: Attempt, error: ProviderError, world: World) -> ProviderError:
    kind = from_provider(error, attempt.offer.provider).code
    close_absent(run, attempt, f"{kind}: {error.code or error.text}", world)
    if not isinstance(error, BY_A_PERSON):
        until = world.now() + timedelta(seconds=COOL_DOWN_SECONDS)
        world.ledger.note_refusal(attempt.offer.pool, until, error.text)
    _tell_refused(run, attempt.choice, kind, error.text, world)
    return error


def _tell_refused(run: Run, choice: Choice, code: str, reason: str, world: World) -> None:
    world.console.tell(OfferRefused(run=run.id, at=world.now(), offer=choice.offer, code=code, reason=reason))
