"""From the plan to one machine: an intent on disk, one create call, a certain answer before anything else is tried."""

import hashlib
import secrets
from dataclasses import replace
from datetime import timedelta

from jobs import package
from launcher import books, keys
from launcher.codec import dump, load
from launcher.events import IntentWritten, OfferRefused, Warned
from launcher.mistakes import from_provider
from launcher.price import current_plan, plan_again
from launcher.request import Request
from launcher.run import Attempt, Ending, Outcome, Run, State
from launcher.steps import Ended, step_to, turn_round_if_asked
from launcher.teardown import PATIENCE_SECONDS
from launcher.world import World
from pricing.plan import Choice, Plan
from providers.base import (
    Ambiguous,
    AuthFailed,
    Boot,
    ContractBroken,
    Instance,
    InstanceRequest,
    NotSetUp,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)

COOL_DOWN_SECONDS = 180
"""How long a pool that had no capacity is left alone (three minutes, as Karpenter does)."""
LEAST_LOOKS = 5
"""A lost create answer means "nothing there" only after so many lists without it, over the provider's settle window."""
THROTTLE_SECONDS = (1, 2, 4, 8, 16)


def provision(run: Run, world: World) -> None:
    """Get one machine, from the best choice that is to be had; the run goes on to BOOTING."""
    if run.state is State.PLANNED:
        step_to(run, State.PROVISIONING, world)
    if world.ledger.open_intents(run.id):
        created = find_machine(run, world)
    else:
        created = _has_machine(run) or _from_choices(run, world)
    if created:
        step_to(run, State.BOOTING, world)


def _has_machine(run: Run) -> bool:
    """A process that died right after the answer has left it to us."""
    return bool(run.attempts) and run.attempt.gone_at is None and run.attempt.instance is not None


def find_machine(run: Run, world: World) -> bool:
    """The machine of a create call without an answer, or the proof (over the settle window) that there is none."""
    attempt, began = run.attempt, world.now()
    wait_seconds = 1.0
    while attempt.gone_at is None and not look_for_machine(run, attempt, world):
        turn_round_if_asked(run, world)
        if (world.now() - began).total_seconds() > PATIENCE_SECONDS:
            why = f"{attempt.offer.provider} does not say whether a machine was created"
            raise Ended(Ending(outcome=Outcome.LOST, why=why, code="create-unclear"))
        world.sleep(wait_seconds)
        wait_seconds = min(wait_seconds * 1.5, 15.0)
    if attempt.gone_at is not None:  # also where a process died between the two notes of it
        world.ledger.close_intent(run.id, attempt.number, "absent", world.now())
    return attempt.gone_at is None


def look_for_machine(run: Run, attempt: Attempt, world: World) -> bool:
    """One look. True: found and adopted. `attempt.gone_at` is set by enough looks in vain over the settle window."""
    provider = world.provider(attempt.offer.provider)
    try:
        found = [one for one in provider.list(attempt.offer.region) if one.nonce == attempt.nonce]
    except (Unavailable, Throttled):
        return False
    if found:
        adopt(run, attempt, found[0], world)
        return True
    attempt.looks += 1
    now = world.now()
    settled = attempt.unanswered_seconds(now) >= provider.traits.settle_seconds
    if attempt.looks >= LEAST_LOOKS and settled:
        books.note_absent(attempt, provider.traits, now)
        world.ledger.save_attempt(run, attempt)
        world.ledger.close_intent(run.id, attempt.number, "absent", now)
    else:
        world.ledger.save_attempt(run, attempt)
    return False


def adopt(run: Run, attempt: Attempt, instance: Instance, world: World) -> None:
    """The create call's answer is this machine."""
    attempt.instance, attempt.looks = instance, 0
    world.ledger.save_attempt(run, attempt)
    world.ledger.close_intent(run.id, attempt.number, "created", world.now())


def close_absent(run: Run, attempt: Attempt, answer: str, world: World) -> None:
    """The create call was refused: nothing came of it, for certain."""
    attempt.never_was, attempt.ended_at, attempt.gone_at = True, world.now(), world.now()
    world.ledger.save_attempt(run, attempt)
    world.ledger.close_intent(run.id, attempt.number, answer, world.now())


def _from_choices(run: Run, world: World) -> bool:
    request = load(Request, world.ledger.request(run.id))
    until = world.now() + timedelta(seconds=request.wait_capacity_seconds)
    while not _try_choices(run, current_plan(run, world), world):
        turn_round_if_asked(run, world)
        if world.now() >= until:
            raise Ended(_nothing_to_be_had(run))
        world.sleep(COOL_DOWN_SECONDS / 6)
        plan_again(run, world)
    return True


