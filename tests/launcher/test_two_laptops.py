"""Two computers and one run: a ledger that was copied, a folder on a disk of the network, a laptop that slept."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from launcher import fence, flow, place, recover, seen
from launcher.boot import connect, guest_of
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.ledger import Ledger
from launcher.place import Place
from launcher.run import Outcome, State
from launcher.world import World
from tests.fake_world import FIRST_RUN, HERE, Killed, Stage, Work

DESK = Place(id="2e55", host="desk")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def desk(stage: Stage, home: Path, *, take: bool = False) -> World:
    """A process on another computer, with that state folder."""
    world = replace(stage.laptop(), home=home, here=DESK, ledger=Ledger(home / "ledger.sqlite"))
    return replace(world, taken_over=(FIRST_RUN,)) if take else world


def copied(stage: Stage, *, signs: bool = False) -> Path:
    """The state folder as a backup of this moment has it; without signs of life, as one of an hour ago."""
    home = stage.folder / "copy"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(stage.folder / "home", home)
    if not signs:
        (home / "runs" / FIRST_RUN / place.SIGN).unlink(missing_ok=True)
    return home


def when(stage: Stage, state: State, do: Callable[[], None], *, verb: str = "remote") -> None:
    """Once, at the first call of that kind while the run is in that state."""
    before = stage.cloud.before_call

    def at(called: str) -> None:
        before(called)
        if called == verb and Ledger(stage.folder / "home" / "ledger.sqlite").load(FIRST_RUN).state is state:
            stage.cloud.before_call = before
            do()

    stage.cloud.before_call = at


def holds(world: World) -> None:
    """The first thing that a process does there which takes the run up."""
    run = world.ledger.load(FIRST_RUN)
    assert run.attempt.instance is not None
    fence.hold(run, guest_of(run, connect(run, run.attempt.instance, world)), world)


def refusal(act: Callable[[], object]) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        act()
    return caught.value


def test_a_second_computer_with_a_copy_of_the_ledger_is_told_who_carries_the_run(stage: Stage) -> None:
    told: list[LaunchError] = []
    when(stage, State.RUNNING, lambda: told.append(refusal(lambda: flow.attach(FIRST_RUN, desk(stage, copied(stage))))))
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert (told[0].code, told[0].exit_code) == ("carried-elsewhere", Exit.USAGE)
    assert "is carried by laptop since 12:00 UTC" in told[0].message
    assert "--take-over" in told[0].hint
    stage.all_quiet()


@pytest.mark.parametrize("how", ["stop", "stop now", "reap", "settle"])
def test_nothing_that_a_second_computer_does_ends_the_machine_of_the_first(stage: Stage, how: str) -> None:
    def act() -> None:
        world = desk(stage, copied(stage))
        if how == "reap":
            found = recover.reap(world)
            assert found.ended == ()
            assert refusal(lambda: flow.attach(FIRST_RUN, desk(stage, stage.folder / "copy"))).code
        elif how == "settle":
            recover.settle_open(world)
        else:
            refusal(lambda: recover.stop(FIRST_RUN, world, now=how == "stop now"))

    when(stage, State.RUNNING, act)
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


@pytest.mark.parametrize("state", [State.PROVISIONING, State.BOOTING, State.SHIPPING])
def test_a_run_on_its_way_is_left_alone_by_a_computer_that_shares_its_folder(stage: Stage, state: State) -> None:
    """As on a disk of the network, where the kernel's lock does not reach."""
    verb = {State.PROVISIONING: "create", State.BOOTING: "list"}.get(state, "remote")

    def act() -> None:
        world = desk(stage, copied(stage, signs=True))
        recover.settle_open(world)
        recover.reap(world)
        assert refusal(lambda: flow.attach(FIRST_RUN, world)).code == "carried-elsewhere"

    when(stage, state, act, verb=verb)
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    assert stage.cloud.calls.count("create") == 1


def test_who_takes_a_run_over_ends_it_and_the_first_one_lets_go_of_all(stage: Stage) -> None:
    stage.site.work = Work(steps=100, step_seconds=10)
    when(stage, State.RUNNING, lambda: holds(desk(stage, copied(stage), take=True)))
    told = refusal(stage.launch)
    assert (told.code, told.exit_code) == ("overtaken", Exit.MAY_BE_RUNNING)
    assert "is carried by desk" in told.message
    assert "terminate" not in stage.cloud.calls
    assert len(stage.cloud.alive()) == 1, "it works on, for the other one"
    assert "overtaken" in [event.code for event in stage.heard.of(Warned)]
    receipt = flow.attach(FIRST_RUN, desk(stage, stage.folder / "copy"))
    assert receipt.outcome is Outcome.SUCCEEDED
    assert stage.cloud.most_at_once(FIRST_RUN) == 1
    assert stage.cloud.alive() == ()


def test_a_laptop_that_slept_too_long_finds_that_it_was_followed_and_ends_nothing(stage: Stage) -> None:
    stage.site.work = Work(steps=400, step_seconds=10)

    def sleep() -> None:
        stage.clock.sleep(1000)
        holds(desk(stage, copied(stage)))

    when(stage, State.RUNNING, sleep)
    assert refusal(stage.launch).code == "overtaken"
    assert "terminate" not in stage.cloud.calls


