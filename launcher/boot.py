"""From a machine that exists to one that works: reachable, verified, armed, as sold; then the job is shipped to it."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from math import inf

from jobs import package
from launcher import books, checkpoints, fence, granting, host_keys, keys
from launcher.codec import load
from launcher.events import Warned
from launcher.guest import Guest, GuestError, Probe
from launcher.price import current_plan, secrets_of
from launcher.remote import HostKeyMismatch, LoginRefused, Remote, RemoteError, RemoteUnreachable
from launcher.request import Request
from launcher.rotation import rotate
from launcher.run import Attempt, Ending, Outcome, Run, State
from launcher.sight import look
from launcher.steps import Ended, step_to, turn_round_if_asked
from launcher.unknown import must_be_the_only_one
from launcher.world import World
from pricing.memory import RAM_USABLE_SHARE, free_disk_gib, ram_gib
from pricing.offer import Offer
from pricing.plan import Plan
from providers.base import OVER, EndReason, Instance, InstanceState, ProviderError, Ssh

VRAM_TOLERANCE = 0.93
"""A card may show a little less memory than the table says; a smaller card shows much less."""
LOGIN_SECONDS = 0.3
"""Between tries to log in: a machine that answers is paid for, and should not wait for us."""
LOGIN_SHARE, LOGIN_MOST_SECONDS = 0.05, 5.0
"""Who refused us for minutes is asked less often: after so much of the time that it has taken, at most."""
NO_ADDRESS_SECONDS = 300.0
"""How long a machine may run without an address that we can reach: some never get one."""
SLOW_SECONDS = 60.0
"""From then on a person is told, so often, what the machine says of its boot."""


def boot(run: Run, world: World) -> None:
    """Wait until the machine can be used, and make sure that it is what was rented; on to SHIPPING."""
    attempt = run.attempt
    plan = current_plan(run, world)
    _wait_for_address(run, attempt, plan, world)
    remote, probe = _wait_for_login(run, attempt, plan, world)
    guest = guest_of(run, remote, lambda: _left_seconds(run, plan, world))
    try:
        _must_be_ours(run, guest, world)
        _rotate(run, attempt, world)
        _must_be_as_rented(run, attempt, plan, probe, world)
        _must_compute(run, guest, plan, world)
    finally:
        remote.close()
    must_be_the_only_one(run, world)
    attempt.phases["boot"] = max(0.0, (world.now() - attempt.started_at).total_seconds())  # clocks may be set back
    world.ledger.save_attempt(run, attempt)
    step_to(run, State.SHIPPING, world)


def _rotate(run: Run, attempt: Attempt, world: World) -> None:
    instance = attempt.instance
    if instance is None:
        return
    try:
        rotate(run, attempt, lambda: connect(run, instance, world), world)
    except HostKeyMismatch as error:
        raise Ended(host_keys.stranger(error)) from error


def connect(run: Run, instance: Instance, world: World) -> Remote:
    """A connection to the run's machine, with the run's own pinned keys."""
    access = instance.access
    if access is None:
        raise ValueError(f"{instance.id} has no address")
    if isinstance(access, Ssh) and run.attempt.host_key:
        access = replace(access, host_key=run.attempt.host_key)
    return world.remote(access, keys.make(world.run_folder(run.id) / "keys"))


def guest_of(run: Run, remote: Remote, left: Callable[[], float] = lambda: inf) -> Guest:
    """The typed voice of the machine of the latest attempt; no call to it may take longer than `left` says then."""
    instance = run.attempt.instance
    if instance is None or instance.access is None:
        raise ValueError(f"{run.id} has no machine with an address")
    guest = Guest(remote, instance.access.guard_dir, left)
    guest.carrier = run.granted.get(run.attempt.number, "")
    return guest


def _wait_for_address(run: Run, attempt: Attempt, plan: Plan, world: World) -> None:
    traits = world.provider(attempt.offer.provider).traits
    running_since: datetime | None = None
    told_at = world.now()
    while True:
        instance = look(run, world, traits.look_seconds)
        if instance is not None:
            _must_be_alive(instance)
            if books.note_rate(attempt, instance, plan, world.now()):
                why = f"billed at {instance.billed_usd_per_hour}/h, above the {attempt.offer.worst_usd_per_hour} agreed"
                raise Ended(Ending(outcome=Outcome.FAILED, why=why, code="price", again=True))
            if instance.access is not None and instance.state is not InstanceState.ABSENT:
                return
            if instance.state is InstanceState.RUNNING:
                running_since = running_since or world.now()
        _must_be_in_time(attempt.started_at, traits.boot_deadline_seconds, "no address", world)
        _must_be_affordable(run, plan, world)
        if running_since is not None:
            _must_be_in_time(running_since, NO_ADDRESS_SECONDS, "it runs without an address to be reached at", world)
        if (world.now() - told_at).total_seconds() >= SLOW_SECONDS:
            told_at = world.now()
            _tell_slow(run, attempt, world)
        turn_round_if_asked(run, world)
        world.sleep(traits.look_seconds)


def _tell_slow(run: Run, attempt: Attempt, world: World) -> None:
    """What a machine that takes long says of itself, where its provider lets us hear it."""
    if attempt.instance is None:
        return
    try:
        lines = world.provider(attempt.offer.provider).console(attempt.instance)
    except ProviderError:
        return
    if lines:
        waited = (world.now() - attempt.started_at).total_seconds()
        text = f"{attempt.instance.id} boots, for {waited:.0f} s: {lines[-1]}"
        world.console.tell(Warned(run=run.id, at=world.now(), code="booting", text=text))


def _must_be_alive(instance: Instance) -> None:
    if instance.state is not InstanceState.UNHEALTHY and instance.state not in OVER:
        return
    outcome = Outcome.PREEMPTED if instance.end_reason is EndReason.PREEMPTED else Outcome.LOST
    word = "is unhealthy" if instance.state is InstanceState.UNHEALTHY else "ended before it was ready"
    why = f"{instance.id} {word}: {instance.end_reason or ''} {instance.end_text or 'no reason given'}"
    raise Ended(Ending(outcome=outcome, why=" ".join(why.split()), code="died-booting", again=True))


def _must_be_in_time(since: datetime, limit_seconds: float, what: str, world: World) -> None:
    waited = (world.now() - since).total_seconds()
    if waited > limit_seconds:
        why = f"{what} after {waited:.0f} s (the limit here is {limit_seconds:.0f} s)"
        raise Ended(Ending(outcome=Outcome.LOST, why=why, code="never-ready", again=True))


def _left_seconds(run: Run, plan: Plan, world: World) -> float:
    """How long the machine may still be waited for, so that its end is paid for and in time."""
    cap = books.cap(run, run.attempt.choice, plan, world)
    return cap.lease_seconds - cap.reserve.teardown_seconds


def _must_be_affordable(run: Run, plan: Plan, world: World) -> None:
    """Nothing is there to be saved yet, and not every machine ends itself."""
    if _left_seconds(run, plan, world) <= 0:
        waited = (world.now() - run.attempt.started_at).total_seconds()
        why = f"budget or deadline would not last for the rest of a machine that is not ready after {waited:.0f} s"
        raise Ended(Ending(outcome=Outcome.OUT_OF_BUDGET, why=why, code="never-ready", pull=False))


def _wait_for_login(run: Run, attempt: Attempt, plan: Plan, world: World) -> tuple[Remote, Probe]:
    """Until the machine lets us in and answers; whatever its status says meanwhile, and wherever it moves."""
    traits = world.provider(attempt.offer.provider).traits
    trouble, began = "no answer", world.now()
    while True:
        instance = attempt.instance
        if instance is not None and instance.access is not None:
            remote = connect(run, instance, world)
            try:
                return remote, _greeted(guest_of(run, remote, lambda: _left_seconds(run, plan, world)))
            except HostKeyMismatch as error:
                trouble = _with_other_key(run, attempt, remote, error, world)
            except LoginRefused:
                trouble = "login refused"
            except (RemoteError, GuestError) as error:
                trouble = str(error)
            remote.close()
        seen = look(run, world, traits.look_seconds)
        if seen is not None:
            _must_be_alive(seen)
        _must_be_in_time(attempt.started_at, traits.boot_deadline_seconds, f"no login ({trouble})", world)
        _must_be_affordable(run, plan, world)
        turn_round_if_asked(run, world)
        waited_seconds = (world.now() - began).total_seconds()
        world.sleep(max(LOGIN_SECONDS, min(LOGIN_MOST_SECONDS, LOGIN_SHARE * waited_seconds)))


def _greeted(guest: Guest) -> Probe:
    guest.install(package.guest_zipapp())
    return guest.probe()


def _with_other_key(run: Run, attempt: Attempt, remote: Remote, error: HostKeyMismatch, world: World) -> str:
    """Another key than ours: accepted, refused (`Ended`), or not to be seen just now; then what to say of it."""
    try:
        host_keys.accept(run, attempt, remote, error, world)
    except RemoteUnreachable as unseen:
        return str(unseen)
    finally:
        remote.close()
    return "another host key"


def _must_be_ours(run: Run, guest: Guest, world: World) -> None:
    """Carried by us, as it says itself: a ledger that was put back may name another computer's machine."""
    try:
        fence.hold(run, guest, world)
    except RemoteError as error:
        _must_not_be_taken(run, world)
        why = f"it does not say who carries its run: {error}"
        raise Ended(Ending(outcome=Outcome.LOST, why=why, code="never-ready", again=True)) from error


