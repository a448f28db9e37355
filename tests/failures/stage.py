"""A laptop, real providers, and their test clouds over real HTTP, while time passes by hand: a row takes a second."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from launcher import flow, market, recover
from launcher.config import Config
from launcher.errors import LaunchError
from launcher.events import OfferRefused, Warned
from launcher.interrupt import Interrupt
from launcher.ledger import Ledger
from launcher.price import kept, terms
from launcher.receipt import Receipt
from launcher.request import Request
from launcher.run import Run, State
from launcher.world import Recorder, World
from pricing.offer import Offer
from pricing.plan import Plan, make_plan
from providers import registry
from providers.base import Instance, InstanceRequest, OfferQuery, Provider, Surroundings
from tests.cloud import world as clouds_world
from tests.cloud.aws import Aws
from tests.cloud.client import Cloud
from tests.cloud.clock import HandClock
from tests.cloud.faults import Fault
from tests.cloud.machine import Machine
from tests.cloud.serving import served
from tests.cloud.world import Event
from tests.failures.insides import Guests, Houses
from tests.fake_guest import Work
from tests.fake_world import HERE, DyingLedger, Heard, Killed, opened_run, workload

Answer = TypeVar("Answer")
AWS, LAMBDA, RUNPOD = "aws", "lambda", "runpod"
ALL = (AWS, LAMBDA, RUNPOD)
OWNER = "0123456789abcdef0123456789abcdef"
REGION = "us-east-1"
OPERATIONS = {
    "aws": {"create": "RunInstances", "list": "DescribeInstances", "get": "DescribeInstances",
            "terminate": "TerminateInstances"},
    "lambda": {"create": "lambda.launch", "list": "lambda.list", "get": "lambda.get", "terminate": "lambda.terminate"},
    "runpod": {"create": "runpod.create", "list": "runpod.list", "get": "runpod.get", "terminate": "runpod.delete"},
}  # fmt: skip
"""What each cloud calls our verbs."""
ENDS = ("ending", "terminated")
"""What the clouds say when a machine begins to end."""


def at(*names: str) -> pytest.MarkDecorator:
    """The providers to which a row applies."""
    return pytest.mark.parametrize("stage", names, indirect=True)


@dataclass(frozen=True, kw_only=True)
class Clouds:
    """The test clouds of this process, and where they listen."""

    world: clouds_world.World
    urls: dict[str, str]


@contextmanager
def opened_clouds() -> Iterator[Clouds]:
    """Until the block ends."""
    world = clouds_world.World(HandClock())
    with served(world, Aws(world)) as urls:
        yield Clouds(world=world, urls=urls)
    world.close()


class Hand:
    """The world's clock as the launcher takes it: sleeping passes the time of all clouds."""

    def __init__(self, world: clouds_world.World) -> None:
        self._world = world

    def __call__(self) -> datetime:
        return self._world.clock.now()

    def sleep(self, seconds: float) -> None:
        """Time passes, in all clouds."""
        self._world.pass_time(seconds)