def test_an_empty_ledger_leaves_a_marked_machine_alone_until_its_mark_is_old(stage: Stage, tmp_path: Path) -> None:
    def look() -> None:
        found = recover.reap(desk(stage, tmp_path / "new"))
        assert found.ended == ()
        assert found.left_alone == (f"{FIRST_RUN}: m-0001 is carried by laptop (launch attach --take-over takes it)",)
        stage.kill()

    when(stage, State.RUNNING, look, verb="list")
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    stage.clock.sleep(fence.MARK_COUNTS_SECONDS + 1)
    found = recover.reap(desk(stage, tmp_path / "new"))
    assert [one.id for one in found.ended] == ["m-0001"]


def test_an_empty_ledger_ends_a_marked_machine_at_once_where_a_person_says_so(stage: Stage, tmp_path: Path) -> None:
    def look() -> None:
        found = recover.reap(replace(desk(stage, tmp_path / "new"), taken_over=fence.All()))
        assert [one.id for one in found.ended] == ["m-0001"]
        stage.kill()

    when(stage, State.RUNNING, look, verb="list")
    with pytest.raises(Killed):
        stage.launch()
    assert stage.cloud.alive() == ()


def test_a_machine_that_names_another_carrier_for_ever_is_ended_after_its_deadline(stage: Stage) -> None:
    """It is not trusted: beyond the time that we wrote down ourselves its word keeps nothing."""
    stage.site.work = Work(steps=10_000, step_seconds=10)
    when(stage, State.RUNNING, stage.kill)
    with pytest.raises(Killed):
        stage.launch(budget="0.60")
    stage.revive()
    far = stage.clock() + timedelta(days=300)
    stage.site.carriers["m-0001"] = (7, "666", "nobody", far)
    assert refusal(lambda: flow.attach(FIRST_RUN, stage.laptop())).code == "carried-elsewhere"
    stage.cloud.truth["m-0001"].guard_seconds = None  # nor does it end itself
    run = stage.laptop().ledger.load(FIRST_RUN)
    stage.clock.sleep((run.attempt.deadline - stage.clock()).total_seconds() + 1)
    recover.reap(stage.laptop())
    assert stage.cloud.alive() == ()


def test_a_machine_that_does_not_give_itself_up_is_ended_by_a_person_who_takes_it(stage: Stage) -> None:
    """Its word keeps it from nobody who says --take-over: it is not trusted, and it costs money."""
    stage.site.work = Work(steps=10_000, step_seconds=10)
    when(stage, State.RUNNING, stage.kill)
    with pytest.raises(Killed):
        stage.launch(budget="5")
    stage.revive()
    stage.site.carriers["m-0001"] = (7, "666", "nobody", stage.clock() + timedelta(days=300))
    stage.site.keeps_its_carrier = True
    assert refusal(lambda: recover.stop(FIRST_RUN, stage.laptop(), now=True)).code == "carried-elsewhere"
    taking = replace(stage.laptop(), taken_over=(FIRST_RUN,))
    recover.stop(FIRST_RUN, taking, now=True)
    assert stage.cloud.alive() == ()
    stage.all_quiet()


def test_a_stop_from_a_computer_that_shares_the_folder_is_not_even_asked_for(stage: Stage) -> None:
    def stops() -> None:
        world = desk(stage, copied(stage, signs=True))
        assert refusal(lambda: recover.stop(FIRST_RUN, world, now=True)).code == "carried-elsewhere"
        assert not world.ledger.stop_asked(FIRST_RUN)

    when(stage, State.RUNNING, stops)
    assert stage.launch().outcome is Outcome.SUCCEEDED
    stage.all_quiet()


def test_a_stop_by_who_takes_the_run_over_is_obeyed_although_the_folder_shows_another_computer(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=10)
    when(stage, State.RUNNING, stage.kill)
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    taking = desk(stage, copied(stage, signs=True), take=True)
    assert recover.stop(FIRST_RUN, taking, now=True) is not None
    assert stage.cloud.alive() == ()


def test_of_two_machines_that_two_computers_asked_for_at_once_who_came_later_gives_way(stage: Stage) -> None:
    """The first one's create call is under way, and its machine is not listed yet, when the second one asks."""
    told: list[str] = []

    def at_create(verb: str) -> None:
        if verb == "create" and not (stage.folder / "copy").exists():
            with closing(sqlite3.connect(copied(stage) / "ledger.sqlite")) as older:  # from before the first intent
                older.executescript("DELETE FROM attempts; DELETE FROM intents;")
            (stage.folder / "copy" / "runs" / FIRST_RUN / seen.CALLS).unlink()
        before(verb)

    def after_create(verb: str) -> None:
        after(verb)
        if verb == "create" and not told:
            told.append("asked")
            stage.site.carriers["m-0001"] = (1, HERE.id, HERE.host, stage.clock())
            stage.provider.lies.visible_after_seconds = 4
            told.append(refusal(lambda: flow.attach(FIRST_RUN, desk(stage, stage.folder / "copy"))).code)

    before, after = stage.cloud.before_call, stage.cloud.after_call
    stage.cloud.before_call, stage.cloud.after_call = at_create, after_create
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert told == ["asked", "carried-elsewhere"]
    first, second = stage.cloud.machines()
    assert second.ended_at is not None
    assert (second.ended_at - second.born_at).total_seconds() < 60, "before any work was done there"
    assert second.id not in stage.site.started
    assert first.id in stage.site.started
