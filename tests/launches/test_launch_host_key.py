"""The host key that stands in the boot data counts for the first session alone."""

import re

import pytest

from tests.launches.laptop import Laptop

pytestmark = pytest.mark.cloud


def test_the_host_key_of_the_boot_data_gives_way_to_one_that_nobody_else_saw(laptop: Laptop) -> None:
    laptop.quick(steps=3)
    said = laptop.launched()
    assert said.code == 0, said.err
    assert [event["text"] for event in said.events if event.get("code") == "host-key-kept"] == []
    machine = laptop.machine()
    there = (machine.root / "etc" / "ssh" / "ssh_host_ed25519_key.pub").read_text().split()[1]
    (pinned,) = next(laptop.home.glob("runs/*/keys/known_hosts")).read_text().splitlines()
    first = next(laptop.home.glob("runs/*/keys/host.pub")).read_text().split()[1]
    assert pinned.split()[2] == there != first
    assert first in machine.user_data
    assert there not in machine.user_data
    private = (machine.root / "etc" / "ssh" / "ssh_host_ed25519_key").read_text()
    kept = [path for path in laptop.folder.rglob("*") if path.is_file() and private.encode() in path.read_bytes()]
    assert kept == [], "only the machine holds it"
    assert not re.search(r"next-", " ".join(str(path) for path in laptop.home.rglob("*")))
