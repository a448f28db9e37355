"""What a machine at Lambda does when its lease is over, by its own script and a real shell."""

import json
from pathlib import Path

import pytest

from providers.lambda_cloud import END
from tests.providers.plain_server import Heard, PlainServer, Said, document
from tests.providers.shells import Machine, modes

KEY = "secret_canary_0123"
NAME = "launch-calm-fox-0001-1-01234567-a1"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path / "machine")
    found.stub("sync")
    return found


def end(machine: Machine) -> tuple[int, str]:
    """Run the script as the dead-man does."""
    script = machine.guard / "end.sh"
    script.write_text(machine.own(END.read_text("utf-8")))
    return machine.run("sh", str(script))


def run_folder(machine: Machine, home: str) -> Path:
    """Where a job of ours runs."""
    folder = machine.root / home / ".launch/run"
    folder.mkdir(parents=True)
    return folder


def opted_in(machine: Machine, server: PlainServer, *names: str) -> None:
    """The user's key lies there, and these machines are in the account."""
    told = {"url": f"{server.url}/api/v1", "key": KEY, "name": NAME}
    (machine.guard / "end.json").write_text(json.dumps(told))
    listed = [{"id": f"id-{number}", "name": name} for number, name in enumerate(names)] + [{"id": "nameless"}]

    def script(heard: Heard) -> Said:
        return document({"data": listed if heard.method == "GET" else {"terminated_instances": []}})

    server.script = script


@pytest.mark.parametrize("home", ["root", "home/ubuntu", "home/other"])
def test_the_job_is_told_to_stop_and_to_save(machine: Machine, home: str) -> None:
    folder = run_folder(machine, home)
    assert end(machine) == (0, "")
    assert (folder / "stop").read_text() == "the lease is over\n"


def test_a_job_that_is_told_already_is_not_told_another_reason(machine: Machine) -> None:
    folder = run_folder(machine, "home/ubuntu")
    (folder / "stop").write_text("preempted\n")
    end(machine)
    assert (folder / "stop").read_text() == "preempted\n"


def test_a_machine_without_a_job_ends_all_the_same(machine: Machine) -> None:
    assert end(machine) == (0, "")
    assert (machine.guard / "over").exists()


def test_when_it_was_over_is_noted_once_and_synced(machine: Machine) -> None:
    end(machine)
    first = (machine.guard / "over").read_text()
    (machine.guard / "over").write_text("2026-11-24T12:00:00Z\n")
    end(machine)
    assert first.endswith("Z\n")
    assert (machine.guard / "over").read_text() == "2026-11-24T12:00:00Z\n"
    assert machine.called("sync") == ["sync"]


def test_without_a_key_nobody_is_asked_and_nothing_is_switched_off(machine: Machine, server: PlainServer) -> None:
    for name in ("shutdown", "poweroff", "python3", "curl"):
        machine.stub(name)
    assert end(machine) == (0, "")
    assert set(machine.called()) == {"sync"}
    assert server.heard == []


def test_with_a_key_the_machine_of_that_name_is_terminated_and_no_other(machine: Machine, server: PlainServer) -> None:
    opted_in(machine, server, "other", NAME, f"{NAME}b")
    assert end(machine) == (0, "")
    assert server.asked() == [("GET", "/api/v1/instances"), ("POST", "/api/v1/instance-operations/terminate")]
    assert json.loads(server.heard[1].body) == {"instance_ids": ["id-1"]}


def test_the_key_goes_in_the_header_and_in_no_command_line(machine: Machine, server: PlainServer) -> None:
    opted_in(machine, server, NAME)
    real = machine.run("sh", "-c", "command -v python3")[1].strip()
    machine.stub("python3", f'exec {real} "$@"')
    end(machine)
    assert {one.headers["authorization"] for one in server.heard} == {f"Bearer {KEY}"}
    assert machine.called("python3")
    assert KEY not in "".join(machine.called())


@pytest.mark.parametrize("said", [Said(status=401), Said(status=500), Said(body=b"<html>"), Said(body=b"{}", cut=1)])
def test_a_try_that_fails_says_so_and_leaves_all_for_the_next(
    machine: Machine, server: PlainServer, said: Said
) -> None:
    opted_in(machine, server, NAME)
    after, server.script = server.script, lambda heard: said
    code, told = end(machine)
    assert code != 0
    assert KEY not in told
    server.script = after
    assert end(machine)[0] == 0


def test_a_job_is_told_to_stop_before_anything_that_may_fail(machine: Machine) -> None:
    folder = run_folder(machine, "home/ubuntu")
    (machine.guard / "end.json").write_text("no json")
    assert end(machine)[0] != 0
    assert (folder / "stop").exists()
    assert modes(machine.guard / "over") == {"over": "644"}
