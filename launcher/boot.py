"""From a machine that exists to one that works: reachable, verified, armed, as sold; then the job is shipped to it."""

from dataclasses import replace

from jobs import package
from launcher import books, keys
from launcher.codec import load
from launcher.events import Warned
from launcher.guest import Guest, GuestError, Probe
from launcher.price import current_plan, secrets_of
from launcher.remote import HostKeyMismatch, LoginRefused, Remote, RemoteError
from launcher.request import Request
from launcher.run import Attempt, Ending, Outcome, Run, State
from launcher.steps import Ended, step_to, turn_round_if_asked
from launcher.world import World
from pricing.plan import Plan
from providers.base import EndReason, Instance, InstanceState, NotFound, ProviderError

LOOK_SECONDS = 1.0
LOGIN_SECONDS = 0.3
"""Between tries to log in: a machine that answers is paid for, and should not wait for us."""
EARLY_SECONDS = 120.0
"""How long after the create call "not found" may mean "not listed yet"."""
VRAM_TOLERANCE = 0.93
"""A card may show a little less memory than the table says; a smaller card shows much less."""


def boot(run: Run, world: World) -> None:
    """Wait until the machine can be used, and make sure that it is what was rented; on to SHIPPING."""
    attempt = run.attempt
    plan = current_plan(run, world)
    instance = _wait_for_address(run, attempt, plan, world)
    remote = connect(run, instance, world)
    try:
        probe = _wait_for_login(run, attempt, remote, world)
        _must_be_as_rented(attempt, probe)
    finally:
        remote.close()
    attempt.phases["boot"] = (world.now() - attempt.started_at).total_seconds()
    world.ledger.save_attempt(run, attempt)
    step_to(run, State.SHIPPING, world)


def connect(run: Run, instance: Instance, world: World) -> Remote:
    """A connection to the run's machine, with the run's own pinned keys."""
    if instance.access is None:
        raise ValueError(f"{instance.id} has no address")
    return world.remote(instance.access, keys.make(world.run_folder(run.id) / "keys"))


def guest_of(run: Run, remote: Remote) -> Guest:
    """The typed voice of the machine of the latest attempt."""
    instance = run.attempt.instance
    if instance is None or instance.access is None:
        raise ValueError(f"{run.id} has no machine with an address")
    return Guest(remote, instance.access.guard_dir)


def look(run: Run, world: World) -> Instance | None:
    """The machine as the provider shows it now; None when this look says nothing."""
    attempt = run.attempt
    seen = shown(attempt, world)
    if seen is not None and seen != attempt.instance:
        attempt.instance = seen
        world.ledger.save_attempt(run, attempt)
    return seen


def shown(attempt: Attempt, world: World) -> Instance | None:
    """The same, for those who do not carry the run and must not write in its books."""
    if attempt.instance is None:
        return None
    try:
        return world.provider(attempt.offer.provider).get(attempt.instance)
    except NotFound:
        return None if attempt.unanswered_seconds(world.now()) < EARLY_SECONDS else _unseen(attempt, world)
    except ProviderError:
        return None


def _unseen(attempt: Attempt, world: World) -> Instance | None:
    """Unknown by its id, perhaps by the list too: then its state is one that nobody knows, until teardown proves it."""
    try:
        listed = world.provider(attempt.offer.provider).list(attempt.offer.region)
    except ProviderError:
        return None
    found = [one for one in listed if one.nonce == attempt.nonce]
    if found or attempt.instance is None:
        return found[0] if found else None
    return replace(attempt.instance, state=InstanceState.UNKNOWN)


def _wait_for_address(run: Run, attempt: Attempt, plan: Plan, world: World) -> Instance:
    limit_seconds = world.provider(attempt.offer.provider).traits.boot_deadline_seconds
    while True:
        instance = look(run, world)
        if instance is not None:
            _must_be_alive(instance)
            if books.note_rate(attempt, instance, plan, world.now()):
                why = f"billed at {instance.billed_usd_per_hour}/h, above the {attempt.offer.worst_usd_per_hour} agreed"
                raise Ended(Ending(outcome=Outcome.FAILED, why=why, code="price", again=True))
            if instance.state is InstanceState.RUNNING and instance.access is not None:
                return instance
        _must_be_in_time(attempt, limit_seconds, "no address", world)
        turn_round_if_asked(run, world)
        world.sleep(LOOK_SECONDS)


