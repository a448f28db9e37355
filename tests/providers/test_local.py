"""This machine as a provider: real processes, real ends."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from pricing.offer import Market
from providers import local_hardware
from providers.base import ContractBroken, EndReason, Folder, Instance, InstanceState, NotFound, NotSetUp, OfferQuery
from providers.local import Local, connect
from tests.providers.samples import boot, request, surroundings

SLEEPER = (
    "import signal,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\nexec /bin/sleep 0.1\n")  # the dead-man's tick, hurried
    (tmp_path / "bin" / "sleep").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    provider = connect(surroundings(tmp_path))
    yield provider
    for instance in provider.list():
        provider.terminate(instance)


def cpu(provider: Local) -> object:
    return next(one for one in provider.offers(OfferQuery()) if one.gpu is None)


def made(provider: Local, **changes: object) -> Instance:
    return provider.create(request(cpu(provider), **changes))  # type: ignore[arg-type]  # samples are loosely typed


def sleeper(instance: Instance) -> subprocess.Popen[str]:
    """A process of the machine that ignores SIGTERM, in a session of its own, and runs already."""
    environ = os.environ | {"LAUNCH_MACHINE": instance.id}
    argv = (sys.executable, "-c", SLEEPER)
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.stdout.close()
    return process


def until_gone(provider: Local, instance: Instance) -> Instance:
    """Look until the machine is gone, for 20 seconds at most."""
    patience = threading.Event()
    for _ in range(200):
        seen = provider.get(instance)
        if seen.state is InstanceState.GONE:
            return seen
        patience.wait(0.1)
    raise AssertionError("it does not end")


def test_a_machine_is_a_folder_whose_dead_man_is_armed_before_create_returns(local: Local) -> None:
    instance = made(local)
    assert instance.state is InstanceState.RUNNING
    assert isinstance(instance.access, Folder)
    guard = Path(instance.access.guard_dir)
    assert (guard / "lease").read_text().strip() == "3600"
    assert int((guard / "pid").read_text()) > 0


def test_terminate_ends_every_process_of_the_machine_and_of_no_other(local: Local) -> None:
    one, other = made(local), made(local)
    doomed, spared = sleeper(one), sleeper(other)
    local.terminate(one)
    assert doomed.wait(timeout=10) == -9
    assert spared.poll() is None
    assert [left.id for left in local.list()] == [other.id]
    assert local.get(one).end_reason is EndReason.ASKED
    local.terminate(other)
    assert spared.wait(timeout=10) == -9


def test_terminate_leaves_no_files_but_the_note_of_the_end(local: Local, tmp_path: Path) -> None:
    instance = made(local)
    (tmp_path / "machines" / instance.id / "big.bin").write_bytes(b"x" * 1000)
    local.terminate(instance)
    left = sorted(path.name for path in (tmp_path / "machines" / instance.id).iterdir())
    assert left == ["ended", "machine.json"]
    assert local.leftovers() == ()


def test_a_machine_ends_itself_at_its_lease_with_all_its_processes(local: Local) -> None:
    instance = made(local, boot=boot(lease_seconds=1))
    process = sleeper(instance)
    seen = until_gone(local, instance)
    assert seen.end_reason is EndReason.OWN_DEADLINE
    assert process.wait(timeout=10) == -9
    assert local.list() == ()
    (left,) = local.leftovers()
    assert left.run_id == instance.run_id
    local.remove(left)
    local.remove(left)
    assert local.leftovers() == ()


def test_a_lease_written_anew_is_what_the_dead_man_goes_by(local: Local) -> None:
    instance = made(local)
    assert isinstance(instance.access, Folder)
    (Path(instance.access.guard_dir) / "lease").write_text("0\n")
    assert until_gone(local, instance).end_reason is EndReason.OWN_DEADLINE


def test_a_machine_whose_processes_are_gone_without_a_note_was_lost(local: Local, tmp_path: Path) -> None:
    """As after a reboot: the process id on disk may meanwhile be somebody else's."""
    instance = made(local)
    folder = tmp_path / "machines" / instance.id
    os.kill(int((folder / "guard" / "pid").read_text()), 9)
    (folder / "guard" / "pid").write_text(f"{os.getpid()}\n")
    seen = until_gone(local, instance)
    assert seen.end_reason is EndReason.FAILED
    assert "restarted" in seen.end_text
    assert [left.id for left in local.leftovers()] == [instance.id]


