"""What to do about a job that runs, as a pure decision; and the loop around it where a machine hides, moves or ends."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.progress import Done
from launcher import flow, sight
from launcher.events import Progressed, Warned
from launcher.feed import Feed
from launcher.guest import Guest
from launcher.remote import Keys, Remote
from launcher.run import Outcome
from launcher.watch import DOUBTFUL_SECONDS, SILENT_SECONDS, UNFIT, Act, Decision, View, decide
from launcher.world import World
from providers.base import Access, EndReason, Instance, InstanceState, NoCapacity, Ssh
from tests.fake_machine import Machine, fake_offer
from tests.fake_world import Killed, Stage, Work
from tests.launcher.moments import after, when

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ABSENT = "the provider does not show the machine any more"


def view(**changes: Any) -> View:
    values: dict[str, Any] = {
        "done": None, "instance": None, "noticed": False, "stop_asked": None, "interrupted": False,
        "stop_seconds": 1000.0, "silent_seconds": 0.0, "supervisor_alive": None,
    }  # fmt: skip
    return View(**values | changes)


def done(outcome: str, exit_code: int = 0, text: str = "") -> Done:
    return Done(at=NOON, outcome=outcome, exit_code=exit_code, step="train", text=text)


def ending(decision: Decision) -> tuple[Outcome, str, bool, bool]:
    """How it ends: outcome, code, whether another machine may try, whether there is something to pull."""
    assert decision.ending is not None
    return decision.ending.outcome, decision.ending.code, decision.ending.again, decision.ending.pull


def machine(state: InstanceState, reason: EndReason = EndReason.NONE) -> Instance:
    offer = fake_offer()
    return Instance(
        provider="fake", id="m-1", region=offer.region, zone=offer.zone, instance_type=offer.instance_type,
        market=offer.market, state=state, run_id="r", attempt=1, nonce="n",
        created_at=NOON, end_reason=reason,
    )  # fmt: skip


# The decision


def test_a_job_that_works_goes_on() -> None:
    assert decide(view()) == Decision(act=Act.CONTINUE)
    assert decide(view(instance=machine(InstanceState.RUNNING), supervisor_alive=True)).act is Act.CONTINUE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"done": done("succeeded")}, (Outcome.SUCCEEDED, "", False, True)),
        ({"done": done("failed", 1)}, (Outcome.FAILED, "", False, True)),
        ({"done": done("failed", UNFIT, "the driver is too old")}, (Outcome.FAILED, "not-as-rented", True, True)),
        ({"done": done("stopped", 75)}, (Outcome.OUT_OF_BUDGET, "", False, True)),
        ({"done": done("stopped", 75), "noticed": True}, (Outcome.PREEMPTED, "", True, True)),
        ({"done": done("stopped", 75), "interrupted": True}, (Outcome.CANCELLED, "", False, True)),
        ({"done": done("stopped", 75), "noticed": True, "stop_asked": "save"}, (Outcome.CANCELLED, "", False, True)),
    ],
)  # fmt: skip
def test_how_the_job_ended_is_how_the_work_ended(changes: dict[str, Any], expected: object) -> None:
    decision = decide(view(**changes))
    assert decision.act is Act.STOP
    assert ending(decision) == expected


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (InstanceState.GONE, EndReason.PREEMPTED, (Outcome.PREEMPTED, "", True, False)),
        (InstanceState.ENDING, EndReason.OWN_DEADLINE, (Outcome.OUT_OF_BUDGET, "", False, False)),
        (InstanceState.STOPPED, EndReason.NONE, (Outcome.LOST, "machine-ended", True, False)),
        (InstanceState.GONE, EndReason.FAILED, (Outcome.LOST, "machine-ended", True, False)),
    ],
)
def test_a_machine_that_is_over_ends_the_work_by_its_own_reason(
    state: InstanceState, reason: EndReason, expected: object
) -> None:
    decision = decide(view(instance=machine(state, reason), done=done("succeeded")))
    assert decision.act is Act.STOP
    assert ending(decision) == expected


def test_people_come_before_money_and_money_before_silence() -> None:
    silent = {"silent_seconds": SILENT_SECONDS + 1}
    poor = {"stop_seconds": 0.0, **silent}
    assert decide(view(**silent)).act is Act.STOP
    assert ending(decide(view(**poor)))[0] is Outcome.OUT_OF_BUDGET
    assert decide(view(**poor)).act is Act.SAVE
    assert ending(decide(view(stop_asked="save", **poor)))[0] is Outcome.CANCELLED
    assert decide(view(interrupted=True)).act is Act.SAVE
    assert decide(view(stop_asked="now", **poor)).act is Act.STOP


@pytest.mark.parametrize("why", [{"stop_asked": "save"}, {"interrupted": True}, {"stop_seconds": 0.0}])
def test_nobody_is_asked_to_save_where_only_a_dead_supervisor_could(why: dict[str, Any]) -> None:
    alive, dead = decide(view(supervisor_alive=True, **why)), decide(view(supervisor_alive=False, **why))
    assert (alive.act, dead.act) == (Act.SAVE, Act.STOP)
    assert dead.ending == alive.ending


@pytest.mark.parametrize(
    ("silent_seconds", "doubt", "act"),
    [
        (DOUBTFUL_SECONDS, ABSENT, Act.CONTINUE), (DOUBTFUL_SECONDS + 1, ABSENT, Act.STOP),
        (DOUBTFUL_SECONDS + 1, "", Act.CONTINUE),
        (SILENT_SECONDS, "", Act.CONTINUE), (SILENT_SECONDS + 1, "", Act.STOP),
    ],
)  # fmt: skip
def test_silence_is_borne_for_long_and_with_a_doubt_for_a_minute(silent_seconds: float, doubt: str, act: Act) -> None:
    assert decide(view(silent_seconds=silent_seconds, doubt=doubt)).act is act


def test_a_doubtful_machine_is_lost_and_another_one_may_go_on() -> None:
    decision = decide(view(silent_seconds=61.0, doubt=ABSENT))
    assert ending(decision) == (Outcome.LOST, "silent", True, False)
    assert decision.ending is not None
    assert decision.ending.why == f"{ABSENT}, and nothing was heard of it for 61 s"


def test_a_machine_that_is_not_there_any_more_after_its_deadline_has_ended_itself() -> None:
    decision = decide(view(silent_seconds=61.0, doubt=ABSENT, past_deadline=True))
    assert ending(decision) == (Outcome.OUT_OF_BUDGET, "", False, False)


def test_a_deadline_alone_ends_nothing() -> None:
    assert decide(view(past_deadline=True, doubt=ABSENT)).act is Act.CONTINUE


def test_where_only_the_supervisor_died_what_lies_there_is_worth_a_try() -> None:
    assert ending(decide(view(supervisor_alive=False))) == (Outcome.LOST, "silent", True, True)
    assert decide(view(supervisor_alive=None)).act is Act.CONTINUE


# The loop


def working(stage: Stage, steps: int = 100) -> tuple[World, str]:
    stage.site.work = Work(steps=steps)
    world = stage.laptop()
    return world, stage.open_run(world).id


def carried(world: World, run_id: str) -> Any:
    return flow.carry(world.ledger.load(run_id), world)


def told(stage: Stage, code: str) -> list[Warned]:
    return [event for event in stage.heard.of(Warned) if event.code == code]


def sick(stage: Stage, state: InstanceState, seconds: float) -> None:
    """From then on the first machine is shown so, as long as it runs."""
    since = stage.clock().timestamp() + seconds

    def shown(instance: Instance) -> Instance:
        hit = instance.id == "m-0001" and stage.clock().timestamp() >= since
        return replace(instance, state=state) if hit and instance.state is InstanceState.RUNNING else instance

    stage.provider.lies.shown_as = shown


def cut_off(stage: Stage, seconds: float) -> datetime:
    """From then on nobody reaches the first machine; when that is."""
    when(stage, after(stage, seconds), lambda: stage.site.unreachable.add("m-0001"))
    return stage.clock()


def test_a_machine_that_is_called_unhealthy_and_is_silent_is_given_up_after_a_minute(stage: Stage) -> None:
    world, run_id = working(stage)
    sick(stage, InstanceState.UNHEALTHY, 100)
    began = cut_off(stage, 100)
    receipt = carried(world, run_id)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    (event,) = told(stage, "silent")
    assert "the provider calls the machine unhealthy" in event.text
    assert 160 <= (event.at - began).total_seconds() < 250


def test_a_machine_that_is_called_unhealthy_and_speaks_goes_on(stage: Stage) -> None:
    world, run_id = working(stage)
    sick(stage, InstanceState.UNHEALTHY, 100)
    assert carried(world, run_id).attempts == 1
    stage.all_quiet()


def test_a_machine_that_is_shown_and_silent_is_borne_for_a_quarter_of_an_hour(stage: Stage) -> None:
    world, run_id = working(stage)
    began = cut_off(stage, 100)
    assert carried(world, run_id).attempts == 2
    (event,) = told(stage, "silent")
    assert (event.at - began).total_seconds() >= 100 + SILENT_SECONDS


def test_a_doubt_that_passes_is_forgotten(stage: Stage) -> None:
    world, run_id = working(stage)
    sick(stage, InstanceState.UNHEALTHY, 100)
    when(stage, after(stage, 140), lambda: setattr(stage.provider.lies, "shown_as", lambda instance: instance))
    cut_off(stage, 100)
    when(stage, after(stage, 400), stage.site.unreachable.clear)
    assert carried(world, run_id).attempts == 1


def _forgets_at_once(stage: Stage) -> None:
    stage.provider.lies.linger_seconds, stage.provider.lies.forgotten_seconds = 0, -1


def test_a_machine_that_is_not_shown_any_more_is_given_up_after_a_minute(stage: Stage) -> None:
    _forgets_at_once(stage)
    world, run_id = working(stage)
    began = stage.clock()
    when(stage, after(stage, 100), lambda: stage.cloud.preempt("m-0001"))
    receipt = carried(world, run_id)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    (event,) = told(stage, "silent")
    assert ABSENT in event.text
    assert 160 <= (event.at - began).total_seconds() < 300


def test_a_machine_that_ended_itself_at_its_deadline_unseen_is_out_of_budget(stage: Stage) -> None:
    """Near its end nobody could reach it to renew its lease, which had been counted at the worst rate."""
    _forgets_at_once(stage)
    stage.site.work = Work(steps=10_000, step_seconds=30)
    world = stage.laptop()
    run = stage.open_run(world, budget="0.60")

    def is_near(verb: str) -> bool:
        machine = stage.cloud.truth.get("m-0001")
        return machine is not None and (stage.clock() - machine.born_at).total_seconds() > machine.lease_seconds - 600

    when(stage, is_near, lambda: stage.site.unreachable.add("m-0001"))
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    assert "reached its own deadline" in receipt.why
    assert stage.cloud.machines()[0].reason is EndReason.OWN_DEADLINE
    stage.all_quiet()


class Altered:
    """A feed in which some bytes are others."""

    def __init__(self, inner: Feed, old: bytes, new: bytes) -> None:
        self._inner, self._old, self._new = inner, old, new

    offset = property(lambda self: self._inner.offset)
    over = property(lambda self: self._inner.over)
    trouble = property(lambda self: self._inner.trouble)
    refused = property(lambda self: self._inner.refused)

    def read(self, timeout_seconds: float) -> bytes:
        return self._inner.read(timeout_seconds).replace(self._old, self._new)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize(("exit_code", "attempts"), [(UNFIT, 2), (1, 1)])
def test_only_a_job_that_finds_the_machine_unfit_is_tried_on_another_one(
    stage: Stage, exit_code: int, attempts: int
) -> None:
    world, run_id = working(stage)
    stage.site.work = Work(outcome="failed")
    when(stage, lambda verb: verb == "create" and bool(stage.cloud.truth), lambda: setattr(stage.site, "work", Work()))
    now = b'"exit_code": %d' % exit_code
    other = replace(world, feed=lambda guest, at: Altered(stage.site.feed(guest, at), b'"exit_code": 1', now))
    receipt = carried(other, run_id)
    assert receipt.attempts == attempts
    assert (receipt.outcome is Outcome.SUCCEEDED) is (attempts == 2)
    if attempts == 2:
        assert "this machine cannot do it: out of luck" in told(stage, "not-as-rented")[0].text
    stage.all_quiet()


def test_a_place_whose_machine_was_unfit_is_left_alone_for_a_while(stage: Stage) -> None:
    world, run_id = working(stage)
    stage.site.work = Work(outcome="failed")
    stage.provider.lies.refuse(NoCapacity("none left"), instance_type="f1.large")
    now = b'"exit_code": %d' % UNFIT
    other = replace(world, feed=lambda guest, at: Altered(stage.site.feed(guest, at), b'"exit_code": 1', now))
    receipt = carried(other, run_id)
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert "this machine cannot do it" in receipt.why
    assert "no other machine was to be had" in receipt.why


def test_a_supervisor_that_died_is_missed_within_a_minute_and_not_when_silence_is_over(stage: Stage) -> None:
    world, run_id = working(stage)
    stage.site.work = work = Work(steps=5, step_seconds=10, outcome="vanished")
    over_seconds = work.install_seconds + work.model_seconds + 5 * 10 + work.evaluate_seconds
    began = stage.clock()
    carried(world, run_id)
    event = told(stage, "silent")[0]
    assert "the supervisor on the machine died" in event.text
    assert (event.at - began).total_seconds() < over_seconds + 120 < SILENT_SECONDS


class Dumb:
    """A feed of a line that is down: it notes how long it is listened to, and lets something happen meanwhile."""

    offset, over, trouble, refused = 0, False, "no route to host", False

    def __init__(self, stage: Stage, turns: int, meanwhile: Callable[[], object], seconds: float) -> None:
        self._stage, self._turns, self._meanwhile, self._seconds = stage, turns, meanwhile, seconds
        self.listened: list[float] = []

    def read(self, timeout_seconds: float) -> bytes:
        self.listened.append(timeout_seconds)
        if len(self.listened) > self._turns:
            self._stage.kill()
        self._meanwhile()
        self._stage.clock.sleep(self._seconds)
        return b""

    def close(self) -> None:
        """Nothing to let go of."""


def test_while_a_line_is_down_a_look_of_another_process_counts_for_three_seconds(stage: Stage) -> None:
    """One list call is shared by all runs; while something is wrong it may be a fifth as old as otherwise."""
    world, run_id = working(stage)
    other = stage.laptop()
    dumb = Dumb(stage, 20, lambda: sight.look(other.ledger.load(run_id), other, 0.0), seconds=2.9)
    with pytest.raises(Killed):
        carried(replace(world, feed=lambda guest, at: dumb), run_id)
    booted = stage.cloud.calls.index("remote")
    lists = stage.cloud.calls[booted:].count("list")
    assert lists - len(dumb.listened) < 5


def test_a_line_is_listened_to_for_a_second_at_a_time_and_not_asked_without_a_pause(stage: Stage) -> None:
    world, run_id = working(stage)
    dumb = Dumb(stage, 5, lambda: None, seconds=1)
    with pytest.raises(Killed):
        carried(replace(world, feed=lambda guest, at: dumb), run_id)
    assert set(dumb.listened) == {1.0}


class Moving:
    """Notes where the line goes, and from which byte on progress is read."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.ports, self.offsets = stage, list[int](), list[int]()
        self._home = stage.cloud.access

    def access(self, machine: Machine) -> Access:
        there = self._home(machine)
        assert isinstance(there, Ssh)
        return replace(there, port=2222)

    def remote(self, access: Access, keys: Keys) -> Remote:
        assert isinstance(access, Ssh)
        self.ports.append(access.port)
        return self.stage.site.remote(access, keys)

    def feed(self, guest: Guest, offset: int) -> Feed:
        self.offsets.append(offset)
        return self.stage.site.feed(guest, offset)


