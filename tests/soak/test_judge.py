"""The judge of the bad days notices each broken promise, and takes no reason that did not hold at that moment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from launcher.events import Warned
from launcher.run import Ending, Outcome
from tests.canaries import CANARIES
from tests.fake_guest import Started, checkpoint_bytes, finished_files
from tests.fake_machine import Machine
from tests.fake_world import FIRST_RUN, Killed
from tests.soak.clouds import request_of
from tests.soak.excuses import SILENT, TRIES
from tests.soak.judge import Judge
from tests.soak.leaks import leaks
from tests.soak.line import Contact
from tests.soak.play import play
from tests.soak.reading import rows
from tests.soak.schedule import Fault, Kind, OtherCloud, Schedule, drawn
from tests.soak.storm import Storm

DAY = Schedule(seed=-16, steps=8, save_every=3, budget_usd="5")
UNTIL_SAVED, UNTIL_DONE = 75.0, 300.0
"""Seconds after which a job of `DAY` has a checkpoint, and is over."""


@dataclass
class Scene:
    """A machine of the run with a job, a judge who looks on, and nobody of ours."""

    storm: Storm
    judge: Judge
    machine: Machine

    def home(self, step: int) -> Path:
        """Where a checkpoint lies here."""
        return self.storm.folder / "home" / "runs" / FIRST_RUN / "checkpoints" / f"step-{step}" / "manifest.json"

    def bring_checkpoint(self, step: int) -> None:
        """It is here, and the ledger was told."""
        self.home(step).parent.mkdir(parents=True, exist_ok=True)
        self.home(step).write_bytes(checkpoint_bytes(step))
        self.judge.kept.note(f"step-{step}")

    def bring_results(self, *, but: str = "") -> None:
        """They are here."""
        for path, data in finished_files(self.storm.site.started[self.machine.id]).items():
            place = self.storm.folder / "runs" / FIRST_RUN / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"" if path == but else data)

    def contacts(self, *troubles: str, verb: str = "follow", every: float = 10.0) -> None:
        """Tries to speak with the machine, the last of them now."""
        now = self.storm.clock()
        self.storm.contacts[self.machine.id] += [
            Contact(now - timedelta(seconds=every * back), verb, trouble)
            for back, trouble in zip(range(len(troubles) - 1, -1, -1), troubles, strict=True)
        ]

    def end(self) -> list[str]:
        """We end the machine: the rules that this broke."""
        provider = self.storm.provider
        self.storm.asked.name = provider.name
        provider.terminate(next(one for one in provider.list() if one.id == self.machine.id))
        return [breach.rule for breach in self.judge.breaches]


def scene(folder: Path, after: float, day: Schedule = DAY) -> Scene:
    """The same machine, so many seconds after its job was started."""
    storm = Storm(folder, day)
    judge = Judge(storm)
    world = storm.laptop()
    storm.open_first(world)
    world.ledger.close()
    made = storm.provider.create(request_of(storm.provider, storm.clock(), run_id=FIRST_RUN))
    machine = storm.cloud.truth[made.id]
    storm.site.started[machine.id] = Started(storm.site.work, storm.clock(), 0)
    storm.clock.sleep(after)
    return Scene(storm, judge, machine)


def test_results_that_are_not_home_are_a_breach(tmp_path: Path) -> None:
    assert scene(tmp_path, UNTIL_DONE).end() == ["R5"]


def test_results_that_are_home_are_none(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE)
    on_stage.bring_results()
    assert on_stage.end() == []


def test_a_job_cut_off_in_the_middle_must_have_been_asked_to_save(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED)
    on_stage.bring_checkpoint(3)
    assert on_stage.end() == ["R5"]


def test_a_supervisor_that_died_tells_of_no_notice_and_its_job_stays_over(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, replace(DAY, outcome="vanished"))
    on_stage.bring_results()
    on_stage.bring_checkpoint(6)
    job = on_stage.storm.site.started[on_stage.machine.id]
    told = job.text(on_stage.storm.clock())
    job.notice_at, job.notice_action = on_stage.storm.clock(), "rebalance"
    assert job.text(on_stage.storm.clock()) == told
    assert on_stage.end() == []


def test_the_newest_checkpoint_must_be_home_at_an_end(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED)
    on_stage.storm.site.started[on_stage.machine.id].stop_at = on_stage.storm.clock()
    assert on_stage.end() == ["R5"]


def test_one_that_is_spoiled_on_the_machine_is_not_asked_for(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED)
    on_stage.storm.site.started[on_stage.machine.id].stop_at = on_stage.storm.clock()
    on_stage.storm.site.rotten_ids.add(on_stage.machine.id)
    assert on_stage.end() == []


def _fired_before(on_stage: Scene) -> None:
    for kind in (Kind.STOP, Kind.SECOND_PROCESS, Kind.SUSPEND, Kind.CLOCK_FORWARD, Kind.WRONG_KEY, Kind.SPOILED_PULL):
        on_stage.storm.fired[kind] += 1


def _one_drop(on_stage: Scene) -> None:
    on_stage.contacts("", "RemoteUnreachable")


def _line_came_back(on_stage: Scene) -> None:
    on_stage.contacts(*["RemoteUnreachable"] * 100, "")


def _six_tries_for_results(on_stage: Scene) -> None:
    on_stage.contacts("", *["RemoteUnreachable"] * 6)


def _another_file_is_spoiled(on_stage: Scene) -> None:
    on_stage.storm.site.spoiled = "adapter/adapter_config.json"


def _it_came_spoiled_before_it_was_tried_for_long(on_stage: Scene) -> None:
    on_stage.storm.site.spoiled_by[on_stage.machine.id, "adapter/adapter_model.safetensors"] = TRIES - 1


def _a_deadline_that_is_far(on_stage: Scene) -> None:
    on_stage.storm.schedule = replace(on_stage.storm.schedule, deadline_seconds=3600)


def _money_for_an_hour(on_stage: Scene) -> None:
    on_stage.storm.budget_usd = Decimal("1.20")


@pytest.mark.parametrize(
    "circumstance",
    [
        _fired_before, _one_drop, _line_came_back, _six_tries_for_results, _another_file_is_spoiled,
        _a_deadline_that_is_far, _money_for_an_hour, _it_came_spoiled_before_it_was_tried_for_long,
    ],
)  # fmt: skip
def test_what_did_not_hold_is_no_reason(tmp_path: Path, circumstance: Callable[[Scene], None]) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE)
    on_stage.bring_results(but="adapter/adapter_model.safetensors")
    circumstance(on_stage)
    assert on_stage.end() == ["R5"]


def _said_now(on_stage: Scene) -> None:
    on_stage.storm.said_now = True


def _silent_for_long(on_stage: Scene) -> None:
    on_stage.contacts("RemoteUnreachable", "RemoteUnreachable", every=SILENT.total_seconds())


def _another_key(on_stage: Scene) -> None:
    on_stage.contacts("", "HostKeyMismatch")


def _that_file_is_spoiled(on_stage: Scene) -> None:
    on_stage.storm.site.spoiled = "adapter/adapter_model.safetensors"


def _all_tries_brought_it_spoiled(on_stage: Scene) -> None:
    on_stage.storm.site.spoiled_by[on_stage.machine.id, "adapter/adapter_model.safetensors"] = TRIES


def _container_restarted(on_stage: Scene) -> None:
    on_stage.storm.wiped_at[on_stage.machine.id] = on_stage.storm.clock()


def _the_deadline_is_there(on_stage: Scene) -> None:
    on_stage.storm.schedule = replace(on_stage.storm.schedule, deadline_seconds=UNTIL_DONE + 60)


def _no_money_is_left(on_stage: Scene) -> None:
    on_stage.storm.budget_usd = Decimal("0.10")


def _the_ledger_is_lost(on_stage: Scene) -> None:
    on_stage.storm.lost_ledger_at = on_stage.storm.clock()


def _the_clock_is_wrong(on_stage: Scene) -> None:
    on_stage.storm.offset = timedelta(days=1)


def test_a_wish_to_save_that_did_not_arrive_is_a_reason_until_the_job_is_heard_again(tmp_path: Path) -> None:
    for number, (heard, rules) in enumerate([(False, []), (True, ["R5"])]):
        (tmp_path / str(number)).mkdir()
        on_stage = scene(tmp_path / str(number), UNTIL_SAVED)
        on_stage.contacts("RemoteUnreachable", verb="stop")
        on_stage.contacts("", verb="follow" if heard else "send out")
        assert on_stage.end() == rules


@pytest.mark.parametrize(
    ("trouble", "code", "rules"),
    [
        ("HostKeyMismatch", "host-key-mismatch", []), ("HostKeyMismatch", "silent", ["R5"]),
        ("RemoteUnreachable", "host-key-mismatch", ["R5"]),
    ],
)  # fmt: skip
def test_an_end_for_another_host_key_stands_where_the_right_one_is_shown_again(
    tmp_path: Path, trouble: str, code: str, rules: list[str]
) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE)
    on_stage.contacts(trouble, "")
    world = on_stage.storm.laptop()
    ending = Ending(outcome=Outcome.FAILED, why="another key", code=code, pull=False)
    world.ledger.note_ending(world.ledger.load(FIRST_RUN), ending)
    world.ledger.close()
    assert on_stage.end() == rules


@pytest.mark.parametrize(("verb", "rules"), [("manifest checkpoints/step-6", []), ("manifest out", ["R5"])])
def test_a_folder_that_could_not_be_listed_in_any_try_could_not_be_fetched(
    tmp_path: Path, verb: str, rules: list[str]
) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE, replace(DAY, outcome="failed"))
    on_stage.bring_results()
    on_stage.contacts("", verb="send checkpoints/step-6", every=1000.0)
    on_stage.contacts(*["RemoteUnreachable"] * TRIES, verb=verb)
    on_stage.contacts("")  # what else was asked was answered
    assert on_stage.end() == rules


REASONS = (
    _said_now, _silent_for_long, _another_key, _that_file_is_spoiled, _container_restarted, _the_deadline_is_there,
    _no_money_is_left, _the_ledger_is_lost, _the_clock_is_wrong, _all_tries_brought_it_spoiled,
)  # fmt: skip


@pytest.mark.parametrize("circumstance", REASONS)
def test_what_held_is_a_reason(tmp_path: Path, circumstance: Callable[[Scene], None]) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE)
    on_stage.bring_results(but="adapter/adapter_model.safetensors")
    circumstance(on_stage)
    assert on_stage.end() == []
    assert on_stage.judge.ends.forced


def test_six_tries_are_patience_enough_for_a_job_that_did_not_succeed(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED)
    on_stage.contacts(*["RemoteUnreachable"] * 6)
    assert on_stage.end() == []


def test_a_loss_that_nobody_was_told_of_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE)
    on_stage.storm.said_now = True
    on_stage.end()
    assert on_stage.judge.ends.unsaid()
    warned = Warned(run=FIRST_RUN, at=on_stage.storm.clock(), code="pull", text="the results stay there")
    on_stage.storm.heard.events.append(replace(warned, code="note"))
    assert on_stage.judge.ends.unsaid()
    on_stage.storm.heard.events.append(warned)
    assert on_stage.judge.ends.unsaid() == ""


def test_results_that_were_home_and_are_lost_afterwards_are_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_DONE)
    on_stage.bring_results()
    on_stage.end()
    assert on_stage.judge.ends.lost_since() == ""
    on_stage.bring_results(but="eval/tuned.json")
    assert "eval/tuned.json" in on_stage.judge.ends.lost_since()


def test_an_acknowledged_checkpoint_that_does_not_lie_here_whole_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED)
    on_stage.judge.at_death()
    assert on_stage.judge.breaches == []
    on_stage.bring_checkpoint(3)
    on_stage.home(3).write_bytes(b"")
    on_stage.storm.lost_ledger_at = on_stage.storm.clock()
    on_stage.judge.at_death()
    assert [one.rule for one in on_stage.judge.breaches] == ["R4"]


def test_books_that_lost_their_power_before_they_had_a_table_hold_nothing(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    assert rows(tmp_path / "ledger.sqlite", "SELECT checkpoint FROM runs") == []


def test_a_ledger_that_forgot_what_was_acknowledged_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED)
    on_stage.bring_checkpoint(3)
    on_stage.judge.at_death()
    assert "the ledger knows of step-0" in on_stage.judge.breaches[0].text


def test_a_machine_that_begins_before_what_was_acknowledged_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED)
    on_stage.bring_checkpoint(3)
    assert on_stage.judge.kept.unused() == ""
    on_stage.storm.clock.sleep(1)
    on_stage.storm.site.started[on_stage.machine.id] = Started(on_stage.storm.site.work, on_stage.storm.clock(), 2)
    assert "began at 2" in on_stage.judge.kept.unused()


def test_a_checkpoint_that_was_sure_to_come_and_did_not_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, UNTIL_SAVED + 20)
    on_stage.contacts("", "", "RemoteUnreachable", "")
    assert on_stage.judge.kept.left_behind() == ""
    on_stage.contacts("", "", "")
    assert "step-3" in on_stage.judge.kept.left_behind()
    on_stage.bring_checkpoint(3)
    assert on_stage.judge.kept.left_behind() == ""


@pytest.mark.parametrize(("seconds", "doubled", "breaches"), [(300, 1, 0), (300, 0, 1), (3000, 1, 1)])
def test_twins_may_be_there_for_a_while_where_the_cloud_made_them(
    tmp_path: Path, seconds: float, doubled: int, breaches: int
) -> None:
    on_stage = scene(tmp_path, 0)
    storm, first = on_stage.storm, on_stage.machine
    twin = replace(first, id="m-0002", rates=first.rates[:], born_at=storm.clock())
    storm.cloud.truth[twin.id] = twin
    storm.fired[Kind.DOUBLED] = doubled
    storm.clock.sleep(seconds)
    on_stage.judge._twins()
    assert len(on_stage.judge.breaches) == breaches


def test_somebody_else_s_machine_that_is_told_to_end_is_a_breach(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, 0, replace(DAY, strangers=1))
    storm = on_stage.storm
    mine = storm.provider.list()[0]
    assert [one.id for one in storm.provider.list()] == [mine.id]
    storm.provider.terminate(replace(mine, id="other-0"))
    storm.cloud.truth[mine.id].end(storm.clock(), storm.cloud.truth["other-0"].reason)
    on_stage.judge.at_the_end()
    assert {one.rule for one in on_stage.judge.breaches} >= {"R6"}


def test_a_secret_that_is_left_anywhere_is_found(tmp_path: Path) -> None:
    on_stage = scene(tmp_path, 0, replace(DAY, canaries=True))
    storm = on_stage.storm
    assert list(leaks(storm)) == []
    (storm.folder / "home" / "runs" / FIRST_RUN / "note").write_text(f"token={CANARIES['hub-token']}")
    storm.site.argv_seen.append(("python3", "job.py", CANARIES["job-secret"]))
    storm.heard.events.append(Warned(run="", at=storm.clock(), code="note", text=CANARIES["aws-secret"]))
    found = {one.split(" as ")[0].rpartition("/")[2] for one in leaks(storm)}
    assert found == {"note: hub-token", "a remote command: job-secret", "an event: aws-secret"}


def test_secrets_reach_the_job_and_nothing_else() -> None:
    played = play(replace(DAY, canaries=True))
    assert played.breaches == ()


def test_what_a_dead_process_still_does_does_not_happen(tmp_path: Path) -> None:
    storm = Storm(tmp_path, replace(DAY, faults=(Fault(kind=Kind.KILL, nth=2),)))
    world = storm.laptop()
    note = storm.folder / "home" / "note"
    note.write_text("before")
    try:
        storm.point("one")
        storm.point("two")
    except Killed:
        note.write_text("after")
        (storm.folder / "home" / "another").touch()
    world.ledger.close()
    storm.after_death()
    assert note.read_text() == "before"
    assert not (storm.folder / "home" / "another").exists()


def test_several_clouds_are_the_same_day_twice_and_a_run_crosses_them() -> None:
    day = replace(
        DAY, idempotent=False, others=(OtherCloud(name="slow", region="west-1", guarded=False, limited=True),),
        faults=(Fault(kind=Kind.API_DOWN, cloud="fake", at_seconds=0, seconds=900),),
    )  # fmt: skip
    first, second = play(day), play(day)
    assert first == second
    assert first.breaches == ()
    assert len(first.machines) == 1


def test_a_cloud_that_counts_requests_makes_us_wait_for_our_turn(tmp_path: Path) -> None:
    storm = Storm(tmp_path, replace(DAY, limited=True))
    began = storm.clock()
    for _ in range(5):
        storm.provider.list()
    assert (storm.clock() - began).total_seconds() == 4
    for nonce in ("a", "b"):
        storm.provider.create(request_of(storm.provider, storm.clock(), nonce=nonce * 24))
    assert (storm.clock() - began).total_seconds() == 5 + 12


def test_days_are_drawn_with_all_that_may_be_there() -> None:
    days = [drawn(seed) for seed in range(300)]
    assert {len(day.clouds) for day in days} == {1, 2, 3}
    assert {bool(day.strangers) for day in days} == {bool(day.forgotten) for day in days} == {True, False}
    assert sum(day.canaries for day in days) == 38
