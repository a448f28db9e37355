"""Turns at a cloud, shared by all processes on one computer: never faster than told, and never stuck."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from providers.base import Throttled
from providers.pace import FURTHEST_SECONDS, Limit, Pace
from tests.fake_machine import VirtualClock
from tests.source import REPOSITORY

SLOW = Limit(seconds=10.0)
PATIENT = 3600.0
AT = "2026-11-24T12:00:00+00:00"
CHILD = f"""
import sys
from datetime import datetime
from pathlib import Path
from providers.pace import Limit, Pace

pace = Pace(Path(sys.argv[1]), {{"any": Limit(seconds=1.0)}}, lambda: datetime.fromisoformat({AT!r}))
print("ready", flush=True)
sys.stdin.readline()
print(*(pace.turn("any", most_seconds=3600.0) for _ in range(10)))
"""
HOLDER = """
import signal, sys
from pathlib import Path
from providers.pace import Limit, Pace

def asked_in_the_middle_of_its_turn():
    print("held", flush=True)
    signal.pause()

Pace(Path(sys.argv[1]), {"any": Limit(seconds=1.0)}, asked_in_the_middle_of_its_turn).turn("any", most_seconds=1.0)
"""


def pace(file: Path, clock: VirtualClock, **limits: Limit) -> Pace:
    return Pace(file, limits or {"any": SLOW}, clock)


@contextlib.contextmanager
def child(script: str, file: Path, first_word: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python process that has said its first word; it does not outlive the block."""
    argv = (sys.executable, "-c", script, str(file))
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=REPOSITORY, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"{first_word}\n"
            yield process
        finally:
            process.kill()


def test_the_first_turn_is_now_and_the_next_after_the_limit(tmp_path: Path) -> None:
    turns = pace(tmp_path / "pace.json", VirtualClock())
    assert [turns.turn("any", most_seconds=PATIENT) for _ in range(3)] == [0.0, 10.0, 20.0]


def test_time_that_passes_shortens_the_wait_and_is_not_saved_up(tmp_path: Path) -> None:
    clock = VirtualClock()
    turns = pace(tmp_path / "pace.json", clock)
    turns.turn("any", most_seconds=PATIENT)
    clock.sleep(4)
    assert turns.turn("any", most_seconds=PATIENT) == 6.0
    clock.sleep(1000)
    assert [turns.turn("any", most_seconds=PATIENT) for _ in range(2)] == [0.0, 10.0]


def test_after_a_pause_as_many_as_the_burst_go_at_once(tmp_path: Path) -> None:
    turns = pace(tmp_path / "pace.json", VirtualClock(), any=Limit(seconds=10.0, burst=3))
    assert [turns.turn("any", most_seconds=PATIENT) for _ in range(5)] == [0.0, 0.0, 0.0, 10.0, 20.0]


