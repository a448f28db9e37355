"""The dead-man as a real shell script, with a clock and a `sleep` of the test's own: no test waits."""

import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from jobs import package

SHELLS = [
    argv for argv in (["dash"], ["bash", "--posix"], ["busybox", "sh"], ["sh"]) if shutil.which(argv[0]) is not None
]
SLEEP = """#!/bin/sh
# Lets the world's clock go on, runs what the test planned for this tick, and ends the dead-man after the last one.
cd "$WORLD"
read -r tick <tick
tick=$((tick + 1))
echo $tick >tick
[ -e uptime ] && { IFS=. read -r up _ <uptime; echo "$((up + $1)).25 7.00" >uptime; }
[ -e "at-$tick" ] && . "./at-$tick"
read -r last <ticks
[ "$tick" -ge "$last" ] && kill -9 $PPID
exit 0
"""


class World:
    """A machine as the dead-man sees it: an uptime, a guard folder, and an END that leaves a mark."""

    def __init__(self, folder: Path, shell: list[str]) -> None:
        self.folder, self.guard, self.shell = folder, folder / "guard", shell
        (folder / "bin").mkdir()
        (folder / "bin" / "sleep").write_text(SLEEP)
        (folder / "bin" / "sleep").chmod(0o755)
        (folder / "deadman").write_text(package.deadman().replace("/proc/uptime", str(folder / "uptime")))
        self.boot(at=100)

    def boot(self, *, at: int) -> None:
        (self.folder / "uptime").write_text(f"{at}.00 7.00\n")

    def at(self, tick: int, shell: str) -> None:
        (self.folder / f"at-{tick}").write_text(shell + "\n")

    def run(self, seconds: str, *, ticks: int) -> int:
        """Let it count for so many ticks of 5 s; how often END was run."""
        (self.folder / "tick").write_text("0\n")
        (self.folder / "ticks").write_text(f"{ticks}\n")
        environment = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "WORLD": str(self.folder)}
        (self.folder / "ends").write_text("")
        end = ["sh", "-c", 'echo end >>"$WORLD/ends"; while [ -e "$WORLD/hold" ]; do :; done']
        reader, writer = os.pipe()
        argv = [*self.shell, str(self.folder / "deadman"), str(self.guard), seconds, *end]
        with subprocess.Popen(argv, env=environment, pass_fds=[writer], stderr=subprocess.PIPE) as process:
            os.close(writer)
            bound = threading.Timer(20, self.give_up, [process])
            bound.start()
            assert process.stderr is not None
            with os.fdopen(reader) as open_ends:  # closed when the dead-man and all its ENDs are over
                assert open_ends.read() == ""
            assert process.stderr.read() == b"", "not a word on standard error, whatever is missing"
        bound.cancel()
        return (self.folder / "ends").read_text().count("end")

    def give_up(self, process: subprocess.Popen[bytes]) -> None:
        """A dead-man that hangs is a failure, and no END of it may stay."""
        (self.folder / "hold").unlink(missing_ok=True)
        process.kill()

    def number(self, name: str) -> int:
        return int((self.guard / name).read_text())

    def put(self, name: str, text: str) -> None:
        self.guard.mkdir(exist_ok=True)
        (self.guard / name).write_text(text)


@pytest.fixture(params=SHELLS, ids=lambda argv: argv[0])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    return World(tmp_path, request.param)


def test_it_counts_and_ends_the_machine_when_the_lease_is_over_and_again_until_it_is_dead(world: World) -> None:
    assert world.run("20", ticks=4) == 0, "at 0, 5, 10 and 15 seconds nothing ends"
    assert (world.number("life"), world.number("lease")) == (15, 20)
    assert world.number("pid") > 0


def test_end_is_run_at_every_tick_from_the_end_of_the_lease(world: World) -> None:
    assert world.run("20", ticks=7) == 3  # at 20, 25 and 30 seconds


def test_an_end_that_hangs_does_not_stop_the_next_one(world: World) -> None:
    (world.folder / "hold").touch()
    world.at(3, "rm hold")
    assert world.run("0", ticks=3) == 3


