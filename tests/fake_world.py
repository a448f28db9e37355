"""A world in memory for the launcher's tests: virtual time, a lying cloud, simulated guests, a real SQLite ledger."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from launcher import codec, flow, on_disk, recover, resuming
from launcher.config import Config
from launcher.errors import Exit, LaunchError
from launcher.events import Happened
from launcher.history import corrections
from launcher.interrupt import Interrupt
from launcher.ledger import Ledger
from launcher.place import Place
from launcher.price import kept
from launcher.receipt import Receipt
from launcher.request import Request
from launcher.run import Run, State
from launcher.world import Recorder, World
from pricing.offer import Market, Offer
from pricing.plan import Plan, make_plan
from pricing.terms import Terms
from pricing.workload import Method, ModelShape, Workload
from providers.base import Traits
from tests.fake_bucket import FakeBucket, Storing
from tests.fake_guest import Site, Work
from tests.fake_machine import VirtualClock, fake_offer, fake_traits
from tests.fake_provider import FakeCloud, FakeProvider

SHAPE = ModelShape(
    name="mistral-7b", parameters=7_248_023_552, hidden=4096, layers=32, heads=32, kv_heads=8, intermediate=14336,
    vocabulary=32768, tied_embeddings=False, source="test",
)  # fmt: skip


FIRST_RUN = "brave-otter-0001"
HERE = Place(id="1e55", host="laptop")


def workload() -> Workload:
    """A small run of a 7B model: about a quarter of an hour on an A10G."""
    return Workload(
        shape=SHAPE, method=Method.QLORA, lora_rank=16, lora_parameters=6_815_744, examples=200,
        tokens_per_epoch=50_000, longest_tokens=400, epochs=1.0, max_length=512, micro_batch=4, accumulation=1,
        evaluated_examples=50, evaluated_new_tokens=64, arms=2, download_gib=13.5, shipped_gib=0.001,
        result_gib=0.03, tokens_are="counted",
    )  # fmt: skip


Kind = TypeVar("Kind", bound=Happened)


@dataclass
class Heard:
    """A console that remembers."""

    events: list[Happened] = field(default_factory=list)
    failures: list[LaunchError] = field(default_factory=list)
    answer: bool | None = True

    def tell(self, event: Happened) -> None:
        self.events.append(event)

    def fail(self, error: LaunchError, run: str) -> None:
        self.failures.append(error)

    def ask(self, question: str, *, default: bool) -> bool | None:
        return self.answer

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


@cache
def _empty_books() -> bytes:
    """A ledger's file with all its tables and no row: to make them is the most that a new laptop does."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        Ledger(path).close()
        return path.read_bytes()


def lay_books(path: Path) -> None:
    """Where there is no ledger yet: the file as the real one makes it; on a full disk it shall try that itself."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        path.write_bytes(_empty_books())
    except OSError:
        path.unlink(missing_ok=True)


class Killed(BaseException):
    """This process is dead: nothing in it runs any more."""


class Stage:
    """One laptop and one cloud; `laptop()` is a fresh process of ours on the same disk."""

    def __init__(self, folder: Path, offers: tuple[Offer, ...] | None = None, traits: Traits | None = None) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.now: Callable[[], datetime] = self.clock
        """What this laptop holds for the time."""
        self.cloud = FakeCloud(self.clock)
        self.offers = offers or (fake_offer(), fake_offer("f1.large", usd="0.80", market=Market.ON_DEMAND))
        self.provider: FakeProvider = self.cloud.provider("fake", self.offers, traits=traits or fake_traits())
        self.others: dict[str, FakeProvider] = {}
        self.site = Site(self.cloud, self.clock)
        self.storing: Storing | None = None
        self.heard = Heard()
        self.workload = workload()
        self.spawned: list[str] = []
        self.browsed: list[Path] = []
        self.next_run = FIRST_RUN
        self.die_at: int | None = None
        self.points: list[str] = []
        self.at_point: Callable[[str], None] = nobody_looks
        self.dead = False
        self.cloud.before_call = lambda verb: self.point(f"before {verb}")
        self.cloud.after_call = lambda verb: self.point(f"after {verb}")

    def also(self, name: str, *offers: Offer, traits: Traits | None = None) -> FakeProvider:
        """One more provider, of the same cloud in memory."""
        self.others[name] = self.cloud.provider(name, offers or self.offers, traits=traits or fake_traits())
        return self.others[name]

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

    def laptop(self) -> World:
        """A process of ours: a new interrupt and a new connection to the ledger on the same disk."""
        home = self.folder / "home"
        ledger = self.ledger(home / "ledger.sqlite")
        return World(
            environ={},
            home=home,
            config=Config(),
            ledger=ledger,
            console=Recorder(self.heard, ledger),
            interrupt=Interrupt(),
            now=self.now,
            sleep=self._sleep,
            provider_names=("fake", *self.others),
            provider=lambda name: self.others.get(name, self.provider),
            remote=self.site.remote,
            feed=self.site.feed,
            job_folder=self.folder,
            here=HERE,
            spawn=self.spawned.append,
            browse=self.browse,
            bucket=None if self.storing is None else self._bucket,
        )

    def with_store(self) -> FakeBucket:
        """From now on this laptop has a durable store, and machines use what it grants."""
        self.storing = Storing(FakeBucket(self.clock), self.site, self.cloud, self.clock)
        return self.storing.bucket

    def _bucket(self) -> FakeBucket:
        assert self.storing is not None
        return self.storing.bucket

    def ledger(self, path: Path) -> Ledger:
        """The books as one process opens them."""
        return DyingLedger(path, self.point)

    def browse(self, page: Path) -> bool:
        """A person's browser, that remembers what it was shown."""
        self.browsed.append(page)
        return True

    def _sleep(self, seconds: float) -> None:
        self.point("sleep")
        self.clock.sleep(seconds)

    def open_run(self, world: World, *, budget: str = "5", deadline_seconds: float | None = None, **said: Any) -> Run:
        """A run that was priced and agreed to, as `flow.open_run` leaves it."""
        request = Request(budget_usd=Decimal(budget), yes=True, deadline_seconds=deadline_seconds, **said)
        everyone = {"fake": self.provider, **self.others}
        delays = {name: provider.traits.guard_delay_seconds for name, provider in everyone.items()}
        terms = Terms(
            budget_usd=Decimal(budget), tax_fraction=Decimal(0), now=world.now(), deadline_seconds=deadline_seconds,
            accept_unguarded=True, interactive=False, guard_delay_seconds=delays,
            durable_store=self.storing is not None,
            corrections=corrections(world),
        )  # fmt: skip
        catalogue = tuple(one for provider in everyone.values() for one in provider.catalogue)
        plan = _planned(_Asked(catalogue, self.workload, terms))
        return opened_run(world, plan, request, self.folder, run_id=self.next_run)

    def launch(self, **said: Any) -> Receipt:
        """A whole run, from the agreement to the receipt."""
        world = self.laptop()
        return flow.carry(self.open_run(world, **said), world, is_new=True)

    def resume(self, run_id: str, budget: str | Decimal, **said: Any) -> Receipt:
        """`launch resume`, agreed to."""
        receipt = resuming.resume(run_id, Request(budget_usd=Decimal(budget), yes=True, **said), self.laptop())
        assert receipt is not None
        return receipt

    def kill(self) -> None:
        """Die here and now."""
        self.dead = True
        raise Killed

    def recover(self, *, revived: bool = True) -> Receipt | LaunchError | None:
        """What a person does after a crash: `launch reap`, then attach to what it took back."""
        if revived:
            self.revive()
        world = self.laptop()
        if any(record.state is State.PLANNED for record in world.ledger.unfinished()):
            self.clock.sleep(flow.BEGIN_SECONDS + 1)
        recover.reap(world)
        results: Receipt | LaunchError | None = None
        for run_id in dict.fromkeys(self.spawned):
            try:
                results = flow.attach(run_id, self.laptop())
            except LaunchError as error:
                results = error
        return results

    def all_quiet(self) -> None:
        """Nothing is billed any more, nothing was ever doubled, and the ledger knows that it is over."""
        assert self.cloud.alive() == (), [one.id for one in self.cloud.alive()]
        assert self.cloud.most_at_once("brave-otter-0001") <= 1
        for record in Ledger(self.folder / "home" / "ledger.sqlite").runs():
            assert record.state is State.TERMINATED, record
            assert record.open_intents == 0, record


