"""The supervisor as real processes: a job runs, is stopped, killed, starved of lease, and always says how it went."""

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from jobs.progress import Checkpoint, Done, Event, Heartbeat, Notice, PhaseChange, Result, Step, Warned
from tests.jobs.guest.box import RUN, Box

LONG = {"quick": {"steps": 2000, "seconds": 0.02, "save_every": 5}}


def done(events: list[Event]) -> Done:
    assert isinstance(events[-1], Done), events[-3:]
    return events[-1]


def warnings(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Warned)]


def test_a_job_runs_all_its_steps_and_says_done_last(box: Box) -> None:
    box.ship()
    box.start()
    events = box.events()
    ending = done(events)
    assert (ending.outcome, ending.exit_code) == ("succeeded", 0)
    ended = [event.name for event in events if isinstance(event, PhaseChange) and not event.began]
    assert ended == ["install", "evaluate-base", "train", "evaluate-tuned"]
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 9))
    assert [event.arm for event in events if isinstance(event, Result)] == ["base", "tuned"]
    beat = next(event for event in events if isinstance(event, Heartbeat))
    assert (beat.life_seconds, beat.lease_seconds) == (10, 100_000)
    assert warnings(events) == []
    status = box.status()
    assert (status["state"], status["outcome"], status["supervisor_alive"]) == ("over", "succeeded", False)
    paths = [row["path"] for row in box.ask("manifest", "--run", RUN)["files"]]
    assert "adapter/adapter_model.safetensors" in paths
    assert box.call("log", "--run", RUN, "--offset", "0").stdout.startswith(b"begins after step 0\nstep 1 of 8\n")


def test_the_supervisor_has_a_session_of_its_own_and_a_second_start_changes_nothing(box: Box) -> None:
    box.ship(settings=LONG)
    pid = box.start()
    assert os.getsid(pid) == pid
    assert box.start() == pid
    assert box.status()["supervisor_alive"] is True
    box.ask("stop", "--run", RUN)
    assert done(box.events()).outcome == "stopped"
    assert box.start() == pid, "a job that is over is not begun again"


def test_a_job_that_is_asked_to_stop_saves_first(box: Box) -> None:
    box.ship(settings=LONG)
    box.start()
    events = []
    for event in box.follow():
        events.append(event)
        if isinstance(event, Step) and event.step == 7:
            box.ask("stop", "--run", RUN)
    ending = done(events)
    assert (ending.outcome, ending.exit_code, ending.step) == ("stopped", 75, "train")
    saved = [event for event in events if isinstance(event, Checkpoint)][-1]
    last = [event.step for event in events if isinstance(event, Step)][-1]
    assert saved.step == last
    assert box.ask("manifest", "--run", RUN, "--under", f"checkpoints/{saved.name}")["files"]


def test_a_job_that_does_not_listen_is_killed_when_the_grace_is_over(box: Box) -> None:
    box.ship(grace_seconds=0.3, settings={"quick": {**LONG["quick"], "deaf": 1}})
    box.start()
    events = []
    for event in box.follow():
        events.append(event)
        if isinstance(event, Step) and event.step == 1:
            box.ask("stop", "--run", RUN)
    ending = done(events)
    assert (ending.outcome, ending.exit_code) == ("stopped", -signal.SIGKILL)
    assert "without saving" in ending.text


def test_a_lease_that_runs_short_asks_for_a_save_in_time(box: Box) -> None:
    box.ship(settings=LONG)
    box.start()
    events = []
    for event in box.follow():
        events.append(event)
        if isinstance(event, Step) and event.step == 3:
            box.arm(life=100, lease=100 + 30 + 20 - 1)  # one second less than save and grace
    ending = done(events)
    assert (ending.outcome, ending.exit_code) == ("stopped", 75)
    assert "lease" in ending.text


def test_a_lease_that_is_just_long_enough_is_left_to_the_job(box: Box) -> None:
    box.arm(life=100, lease=100 + 30 + 20)
    box.ship()
    box.start()
    assert done(box.events()).outcome == "succeeded"