def _nothing_to_be_had(run: Run) -> Ending:
    before = run.ending
    if before is not None:
        why = f"{before.why}; and no other machine was to be had"
        return Ending(outcome=before.outcome, why=why, code=before.code)
    tried = len({attempt.offer.pool for attempt in run.attempts})
    why = f"none of the {tried} places asked had a machine" if tried else "no place is left to ask"
    return Ending(outcome=Outcome.FAILED, why=why, code="no-capacity")


def _try_choices(run: Run, plan: Plan, world: World) -> bool:
    barred: dict[tuple[str, ...], ProviderError] = {}
    for choice in plan.choices:
        turn_round_if_asked(run, world)
        if world.ledger.refused(choice.offer.pool, world.now()) or any(scope in barred for scope in _scopes(choice)):
            continue
        try:
            if _create(run, choice, plan, world):
                return True
        except QuotaExceeded as error:
            barred[_scopes(choice)[1]] = error
        except (AuthFailed, NotSetUp) as error:
            barred[_scopes(choice)[0]] = error
    _raise_if_all_barred(plan, barred)
    return False


def _scopes(choice: Choice) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What falls with a choice: its whole provider (credentials), or its family in a region and market (quota)."""
    offer = choice.offer
    return (offer.provider,), (offer.provider, offer.region, str(offer.market), offer.instance_type.split(".")[0])


def _raise_if_all_barred(plan: Plan, barred: dict[tuple[str, ...], ProviderError]) -> None:
    """Quota and credentials do not pass by waiting: when nothing else is left, say so instead of "no capacity"."""
    if barred and all(any(scope in barred for scope in _scopes(choice)) for choice in plan.choices):
        (provider, *_), error = next(iter(barred.items()))
        raise from_provider(error, provider) from error


def _create(run: Run, choice: Choice, plan: Plan, world: World) -> bool:
    """One choice, one call. True when there is a machine; what concerns more than this choice is raised on."""
    lease = books.lease_seconds(run, choice, plan, world)
    if lease < choice.estimate.seconds.expected:
        _tell_refused(run, choice, "over-budget", "what is left of the budget would not last", world)
        return False
    attempt = _write_intent(run, choice, lease, world)
    request = instance_request(run, attempt, world)
    try:
        instance = _call(run, request, world)
    except (Ambiguous, Unavailable, ContractBroken) as error:
        return _after_no_clear_answer(run, request, error, world)
    except ProviderError as error:
        _refused(run, attempt, error, world)
        if isinstance(error, QuotaExceeded | AuthFailed | NotSetUp):
            raise
        return False
    adopt(run, attempt, instance, world)
    return True


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
    )
    world.ledger.open_attempt(run, attempt, _sha256(instance_request(run, attempt, world)))
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


def _call(run: Run, request: InstanceRequest, world: World) -> Instance:
    """`create`, repeated only where the provider says that nothing was done."""
    for seconds in THROTTLE_SECONDS:
        try:
            return _ask(run, request, world)
        except Throttled:
            world.sleep(seconds)
    return _ask(run, request, world)


def _ask(run: Run, request: InstanceRequest, world: World) -> Instance:
    """One create call; when it was made is on disk before it, since the settle window counts from the last one."""
    attempt = run.attempt
    attempt.asked_at = world.now()
    world.ledger.save_attempt(run, attempt)
    try:
        return world.provider(request.offer.provider).create(request)
    finally:
        attempt.asked_at = world.now()  # an answer may be waited for in vain, and the call be served at the end of it


def _after_no_clear_answer(run: Run, request: InstanceRequest, error: ProviderError, world: World) -> bool:
    """The machine may exist. Where the cloud knows our token, asking again is the look; else only listing is."""
    text = f"the create call got no clear answer ({error.text}); looking for the machine"
    world.console.tell(Warned(run=run.id, at=world.now(), code="create-unclear", text=text))
    provider = world.provider(request.offer.provider)
    if provider.traits.idempotent_create:
        try:
            adopt(run, run.attempt, _ask(run, request, world), world)
        except ProviderError:
            return find_machine(run, world)
        return True
    return find_machine(run, world)


def _refused(run: Run, attempt: Attempt, error: ProviderError, world: World) -> None:
    kind = REFUSALS.get(type(error).__name__, "refused")
    close_absent(run, attempt, f"{kind}: {error.code or error.text}", world)
    until = world.now() + timedelta(seconds=COOL_DOWN_SECONDS)
    world.ledger.note_refusal(attempt.offer.pool, until, error.text)
    _tell_refused(run, attempt.choice, kind, error.text, world)


REFUSALS = {
    "NoCapacity": "no-capacity",
    "QuotaExceeded": "quota",
    "PriceTooLow": "price",
    "AuthFailed": "credentials",
    "NotSetUp": "not-set-up",
    "Throttled": "throttled",
}


def _tell_refused(run: Run, choice: Choice, code: str, reason: str, world: World) -> None:
    world.console.tell(OfferRefused(run=run.id, at=world.now(), offer=choice.offer, code=code, reason=reason))
