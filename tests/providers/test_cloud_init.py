"""The boot data that every cloud with cloud-init is given, whatever ends a machine there."""

import json
from dataclasses import replace
from typing import Any

import pytest

from providers.base import BootFile, ContractBroken
from providers.cloud_init import GUARD_DIR, user_data
from tests.cloud import userdata
from tests.providers.samples import boot

END = ("sh", "/var/lib/launch/end.sh")


def config(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.partition("\n")[2])
    return found


def test_what_ends_a_machine_stands_last_in_the_command_that_runs_first() -> None:
    first = config(user_data(boot(lease_seconds=77), END, 100_000))["bootcmd"][0]
    assert first[4:6] == [GUARD_DIR, "77"]
    assert tuple(first[7:]) == END


def test_the_limit_counts_bytes_and_is_kept_to_the_last_one() -> None:
    data = boot(files=(BootFile(path="/x", content="é" * 100),))
    size = len(user_data(data, END, 100_000).encode())
    assert user_data(data, END, size)
    with pytest.raises(ContractBroken) as caught:
        user_data(data, END, size - 1)
    assert caught.value.code == "user-data-size"
    assert f"{size} bytes" in caught.value.text


def test_files_come_with_their_letters_and_the_rights_that_they_need() -> None:
    files = (BootFile(path="/a", content="é\n'\"\\\n", mode=0o600), BootFile(path="/b", content="", mode=0o755))
    first, second = userdata.parse(user_data(boot(files=files), END, 100_000).encode()).files
    assert (first.path, first.content, first.mode) == ("/a", "é\n'\"\\\n".encode(), 0o600)
    assert (second.path, second.content, second.mode) == ("/b", b"", 0o755)


def test_nobody_logs_in_by_password_and_nothing_is_installed_on_the_way() -> None:
    found = config(user_data(boot(), END, 100_000))
    assert (found["ssh_pwauth"], found["package_update"], found["package_upgrade"]) == (False, False, False)


def test_the_reader_of_yaml_finds_what_was_written_as_json() -> None:
    data = boot()
    read = userdata.parse(user_data(data, END, 100_000).encode())
    assert read.host_key == data.host_key_private
    assert read.authorized_keys == (data.authorized_key,)


def test_equal_boots_are_equal_to_the_byte() -> None:
    data = boot(files=(BootFile(path="/a", content="b"),))
    assert user_data(data, END, 100_000) == user_data(replace(data), END, 100_000)
