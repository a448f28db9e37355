"""Where a model's dimensions are read: a local folder, what was read before, the Hub, or the built-in table."""

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from jobs.shapes import Decoder, WorkloadError, from_config, known

HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 4.0
MOST_BYTES = 1_000_000
"""A config.json is a few KB; more than this is not one."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, OK = 401, 403, 404, 200


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model's dimensions; `source` says where they were read; `folder` holds its files where they lie here."""

    name: str
    decoder: Decoder
    source: str
    folder: Path | None = None
    is_local: bool = False
    """It is a folder of the user's, to be shipped; not a copy in the Hub's cache."""


class _HubError(Exception):
    """The Hub gave no config, so that the next place is asked; `why` is for people."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def find(name: str, revision: str, base: Path, *, environ: Mapping[str, str], cache: Path | None) -> Model:
    """The model called `name` (a folder, absolute or below `base`; else a Hub id).

    The Hub (`HF_ENDPOINT`, `HF_TOKEN`) is asked once and the answer kept in `cache`. Raises `WorkloadError`.
    """
    folder = (base / Path(name).expanduser()).resolve()
    if folder.is_dir():
        decoder = from_config(_read(folder / "config.json"), str(name))
        return Model(name=name, decoder=decoder, source="config.json here", folder=folder, is_local=True)
    if name.startswith((".", "/", "~")) or not HUB_ID.fullmatch(name):
        raise WorkloadError(f"there is no model folder {name}", hint="give a folder with a config.json, or a Hub id")
    return _from_hub_cache(name, revision, environ) or _from_hub(name, revision, environ, cache)


def _from_hub_cache(name: str, revision: str, environ: Mapping[str, str]) -> Model | None:
    """What huggingface_hub downloaded before, in its own layout."""
    home = Path(
        environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"
    )
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    pointer = repository / "refs" / (revision or "main")
    wanted = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else revision
    snapshots = [one for one in sorted((repository / "snapshots").glob("*")) if wanted and one.name.startswith(wanted)]
    for folder in snapshots:
        if (folder / "config.json").is_file():
            decoder = from_config(_read(folder / "config.json"), name)
            return Model(name=name, decoder=decoder, source="config.json in the Hub's cache here", folder=folder)
    return None


def _from_hub(name: str, revision: str, environ: Mapping[str, str], cache: Path | None) -> Model:
    endpoint = environ.get("HF_ENDPOINT", HUB).rstrip("/")
    kept = None if cache is None else cache / f"{quote(f'{endpoint} {name} {revision}', safe='')}.json"
    if kept is not None and kept.is_file():
        return Model(name=name, decoder=from_config(_read(kept), name), source="config.json of the Hub, read before")
    try:
        text = _ask(f"{endpoint}/{name}/resolve/{quote(revision or 'main', safe='')}/config.json", environ)
    except _HubError as missed:
        return _from_table(name, missed.why)
    decoder = from_config(_parse(text, name), name)
    if kept is not None:
        _keep(kept, text)
    return Model(name=name, decoder=decoder, source=f"config.json at {urlsplit(endpoint).netloc}")


def _from_table(name: str, why: str) -> Model:
    table = {key.lower(): (key, decoder) for key, decoder in known().items()}
    found = table.get(name.lower())
    if found is not None:
        return Model(name=found[0], decoder=found[1], source=f"built-in table ({why})")
    short = {key.split("/")[-1]: whole for key, (whole, _) in table.items()}
    close = difflib.get_close_matches(name.lower().split("/")[-1], list(short), n=3, cutoff=0.5)
    nearest = "did you mean " + ", ".join(short[one] for one in close) + "? " if close else ""
    raise WorkloadError(
        f"cannot measure the model {name}: {why}", hint=f"{nearest}A folder with a config.json works too"
    )


def _ask(url: str, environ: Mapping[str, str]) -> bytes:
    import httpx  # start-up time

    token = environ.get("HF_TOKEN", "")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True) as response:
            _check_status(response.status_code, has_token=bool(token))
            return _bounded(response.iter_bytes())
    except httpx.HTTPError as error:
        raise _HubError(f"the Hub could not be reached ({type(error).__name__})") from error
    except httpx.InvalidURL as error:
        raise WorkloadError("HF_ENDPOINT is not a URL", hint="unset HF_ENDPOINT, or give https://HOST") from error


def _check_status(status: int, *, has_token: bool) -> None:
    if status in {UNAUTHORIZED, FORBIDDEN}:
        refused = "your HF_TOKEN has no access to it" if has_token else "it is gated, or does not exist; set HF_TOKEN"
        raise _HubError(f"the Hub refuses it: {refused}")
    if status == NOT_FOUND:
        raise _HubError("the Hub has no such model, revision or config.json")
    if status != OK:
        raise _HubError(f"the Hub answered {status}")


def _bounded(chunks: Iterable[bytes]) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > MOST_BYTES:
            raise _HubError("the Hub sent something that is no config.json")
    return bytes(body)


def _read(path: Path) -> Mapping[str, object]:
    try:
        return _parse(path.read_bytes(), str(path))
    except OSError as error:
        raise WorkloadError(f"cannot read {path}", hint="a model's folder needs a config.json") from error


def _parse(text: bytes, where: str) -> Mapping[str, object]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise WorkloadError(f"{where}: config.json is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise WorkloadError(f"{where}: config.json is not a JSON object")
    return parsed


def _keep(path: Path, text: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_bytes(text)
    aside.replace(path)