def test_a_limit_of_no_seconds_never_waits(tmp_path: Path) -> None:
    turns = pace(tmp_path / "pace.json", VirtualClock(), any=Limit(seconds=0.0))
    assert [turns.turn("any", most_seconds=0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_turn_that_is_too_far_off_is_refused_and_not_taken(tmp_path: Path) -> None:
    clock = VirtualClock()
    turns = pace(tmp_path / "pace.json", clock)
    turns.turn("any", most_seconds=PATIENT)
    for _ in range(3):
        with pytest.raises(Throttled) as caught:
            turns.turn("any", most_seconds=2.0)
        assert caught.value.wait_seconds == 10.0
    clock.sleep(10)
    assert turns.turn("any", most_seconds=2.0) == 0.0


def test_a_request_of_two_kinds_waits_for_the_slower_and_holds_up_both(tmp_path: Path) -> None:
    turns = pace(tmp_path / "pace.json", VirtualClock(), any=Limit(seconds=1.0), launch=Limit(seconds=12.0))
    assert turns.turn("any", "launch", most_seconds=PATIENT) == 0.0
    assert turns.turn("any", "launch", most_seconds=PATIENT) == 12.0
    assert turns.turn("any", most_seconds=PATIENT) == 13.0


def test_a_refused_turn_of_two_kinds_takes_neither(tmp_path: Path) -> None:
    clock = VirtualClock()
    turns = pace(tmp_path / "pace.json", clock, any=Limit(seconds=1.0), launch=Limit(seconds=12.0))
    turns.turn("any", "launch", most_seconds=PATIENT)
    clock.sleep(2)
    with pytest.raises(Throttled):
        turns.turn("any", "launch", most_seconds=2.0)
    assert turns.turn("any", most_seconds=0.0) == 0.0


def test_what_the_cloud_itself_forbids_for_a_while_is_waited_for(tmp_path: Path) -> None:
    turns = pace(tmp_path / "pace.json", VirtualClock(), any=Limit(seconds=1.0, burst=5))
    turns.hold("any", 30.0)
    assert turns.turn("any", most_seconds=PATIENT) == 30.0


def test_no_cloud_can_shut_us_out_for_longer_than_a_quarter_of_an_hour(tmp_path: Path) -> None:
    turns = pace(tmp_path / "pace.json", VirtualClock())
    turns.hold("any", 1e9)
    assert turns.turn("any", most_seconds=PATIENT) <= FURTHEST_SECONDS


def test_a_hold_does_not_shorten_a_longer_one(tmp_path: Path) -> None:
    turns = pace(tmp_path / "pace.json", VirtualClock())
    turns.hold("any", 60.0)
    turns.hold("any", 5.0)
    assert turns.turn("any", most_seconds=PATIENT) == 60.0


def test_two_providers_of_one_account_share_their_turns_through_the_file(tmp_path: Path) -> None:
    clock = VirtualClock()
    first, second = (pace(tmp_path / "pace.json", clock) for _ in range(2))
    assert [one.turn("any", most_seconds=PATIENT) for one in (first, second, first)] == [0.0, 10.0, 20.0]


def test_processes_that_ask_at_the_same_time_get_each_a_turn_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "pace.json"
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(child(CHILD, file, "ready")) for _ in range(4)]
        for one in crowd:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        waits = sorted(float(wait) for one in crowd for wait in one.communicate(timeout=60)[0].split())
    assert waits == [float(number) for number in range(40)]


def test_a_process_that_is_killed_in_its_turn_does_not_block_the_others(tmp_path: Path) -> None:
    file = tmp_path / "pace.json"
    with child(HOLDER, file, "held") as holder:
        with file.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it really holds the turns now
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait(timeout=20)
        assert pace(file, VirtualClock()).turn("any", most_seconds=0.0) == 0.0


@pytest.mark.parametrize("left", ["", '{"any": 17', "[]", '{"any": "soon"}', '{"any": null}', "\x00\x00"])
def test_what_a_dying_process_left_in_the_file_harms_nobody(tmp_path: Path, left: str) -> None:
    file = tmp_path / "pace.json"
    file.write_text(left)
    turns = pace(file, VirtualClock())
    assert [turns.turn("any", most_seconds=PATIENT) for _ in range(2)] == [0.0, 10.0]


def test_a_clock_that_was_set_back_does_not_make_us_wait_for_hours(tmp_path: Path) -> None:
    pace(tmp_path / "pace.json", VirtualClock(datetime(2030, 1, 1, tzinfo=UTC))).turn("any", most_seconds=PATIENT)
    assert pace(tmp_path / "pace.json", VirtualClock()).turn("any", most_seconds=0.0) == 0.0


def test_a_clock_that_was_set_back_does_not_end_the_pace_either(tmp_path: Path) -> None:
    pace(tmp_path / "pace.json", VirtualClock(datetime(2030, 1, 1, tzinfo=UTC))).turn("any", most_seconds=PATIENT)
    turns = pace(tmp_path / "pace.json", VirtualClock())
    assert [turns.turn("any", most_seconds=PATIENT) for _ in range(3)] == [0.0, 10.0, 20.0]


def test_where_nothing_can_be_written_a_process_keeps_a_pace_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    turns = pace(tmp_path / "state" / "pace.json", VirtualClock())
    assert [turns.turn("any", most_seconds=PATIENT) for _ in range(3)] == [0.0, 10.0, 20.0]


def test_the_file_lies_in_a_folder_that_is_made_for_it_and_holds_only_times(tmp_path: Path) -> None:
    file, clock = tmp_path / "new" / "lambda" / "pace.json", VirtualClock()
    pace(file, clock).turn("any", most_seconds=PATIENT)
    assert json.loads(file.read_text()) == {"any": clock().timestamp() + 10.0}
