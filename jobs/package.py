"""Makes what travels to the machine: supervisor, dead-man, and the bundle of job and data; same input, same bytes."""

import functools
import gzip
import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from jobs.whole_files import sha256

if TYPE_CHECKING:
    from jobs.spec import LoadedSpec

HERE = Path(__file__).parent
GRACE_SECONDS = 60
"""Between asking a job to save and killing it."""
SAVE_SECONDS = 90
"""What the supervisor leaves of the lease, beside the grace, for a save."""
MOST_BYTES = 20 << 30
"""Of all files in a bundle: more than the largest base model that such a run trains."""
_FAST_FROM_BYTES = 64 << 20
_JOB_SUFFIXES = frozenset({".py", ".lock", ".json", ".md"})
_BASE_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".txt"})
_BASE_NAMES = frozenset({"tokenizer.model"})
_ZIP_MAIN = '"""Entry of guest.pyz."""\n\nimport sys\n\nfrom guest.verbs import main\n\nsys.exit(main(sys.argv[1:]))\n'
_SHORTEST_SECRET = 8
_SECRET_SHAPES = {
    "a Hugging Face token": rb"\bhf_[A-Za-z0-9]{30,}",
    "an AWS access key": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})",
    "a Runpod key": rb"\brpa_[A-Z0-9]{30,}",
    "an API key": rb"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}",
}
_SECRET_FILES = re.compile(
    r"\.env(\..*)?|\.netrc|id_(rsa|dsa|ecdsa|ed25519)|credentials|.*\.(pem|key|p12|pfx)", re.IGNORECASE
)


class PackageError(Exception):
    """The bundle cannot be made, or must not be shipped; `hint` is what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle on disk: its hash and size, the names in it, and the settings that its job.json holds."""

    path: Path
    sha256: str
    bytes: int
    files: tuple[str, ...]
    settings: Mapping[str, object]