def _must_be_alive(instance: Instance) -> None:
    if instance.state not in (InstanceState.ENDING, InstanceState.GONE):
        return
    outcome = Outcome.PREEMPTED if instance.end_reason is EndReason.PREEMPTED else Outcome.LOST
    why = f"{instance.id} ended before it was ready: {instance.end_reason or 'no reason given'} {instance.end_text}"
    raise Ended(Ending(outcome=outcome, why=why.strip(), code="died-booting", again=True))


def _must_be_in_time(attempt: Attempt, limit_seconds: float, what: str, world: World) -> None:
    waited = (world.now() - attempt.started_at).total_seconds()
    if waited > limit_seconds:
        why = f"{what} after {waited:.0f} s (the limit here is {limit_seconds:.0f} s)"
        raise Ended(Ending(outcome=Outcome.LOST, why=why, code="never-ready", again=True))


def _wait_for_login(run: Run, attempt: Attempt, remote: Remote, world: World) -> Probe:
    limit_seconds = world.provider(attempt.offer.provider).traits.boot_deadline_seconds
    guest, trouble = guest_of(run, remote), "no answer"
    while True:
        try:
            guest.install(package.guest_zipapp())
            return guest.probe()
        except HostKeyMismatch as error:
            raise Ended(stranger(error)) from error
        except LoginRefused:
            trouble = "login refused"
        except (RemoteError, GuestError) as error:
            trouble = str(error)
        seen = look(run, world)
        if seen is not None:
            _must_be_alive(seen)
        _must_be_in_time(attempt, limit_seconds, f"no login ({trouble})", world)
        turn_round_if_asked(run, world)
        world.sleep(LOGIN_SECONDS)


def stranger(error: HostKeyMismatch) -> Ending:
    """A security stop, wherever it shows: nothing more is said to that address, and no other machine is tried."""
    why = f"somebody else answers at the machine's address: {error}"
    return Ending(outcome=Outcome.FAILED, why=why, code="host-key-mismatch", pull=False)


def _must_be_as_rented(attempt: Attempt, probe: Probe) -> None:
    """A machine that is not what was paid for, or that would not end itself, goes back at once."""
    offer, wrong = attempt.offer, []
    if not probe.guard.armed:
        wrong.append(f"its own deadline is not armed ({probe.guard.why})")
    if offer.gpu is not None:
        whole = [gpu for gpu in probe.gpus if gpu.memory_mib >= offer.gpu.usable_mib * VRAM_TOLERANCE]
        if len(whole) < offer.gpu_count:
            shown = ", ".join(f"{gpu.name} {gpu.memory_mib} MiB" for gpu in probe.gpus) or "none"
            wrong.append(f"GPUs shown: {shown}; rented: {offer.gpu_count} {offer.gpu.name}")
    if probe.architecture not in (offer.architecture, {"x86_64": "AMD64", "aarch64": "arm64"}.get(offer.architecture)):
        wrong.append(f"its processor is {probe.architecture}, rented was {offer.architecture}")
    if wrong:
        raise Ended(Ending(outcome=Outcome.FAILED, why="; ".join(wrong), code="not-as-rented", again=True))


def ship(run: Run, world: World) -> None:
    """Bundle, checkpoint of an earlier attempt, secrets; start the supervisor; on to RUNNING."""
    attempt, began = run.attempt, world.now()
    instance = attempt.instance
    if instance is None:
        raise ValueError(f"{run.id} has no machine to ship to")
    remote = connect(run, instance, world)
    try:
        _send_all(run, guest_of(run, remote), world)
    except HostKeyMismatch as error:
        raise Ended(stranger(error)) from error
    except (RemoteError, GuestError) as error:
        raise Ended(Ending(outcome=Outcome.LOST, why=f"shipping failed: {error}", code="ship", again=True)) from error
    finally:
        remote.close()
    attempt.phases["ship"] = (world.now() - began).total_seconds()
    world.ledger.save_attempt(run, attempt)
    step_to(run, State.RUNNING, world)


def _send_all(run: Run, guest: Guest, world: World) -> None:
    folder = world.run_folder(run.id)
    bundle = folder / "bundle.tar.gz"
    guest.ship(bundle, (folder / "bundle.sha256").read_text().strip())
    checkpoint = world.ledger.checkpoint(run.id)
    if checkpoint is not None:
        guest.restore(folder / "checkpoints" / checkpoint, checkpoint)
        text = f"going on from {checkpoint}"
        world.console.tell(Warned(run=run.id, at=world.now(), code="resumed", text=text))
    guest.secrets(secrets_of(load(Request, world.ledger.request(run.id)), world))
    guest.start()
