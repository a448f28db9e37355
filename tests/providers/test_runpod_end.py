"""How a pod ends itself, by its own script and a real shell: door by door, until one works."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from providers.runpod_boot import environment
from providers.runpod_proof import DOORS, door_of
from tests.providers.plain_server import Heard, PlainServer, Said, closed_port, document
from tests.providers.samples import NOW, request, runpod_offer
from tests.providers.shells import Machine

KEY = "rpa_canary_0123"
POD = "5xpma5eg46tqjq"
REFUSED = document({"title": "Forbidden", "status": 403, "detail": "access denied"}, 403)
NOT_FOR_YOU = document({"data": None, "errors": [{"message": "access denied"}]})
ASKED = {
    "delete": ("DELETE", f"/v2/pods/{POD}", ""),
    "action-terminate": ("POST", f"/v2/pods/{POD}/action", '{"action":"terminate"}'),
    "action-stop": ("POST", f"/v2/pods/{POD}/action", '{"action":"stop"}'),
    "graphql-terminate": ("POST", "/graphql", f'{{"query":"mutation{{podTerminate(input:{{podId:\\"{POD}\\"}})}}"}}'),
    "graphql-stop": ("POST", "/graphql", f'{{"query":"mutation{{podStop(input:{{podId:\\"{POD}\\"}}){{id}}}}"}}'),
}


class Pod:
    """A pod whose lease is over, and whose cloud refuses everything."""

    def __init__(self, machine: Machine, server: PlainServer) -> None:
        self.machine, self.server = machine, server
        server.script = self.refuses
        machine.stub("runpodctl", "exit 1")
        self.script = machine.guard / "end.sh"
        sent = environment(request(runpod_offer()), "me", server.url, NOW)["LAUNCH_END"]
        self.script.write_text(machine.own(sent))
        self.told(server.url)

    def told(self, url: str) -> None:
        """What the start script laid down."""
        words = {"RUNPOD_POD_ID": POD, "RUNPOD_API_KEY": KEY, "LAUNCH_API": url}
        lines = [f"{name}='{value}'\n" for name, value in words.items()]
        (self.machine.guard / "pod.env").write_text("".join(lines))

    def refuses(self, heard: Heard) -> Said:
        """REST with 403, GraphQL with an error and 200."""
        return NOT_FOR_YOU if heard.path == "/graphql" else REFUSED

    def opens(self, door: str) -> "subprocess.Popen[str]":
        """Start the script; once it comes to that door its container is killed, as that door does it."""
        machine = self.machine
        machine.stub("hold", "read _ <started")
        os.mkfifo(machine.root / "started")
        process = machine.start("sh", "-c", 'hold; exec sh "$1"', "sh", str(self.script))

        def script(heard: Heard) -> Said:
            if asked(heard) == ASKED[door]:
                os.killpg(process.pid, signal.SIGKILL)
                return document({}, 204 if door == "delete" else 200)
            return self.refuses(heard)

        self.server.script = script
        (machine.root / "started").write_text("go\n")
        return process

    def end(self) -> tuple[int, str]:
        """Run the script as the dead-man does."""
        return self.machine.run("sh", str(self.script))

    @property
    def console(self) -> tuple[str, ...]:
        """What the container's log shows."""
        file = self.machine.root / "proc/1/fd/1"
        return tuple(file.read_text().splitlines()) if file.exists() else ()


def asked(heard: Heard) -> tuple[str, str, str]:
    return heard.method, heard.path, heard.body.decode()


@pytest.fixture
def pod(tmp_path: Path, server: PlainServer) -> Pod:
    return Pod(Machine(tmp_path / "machine"), server)


def test_every_door_is_tried_in_its_order(pod: Pod) -> None:
    pod.end()
    assert [asked(one) for one in pod.server.heard] == [*ASKED.values()]
    assert [*ASKED, "runpodctl"] == [*DOORS]


def test_the_last_door_is_the_program_in_each_of_its_versions(pod: Pod) -> None:
    pod.end()
    assert pod.machine.called("runpodctl") == [
        f"runpodctl pod delete {POD}",
        f"runpodctl remove pod {POD}",
        f"runpodctl stop pod {POD}",
    ]


def test_a_program_that_works_is_not_called_in_its_older_ways(pod: Pod) -> None:
    pod.machine.stub("runpodctl", 'echo "pod deleted"')
    pod.end()
    assert pod.machine.called("runpodctl") == [f"runpodctl pod delete {POD}"]
    assert pod.console[-1] == "launch-end: runpodctl pod deleted"