def _must_be_as_rented(run: Run, attempt: Attempt, plan: Plan, probe: Probe, world: World) -> None:
    """A machine that is not what was paid for, or that would not end itself, goes back at once."""
    offer, wrong = attempt.offer, []
    if not probe.guard.armed and offer.guarded:
        wrong.append(f"its own deadline is not armed ({probe.guard.why})")
    elif not probe.guard.armed:
        text = f"its own deadline is not armed ({probe.guard.why}): nothing there stops the work when the time is over"
        world.console.tell(Warned(run=run.id, at=world.now(), code="unarmed", text=text))
    if offer.gpu is not None:
        wrong += _missing(offer, plan, probe)
    if probe.architecture not in (offer.architecture, {"x86_64": "AMD64", "aarch64": "arm64"}.get(offer.architecture)):
        wrong.append(f"its processor is {probe.architecture}, rented was {offer.architecture}")
    if wrong:
        raise Ended(Ending(outcome=Outcome.FAILED, why="; ".join(wrong), code="not-as-rented", again=True))


def _missing(offer: Offer, plan: Plan, probe: Probe) -> list[str]:
    """What the job needs, or was paid for, and is not there."""
    wrong = []
    whole = [gpu for gpu in probe.gpus if offer.gpu and gpu.memory_mib >= offer.gpu.usable_mib * VRAM_TOLERANCE]
    if len(whole) < offer.gpu_count:
        shown = ", ".join(f"{gpu.name} {gpu.memory_mib} MiB" for gpu in probe.gpus) or "none"
        wrong.append(f"GPUs shown: {shown}; rented: {offer.gpu_count} {offer.gpu.name if offer.gpu else ''}")
    ram, disk = ram_gib(plan.workload), free_disk_gib(plan.workload)
    if probe.ram_gib * RAM_USABLE_SHARE < ram:
        wrong.append(f"host memory: {probe.ram_gib:.1f} GiB, loading the model needs {ram:.1f}")
    if probe.disk_free_gib < disk:
        wrong.append(f"disk: {probe.disk_free_gib:.1f} GiB free, the job needs {disk:.1f}")
    return wrong