def test_without_a_dead_man_the_job_runs_and_says_so(box: Box) -> None:
    (box.guard / "life").unlink()
    box.ship()
    box.start()
    events = box.events()
    assert warnings(events) == ["no-guard"]
    assert done(events).outcome == "succeeded"


def test_a_step_that_fails_ends_the_job_with_its_last_words(box: Box) -> None:
    box.ship(settings={"quick": {"fail_at": 3}})
    box.start()
    events = box.events()
    ending = done(events)
    assert (ending.outcome, ending.exit_code, ending.step) == ("failed", 1, "train")
    assert ending.text == "quick: told to fail here"
    assert not any(isinstance(event, Result) and event.arm == "tuned" for event in events)


def test_a_step_that_cannot_be_started_is_a_failure_with_a_reason(box: Box) -> None:
    box.ship(steps=[{"name": "gone", "phase": "train", "argv": ["/no/such/program"]}])
    box.start()
    ending = done(box.events())
    assert (ending.outcome, ending.exit_code) == ("failed", 127)
    assert "/no/such/program" in ending.text


def test_after_a_killed_supervisor_status_tells_and_the_next_start_goes_on_from_the_checkpoint(box: Box) -> None:
    knobs = {"quick": {"steps": 60, "seconds": 0.02, "save_every": 5, "noise": 1}}
    box.ship(settings=knobs)
    first = box.start()
    for event in box.follow():
        if isinstance(event, Checkpoint) and event.step == 10:
            os.kill(first, signal.SIGKILL)
            break
    assert list(box.follow())  # ends: nobody holds the lock any more
    status = box.status()
    assert status["supervisor_alive"] is False
    assert status["state"] == "running"
    second = box.start()
    assert second != first
    events = box.events()
    assert done(events).outcome == "succeeded"
    assert warnings(events) == ["supervisor-restarted"]
    begun = [event.name for event in events if isinstance(event, PhaseChange) and event.began]
    assert begun.count("install") == 1, "a step that is done is not done again"
    assert begun.count("train") == 2
    assert (box.run / "job.log").read_text().count("begins after step 0\n") == 1

    other = Box(box.folder.parent / "undisturbed")
    other.ship(settings=knobs)
    other.start()
    assert done(other.events()).outcome == "succeeded"
    weights = "out/adapter/adapter_model.safetensors"
    assert (box.run / weights).read_bytes() == (other.run / weights).read_bytes()


def test_a_second_supervisor_ends_what_the_first_one_left_running(box: Box) -> None:
    once = """
import os, pathlib, signal
mark = pathlib.Path(os.environ["LAUNCH_RUN"], "once")
if not mark.exists():
    mark.write_text(str(os.getpid()))
    signal.pause()
state = pathlib.Path("/proc", mark.read_text(), "stat")
assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z", "two jobs at once"
"""
    argv = ["{python}", "-c", once]
    box.ship(steps=[{"name": "wait", "phase": "train", "argv": argv}])
    first = box.start()
    for _ in box.follow():
        if (box.run / "once").exists():
            os.kill(first, signal.SIGKILL)
            break
    left = box.status()["group"]
    assert is_alive(left), "the job of a dead supervisor goes on"
    box.start()
    assert done(box.events()).outcome == "succeeded"
    assert not is_alive(left)


def is_alive(pid: int) -> bool:
    stat_file = Path(f"/proc/{pid}/stat")
    return stat_file.exists() and stat_file.read_text().rpartition(")")[2].split()[0] != "Z"


