"""The part of cloud-init that a test machine understands: user-data in, scripts, files and keys out."""

import base64
import gzip
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

KNOWN = {"bootcmd", "runcmd", "write_files", "ssh_keys", "ssh_authorized_keys", "ssh_deletekeys"}


@dataclass(frozen=True, kw_only=True)
class PlainFile:
    """One entry of write_files."""

    path: str
    content: bytes
    mode: int
    append: bool = False


@dataclass(frozen=True, kw_only=True)
class UserData:
    """What a machine does on its first boot. Scripts are text for /bin/sh; empty when there is none."""

    bootcmd: str = ""
    runcmd: str = ""
    files: tuple[PlainFile, ...] = ()
    authorized_keys: tuple[str, ...] = ()
    host_key: str | None = None
    ignored: tuple[str, ...] = ()
    """Top-level keys that the real cloud-init may know, and this one does not."""


def parse(raw: bytes) -> UserData:
    """Read user-data as cloud-init does: by its first line. Raises `ValueError` for what it would not understand."""
    text = raw.decode()
    if not text.strip():
        return UserData()
    first = text.partition("\n")[0].strip()
    if first.startswith("#!"):
        return UserData(runcmd=text)
    if first != "#cloud-config":
        raise ValueError(f"user-data begins with {first[:40]!r}, which cloud-init does not take")
    try:
        return _config(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise ValueError(f"user-data is not YAML: {error}") from error


def _config(config: object) -> UserData:
    if not isinstance(config, Mapping):
        raise TypeError("cloud-config must be a mapping")
    keys = config.get("ssh_keys") or {}
    return UserData(
        bootcmd=_script(config.get("bootcmd") or ()),
        runcmd=_script(config.get("runcmd") or ()),
        files=tuple(_file(entry) for entry in config.get("write_files") or ()),
        authorized_keys=tuple(str(key) for key in config.get("ssh_authorized_keys") or ()),
        host_key=keys.get("ed25519_private"),
        ignored=tuple(sorted(set(config) - KNOWN)),
    )


def _script(entries: Sequence[object]) -> str:
    """A list is an argv, a string a line of shell; one script runs them all, and goes on after a failure."""
    lines = [shlex.join(map(str, entry)) if isinstance(entry, list) else str(entry) for entry in entries]
    return "".join(f"{line}\n" for line in lines)


def _file(entry: Mapping[str, object]) -> PlainFile:
    mode = entry.get("permissions", "0644")
    return PlainFile(
        path=str(entry["path"]),
        content=_content(str(entry.get("content", "")).encode(), str(entry.get("encoding", "text/plain"))),
        mode=mode if isinstance(mode, int) else int(str(mode), 8),
        append=bool(entry.get("append", False)),
    )


def _content(data: bytes, encoding: str) -> bytes:
    if encoding in {"b64", "base64"}:
        return base64.b64decode(data)
    if encoding in {"gz+b64", "gz+base64", "gzip+b64", "gzip+base64"}:
        return gzip.decompress(base64.b64decode(data))
    if encoding == "text/plain":
        return data
    raise ValueError(f"write_files: encoding {encoding!r} is not simulated")