def nobody_looks(name: str) -> None:
    """What happens at a place to die, where a test wants nothing."""


class _Asked:
    """What a plan is made of; two that say the same are the same."""

    def __init__(self, catalogue: tuple[Offer, ...], workload: Workload, terms: Terms) -> None:
        self.catalogue, self.workload, self.terms = catalogue, workload, terms
        self._text = repr((catalogue, workload, terms))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@lru_cache(maxsize=16_384)  # two thirds of the bad days begin as one that was played before
def _planned(asked: _Asked) -> Plan:
    """Many days begin with the same market, and a plan is a value that nobody changes."""
    return kept(make_plan(asked.catalogue, asked.workload, asked.terms))


def opened_run(world: World, plan: Plan, request: Request, folder: Path, *, run_id: str = FIRST_RUN) -> Run:
    """A run in the ledger, with a bundle that holds nothing; results go below `folder`."""
    now, seconds = world.now(), request.deadline_seconds
    run = Run(
        id=run_id, name="test", created_at=now, budget_usd=request.budget_usd,
        deadline_at=None if seconds is None else now + timedelta(seconds=seconds),
        out_dir=folder / "runs" / run_id, state=State.PLANNED,
    )  # fmt: skip
    own = world.run_folder(run.id)
    own.mkdir(parents=True)
    (own / "bundle.tar.gz").write_bytes(b"bundle")
    (own / "bundle.sha256").write_text(hashlib.sha256(b"bundle").hexdigest())
    (own / "settings.json").write_text(json.dumps({"model": "someone/model", "revision": None}))
    on_disk.sync(own, world.home)
    world.ledger.open_run(run, request=codec.dump(request), plan=codec.dump(plan))
    return run


WRITES = (
    "open_run", "advance", "end", "note_ending", "open_attempt", "close_intent", "save_attempt", "save_answered",
    "note_checkpoint", "note_plan", "note_receipt", "reopen", "undo_reopening",
)  # fmt: skip


class DyingLedger(Ledger):
    """The real ledger; every write is a place to die, before it and after it."""

    def __init__(self, path: Path, point: Callable[[str], None], writes: tuple[str, ...] = WRITES) -> None:
        lay_books(path)
        super().__init__(path)
        for name in writes:
            setattr(self, name, _dying(getattr(self, name), name, point))


def _dying(write: Callable[..., object], name: str, point: Callable[[str], None]) -> Callable[..., object]:
    before, after = f"before {name}", f"after {name}"

    def dying(*words: object, **named: object) -> object:
        point(before)
        answer = write(*words, **named)
        point(after)
        return answer

    return dying


__all__ = ["Exit", "Heard", "Killed", "Stage", "Work", "workload"]