def test_what_a_step_leaves_running_ends_with_it(box: Box) -> None:
    leaver = "import os, subprocess, sys; p = subprocess.Popen(['sleep', '600'], start_new_session={}); print(p.pid)"
    steps = [
        {"name": str(own), "phase": "train", "argv": ["{python}", "-c", leaver.format(own)]} for own in (False, True)
    ]
    look = "p = '/proc/' + open('../../job.log').read().split()[-1] + '/stat'\ntry: print(open(p).read().split()[2])\n"
    look += "except OSError: print('gone')"
    box.ship(steps=[*steps, {"name": "look", "phase": "train", "argv": ["{python}", "-c", look]}])
    box.start()
    assert done(box.events()).outcome == "succeeded"
    inside, outside, *looked = (box.run / "job.log").read_text().split()
    assert looked[-1] in {"gone", "Z"}, "it is gone before the next step begins"
    assert not is_alive(int(inside))
    assert not is_alive(int(outside))


def test_the_interpreter_that_the_install_step_chose_runs_the_next_steps(box: Box) -> None:
    chooser = f"import os; open(os.environ['LAUNCH_RUN'] + '/python', 'w').write({sys.executable!r})"
    shower = "import sys; print(sys.executable)"
    steps = [
        {"name": "install", "phase": "install", "argv": ["{python}", "-c", chooser]},
        {"name": "show", "phase": "train", "argv": ["{python}", "-c", shower]},
    ]
    box.ship(steps=steps)
    box.start()
    assert done(box.events()).outcome == "succeeded"
    assert (box.run / "job.log").read_text().strip() == sys.executable
    assert box.status()["python"] == sys.executable


def test_a_planted_secret_reaches_the_job_and_nothing_else(box: Box) -> None:
    secret = 'hf_"planted\\secret"Value'
    check = f"import os; assert os.environ['HF_TOKEN'] == {secret!r}"
    quick = [{"name": "tell", "phase": "install", "argv": ["{python}", "quick.py", "install"]}]
    box.ship(
        steps=[{"name": "check", "phase": "model", "argv": ["{python}", "check.py"]}, *quick],
        secrets=["HF_TOKEN"],
        settings={"quick": {"tell": "HF_TOKEN"}},
    )
    (box.run / "bundle" / "job" / "check.py").write_text(check)
    (box.run / "bundle" / "job" / "check.py").chmod(0o600)
    box.ask("secrets", "--run", RUN, stdin=b'{"HF_TOKEN": "hf_\\"planted\\\\secret\\"Value", "OTHER": "not asked for"}')
    box.start()
    events = box.events()
    assert done(events).outcome == "succeeded"
    (told,) = [event for event in events if isinstance(event, Warned)]
    assert "planted" not in told.text
    assert "*" * len(secret) in told.text
    assert "[redacted]" in (box.run / "job.log").read_text()
    (box.run / "bundle" / "job" / "check.py").unlink()  # this test's own copy
    for path in box.folder.rglob("*"):
        if path.is_file():
            assert b"planted" not in path.read_bytes(), path


def test_secrets_lie_in_a_closed_memory_folder_until_the_job_is_over(box: Box) -> None:
    memory = Path("/dev/shm")
    before = set(memory.iterdir()) if memory.is_dir() else set()
    box.ship(secrets=["TOKEN"])
    box.ask("secrets", "--run", RUN, stdin=b'{"TOKEN": "abcdefgh"}')
    found = set(memory.iterdir()) - before if memory.is_dir() else {box.run / ".secrets"}
    (folder,) = [one for one in found if one.name.startswith(("launch-", ".secrets"))]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "TOKEN").stat().st_mode) == 0o600
    box.start()
    assert done(box.events()).outcome == "succeeded"
    assert not folder.exists()


def test_a_secret_that_was_promised_and_did_not_come_is_told(box: Box) -> None:
    box.ship(secrets=["HF_TOKEN"])
    box.start()
    assert warnings(box.events()) == ["secret-missing"]


@pytest.mark.parametrize("text", [b"[1]", b'{"A": 1}', b'{"A-B": "x"}', b'{"LAUNCH_RUN": "x"}', b'{"A": "\\u0000"}'])
def test_secrets_of_odd_names_or_shapes_are_refused(box: Box, text: bytes) -> None:
    assert box.refusal("secrets", "--run", RUN, stdin=text)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_does_not_end_the_job(box: Box) -> None:
    box.ship()
    (box.run / "job.log").symlink_to("/dev/full")
    box.start()
    assert done(box.events()).outcome == "succeeded"