def test_an_image_without_the_program_has_one_door_less(pod: Pod) -> None:
    (pod.machine.root / "bin/runpodctl").unlink()
    code, said = pod.end()
    assert said == ""
    assert len(pod.server.heard) == len(ASKED)
    assert code in (0, 1)


@pytest.mark.parametrize("door", [*ASKED])
def test_no_door_is_tried_after_the_one_that_works(pod: Pod, door: str) -> None:
    process = pod.opens(door)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    doors = [*ASKED]
    assert [asked(one) for one in pod.server.heard] == [*ASKED.values()][: doors.index(door) + 1]
    assert pod.machine.called("runpodctl") == []


@pytest.mark.parametrize("door", [*ASKED])
def test_the_log_tells_through_which_door_it_went(pod: Pod, door: str) -> None:
    pod.opens(door).communicate(timeout=30)
    assert door_of(pod.console) == door


def test_each_try_is_told_in_the_log_with_what_came_of_it(pod: Pod) -> None:
    pod.end()
    assert [line.rstrip() for line in pod.console] == [
        "launch-end: delete 403",
        "launch-end: action-terminate 403",
        "launch-end: action-stop 403",
        "launch-end: graphql-terminate 200 errors",
        "launch-end: graphql-stop 200 errors",
        "launch-end: runpodctl",
    ]


def test_nobody_at_the_address_is_told_and_the_next_door_tried(pod: Pod) -> None:
    pod.told(f"http://127.0.0.1:{closed_port()}")
    pod.end()
    assert [line.split()[2] for line in pod.console[:5]] == ["URLError"] * 5
    assert len(pod.machine.called("runpodctl")) == 3


@pytest.mark.parametrize("said", [Said(body=b"{}", cut=0), Said(status=500), Said(body=b"<html>")])
def test_an_answer_that_makes_no_sense_stops_nothing(pod: Pod, said: Said) -> None:
    pod.server.says(said)
    pod.end()
    assert [asked(one) for one in pod.server.heard] == [*ASKED.values()]
    assert len(pod.console) == 6


def test_the_pods_key_goes_in_the_header_and_nowhere_else(pod: Pod) -> None:
    real = pod.machine.run("sh", "-c", "command -v python3")[1].strip()
    pod.machine.stub("python3", f'exec {real} "$@"')
    said = pod.end()[1]
    assert {one.headers["authorization"] for one in pod.server.heard} == {f"Bearer {KEY}"}
    assert pod.machine.called("python3")
    assert KEY not in "".join((said, *pod.console, *pod.machine.called()))


def test_what_is_sent_is_json_that_names_the_pod(pod: Pod) -> None:
    pod.end()
    bodies = [json.loads(one.body) for one in pod.server.heard if one.body]
    assert [body.get("action") for body in bodies[:2]] == ["terminate", "stop"]
    assert all(POD in body["query"] for body in bodies[2:])
    assert {one.headers["content-type"] for one in pod.server.heard} == {"application/json"}


def test_a_try_that_is_under_way_is_left_alone(pod: Pod) -> None:
    (pod.machine.guard / "ending").touch()
    assert pod.end() == (0, "")
    assert pod.server.heard == []


def test_a_try_that_got_stuck_is_followed_by_another(pod: Pod) -> None:
    ending = pod.machine.guard / "ending"
    ending.touch()
    old = ending.stat().st_mtime - 150
    os.utime(ending, (old, old))
    pod.end()
    assert len(pod.server.heard) == len(ASKED)


def test_the_job_is_told_to_stop_once_and_first(pod: Pod) -> None:
    run = pod.machine.root / "root/.launch/run"
    run.mkdir(parents=True)
    seen: list[bool] = []

    def script(heard: Heard) -> Said:
        seen.append((run / "stop").exists())
        return pod.refuses(heard)

    pod.server.script = script
    pod.end()
    assert all(seen)
    assert (run / "stop").read_text() == "the lease is over\n"


def test_a_job_that_is_told_already_is_not_told_another_reason(pod: Pod) -> None:
    run = pod.machine.root / "root/.launch/run"
    run.mkdir(parents=True)
    (run / "stop").write_text("out of budget\n")
    pod.end()
    assert (run / "stop").read_text() == "out of budget\n"


def test_a_log_that_cannot_be_written_stops_nothing(pod: Pod) -> None:
    (pod.machine.root / "proc/1/fd").rmdir()
    assert KEY not in pod.end()[1]
    assert [asked(one) for one in pod.server.heard] == [*ASKED.values()]
