"""After a death: open intents are settled, machines without an owner are ended, runs that still work are taken back."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields, replace

from launcher import durable, fence, flow, store_reaping, twins
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.intents import adopt, look_for_machine
from launcher.lock import is_carried
from launcher.receipt import Receipt
from launcher.records import RunRecord
from launcher.run import Ending, Outcome, Run, State
from launcher.strays import end_late, end_machines
from launcher.world import World
from providers.base import Instance, InstanceState, Leftover, NoCredentials, Provider, ProviderError

WORKING = (State.RUNNING, State.PULLING)
"""States in which a machine does useful work, or has results that only it holds."""
OVERDUE_SECONDS, OVERDUE_SHARE = 900.0, 0.05
"""How long after the deadline that a machine carries, at least and as a part of its life, it counts as left behind: the
deadline was counted at the worst rate, and a run billed at the planned one may go on a little longer in its budget."""


@dataclass(frozen=True, kw_only=True)
class Reaped:
    """What `reap` found and did."""

    ended: tuple[Instance, ...] = ()
    taken_back: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    leftovers_removed: tuple[str, ...] = ()
    leftovers_left: tuple[str, ...] = ()
    """What could not be removed yet, whether it costs money, and why not."""
    still_there: tuple[Instance, ...] = ()
    unknown: tuple[str, ...] = ()
    """Providers that could not be asked, and machines that do not say when they should end, in words."""
    asked: tuple[str, ...] = ()
    """Providers that told us what is there."""
    not_used: tuple[str, ...] = ()
    """Providers without credentials, where no run of ours can have a machine."""


def settle_open(world: World) -> None:
    """What every command that talks to a cloud does first: one look after each run that nobody carries.

    A run whose job may be running is only named: it works within its budget, and its machine ends itself. One that died
    on the way there is ended. A call whose answer got lost stays open until the settle window has passed.
    """
    for record in world.ledger.unfinished():
        if _somebody_carries(record.id, world):
            continue
        run = _taken_up(record.id, world)
        if flow.only_begins(run, world):
            continue
        if run.state in WORKING:
            _tell(run, "unwatched", _unwatched(run, world), world)
        elif _still_open(run, world):
            _tell(
                run,
                "maybe-running",
                f"{run.id}: it is not yet certain whether a machine was created; asking again later",
                world,
            )
        else:
            _end(run, world)
    end_late(world)


def _somebody_carries(run_id: str, world: World) -> bool:
    """A process here, or on another computer."""
    return is_carried(world.run_folder(run_id)) or fence.elsewhere(run_id, world) is not None


def _taken_up(run_id: str, world: World) -> Run:
    """The run, whose job may work although who started it died before that was written down: then it is now."""
    run = world.ledger.load(run_id)
    if run.state is State.SHIPPING and run.may_work:
        world.ledger.advance(run, State.RUNNING, world.now())
    return run


def _unwatched(run: Run, world: World) -> str:
    if world.now() < run.attempt.deadline:
        return f"{run.id} runs without anybody watching: launch attach {run.id}"
    return f"{run.id} was left unwatched until its machine's time was over: launch attach {run.id}, or launch reap"


def _still_open(run: Run, world: World) -> bool:
    """One look after an open create call; True while the answer is still open."""
    if not world.ledger.open_intents(run.id) or run.attempt.instance is not None:
        return False
    try:
        return not look_for_machine(run, run.attempt, world) and run.attempt.gone_at is None
    except ProviderError:
        return True


DIED = Ending(outcome=Outcome.LOST, why="the process that carried it died before the job ran", code="died")
UNWATCHED = Ending(outcome=Outcome.LOST, why="nobody watched it, and its machine's time is over", code="unwatched")
STOPPED = Ending(outcome=Outcome.CANCELLED, why="stopped, as asked", code="cancelled")


def _end(run: Run, world: World, ending: Ending = DIED) -> Receipt | None:
    """Take a dead run to its end; a run that never had a machine just closes. Never to another machine."""
    try:
        return flow.carry(run, world, ending=ending)
    except LaunchError as error:
        if error.exit_code is Exit.MAY_BE_RUNNING:
            raise
        return None


def reap(world: World, names: tuple[str, ...] = ()) -> Reaped:
    """End what should not run, take back what should, at every provider or at those named; ledger or not."""
    found = [_asked(name, world, is_named=bool(names)) for name in names or world.provider_names]
    troubles = [_close_book(record, world, names) for record in world.ledger.unfinished()]
    if world.ledger.left_open():
        end_late(world)
    removed, left = store_reaping.reap(world)
    found.append(Reaped(leftovers_removed=tuple(removed), left_alone=(*_waiting(found, world), *left)))
    trouble = next((one for one in troubles if one is not None), None)
    if trouble is not None:
        raise trouble
    return _all_of(found)


def _waiting(found: list[Reaped], world: World) -> Iterator[str]:
    """Runs whose work may go on, and of which no machine was listed: to rent another is for a person to say."""
    whole = _all_of(found)
    told = {*whole.taken_back, *(line.partition(":")[0] for line in whole.left_alone)}
    there = {machine.run_id for machine in whole.still_there}
    for record in world.ledger.unfinished():
        is_asked = record.provider in whole.asked and record.state in WORKING
        if is_asked and record.id not in told | there and not _somebody_carries(record.id, world):
            yield f"{record.id}: {record.provider} lists no machine of it (launch attach goes on, launch stop ends it)"


def _all_of(parts: list[Reaped]) -> Reaped:
    names = [one.name for one in fields(Reaped)]
    return Reaped(**{name: tuple(one for part in parts for one in getattr(part, name)) for name in names})


def _asked(name: str, world: World, *, is_named: bool) -> Reaped:
    """No credentials, and nothing of ours there as far as we know: then there is nobody to ask, and nothing wrong."""
    try:
        provider = world.provider(name)
        machines = provider.list()
    except NoCredentials as error:
        if is_named or name in _providers_in_use(world):
            return Reaped(unknown=(f"{name}: {error.text}",))
        return Reaped(not_used=(name,))
    except ProviderError as error:
        return Reaped(unknown=(f"{name}: {error.text}",))
    return _reap_at(provider, machines, world)


def _providers_in_use(world: World) -> set[str]:
    """Where a run that has not ended may have a machine."""
    runs = [world.ledger.load(record.id) for record in world.ledger.unfinished()]
    return {attempt.offer.provider for run in runs for attempt in run.attempts if attempt.gone_at is None}


def reap_overdue(world: World, names: tuple[str, ...] = ()) -> Reaped:
    """The guard on another machine, which knows no ledger: ends what is past the deadline that it carries, that alone.

    Only where nothing else ends it: elsewhere the machine's own deadline may have been moved by who carries the run.
    """
    return _all_of([_overdue_at(name, world, is_named=bool(names)) for name in names or world.provider_names])


def _overdue_at(name: str, world: World, *, is_named: bool) -> Reaped:
    try:
        provider = world.provider(name)
        if provider.traits.guarded or not provider.traits.bills:
            return Reaped(left_alone=(f"{name}: its machines end themselves",) if is_named else ())
        machines = provider.list()
    except NoCredentials as error:
        return Reaped(unknown=(f"{name}: {error.text}",)) if is_named else Reaped(not_used=(name,))
    except ProviderError as error:
        return Reaped(unknown=(f"{name}: {error.text}",))
    overdue, alone, unknown = [], [], []
    for machine in machines:
        if machine.deadline is None:
            unknown.append(f"{name}: {machine.id} does not say when it should end: only its own computer can tell")
        elif why := _why_not_overdue(machine, world):
            alone.append(f"{machine.run_id}: {machine.id} {why}")
        else:
            overdue.append(machine)
    ended, there = _ended(provider, overdue, world)
    return Reaped(asked=(name,), ended=ended, still_there=there, left_alone=tuple(alone), unknown=tuple(unknown))


def _ended(
    provider: Provider, machines: list[Instance], world: World
) -> tuple[tuple[Instance, ...], tuple[Instance, ...]]:
    """Those that ended, and those that did not."""
    gone = list(zip(machines, end_machines(provider, machines, world), strict=True))
    for one in (one for one, is_gone in gone if is_gone):
        _unlist(one, world)
    return tuple(one for one, is_gone in gone if is_gone), tuple(one for one, is_gone in gone if not is_gone)


def _unlist(machine: Instance, world: World) -> None:
    """It was listed before it ended, and is no risk any more: the exposure cap counts what was listed last."""
    for region in ("", machine.region):
        seen = world.ledger.sightings.listing(machine.provider, region)
        if seen is not None and any(one.id == machine.id for one in seen.machines):
            left = tuple(one for one in seen.machines if one.id != machine.id)
            world.ledger.sightings.keep_listing(machine.provider, region, replace(seen, machines=left))


def _why_not_overdue(machine: Instance, world: World) -> str:
    assert machine.deadline is not None
    life_seconds = (machine.deadline - machine.created_at).total_seconds()
    over_seconds = (world.now() - machine.deadline).total_seconds()
    is_overdue = over_seconds > max(OVERDUE_SECONDS, OVERDUE_SHARE * life_seconds)
    return "" if is_overdue else f"may run until {machine.deadline:%H:%M} UTC"


def _reap_at(provider: Provider, machines: tuple[Instance, ...], world: World) -> Reaped:
    for open_one in world.ledger.unfinished():
        if not _somebody_carries(open_one.id, world):
            _taken_up(open_one.id, world)
    known = {record.id: record for record in world.ledger.runs()}
    home, back, alone, strays = [], [], [], []
    for machine in machines:
        record = known.get(machine.run_id)
        _recognise(record, machine, world)
        if host := _host_elsewhere(record, machine, world):
            alone.append(f"{machine.run_id}: {machine.id} is carried by {host} (launch attach --take-over takes it)")
        elif record is not None and is_carried(world.run_folder(record.id)) and not _is_over(machine, world):
            alone.append(f"{machine.run_id}: {machine.id} is watched by another process")
        elif record is not None and _works(record, machine, world):
            world.spawn(record.id)
            back.append(record.id)
        elif _brought_home(record, machine, world):
            home.append(machine)
        else:
            strays.append(machine)
            _count_twin(record, machine, world)
    for machine in strays:
        if machine.run_id not in known:
            _tell_unknown(machine, world)
    ended, there = _ended(provider, strays, world)
    removed, left = _remove_leftovers(provider, {*back, *(line.split(":")[0] for line in alone)})
    return Reaped(
        asked=(provider.name,),
        ended=(*home, *ended),
        taken_back=tuple(back),
        left_alone=tuple(alone),
        still_there=there,
        leftovers_removed=removed,
        leftovers_left=left,
    )


def _tell_unknown(machine: Instance, world: World) -> None:
    """Before it is ended, which may take minutes: no books say later what went with it, if we die meanwhile."""
    text = f"{machine.id} ({machine.provider}) is of {machine.run_id}, which is not in these books: ending it"
    world.console.tell(Warned(run=machine.run_id, at=world.now(), code="unknown-machine", text=text))


def _host_elsewhere(record: RunRecord | None, machine: Instance, world: World) -> str:
    """The computer that carries a machine's run, where that is another one, and was heard of lately; else ""."""
    if machine.run_id in world.taken_over:
        return ""
    seen = (fence.elsewhere(record.id, world) if record else None) or fence.marked_elsewhere(machine, world)
    return "" if seen is None else seen.host or "another computer"


