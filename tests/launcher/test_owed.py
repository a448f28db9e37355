"""What a machine has told of and we do not have yet: checkpoints are owed until they are home, and must be as told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import pytest

from launcher import flow, recover
from launcher.events import Pulled, Warned
from launcher.landing import Landing
from launcher.ledger import Ledger
from launcher.remote import Completed, Keys, RemoteUnreachable
from launcher.run import Outcome, State
from launcher.teardown import PATIENCE_SECONDS
from providers.base import Access, InstanceState, Ssh
from tests.fake_guest import FakeRemote, checkpoint_bytes
from tests.fake_machine import fake_traits
from tests.fake_world import FIRST_RUN, Killed, Stage, Work
from tests.launcher.moments import after, in_state, when
from tests.soak.clouds import request_of
from tests.soak.disk import Disk

TOLD_AT_SECONDS = 6 + 30 + 8 * 10.0
"""When the job of `_slow_saver` tells of its first checkpoint, about."""


def _slow_saver(stage: Stage) -> None:
    """A job that saves after eight and sixteen of twenty steps of ten seconds."""
    stage.site.work = Work(steps=20, step_seconds=10, save_every=8)


def _checkpoint_here(stage: Stage, step: int) -> bool:
    path = stage.folder / "home" / "runs" / FIRST_RUN / "checkpoints" / f"step-{step}" / "manifest.json"
    return path.is_file() and path.read_bytes() == checkpoint_bytes(step)


def test_a_checkpoint_that_broke_off_is_fetched_again_before_a_newer_one_is_made(stage: Stage) -> None:
    _slow_saver(stage)
    stage.site.lost_pulls = 1
    when(stage, after(stage, TOLD_AT_SECONDS + 50), lambda: stage.cloud.preempt("m-0001"))
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert stage.site.started["m-0002"].first_step == 8


def test_the_last_checkpoint_is_tried_again_before_its_machine_goes(stage: Stage) -> None:
    _slow_saver(stage)
    world = stage.laptop()
    run = stage.open_run(world)

    def stop() -> None:
        stage.site.lost_pulls = 2
        world.ledger.ask_stop(run.id, "save")

    when(stage, after(stage, TOLD_AT_SECONDS - 35), stop)
    assert flow.carry(run, world).outcome is Outcome.CANCELLED
    (saved,) = {int(one.what[5:]) for one in stage.heard.of(Pulled) if one.what.startswith("step-")}
    assert 0 < saved < 8
    assert _checkpoint_here(stage, saved)


def test_a_checkpoint_that_is_not_what_the_machine_announced_is_not_acknowledged(stage: Stage) -> None:
    _slow_saver(stage)
    stage.site.rotten_ids.add("m-0001")
    when(stage, after(stage, TOLD_AT_SECONDS + 50), lambda: stage.cloud.preempt("m-0001"))
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert stage.site.started["m-0002"].first_step == 0
    assert any("not what the machine announced" in one.text for one in stage.heard.of(Warned))


def test_a_ledger_that_was_put_back_does_not_cost_the_newest_checkpoint(stage: Stage) -> None:
    _slow_saver(stage)

    def take_back() -> None:
        stage.cloud.preempt("m-0001")
        books = Ledger(stage.folder / "home" / "ledger.sqlite")
        books.note_checkpoint(books.load(FIRST_RUN), "step-2")
        books.close()

    when(stage, after(stage, TOLD_AT_SECONDS + 50), take_back)
    stage.launch()
    assert stage.site.started["m-0002"].first_step == 8


def test_what_was_read_at_the_moment_of_a_ctrl_c_counts(stage: Stage) -> None:
    stage.site.work = Work(steps=30, step_seconds=25, save_every=30)
    world = stage.laptop()
    run = stage.open_run(world)
    saves = after(stage, 6 + 30 + 4 * 25)
    follows: list[bool] = []

    def press(verb: str) -> None:
        """Right before the read that brings the checkpoint and the last word."""
        job = stage.site.started.get("m-0001")
        if saves(verb) and job is not None and job.stop_at is None:
            job.stop_at = stage.clock()
        if job is not None and job.is_over(stage.clock()) and not follows:
            follows.append(True)
            world.interrupt.ask()

    stage.cloud.before_call = press
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.CANCELLED
    done = stage.site.started["m-0001"].steps_done(stage.clock())
    assert _checkpoint_here(stage, done)


def test_a_folder_that_a_file_came_into_is_still_there_after_a_power_cut(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    (tmp_path / "home").mkdir()
    with disk.watched():
        disk.all_is_safe()
        with Landing(tmp_path / "runs" / "one") as landing:
            part = landing.part("0" * 64, 5)
            part.write(b"bytes")
            landing.settle(part, "adapter/inner/weights.bin")
            part.close()
        (tmp_path / "runs" / "one" / "unsynced").write_text("lost")
        disk.freeze(is_power_lost=True)
        disk.thaw(tmp_path / "home" / "ledger.sqlite", is_power_lost=True)
    assert (tmp_path / "runs" / "one" / "adapter" / "inner" / "weights.bin").read_bytes() == b"bytes"
    assert not (tmp_path / "runs" / "one" / "unsynced").exists()


@pytest.mark.parametrize("seconds_unlisted", [0, 40])
def test_the_twin_of_a_call_that_was_delivered_twice_ends_and_is_paid_for(
    folder: Path, seconds_unlisted: float
) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False, idempotent_create=False))
    stage.provider.lies.visible_after_seconds = seconds_unlisted
    _slow_saver(stage)

    def deliver_again(verb: str) -> None:
        if verb == "create":
            (first,) = stage.cloud.truth.values()
            stage.cloud.truth["m-0002"] = replace(first, id="m-0002", rates=first.rates[:])

    stage.cloud.after_call = deliver_again
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    ended_at = stage.cloud.truth["m-0002"].ended_at
    assert ended_at is not None
    assert (ended_at - stage.cloud.truth["m-0002"].born_at).total_seconds() < seconds_unlisted + 30
    assert receipt.spent_usd >= stage.cloud.billed_usd()
    assert any(one.code == "twin" for one in stage.heard.of(Warned))


def test_many_machines_are_told_to_end_at_once(stage: Stage) -> None:
    for number in range(6):
        request = request_of(stage.provider, stage.clock())
        stage.provider.create(replace(request, nonce=f"{number}" * 24))
    stage.cloud.calls.clear()
    began = stage.clock()
    found = recover.reap(stage.laptop())
    assert len(found.ended) == 6
    assert stage.cloud.alive() == ()
    assert len(stage.cloud.calls) <= 6 * 4 + 12
    assert (stage.clock() - began).total_seconds() < 30 < PATIENCE_SECONDS


class _Hanging(FakeRemote):
    """A line on which each call is waited for in vain, for as long as it may take."""

    is_dead = False
    waited: list[float]

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        if not self.is_dead:
            return super().run(argv, stdin=stdin, timeout_seconds=timeout_seconds)
        self.waited.append(timeout_seconds)
        self._site.clock.sleep(timeout_seconds)
        raise RemoteUnreachable("nothing came")


def test_a_line_that_hangs_is_not_waited_for_beyond_what_is_set_aside(stage: Stage) -> None:
    pulls, waited = in_state(stage, State.PULLING), list[float]()

    def remote(access: Access, _keys: Keys) -> _Hanging:
        assert isinstance(access, Ssh)
        line = _Hanging(stage.site, access.host.removesuffix(".invalid"))
        line.waited, line.is_dead = waited, pulls("remote")
        return line

    stage.site.remote = remote  # type: ignore[method-assign]  # a line of this test's own
    receipt = stage.launch(budget="0.30")
    assert receipt.outcome is Outcome.LOST
    assert min(waited) == 1.0
    assert stage.cloud.billed_usd() <= Decimal("0.30")
    assert stage.provider.list() == () or stage.provider.list()[0].state is InstanceState.ENDING


def test_a_job_whose_start_got_no_answer_is_watched_and_not_ended_as_not_shipped(stage: Stage) -> None:
    lost: list[bool] = []

    def lose(verb: str) -> None:
        if verb == "remote" and not lost and stage.site.argv_seen[-1][2:3] == ("start",):
            lost.append(True)
            raise RemoteUnreachable("connection reset")

    stage.cloud.after_call = lose
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert lost
    assert list(stage.site.started) == ["m-0001"]


@pytest.mark.parametrize("seconds_away", [20, 3000])
def test_a_job_that_was_begun_by_who_died_is_watched_and_not_shipped_over(stage: Stage, seconds_away: float) -> None:
    def die_after_the_start(name: str) -> None:
        if name == "after remote" and stage.site.argv_seen[-1][2:3] == ("start",):
            stage.kill()

    stage.at_point = die_after_the_start
    with pytest.raises(Killed):
        stage.launch()
    stage.at_point = lambda name: None
    stage.site.full_ids.add("m-0001")  # by what the job wrote meanwhile
    stage.clock.sleep(seconds_away)
    stage.revive()
    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert list(stage.site.started) == ["m-0001"]
    assert [argv[2] for argv in stage.site.argv_seen].count("start") == 1


def test_a_job_that_was_not_begun_when_its_process_died_is_shipped_again(stage: Stage) -> None:
    def die_before_the_start(name: str) -> None:
        if name == "after remote" and stage.site.argv_seen[-1][2:3] == ("secrets",):
            stage.at_point = lambda _: stage.kill() if stage.points[-1] == "before remote" else None

    stage.at_point = die_before_the_start
    with pytest.raises(Killed):
        stage.launch()
    stage.at_point = lambda name: None
    stage.revive()
    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert list(stage.site.started) == ["m-0001"]
    assert [argv[2] for argv in stage.site.argv_seen].count("unpack") == 2


def test_a_wish_to_save_that_did_not_arrive_is_said_again_once_the_line_is_back(stage: Stage) -> None:
    _slow_saver(stage)
    world = stage.laptop()
    run = stage.open_run(world)
    asked_at = stage.clock() + timedelta(seconds=TOLD_AT_SECONDS - 40)

    def down(verb: str) -> None:
        since = (stage.clock() - asked_at).total_seconds()
        if since >= 0 and not world.ledger.stop_asked(run.id):
            world.ledger.ask_stop(run.id, "save")
        if verb == "remote" and 0 <= since < 30:
            raise RemoteUnreachable("no route to host")

    stage.cloud.before_call = down
    assert flow.carry(run, world).outcome is Outcome.CANCELLED
    done = stage.site.started["m-0001"].steps_done(stage.clock())
    assert 0 < done < 20
    assert _checkpoint_here(stage, done)