@functools.cache
def guest_zipapp() -> bytes:
    """guest.pyz: the package `jobs/guest` as one program. Stored, not deflated: no zlib can change a byte."""
    made = io.BytesIO(b"#!/usr/bin/env python3\n")
    made.seek(0, io.SEEK_END)
    with zipfile.ZipFile(made, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(_zip_entry("__main__.py"), _ZIP_MAIN)
        for path in sorted((HERE / "guest").glob("*.py")):
            archive.writestr(_zip_entry(f"guest/{path.name}"), path.read_bytes())
    return made.getvalue()


def _zip_entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr, entry.create_system = 0o100644 << 16, 3
    return entry


@functools.cache
def deadman() -> str:
    """The dead-man's script, as it goes into the machine's boot data: without the comments, for room."""
    lines = (HERE / "guest" / "deadman.sh").read_text("ascii").splitlines()
    bare = (re.sub(r"\s+# .*", "", line) for line in lines[1:] if not line.lstrip().startswith("#"))
    return "\n".join([lines[0], *(line for line in bare if line)]) + "\n"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Whom a bundle is made for: the run, which of its attempts, and what the machine is told and trusted with."""

    run_id: str
    attempt: int
    secrets: Sequence[str]
    """Names only."""
    notice: str
    """The word of job.json for where a reclaim is announced: "imds", or "" for nowhere."""


def pack(
    loaded: "LoadedSpec",
    order: Order,
    *,
    into: Path,
    job_folder: Path = HERE / "qlora",
    environ: Mapping[str, str] | None = None,
) -> Bundle:
    """Write `into/bundle.tar.gz`: job code, data, a local base model, job.json; nothing else.

    The values of the order's secrets (from `environ`) are looked for in what is shipped. Raises `PackageError`: a
    secret in a file (with its line), too large, no steps.
    """
    sources = _sources(loaded, job_folder)
    _refuse_too_large(sources)
    _refuse_secrets(sources, _values(order.secrets, os.environ if environ is None else environ))
    job = _job(loaded, order, _steps(job_folder))
    job["sha256"] = {name: sha256(path) for name, path in sorted(sources.items()) if not name.startswith("job/")}
    path = into / "bundle.tar.gz"
    aside = into / "bundle.tar.gz.part"
    with aside.open("wb") as file:
        _write(file, sources, json.dumps(job, sort_keys=True, indent=1).encode())
    aside.replace(path)
    return Bundle(
        path=path,
        sha256=sha256(path),
        bytes=path.stat().st_size,
        files=tuple(sorted([*sources, "job.json"])),
        settings=loaded.spec.settings(),
    )


def _sources(loaded: "LoadedSpec", job_folder: Path) -> dict[str, Path]:
    """Names in the bundle to files here. Only what is named or has an allowed suffix comes in; no folder is walked."""
    from jobs import spec  # pydantic: who only wants the dead-man should not wait for it

    found = {f"job/{path.relative_to(job_folder)}": path for path in _job_files(job_folder)}
    found |= {f"data/{part}.jsonl": path for part, path in spec.data_files(loaded).items()}
    found |= {f"prompts/{name}.txt": path for name, path in spec.prompt_files(loaded).items() if name != "larger"}
    if loaded.model_folder is not None:
        allowed = (path for path in _files(loaded.model_folder) if _belongs_to_a_model(path))
        found |= {f"base/{path.name}": path for path in allowed}
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _job_files(folder: Path) -> list[Path]:
    """The job's own files, and those of its one package of data code."""
    every = [*_files(folder), *(_files(folder / "dataset") if (folder / "dataset").is_dir() else ())]
    return [path for path in every if path.suffix in _JOB_SUFFIXES]


def _belongs_to_a_model(path: Path) -> bool:
    return path.suffix in _BASE_SUFFIXES or path.name in _BASE_NAMES


def _refuse_too_large(sources: Mapping[str, Path]) -> None:
    total = sum(path.stat().st_size for path in sources.values())
    if total <= MOST_BYTES:
        return
    largest = max(sources.values(), key=lambda path: path.stat().st_size)
    text = f"the job would ship {total / 2**30:.1f} GiB, at most {MOST_BYTES / 2**30:.0f} GiB can be"
    raise PackageError(
        f"{text}; the largest file is {largest} ({largest.stat().st_size / 2**30:.1f} GiB)",
        "name the model by its id on the Hub: the machine loads it from there, faster than from here",
    )


def _values(secrets: Sequence[str], environ: Mapping[str, str]) -> dict[str, bytes]:
    found = {name: environ.get(name, "").strip().encode() for name in secrets}
    return {f"the value of {name}": value for name, value in found.items() if len(value) >= _SHORTEST_SECRET}


def _refuse_secrets(sources: Mapping[str, Path], values: Mapping[str, bytes]) -> None:
    """Weights are not read: the rest is text that people write, and where keys get pasted."""
    shapes = _SECRET_SHAPES | {what: re.escape(value) for what, value in values.items()}
    kinds = list(shapes)
    pattern = re.compile(b"|".join(b"(" + shape + b")" for shape in shapes.values()))
    for path in sources.values():
        if _SECRET_FILES.fullmatch(path.name):
            raise PackageError(f"{path} looks like a file of secrets, and is not shipped", "name another file")
        if path.suffix == ".safetensors":
            continue
        for number, line in enumerate(_lines(path), start=1):
            if found := pattern.search(line):
                raise _secret_found(path, number, kinds[(found.lastindex or 1) - 1])


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _secret_found(path: Path, line: int, what: str) -> PackageError:
    return PackageError(
        f"{path}, line {line}: this looks like {what}, and is not shipped",
        "take it out of the file; what the job needs secretly goes by `--secret NAME`",
    )


def _steps(job_folder: Path) -> list[dict[str, object]]:
    path = job_folder / "steps.json"
    try:
        steps = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PackageError(f"{path} cannot be read: {error}") from error
    if not isinstance(steps, list) or not steps or not all(_is_step(step) for step in steps):
        raise PackageError(f"{path} is not a list of steps with name, phase and argv")
    return steps


def _is_step(step: object) -> bool:
    if not isinstance(step, dict) or set(step) - {"until"} != {"name", "phase", "argv"}:
        return False
    argv, words = step["argv"], [step[name] for name in step if name != "argv"]
    return isinstance(argv, list) and bool(argv) and all(isinstance(word, str) for word in [*argv, *words])


def _job(loaded: "LoadedSpec", order: Order, steps: list[dict[str, object]]) -> dict[str, object]:
    return {
        "schema": 1,
        "name": loaded.spec.name,
        "run_id": order.run_id,
        "attempt": order.attempt,
        "grace_seconds": GRACE_SECONDS,
        "save_seconds": SAVE_SECONDS,
        "notice": order.notice,
        "steps": steps,
        "secrets": sorted(order.secrets),
        "settings": loaded.spec.settings(),
        "seeds": {"seed": loaded.spec.train.seed},
    }


def _write(file: BinaryIO, sources: Mapping[str, Path], job: bytes) -> None:
    large = sum(path.stat().st_size for path in sources.values()) > _FAST_FROM_BYTES
    packed = gzip.GzipFile(filename="", mode="wb", compresslevel=1 if large else 6, fileobj=file, mtime=0)
    with packed, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_entry("job.json", len(job)), io.BytesIO(job))
        for name, path in sorted(sources.items()):
            with path.open("rb") as source:
                tar.addfile(_entry(name, path.stat().st_size), source)


def _entry(name: str, size: int) -> tarfile.TarInfo:
    """Nobody's file of no time: what the bundle is must not depend on who packs it, and when."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o644
    return entry