class Stage:
    """One laptop; `name` is the provider that the run goes to, where `launch` is not told otherwise."""

    def __init__(self, clouds: Clouds, name: str, folder: Path) -> None:
        self.world, self.name, self.folder = clouds.world, name, folder
        self._urls = clouds.urls
        self.control = Cloud(clouds.urls, folder)
        self.clock = Hand(self.world)
        self.houses = Houses(self.world)
        self.guests = Guests(self.houses, self.clock, world=self.world)
        self.houses.over = self._lease_is_over
        self.heard = Heard()
        self.settings: dict[str, dict[str, object]] = {
            "aws": {"regions": [REGION], "checkip_url": f"{clouds.urls['aws']}/checkip", "ssh_port": 2222},
            "lambda": {"ssh_port": 2222},
            "runpod": {},
        }
        self.environ = {
            **self.control.environ("aws", "lambda", "runpod"),
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "LAUNCH_HOME": str(folder / "home"),
        }
        self.spawned: list[str] = []
        self.points: list[str] = []
        self.at_point: Callable[[str], None] = lambda name: None
        self.die_at: int | None = None
        self.dead = False
        self.second_look = False
        self.drifts = False
        """Whether the cloud breaks its own contract in this test, on purpose."""
        self.houses.before_call = lambda verb: self.point(f"before {verb}")
        self.houses.after_call = lambda verb: self.point(f"after {verb}")

    # What a test turns

    @property
    def knobs(self) -> Any:
        """Of the run's cloud."""
        return self.world.landlords[self.name].knobs

    @property
    def work(self) -> Work:
        """What the job does on machines that start it from now on."""
        return self.guests.work

    @work.setter
    def work(self, work: Work) -> None:
        self.guests.work = work

    def fault(self, verb: str, when: str, times: int = 1, **more: Any) -> Fault:
        """Plant a fault at one of our verbs ("create", "list", "get", "terminate") of the run's cloud."""
        operation = OPERATIONS[self.name].get(verb, verb)
        fault = Fault(operation=operation, when=when, times=times, **more)  # type: ignore[arg-type]  # checked by it
        self.world.faults.plant(fault)
        return fault

    def for_one_machine(self, **changes: Any) -> None:
        """Turn knobs of the run's cloud until the first machine ends."""
        before = {name: getattr(self.knobs, name) for name in changes}
        self.control.knobs(cloud=self.name, **changes)
        self.once(ENDS, lambda: self.world.set_knobs(self.name, before))

    def once(self, kinds: Collection[str], do: Callable[[], object]) -> None:
        """Do something at the first event of these kinds; the world is locked then, so that only it can be changed."""
        before = self.houses.on_event
        done: list[Event] = []

        def on_event(event: Event) -> None:
            if event.kind in kinds and not done:
                done.append(event)
                do()
            before(event)

        self.houses.on_event = on_event

    def later(self, seconds: float, do: Callable[[], object]) -> None:
        """Do something once so many seconds have passed; the world is locked then."""

        def then(at: float) -> None:
            del at
            do()

        self.world.at(self.world.clock.seconds() + seconds, then)

    def at_verb(self, point: str, do: Callable[[], object]) -> None:
        """Do something at the first such point ("before list", "after create") of our process."""
        before = self.at_point
        done: list[str] = []

        def on_point(name: str) -> None:
            before(name)
            if name == point and not done:
                done.append(name)
                do()

        self.at_point = on_point

    # What surrounds a process of ours

    def point(self, name: str) -> None:
        """A place where a process can be killed; a dead one gets no further than the next."""
        if self.dead:
            raise Killed
        self.points.append(name)
        self.at_point(name)
        if self.die_at is not None and len(self.points) > self.die_at:
            self.dead = True
            raise Killed

    def revive(self) -> None:
        """The person starts the program again: nobody kills it this time."""
        self.dead, self.die_at = False, None

    def laptop(self, *names: str) -> World:
        """A process of ours: its own interrupt, its own connection to the ledger, its own providers."""
        home = self.folder / "home"
        ledger, interrupt = DyingLedger(home / "ledger.sqlite", self.point), Interrupt()
        made: dict[str, Provider] = {}

        def provider(name: str) -> Provider:
            if name not in made:
                mortal = Mortal(registry.connect(name, self._around(name)), self.point, self.second_look)
                made[name] = cast("Provider", mortal)
            return made[name]

        return World(
            environ=self.environ,
            home=home,
            config=Config(),
            ledger=ledger,
            console=Recorder(self.heard, ledger),
            interrupt=interrupt,
            now=self.clock,
            sleep=lambda seconds: self._sleep(seconds, interrupt),
            provider_names=names or (self.name,),
            provider=provider,
            remote=self.guests.remote,
            feed=self.guests.feed,
            job_folder=self.folder,
            here=HERE,
            spawn=self.spawned.append,
            browse=lambda _: False,
        )

    def _around(self, name: str) -> Surroundings:
        return Surroundings(
            environ=self.environ, state_dir=self.folder / "home", owner_id=OWNER, now=self.clock,
            pause=self.world.pass_time, settings=self.settings[name],
        )  # fmt: skip

    def _sleep(self, seconds: float, interrupt: Interrupt) -> None:
        self.point("sleep")
        interrupt.check()
        self.clock.sleep(seconds)
        interrupt.check()

    def _lease_is_over(self, machine: str) -> None:
        """What the guest's own supervisor does before: it saves."""
        job = self.guests.started.get(machine)
        if job is not None:
            job.stop_at = job.stop_at or self.clock()

    # Runs

    def offers(self, world: World, request: Request) -> tuple[Offer, ...]:
        """The market now."""
        names = request.providers or world.provider_names
        return market.whole(names, market.query(request), world).offers

    def request(self, *, budget: str = "5", **said: Any) -> Request:
        """What a person asks for in these tests."""
        return Request(budget_usd=Decimal(budget), yes=True, accept_unguarded=True, **said)

    def open_run(self, world: World, *, budget: str = "5", **said: Any) -> Run:
        """A run that was priced and agreed to."""
        request = self.request(budget=budget, **said)
        return opened_run(world, kept(self.plan(world, request)), request, self.folder)

    def plan(self, world: World, request: Request) -> Plan:
        """As `launch` makes it."""
        found = market.whole(world.provider_names, market.query(request), world, with_funds=True)
        return make_plan(found.offers, workload(), terms(request, world, request.budget_usd, found))

    def launch(self, *names: str, **said: Any) -> Receipt:
        """A whole run, from the agreement to the receipt."""
        world = self.laptop(*names)
        return flow.carry(self.open_run(world, **said), world)

    def recover(self) -> Receipt | LaunchError | None:
        """What a person does after a crash: `launch reap`, then attach to what it took back."""
        self.revive()
        world = self.laptop()
        if any(record.state is State.PLANNED for record in world.ledger.unfinished()):
            self.clock.sleep(flow.BEGIN_SECONDS + 1)
        recover.reap(world)
        found: Receipt | LaunchError | None = None
        for run_id in dict.fromkeys(self.spawned):
            try:
                found = flow.attach(run_id, self.laptop())
            except LaunchError as error:
                found = error
        return found

    # What became of it

    def machines(self) -> list[Machine]:
        """All that ever were, oldest first."""
        return list(self.world.machines.values())

    def happened(self, kind: str) -> int:
        """How often the clouds told of something of that kind."""
        return sum(event.kind == kind for event in self.world.events[self.since :])

    @property
    def since(self) -> int:
        """Events of earlier tests of this process."""
        return self._since

    def begin(self) -> None:
        """From here on events count."""
        self._since = len(self.world.events)

    def states(self) -> list[State]:
        """Of all runs, as the ledger has them."""
        ledger = Ledger(self.folder / "home" / "ledger.sqlite")
        try:
            return [record.state for record in ledger.runs()]
        finally:
            ledger.close()

    def calls(self, operation: str) -> list[Any]:
        """What was sent for one operation, by the cloud's own name of it."""
        found: list[Any] = self.control.call("calls", operation=operation)
        return found

    def creates(self) -> int:
        """How many create calls were sent."""
        return len(self.calls(OPERATIONS[self.name]["create"]))

    def refusals(self) -> list[tuple[str, str]]:
        """(code, reason) of every choice that was refused."""
        return [(event.code, event.reason) for event in self.heard.of(OfferRefused)]

    def warnings(self) -> list[str]:
        """Codes of what was warned of."""
        return [event.code for event in self.heard.of(Warned)]

    def billed_usd(self) -> Decimal:
        """By the clouds' own meter."""
        return self.world.meter.total_usd(self.world.clock.seconds())

    def all_quiet(self, budget: str = "5") -> None:
        """Nothing is billed any more, nothing was ever doubled, and the ledger knows that it is over."""
        now = self.world.clock.seconds()
        assert self.world.meter.alive() == [], self.world.meter.alive()
        assert self.world.meter.peak(now) <= 1
        assert self.billed_usd() <= Decimal(budget)
        for record in Ledger(self.folder / "home" / "ledger.sqlite").runs():
            assert (record.state, record.open_intents) == (State.TERMINATED, 0), record


