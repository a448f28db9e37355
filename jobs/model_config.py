"""Where a model's dimensions and its tokenizer are read: a local folder, what was read before, the Hub, or a table."""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.config_values import WorkloadError
from jobs.hub import Gated, Hub, HubError, Kept, NoFile, NoModel, NoRevision, Unreachable
from jobs.shapes import Decoder, from_config, table

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
CONFIG_BYTES, CONFIG_SECONDS = 1_000_000, 8.0
"""A config.json is a few KB; more than this is not one."""
TOKENIZER_BYTES, TOKENIZER_SECONDS = 64_000_000, 60.0
"""The largest that is known, Gemma's, has 33 MB. It is read once, and then kept."""
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
TABLE = "built-in table"
"""How the source of a shape begins that is not from the model's own config."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model's dimensions; `source` says where they were read; `folder` holds its files where they lie here."""

    name: str
    decoder: Decoder
    source: str
    revision: str = ""
    folder: Path | None = None
    is_local: bool = False
    """It is a folder of the user's, to be shipped; not a copy in the Hub's cache."""
    unreachable: str = ""
    """Why the Hub told us nothing: then it is not worth asking again now."""


def find(name: str, revision: str, base: Path, *, environ: Mapping[str, str], cache: Path | None) -> Model:
    """The model called `name` (a folder, absolute or below `base`; else a Hub id).

    The Hub (`HF_ENDPOINT`, `HF_TOKEN`) is asked once and the answer kept in `cache`. Raises `WorkloadError`.
    """
    folder = (base / Path(name).expanduser()).resolve()
    if folder.is_dir():
        decoder = from_config(_read(folder / CONFIG), str(name))
        return Model(name=name, decoder=decoder, source="config.json here", folder=folder, is_local=True)
    if name.startswith((".", "/", "~")) or not HUB_ID.fullmatch(name):
        raise WorkloadError(f"there is no model folder {name}", hint="give a folder with a config.json, or a Hub id")
    return _from_hub_cache(name, revision, environ) or _from_hub(name, revision, environ, cache)


def tokenizer(model: Model, *, environ: Mapping[str, str], cache: Path | None) -> bytes:
    """The model's tokenizer.json, fetched once where it does not lie here. Raises `HubError`: why there is none."""
    return model_file(model, TOKENIZER, environ=environ, cache=cache)


def model_file(model: Model, name: str, *, environ: Mapping[str, str], cache: Path | None) -> bytes:
    """One of the tokenizer's files, in the same way."""
    here = model.folder / name if model.folder is not None else None
    if here is not None and here.is_file():
        return here.read_bytes()
    if model.is_local:
        raise NoFile(f"{model.name} has no {name}")
    return _fetched(model, name, Kept(folder=cache, hub=Hub.of(environ)))


def _fetched(model: Model, name: str, kept: Kept) -> bytes:
    path, lacks = (kept.path(model.name, model.revision, one) for one in (f".{name}", f".lacks-{name}"))
    if path is not None and path.is_file():
        return path.read_bytes()
    if lacks is not None and lacks.is_file():
        raise NoFile(f"the model has no {name}")
    if model.unreachable:
        raise Unreachable(model.unreachable)
    try:
        content = kept.hub.file(model.name, model.revision, name, most_bytes=TOKENIZER_BYTES, seconds=TOKENIZER_SECONDS)
    except NoFile:
        kept.keep(lacks, b"")
        raise
    kept.keep(path, content)
    return content