def test_a_job_that_outlives_its_dead_man_still_counts_as_a_running_machine(local: Local, tmp_path: Path) -> None:
    instance = made(local)
    process = sleeper(instance)
    os.kill(int((tmp_path / "machines" / instance.id / "guard" / "pid").read_text()), 9)
    assert local.get(instance).state is InstanceState.RUNNING
    local.terminate(instance)
    assert process.wait(timeout=10) == -9
    assert local.get(instance).state is InstanceState.GONE


def test_a_create_cut_off_before_its_note_is_taken_up_by_the_same_request(local: Local, tmp_path: Path) -> None:
    asked = request(cpu(local))  # type: ignore[arg-type]  # samples are loosely typed
    first = local.create(asked)
    pid = (tmp_path / "machines" / first.id / "guard" / "pid").read_text()
    (tmp_path / "machines" / first.id / "machine.json").unlink()
    assert local.list() == ()
    again = local.create(asked)
    assert again.id == first.id
    assert (tmp_path / "machines" / first.id / "guard" / "pid").read_text() == pid


def test_the_same_nonce_with_another_lease_is_refused(local: Local) -> None:
    asked = request(cpu(local))  # type: ignore[arg-type]  # samples are loosely typed
    local.create(asked)
    with pytest.raises(ContractBroken):
        local.create(replace(asked, boot=boot(lease_seconds=7)))


def test_a_nonce_that_is_a_path_makes_nothing(local: Local, tmp_path: Path) -> None:
    with pytest.raises(ContractBroken):
        made(local, nonce="../x")
    assert not (tmp_path / "machines").exists()


def test_a_dead_man_that_does_not_start_means_no_machine(tmp_path: Path) -> None:
    provider = Local(surroundings(tmp_path), arm_seconds=0.2)
    with pytest.raises(NotSetUp) as caught:
        made(provider, boot=boot(deadman="exit 1\n"))
    assert caught.value.code == "unguarded"
    assert provider.list() == ()


def test_machines_of_another_owner_are_not_shown(local: Local, tmp_path: Path) -> None:
    instance = made(local)
    stranger = connect(surroundings(tmp_path, owner_id="somebody"))
    assert stranger.list() == ()
    with pytest.raises(NotFound):
        stranger.get(instance)


def test_the_cpu_is_offered_for_nothing_and_never_as_a_gpu(local: Local) -> None:
    offer = next(one for one in local.offers(OfferQuery()) if one.gpu is None)
    assert (offer.instance_type, offer.market, offer.usd_per_hour) == ("cpu", Market.OWNED, Decimal(0))
    assert all(one.gpu is not None for one in local.offers(OfferQuery(gpus=("A10G",))))
    assert local.offers(OfferQuery(markets=(Market.SPOT,))) == ()


def test_each_cuda_card_that_nvidia_smi_shows_is_an_offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "nvidia-smi"
    stub.write_text("#!/bin/sh\necho 'NVIDIA A10G, 23028'\necho 'NVIDIA Mystery 9, 1000'\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = connect(surroundings(tmp_path)).offers(OfferQuery())
    assert [(one.instance_type, one.gpu and one.gpu.name) for one in found] == [("gpu-0", "A10G"), ("cpu", None)]
    words = " ".join(one.text for one in local_hardware.findings(tmp_path))
    assert "Mystery 9 is not a card that launch knows" in words


def test_settings_for_this_machine_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotSetUp, match="cpus"):
        connect(surroundings(tmp_path, settings={"cpus": 2}))


def test_check_raises_nothing_and_speaks_of_disk_and_packages(local: Local) -> None:
    assert {"disk", "packages", "gpu"} <= {one.subject for one in local.check()}
