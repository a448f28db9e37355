"""Plays one schedule from the agreement to quiescence, and says what the judge saw."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from launcher import flow
from launcher.errors import LaunchError
from launcher.events import Warned
from launcher.world import World
from providers.base import ProviderError
from tests.fake_world import Killed
from tests.soak.judge import Breach, Judge, machines_of
from tests.soak.schedule import Kind, Schedule
from tests.soak.storm import Endless, Storm, do

MEMORY = Path("/dev/shm")
MOST_LIVES = 8
COME_BACK_SECONDS = flow.BEGIN_SECONDS + 1


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a schedule came to."""

    seed: int
    fired: Counter[Kind]
    breaches: tuple[Breach, ...]
    share: float
    """Billed, as a share of the budget."""
    is_bound: bool
    """Whether a machine ended itself, or we never left it alone: then the budget is a bound without conditions."""
    points: int
    machines: tuple[str, ...]
    story: tuple[str, ...] = ()


def play(schedule: Schedule, *, tell: bool = False, at_point: Callable[[Storm], None] | None = None) -> Played:
    """The whole day. Deterministic: the same schedule comes to the same. `at_point` may look, wherever one can die."""
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=MEMORY if MEMORY.is_dir() else None))
    storm = Storm(folder, schedule)
    if at_point is not None:
        storm.at_point = lambda name: at_point(storm)
    judge = Judge(storm)
    try:
        with storm.disk.watched() if schedule.has(Kind.POWER_LOSS) else nullcontext():
            _Day(storm, judge).whole()
        story = tuple(_story(storm)) if tell else ()
        return Played(
            seed=schedule.seed, fired=storm.fired, breaches=tuple(judge.breaches), share=judge.share(),
            is_bound=judge.is_bound(),
            points=storm.count, machines=tuple(machines_of(storm)), story=story,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        providers = (storm.provider, *storm.others.values())
        _let_go(
            storm.site, storm.cloud, *providers, judge.kept, judge.ends.stored, judge.ends, judge, storm.disk, storm
        )


def _let_go(*things: object) -> None:
    """They hold one another, and would lie about until rubbish is looked for, which takes a twentieth of all time."""
    for one in things:
        vars(one).clear()


def _story(storm: Storm) -> list[str]:
    return [
        f"{(event.at - storm.began).total_seconds():9.0f} s  {type(event).__name__} {_words(event)}"
        for event in storm.heard.events
        if type(event).__name__ not in ("Progressed", "Forecast")
    ]


def _words(event: object) -> str:
    names = ("state", "code", "text", "reason", "what", "nonce")
    return " ".join(str(getattr(event, name)) for name in names if getattr(event, name, ""))


class _Day:
    """One laptop's life on that day: a process, its death, the next, and the end."""

    def __init__(self, storm: Storm, judge: Judge) -> None:
        self.storm, self.judge, self.day = storm, judge, storm.schedule

    def whole(self) -> None:
        """From the agreement on, until nothing happens any more."""
        try:
            self._live()
            self._calm_down()
        except Endless:
            self.judge.breach("R0", "it goes on for ever")
            self.storm.calm()
        self.judge.at_the_end()

    def _live(self) -> None:
        self._process(lambda world: flow.carry(self.storm.open_first(world), world, is_new=True))
        left = self.day.resumes
        for life in range(MOST_LIVES):
            if not self.storm.dead:
                if not left or Kind.DISK_FULL_HERE in self.storm.until:
                    return
                left -= 1
                self._process(self._resume)
                continue
            self.storm.after_death()
            self.judge.at_death()
            if self.storm.is_gone:
                return
            gap = self.day.gaps_seconds[life % len(self.day.gaps_seconds)] if self.day.gaps_seconds else 0.0
            self.storm.absent_seconds += gap
            self.storm.clock.sleep(gap)
            self.storm.revive()
            how = self.day.returns[life % len(self.day.returns)] if self.day.returns else "reap"
            self.storm.listens = how == "stop"
            self._process(partial(self._come_back, how))

    def _come_back(self, how: str, world: World) -> object:
        found = do(how, world, self.storm.run_id)
        self.storm.told(found)
        return self._carried_on() if how == "reap" else found

    def _resume(self, world: World) -> object:
        """What a person allows is what counts from the moment at which they do."""
        before = self.storm.budget_usd
        self.storm.budget_usd = before * 3 / 2
        heard = len(self.storm.heard.events)
        self.storm.lay_keys()
        try:
            return do(f"resume {self.storm.budget_usd}", world, self.storm.run_id)
        finally:
            new = self.storm.heard.events[heard:]
            if not any(isinstance(one, Warned) and one.code == "new-budget" for one in new):
                self.storm.budget_usd = before

    def _carried_on(self) -> object:
        """What `reap` took back is carried by processes of its own."""
        found: object = None
        while self.storm.spawned:
            world = self._world()
            with closing(world.ledger):
                found = flow.attach(self.storm.spawned.pop(), world)
        return found

    def _world(self) -> World:
        self.storm.world = self.storm.laptop()
        return self.storm.world

    def _process(self, act: Callable[[World], object]) -> None:
        """One process of ours, from its start to its end; what it tells is judged."""
        self.storm.spawned.clear()
        world = self._world()
        try:
            self.judge.told(act(world))
        except LaunchError as error:
            self.storm.errors.append(error)
        except (Killed, ProviderError):
            pass
        except Exception as error:
            self.judge.crashed(error)
        finally:
            self.storm.world = None
            world.ledger.close()

    def _calm_down(self) -> None:
        """Faults are over: where somebody is left `reap` is run once; elsewhere the guards' time passes."""
        storm = self.storm
        storm.calm()
        ends_itself = self.day.all_guarded and not storm.fired[Kind.UNARMED]
        if ends_itself and (storm.is_gone or not self.day.reaps):
            ends = [one.dead_at for one in storm.cloud.alive() if one.dead_at is not None]
            left_seconds = max(((end - storm.clock()).total_seconds() for end in ends), default=0) + 1
            storm.clock.sleep(left_seconds)
            storm.absent_seconds += left_seconds  # a twin that nobody knows of lives as long as its own guard lets it
            return
        storm.clock.sleep(COME_BACK_SECONDS)
        storm.absent_seconds += COME_BACK_SECONDS
        began, before = storm.clock(), len(storm.cloud.calls)
        self._process(self._reap)
        storm.offset = timedelta()
        self.judge.has_reaped = True
        calls = sum(verb != "remote" for verb in storm.cloud.calls[before : self.reap_ended])
        self.judge.reaped(calls, self.reap_seconds(began.timestamp()))

    reap_ended = 0
    reap_at = 0.0

    def reap_seconds(self, began: float) -> float:
        """How long the last `reap` took."""
        return self.reap_at - began

    def _reap(self, world: World) -> object:
        found = do("reap", world, self.storm.run_id)
        self.storm.told(found)
        self.reap_ended, self.reap_at = len(self.storm.cloud.calls), self.storm.clock().timestamp()
        self._carried_on()
        return found