def check_access(name: str, revision: str, *, endpoint: str, token: str) -> None:
    """Refuse a model that a machine with this token (empty: none) could not download. Raises `WorkloadError`.

    Silent where the Hub tells nothing.
    """
    hub = Hub.of({"HF_ENDPOINT": endpoint, "HF_TOKEN": token} if endpoint else {"HF_TOKEN": token})
    try:
        hub.file(name, revision, CONFIG, most_bytes=CONFIG_BYTES, seconds=CONFIG_SECONDS)
    except (Gated, NoModel) as refused:
        said = "has no access with this HF_TOKEN" if token else "was not handed HF_TOKEN, and the model is not open"
        raise WorkloadError(
            f"the machine could not download {name}: it {said}",
            hint=f"launch --secret HF_TOKEN ...     # a token that may read {hub.endpoint}/{name}",
            code="gated-model",
        ) from refused
    except HubError:
        return


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
        if (folder / CONFIG).is_file():
            decoder = from_config(_read(folder / CONFIG), name)
            return Model(
                name=name, decoder=decoder, source="config.json in the Hub's cache here", revision=revision,
                folder=folder,
            )  # fmt: skip
    return None


def _from_hub(name: str, revision: str, environ: Mapping[str, str], cache: Path | None) -> Model:
    hub = Hub.of(environ)
    kept = Kept(folder=cache, hub=hub)
    path = kept.path(name, revision, ".json")
    if path is not None and path.is_file():
        source = "config.json of the Hub, read before"
        return Model(name=name, decoder=from_config(_read(path), name), source=source, revision=revision)
    try:
        text = hub.file(name, revision, CONFIG, most_bytes=CONFIG_BYTES, seconds=CONFIG_SECONDS)
    except Unreachable as missed:
        return _from_table(name, revision, missed.why)
    except HubError as refused:
        raise _refused(name, revision, hub, refused) from refused
    decoder = from_config(_parse(text, name), name)
    kept.keep(path, text)
    return Model(name=name, decoder=decoder, source=f"config.json at {hub.host}", revision=revision)


def _refused(name: str, revision: str, hub: Hub, refused: HubError) -> WorkloadError:
    """What the Hub said, and what a person can do about it."""
    if isinstance(refused, Gated):
        return WorkloadError(
            f"cannot read the model {name}: {refused.why}",
            hint=f"accept its terms at {hub.endpoint}/{name}, then `export HF_TOKEN=...` and the same command again",
            code="gated-model",
        )
    if isinstance(refused, NoModel):
        return _unknown(name, refused.why)
    if isinstance(refused, NoRevision):
        message = f"the model {name} has no revision {revision}"
        hint = "take `revision` out of launch.yaml, or pin one that it has"
        return WorkloadError(message, hint=hint, code="unknown-model")
    return WorkloadError(
        f"{name} has no config.json: it is no model in the layout of transformers (GGUF files cannot be trained)",
        hint="name the model that it was made from, as owner/name",
        code="model-kind",
    )


def _from_table(name: str, revision: str, why: str) -> Model:
    configs = table()
    found = next((key for key in configs if key.lower() == name.lower()), None)
    if found is None:
        raise _unknown(name, why)
    decoder = from_config(configs[found], found)
    return Model(
        name=found, decoder=decoder, source=f"{TABLE} ({why})", revision=revision, unreachable=why
    )  # fmt: skip


def _unknown(name: str, why: str) -> WorkloadError:
    """With the nearest names of the table; those of the whole Hub are not known here."""
    short = {key.split("/")[-1].lower(): key for key in table()}
    close = difflib.get_close_matches(name.lower().split("/")[-1], list(short), n=3, cutoff=0.5)
    nearest = "did you mean " + ", ".join(short[one] for one in close) + "? " if close else ""
    return WorkloadError(
        f"cannot measure the model {name}: {why}",
        hint=f"{nearest}A folder with a config.json works too",
        code="unknown-model",
    )


def _read(path: Path) -> Mapping[str, object]:
    try:
        return _parse(path.read_bytes(), str(path))
    except OSError as error:
        raise WorkloadError(f"cannot read {path}", hint="a model's folder needs a config.json") from error


def _parse(text: bytes, where: str) -> Mapping[str, object]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkloadError(f"{where}: config.json is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise WorkloadError(f"{where}: config.json is not a JSON object")
    return parsed
