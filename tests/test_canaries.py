"""The search for planted secrets finds them in each form, cut in half, and finds nothing where nothing is."""

import base64
import gzip
import html
import io
import json
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.canaries import CANARIES, holding, holding_below, made


def _tar(text: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        about = tarfile.TarInfo("rows.jsonl")
        about.size = len(text)
        tar.addfile(about, io.BytesIO(text))
    return packed.getvalue()


def _zip(text: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.txt", text)
    return b"#!/usr/bin/env python3\n" + packed.getvalue()


WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda text: text,
    "base64": base64.b64encode,
    "base64 of the web": base64.urlsafe_b64encode,
    "percent": lambda text: urllib.parse.quote(text).encode(),
    "percent, all": lambda text: urllib.parse.quote(text, safe="").encode(),
    "form": lambda text: urllib.parse.urlencode({"key": text.decode()}).encode(),
    "json": lambda text: json.dumps(text.decode()).encode(),
    "json twice": lambda text: json.dumps(json.dumps({"a": text.decode()})).encode(),
    "html": lambda text: html.escape(text.decode()).encode(),
    "repr": lambda text: repr(text.decode()).encode(),
    "hex": lambda text: text.hex().encode(),
    "utf-16": lambda text: text.decode().encode("utf-16"),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "tar in gzip": _tar,
    "zipapp": _zip,
    "gzip in base64 is left, base64 in gzip found": lambda text: gzip.compress(base64.b64encode(text)),
}


@pytest.mark.parametrize("name", CANARIES)
@pytest.mark.parametrize("form", WRAPPED)
def test_a_canary_is_found_in_every_form_and_at_every_offset(name: str, form: str) -> None:
    for before in (b"", b"a", b"ab"):
        found = holding(WRAPPED[form](before + CANARIES[name].encode() + b" and more"))
        assert found
        assert {one.split(" as ")[0] for one in found} == {name}


@pytest.mark.parametrize("name", CANARIES)
def test_half_of_a_canary_is_found_too(name: str) -> None:
    value = CANARIES[name]
    assert holding(value[: len(value) // 2 + 1])
    assert holding(f"...{value[len(value) // 2 :]}")


def test_nothing_is_found_where_nothing_is() -> None:
    assert holding(b"") == ()
    assert holding(Path(__file__).read_bytes()) == ()
    assert holding(Path("tests/canaries.py").read_bytes()) == ()
    assert holding(b"\x1f\x8b no gzip") == holding(b"\x78 no zlib") == holding(b"PK\x05\x06 no zip") == ()


def test_a_folder_is_searched_with_its_names_and_where_its_links_point(tmp_path: Path) -> None:
    (tmp_path / "quiet.txt").write_text("nothing")
    assert holding_below(tmp_path) == ()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "log").write_bytes(gzip.compress(CANARIES["hub-token"].encode()))
    (tmp_path / f"name-{CANARIES['lambda-key']}").touch()
    (tmp_path / "link").symlink_to(f"/nowhere/{CANARIES['runpod-key']}")
    assert {one.rpartition(": ")[2].split(" as ")[0] for one in holding_below(tmp_path)} == {
        "hub-token", "lambda-key", "runpod-key",
    }  # fmt: skip


def test_a_canary_that_chance_could_make_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        holding("Zq7Kx9", {"tiny": made("tiny", characters=16)})