def _recognise(record: RunRecord | None, machine: Instance, world: World) -> None:
    """The machine of a create call whose answer was lost: known by its id, its end is read instead of waited for."""
    if record is None or record.state is State.TERMINATED or _somebody_carries(record.id, world):
        return
    run = world.ledger.load(record.id)
    if run.attempts and run.attempt.instance is None and run.attempt.nonce == machine.nonce:
        adopt(run, run.attempt, machine, world)


def _count_twin(record: RunRecord | None, machine: Instance, world: World) -> None:
    """It is ended here, and its run's books know only the other machine of the call that was delivered twice."""
    if record is None or record.state is State.TERMINATED:
        return
    run = world.ledger.load(record.id)
    known = run.attempt.instance if run.attempts else None
    if known is not None and run.attempt.nonce == machine.nonce and known.id != machine.id:
        with suppress(sqlite3.Error):  # a full disk must not keep a machine
            twins.count(run, run.attempt, machine, world)


def _is_over(machine: Instance, world: World) -> bool:
    """Whether its attempt was held to be gone, or never to have been: who carries the run will not end it soon."""
    attempts = world.ledger.load(machine.run_id).attempts
    return any(one.nonce == machine.nonce and one.gone_at is not None for one in attempts)


def _works(record: RunRecord, machine: Instance, world: World) -> bool:
    """Whether this machine does a run's work inside its budget, so that it may go on: who takes it up looks closer."""
    return _is_at_work(record, machine, world) and world.now() < world.ledger.load(record.id).attempt.deadline