class Mortal:
    """A provider whose calls are places where the process may die, before them and after them."""

    def __init__(self, provider: Provider, point: Callable[[str], None], second_look: bool) -> None:
        self._provider, self._point, self.name = provider, point, provider.name
        self.second_look = second_look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def create(self, request: InstanceRequest) -> Instance:
        """See `Provider.create`."""
        return self._around("create", lambda: self._provider.create(request))

    def get(self, instance: Instance) -> Instance:
        """See `Provider.get`."""
        return self._around("get", lambda: self._provider.get(instance))

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """See `Provider.list`."""
        return self._around("list", lambda: self._provider.list(region))

    def still_there(self, instance: Instance) -> bool | None:
        """The second look starts a process of its own, for seconds: only where a row is about it."""
        return self._provider.still_there(instance) if self.second_look else None

    def terminate(self, instance: Instance) -> None:
        """See `Provider.terminate`."""
        self._around("terminate", lambda: self._provider.terminate(instance))

    def offers(self, wanted: OfferQuery) -> tuple[Offer, ...]:
        """See `Provider.offers`."""
        return self._provider.offers(wanted)

    def _around(self, verb: str, work: Callable[[], Answer]) -> Answer:
        self._point(f"before {verb}")
        answer = work()
        self._point(f"after {verb}")
        return answer