def test_a_lease_that_is_extended_lets_it_live_and_one_that_is_cut_ends_it(world: World) -> None:
    world.at(2, "echo 1000 >guard/lease")
    assert world.run("10", ticks=6) == 0
    world.at(2, "echo 0 >guard/lease")
    assert world.run("10", ticks=3) > 0, "a restart keeps what was lived"


@pytest.mark.parametrize(
    "damage", ["rm guard/lease", ": >guard/lease", "echo soon >guard/lease", "echo -5 >guard/lease"]
)
def test_a_lease_that_cannot_be_read_counts_as_the_first_one(world: World, damage: str) -> None:
    world.at(1, damage)
    assert world.run("15", ticks=5) == 2  # at 15 and 20 seconds


def test_a_lease_that_is_there_already_is_kept(world: World) -> None:
    world.put("lease", "40\n")
    assert world.run("10", ticks=4) == 0
    assert world.number("lease") == 40


def test_after_a_restart_life_goes_on_with_what_nobody_saw(world: World) -> None:
    world.run("10000", ticks=3)
    assert world.number("life") == 10
    world.run("10000", ticks=1)
    assert world.number("life") == 70, "60 s for what it did not see"


def test_a_longer_absence_is_counted_by_the_clock(world: World) -> None:
    world.run("10000", ticks=1)
    world.boot(at=100 + 600)
    world.run("10000", ticks=1)
    assert world.number("life") == 600


def test_a_boot_counts_the_time_since_it_and_the_unseen_minute(world: World) -> None:
    world.run("10000", ticks=3)
    world.boot(at=30)
    world.run("10000", ticks=1)
    assert world.number("life") == 10 + 60 + 30


def test_life_never_goes_back(world: World) -> None:
    world.at(1, "echo 500 >guard/life")
    world.at(2, "echo 3 >guard/life")
    world.run("10000", ticks=4)
    assert world.number("life") >= 500


def test_a_life_that_cannot_be_read_after_a_restart_counts_as_lived(world: World) -> None:
    world.put("life", "")
    assert world.run("300", ticks=1) == 1


def test_a_clock_that_steps_back_counts_as_a_tick(world: World) -> None:
    world.at(2, "echo 3.00 1.00 >uptime")
    world.run("10000", ticks=4)
    assert world.number("life") == 15


def test_without_an_uptime_it_counts_by_the_date(world: World) -> None:
    (world.folder / "uptime").unlink()
    (world.folder / "bin" / "date").write_text(
        '#!/bin/sh\nread -r tick <"$WORLD/tick"\necho $((1790000000 + tick * 7))\n'
    )
    (world.folder / "bin" / "date").chmod(0o755)
    world.run("10000", ticks=4)
    assert world.number("life") == 21


def test_without_any_clock_it_counts_its_own_ticks(world: World) -> None:
    (world.folder / "uptime").unlink()
    (world.folder / "bin" / "date").write_text("#!/bin/sh\nexit 1\n")
    (world.folder / "bin" / "date").chmod(0o755)
    world.run("10000", ticks=4)
    assert world.number("life") == 15


def test_a_clock_that_vanishes_and_comes_back_is_no_jump(world: World) -> None:
    world.at(1, "mv uptime away")
    world.at(2, "mv away uptime")
    world.run("10000", ticks=5)
    assert 20 <= world.number("life") <= 25


@pytest.mark.parametrize("seconds", ["", "soon", "-1", "010"])
def test_a_first_lease_that_is_no_number_ends_the_machine_at_once(world: World, seconds: str) -> None:
    assert world.run(seconds, ticks=1) == 1


def test_a_guard_folder_that_cannot_be_written_does_not_end_the_guard(world: World) -> None:
    world.guard.write_text("a file is in the way")
    assert world.run("10", ticks=4) == 2  # at 10 and 15 seconds


def test_who_logs_in_may_rewrite_the_lease(world: World) -> None:
    world.run("10", ticks=1)
    assert world.guard.stat().st_mode & 0o777 == 0o777


def test_it_is_small_enough_for_boot_data_and_names_no_other_place() -> None:
    script = package.deadman()
    assert len(script) < 2048
    assert script.startswith("#!/bin/sh\n")
    body = script.split("\n", 1)[1]
    assert set(re.findall(r"(?<=[\s<>])/[\w/]+", body)) == {"/proc/uptime", "/dev/null"}