def _may_hold_results(record: RunRecord, machine: Instance, world: World) -> bool:
    """Its time is over, and it is there: what it worked out may be nowhere else."""
    return _is_at_work(record, machine, world) and not is_carried(world.run_folder(record.id))


def _is_at_work(record: RunRecord, machine: Instance, world: World) -> bool:
    """Whether it is the machine of a run that worked, and not known to be over; a state may have a new name."""
    if record.state not in WORKING or machine.state not in (
        InstanceState.PENDING,
        InstanceState.RUNNING,
        InstanceState.UNKNOWN,
    ):
        return False
    run = world.ledger.load(record.id)
    return bool(run.attempts) and run.attempt.nonce == machine.nonce


def _brought_home(record: RunRecord | None, machine: Instance, world: World) -> bool:
    """Save, pull, end, as whoever carried it would have done, and no other machine; False: it is still to be ended."""
    if record is None or not _may_hold_results(record, machine, world):
        return False
    world.ledger.ask_stop(record.id, "save")
    try:
        flow.carry(world.ledger.load(record.id), world)
    except LaunchError as error:
        return error.exit_code is not Exit.MAY_BE_RUNNING and _is_closed(record, world)
    return True


def _is_closed(record: RunRecord, world: World) -> bool:
    return world.ledger.load(record.id).state is State.TERMINATED