def test_a_job_without_steps_is_refused_before_anything_starts(box: Box) -> None:
    box.ship(steps=[])
    assert "names no steps" in box.refusal("start", "--run", RUN, "--guard", "guard")
    assert box.status()["supervisor_alive"] is False


def test_log_follows_to_the_end_of_the_job(box: Box) -> None:
    box.ship()
    box.start()
    text = box.call("log", "--run", RUN, "--offset", "6", "--follow").stdout
    assert text.startswith(b" after step 0\n")
    assert text.endswith(b"step 8 of 8\n")


def test_a_spot_notice_is_told_and_asks_for_a_save(box: Box, metadata: str) -> None:
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata
    box.ship(notice="imds", settings=LONG)
    box.start()
    events = box.events()
    actions = [event.action for event in events if isinstance(event, Notice)]
    assert sorted(actions) == ["rebalance", "terminate"]
    assert done(events).outcome == "stopped"
    assert "notice" in done(events).text


def test_a_recommendation_to_leave_asks_for_a_checkpoint_and_nothing_else(box: Box, recommended: str) -> None:
    box.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = recommended
    box.ship(notice="imds", settings=LONG)
    box.start()
    told = next(event for event in box.follow() if isinstance(event, Notice))
    assert told.action == "rebalance"
    assert (box.run / "save").read_text() == "rebalance\n"
    assert box.status()["state"] == "running"


WAITS = "import os, pathlib, time\nmark = pathlib.Path(os.environ['LAUNCH_RUN'], 'mark')\n"
SOON = "end = time.monotonic() + 30\nwhile not mark.exists() and time.monotonic() < end: time.sleep(0.02)\n"


def beside(argv: str, *others: str) -> list[dict[str, object]]:
    """Steps of Python code: the first one beside the others, until the last."""
    steps: list[dict[str, object]] = [
        {"name": f"step-{number}", "phase": "model", "argv": ["{python}", "-c", code]}
        for number, code in enumerate(others)
    ]
    return [{"name": "ahead", "phase": "model", "argv": ["{python}", "-c", argv], "until": steps[-1]["name"]}, *steps]


def test_a_step_that_is_begun_ahead_runs_beside_the_next_and_is_waited_for(box: Box) -> None:
    # It ends after the mark that the next step makes, and leaves its own for the last one, which looks for it.
    ahead = WAITS + SOON + "mark.with_name('fruit').write_text('ripe')"
    makes = WAITS + "mark.write_text('here')"
    needs = WAITS + "assert mark.with_name('fruit').read_text() == 'ripe'"
    box.ship(steps=beside(ahead, makes, needs))
    box.start()
    events = box.events()
    assert done(events).outcome == "succeeded"
    assert warnings(events) == []
    assert [event.name for event in events if isinstance(event, PhaseChange) and not event.began] == [
        "step-0",
        "step-1",
    ]


def test_what_is_begun_ahead_may_come_to_nothing(box: Box) -> None:
    box.ship(steps=beside("raise SystemExit(3)", "pass", "print('does it all')"))
    box.start()
    events = box.events()
    assert done(events).outcome == "succeeded"
    assert warnings(events) == ["beside"]


def test_what_is_begun_ahead_ends_with_a_job_that_is_asked_to_stop(box: Box) -> None:
    ahead = WAITS + "mark.with_name('pid').write_text(str(os.getpid()))\n" + SOON
    box.ship(steps=beside(ahead, WAITS + SOON, "pass"))
    box.start()
    number = box.run / "pid"
    for _ in box.follow():
        if number.exists() and number.read_text():
            box.ask("stop", "--run", RUN)
            break
    assert done(box.events()).outcome == "stopped"
    assert not is_alive(int(number.read_text()))