def moved(stage: Stage, seconds: float) -> tuple[Moving, Any]:
    moving = Moving(stage)
    world, run_id = working(stage)
    when(stage, after(stage, seconds), lambda: setattr(stage.cloud, "access", moving.access))
    return moving, carried(replace(world, remote=moving.remote, feed=moving.feed), run_id)


def test_a_machine_that_moves_is_spoken_with_at_its_new_address(stage: Stage) -> None:
    moving, receipt = moved(stage, 200)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    assert [event.text for event in told(stage, "moved")] == [
        "the machine has another address now; going on there"
    ]  # fmt: skip
    assert moving.ports[-1] == 2222
    assert receipt.results.verified


def test_what_a_machine_told_before_it_moved_is_not_read_again(stage: Stage) -> None:
    moving, _ = moved(stage, 200)
    first, second = moving.offsets
    assert first == 0
    assert second > 0
    steps = [event.snapshot.step for event in stage.heard.of(Progressed)]
    assert steps == sorted(steps)


def test_a_machine_that_stays_where_it_is_has_not_moved(stage: Stage) -> None:
    world, run_id = working(stage)
    assert carried(world, run_id).outcome is Outcome.SUCCEEDED
    assert told(stage, "moved") == []


def test_a_line_that_broke_because_the_machine_moved_is_mended_by_the_next_look(stage: Stage) -> None:
    world, run_id = working(stage)
    moving = Moving(stage)

    def go() -> None:
        stage.cloud.access = moving.access
        stage.site.unreachable.add("m-0001")

    def remote(access: Access, keys: Keys) -> Remote:
        assert isinstance(access, Ssh)
        if stage.cloud.access == moving.access:  # the old address is nobody's any more
            (stage.site.unreachable.discard if access.port == 2222 else stage.site.unreachable.add)("m-0001")
        return moving.remote(access, keys)

    when(stage, after(stage, 200), go)
    receipt = carried(replace(world, remote=remote), run_id)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