def _remove_leftovers(provider: Provider, in_use: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What lay about beside machines of ours: what is removed, and what is not."""
    removed, left = [], []
    try:
        remains: tuple[Leftover, ...] = provider.leftovers()
    except ProviderError as error:
        return (), (f"unknown: {provider.name} did not say what lies about ({error.text})",)
    for one in remains:
        name = f"{one.kind} {one.id} ({f'{one.provider} {one.region}'.strip()})"
        if one.run_id in in_use:
            continue
        try:
            provider.remove(one)
        except ProviderError as error:
            left.append(f"{name}, {'billed' if one.billed else 'costs nothing'}: {error.text}")
        else:
            removed.append(name)
    return tuple(removed), tuple(left)


def _close_book(record: RunRecord, world: World, names: tuple[str, ...]) -> LaunchError | None:
    """A run that the ledger holds open, and that nobody carries: proven and settled, unless its machine works."""
    run = world.ledger.load(record.id)
    if names and run.attempts and run.attempt.offer.provider not in names:
        return None
    if _somebody_carries(record.id, world) or flow.only_begins(run, world):
        return None
    run = _taken_up(record.id, world)  # also where its cloud did not answer, so that nobody looked at its machine
    if run.state in WORKING and run.attempts and world.now() < run.attempt.deadline and not durable.is_over(run, world):
        return None
    try:
        _end(run, world, UNWATCHED if run.state in WORKING else DIED)
    except LaunchError as error:
        return error
    return None


def stop(run_id: str, world: World, *, now: bool, gone: bool = False) -> Receipt | None:
    """Stop a run: by whoever carries it (None: it was asked), else by ourselves.

    `gone`: a person vouches that its machine is not there, which the key that is set now could not show.
    """
    if run_id not in world.taken_over:
        fence.must_be_free(run_id, world)
    world.ledger.ask_stop(run_id, "now" if now else "save")
    is_held = is_carried(world.run_folder(run_id))
    run = world.ledger.load(run_id) if is_held else _taken_up(run_id, world)
    if run.state is State.TERMINATED or is_held:
        return None
    for attempt in [one for one in run.attempts if gone and one.gone_at is None]:
        attempt.account = ""
        world.ledger.save_attempt(run, attempt)
    return flow.carry(run, world) if run.state in WORKING else _end(run, world, STOPPED)


def _tell(run: Run, code: str, text: str, world: World) -> None:
    world.console.tell(Warned(run=run.id, at=world.now(), code=code, text=text))