def _must_compute(run: Run, guest: Guest, plan: Plan, world: World) -> None:
    """The GPU really multiplies, where the image can try (else the job's own first step does, before any download)."""
    if run.attempt.offer.gpu is None:
        return
    try:
        trouble = guest.prove()
    except GuestError as error:
        trouble = str(error)
    except RemoteError as error:
        _must_not_be_taken(run, world)
        _must_be_affordable(run, plan, world)
        why = f"the line broke while its GPU was tried: {error}"
        raise Ended(Ending(outcome=Outcome.LOST, why=why, code="never-ready", again=True)) from error
    if trouble:
        why = f"its GPU does not compute: {trouble}"
        raise Ended(Ending(outcome=Outcome.FAILED, why=why, code="not-as-rented", again=True))


def ship(run: Run, world: World) -> None:
    """Bundle, checkpoint of an earlier attempt, secrets; start the supervisor; on to RUNNING."""
    attempt, began, plan = run.attempt, world.now(), current_plan(run, world)
    instance = attempt.instance
    if instance is None:
        raise ValueError(f"{run.id} has no machine to ship to")
    remote = connect(run, instance, world)
    try:
        guest = guest_of(run, remote, lambda: _left_seconds(run, plan, world))
        if not _has_begun(attempt, guest):
            turn_round_if_asked(run, world)
            _send_all(run, guest, world)
    except HostKeyMismatch as error:
        raise Ended(host_keys.stranger(error)) from error
    except (RemoteError, GuestError) as error:
        _must_not_be_taken(run, world)
        if attempt.job_at is None or isinstance(error, GuestError):
            _must_be_affordable(run, plan, world)
            why = f"shipping failed: {error}"
            raise Ended(Ending(outcome=Outcome.LOST, why=why, code="ship", again=True)) from error
        # Its supervisor may have been started, by a call whose answer was lost or by who died: watching tells.
    finally:
        remote.close()
    attempt.phases["ship"] = max(0.0, (world.now() - began).total_seconds())
    world.ledger.save_attempt(run, attempt)
    step_to(run, State.RUNNING, world)


