"""A terminal that is closed, and a process that is ended from outside: what becomes of the run that it carries."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from launcher import flow
from launcher.carrying import carried
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.run import Outcome, State
from tests.fake_world import FIRST_RUN, Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    yield Stage(tmp_path)
    for number, act in before.items():
        assert signal.getsignal(number) == act, "taken for the length of a run, and given back"


def when_running(stage: Stage, do: Callable[[], None]) -> None:
    before = stage.cloud.before_call

    def at(verb: str) -> None:
        if verb == "remote" and stage.laptop().ledger.load(FIRST_RUN).state is State.RUNNING:
            stage.cloud.before_call = before
            do()
        before(verb)

    stage.cloud.before_call = at


def raised(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def told(stage: Stage) -> LaunchError:
    world = stage.laptop()
    with pytest.raises(LaunchError) as caught:
        carried(world, lambda: flow.carry(stage.open_run(world), world, is_new=True))
    return caught.value


def test_a_closed_terminal_hands_the_run_to_a_background_process_and_costs_nothing(stage: Stage) -> None:
    when_running(stage, lambda: os.kill(os.getpid(), signal.SIGHUP))
    told(stage)
    assert stage.spawned == [FIRST_RUN]
    assert "terminate" not in stage.cloud.calls
    assert [event.code for event in stage.heard.of(Warned)][-1] == "detached"
    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    stage.all_quiet()


def test_an_end_from_outside_leaves_the_machine_at_work_and_says_how_to_go_on(stage: Stage) -> None:
    when_running(stage, lambda: os.kill(os.getpid(), signal.SIGTERM))
    error = told(stage)
    assert error.exit_code is Exit.MAY_BE_RUNNING
    assert f"launch attach {FIRST_RUN}" in error.hint
    assert stage.spawned == []
    assert len(stage.cloud.alive()) == 1
    last = stage.laptop().ledger.events(FIRST_RUN)[-1]
    assert "ended from outside" in last.text, "in the books, for whoever comes next"
    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    stage.all_quiet()


def test_a_terminal_closed_before_anything_was_agreed_leaves_nothing_behind(stage: Stage) -> None:
    with pytest.raises(LaunchError):
        carried(stage.laptop(), lambda: raised(signal.SIGHUP))
    assert stage.spawned == []


def test_nohup_means_that_a_closed_terminal_is_nothing(stage: Stage) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        when_running(stage, lambda: os.kill(os.getpid(), signal.SIGHUP))
        world = stage.laptop()
        assert carried(world, lambda: flow.carry(stage.open_run(world), world, is_new=True)) == 0
        assert stage.spawned == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_whose_run_nobody_can_take_over_says_so_in_the_books(stage: Stage) -> None:
    """No process, or no room on the disk, is left for the one that should go on with it."""
    when_running(stage, lambda: os.kill(os.getpid(), signal.SIGHUP))

    def spawn(_: str) -> None:
        raise OSError("Resource temporarily unavailable")

    world = replace(stage.laptop(), spawn=spawn)
    with pytest.raises(LaunchError) as caught:
        carried(world, lambda: flow.carry(stage.open_run(world), world, is_new=True))
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING
    last = stage.laptop().ledger.events(FIRST_RUN)[-1]
    assert " ".join(last.text.split()).endswith(f"(Resource temporarily unavailable): launch attach {FIRST_RUN}")
    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    stage.all_quiet()
