"""User-data as cloud-init reads it."""

import base64
import gzip
import json

import pytest

from tests.cloud.stubs import shutdown_delay
from tests.cloud.userdata import parse


def config(**parts: object) -> bytes:
    return f"#cloud-config\n{json.dumps(parts)}".encode()


def test_a_list_is_an_argv_and_a_string_a_line_of_shell() -> None:
    script = parse(config(bootcmd=[["echo", "a b", "$HOME"], "echo $HOME && true"])).bootcmd
    assert script == "echo 'a b' '$HOME'\necho $HOME && true\n"


def test_files_come_decoded_and_with_their_mode() -> None:
    packed = base64.b64encode(gzip.compress(b"inside")).decode()
    plain = {"path": "/etc/a", "content": "text", "permissions": "0600"}
    first, second = parse(config(write_files=[plain, {"path": "b", "content": packed, "encoding": "gz+b64"}])).files
    assert (first.content, first.mode, second.content, second.mode) == (b"text", 0o600, b"inside", 0o644)


def test_keys_that_are_not_simulated_are_named_and_not_lost_silently() -> None:
    assert parse(config(users=["x"], packages=[])).ignored == ("packages", "users")


def test_a_script_runs_as_the_last_step() -> None:
    assert parse(b"#!/bin/sh\necho hi\n").runcmd.endswith("echo hi\n")


def test_text_that_cloud_init_would_not_take_is_refused() -> None:
    with pytest.raises(ValueError, match="does not take"):
        parse(b"bootcmd: []\n")
    with pytest.raises(ValueError, match="not YAML"):
        parse(b"#cloud-config\n{")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("shutdown -P now", 0.0), ("shutdown -P +2", 120.0), ("shutdown", 60.0), ("poweroff", 0.0), ("shutdown -c", None)],
)
def test_shutdown_is_understood_as_a_machine_does(words: str, seconds: float | None) -> None:
    assert shutdown_delay(words.split()) == seconds