def _has_begun(attempt: Attempt, guest: Guest) -> bool:
    """Whether who died before it was written down had started the job: then nothing is shipped over its work."""
    if attempt.job_at is None:
        return False
    status = guest.status()
    return status.supervisor_alive or bool(status.outcome)


def _must_not_be_taken(run: Run, world: World) -> None:
    """A machine that its provider took back, or ended, is told so, and not by what stopped working on it first."""
    seen = look(run, world, 0.0)
    if seen is not None:
        _must_be_alive(seen)


def _send_all(run: Run, guest: Guest, world: World) -> None:
    folder = world.run_folder(run.id)
    bundle = folder / "bundle.tar.gz"
    if fence.is_due(run, world):
        fence.hold(run, guest, world)
    guest.ship(bundle, (folder / "bundle.sha256").read_text().strip())
    checkpoint = checkpoints.newest_whole(folder / "checkpoints")  # a ledger that was put back may name an older one
    if checkpoint is not None:
        guest.restore(folder / "checkpoints" / checkpoint, checkpoint)
        text = f"going on from {checkpoint}"
        world.console.tell(Warned(run=run.id, at=world.now(), code="resumed", text=text))
    if run.shortened is not None:
        guest.shorten(run.shortened.last_step)
    guest.secrets(secrets_of(load(Request, world.ledger.request(run.id)), world))
    granting.grant(run, guest, world)
    _note_begun(run, world)
    guest.start()


def _note_begun(run: Run, world: World) -> None:
    """Before it works: who finds us dead must not end it as idle. Where that cannot be written it does not begin."""
    attempt, before = run.attempt, run.attempt.job_at
    attempt.job_at = before or world.now()
    try:
        world.ledger.save_attempt(run, attempt)
    except sqlite3.Error:
        attempt.job_at = before
        raise
