"""Data sets of the Hub: which of their files hold the rows that are asked for, and those files, kept by commit."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from jobs.config_values import WorkloadError
from jobs.hub import Gated, Hub, HubError, NoModel, NoRevision, Unreachable
from jobs.shards import joined

LISTING_BYTES, LISTING_SECONDS = 16_000_000, 20.0
"""A listing has about 100 bytes a file; the largest data sets have some 100,000 files."""
MOST_BYTES, SECONDS = 4 << 30, 1800.0
"""Of all files of one part: far more rows than such a training looks at (assumed); and how long they may take."""
SUFFIXES, LISTS = (".jsonl", ".csv", ".parquet"), ".json"
"""A JSON list is taken where there is nothing better: most such files only describe the others."""
ABOUT = re.compile(r"(^|/)(dataset_infos?|config|metadata|state|tokenizer\w*)\.json$", re.ASCII)
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""How files name their split: the words that the Hub's own viewer and `datasets` look for."""
SHARD = re.compile(
    r"(?P<stem>.*?)[-_.]?(\d{1,6}-of-\d{1,6}|(?<=[-_.])\d{5,6}|(?<![^-_.])0\d{1,5})([-.][0-9a-f]{8,40})?", re.ASCII
)
"""`train-00000-of-00002`, with or without a hash behind it, `train_00001`, `part.003`, `0000`; not `rows-2024`."""
WORDS = re.compile(r"[^a-z0-9]+")
COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
SAFE_PATH = re.compile(r"(?!.*(^|/)\.)[\w][\w .+=@,()-]*(/[\w][\w .+=@,()-]*)*", re.ASCII)
"""Of a file that we write here under the name that a stranger chose: plain, and never up the tree."""
SHOWN = 12
ADJACENT = "adjacent/"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked for: the rows for `part` ("train", "test", "adjacent/sums", ...) of a data set, below `path`."""

    part: str
    repository: str
    path: str = ""
    revision: str = ""

    @classmethod
    def of(cls, part: str, name: str, revision: str | None) -> "Wanted":
        """By the job file's `owner/name` or `owner/name:path`."""
        repository, _, path = name.partition(":")
        return cls(part=part, repository=repository, path=path.strip("/"), revision=revision or "")

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that would do, the best first: a task that is only measured takes its test rows."""
        return ("test", "validation", "train") if self.part.startswith(ADJACENT) else (self.part,)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The rows' file here; `note` says which file of which commit it is."""

    file: Path
    folder: Path
    """Of all that is kept of this commit."""
    note: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The files of one commit, with their sizes where the Hub says them."""

    commit: str
    sizes: Mapping[str, int]
    asked_just_now: bool = True


def fetch(wanted: Wanted, hub: Hub, folder: Path) -> Found:
    """The file of the rows, fetched once for each commit and kept in `folder`. Raises `WorkloadError`."""
    listing = _listing(wanted, hub, folder)
    paths = choose(wanted, listing.sizes)
    _refuse_too_large(wanted, paths, listing.sizes)
    here = folder / "files" / f"{wanted.repository.replace('/', '--')}@{listing.commit[:12]}"
    kept = [_kept(wanted, path, listing.commit, hub, here) for path in paths]
    file = kept[0] if len(kept) == 1 else joined(kept, here / _joined_name(paths))
    old = "" if listing.asked_just_now else "; the Hub did not answer, so this is the commit that it named last"
    shards = "" if len(paths) == 1 else f" ({len(paths)} files)"
    note = f"data: {wanted.part} is {wanted.repository}:{paths[0]}{shards} at {listing.commit[:8]}{old}"
    return Found(file=file, folder=here, note=note)


def _joined_name(paths: Sequence[str]) -> str:
    first = PurePosixPath(paths[0])
    stem = _shard_stem(first) or first.stem
    return str(first.with_name(f"{stem}.{len(paths)}-files{'.csv' if first.suffix == '.csv' else '.jsonl'}"))


# What there is


def _listing(wanted: Wanted, hub: Hub, folder: Path) -> Listing:
    """Of a full commit what was listed before; of a branch the Hub is asked each time, and its last answer kept."""
    place = folder / "listings" / f"{quote(f'{hub.endpoint} {wanted.repository} {wanted.revision}', safe='')}.json"
    if COMMIT.fullmatch(wanted.revision) and (before := _read(place)) is not None:
        return before
    revision = quote(wanted.revision or "main", safe="")
    question = f"api/datasets/{wanted.repository}/revision/{revision}?blobs=true"
    try:
        answer = hub.asked(question, of="data set", most_bytes=LISTING_BYTES, seconds=LISTING_SECONDS)
        found = _parsed(answer)
    except Unreachable as missed:
        last = _read(place)
        if last is None:
            raise _refused(wanted, hub, missed) from missed
        return Listing(commit=last.commit, sizes=last.sizes, asked_just_now=False)
    except HubError as refused:
        raise _refused(wanted, hub, refused) from refused
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_suffix(".part")
    aside.write_bytes(json.dumps({"sha": found.commit, "siblings": _siblings(found)}).encode())
    aside.replace(place)
    return found


def _siblings(listing: Listing) -> list[dict[str, object]]:
    return [{"rfilename": path, "size": size} for path, size in listing.sizes.items()]


def _read(place: Path) -> Listing | None:
    try:
        return _parsed(place.read_bytes())
    except (OSError, Unreachable):
        return None


def _parsed(answer: bytes) -> Listing:
    """The Hub's words for a commit. Raises `Unreachable` for what is none: then the Hub told us nothing."""
    try:
        said = json.loads(answer)
        commit = str(said["sha"])
        named = {str(one["rfilename"]): int(one.get("size") or 0) for one in said["siblings"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as odd:
        raise Unreachable("the Hub answered something odd") from odd
    if not COMMIT.fullmatch(commit):
        raise Unreachable("the Hub named no commit")
    return Listing(commit=commit, sizes={path: size for path, size in named.items() if SAFE_PATH.fullmatch(path)})


# Which files


def choose(wanted: Wanted, every: Mapping[str, int] | Sequence[str]) -> list[str]:
    """The files that hold the rows, in the order of their numbers. Raises `WorkloadError`: none, or several would do.

    One file, or the shards of one; by the names that are usual. A single file that names no split is all training rows.
    """
    lists = sorted(path for path in every if path.endswith(LISTS) and not ABOUT.search(path))
    if wanted.path in lists:
        return [wanted.path]
    data = sorted(path for path in every if path.endswith(SUFFIXES)) or lists
    if wanted.path in data:
        return [wanted.path]
    below = [path for path in data if not wanted.path or path.startswith(wanted.path + "/")]
    if not below:
        raise _no_files(wanted, data)
    for split in wanted.splits:
        groups = _groups([path for path in below if _split_of(path, wanted.path) == split])
        if len(groups) == 1:
            return groups[0]
        if groups:
            raise _ambiguous(wanted, [one[0] for one in groups])
    unsplit = _groups([path for path in below if not _split_of(path, wanted.path)])
    takes_unsplit = wanted.part == "train" or wanted.part.startswith(ADJACENT) or wanted.path
    if len(unsplit) == 1 and takes_unsplit:
        return unsplit[0]
    raise _ambiguous(wanted, [one[0] for one in _groups(below)])


def _split_of(path: str, above: str) -> str:
    """The split that a file's name says, or the nearest of its folders; "" for none."""
    parts = PurePosixPath(path.removeprefix(above).lstrip("/")).parts
    for part in (PurePosixPath(parts[-1]).stem, *reversed(parts[:-1])):
        words = set(WORDS.split(part.lower()))
        for split, names in SPLITS.items():
            if words & set(names):
                return split
    return ""


def _groups(paths: Sequence[str]) -> list[list[str]]:
    """Files that are shards of the same, each group in the order of the numbers."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        pure = PurePosixPath(path)
        stem = _shard_stem(pure)
        groups.setdefault(str(pure.with_name(f"{stem}-*{pure.suffix}")) if stem is not None else path, []).append(path)
    return [sorted(group) for group in groups.values()]


def _shard_stem(path: PurePosixPath) -> str | None:
    numbered = None if path.suffix == LISTS else SHARD.fullmatch(path.stem)
    return None if numbered is None else numbered["stem"]


def _refuse_too_large(wanted: Wanted, paths: Sequence[str], sizes: Mapping[str, int]) -> None:
    size = sum(sizes.get(path, 0) for path in paths)
    if size > MOST_BYTES:
        raise WorkloadError(
            f"data: {wanted.repository} has {size / 1e9:.1f} GB for {wanted.part}; at most {MOST_BYTES / 1e9:.1f} GB "
            "are fetched",
            hint=f"name one of its files: data.{wanted.part}: {wanted.repository}:{paths[0]}",
            code="data-set",
        )


# The files here


def _kept(wanted: Wanted, path: str, commit: str, hub: Hub, here: Path) -> Path:
    file = here / path
    if file.is_file():
        return file
    place = f"datasets/{wanted.repository}/resolve/{commit}/{quote(path)}"
    try:
        hub.save(place, file, lacks=f"data set has no {path}", most_bytes=MOST_BYTES, seconds=SECONDS)
    except HubError as refused:
        raise _refused(wanted, hub, refused) from refused
    return file


# What a person reads


def _refused(wanted: Wanted, hub: Hub, refused: HubError) -> WorkloadError:
    name = wanted.repository
    if isinstance(refused, Unreachable):
        return WorkloadError(
            f"data: the data set {name} cannot be read now: {refused.why}",
            hint=f"download it, and name the file: data.{wanted.part}: {wanted.part}.jsonl",
            code="hub-unreachable",
        )
    if isinstance(refused, Gated):
        return WorkloadError(
            f"data: cannot read the data set {name}: {refused.why}",
            hint=f"accept its terms at {hub.endpoint}/datasets/{name}, then `export HF_TOKEN=...` and the same again",
            code="gated-data",
        )
    if isinstance(refused, NoRevision):
        return WorkloadError(
            f"data: the data set {name} has no revision {wanted.revision}",
            hint="take `data.revision` out of launch.yaml, or pin one that it has",
            code="data-set",
        )
    missing = isinstance(refused, NoModel)
    return WorkloadError(
        f"data: cannot read the data set {name}: {refused.why}",
        hint=f"look at {hub.endpoint}/datasets/{name}" + ("; a file here is named with its ending" if missing else ""),
        code="data-set",
    )


def _no_files(wanted: Wanted, data: Sequence[str]) -> WorkloadError:
    if wanted.path and data:
        message = f"data: {wanted.repository} has no data file {wanted.path}; it has{_listed(data)}"
        return WorkloadError(message, hint=_named(wanted, data[0]), code="data-set")
    where = f" below {wanted.path}" if wanted.path else ""
    return WorkloadError(
        f"data: {wanted.repository} has no {', '.join(SUFFIXES)} file{where}",
        hint="convert it (the Hub keeps Parquet files of most data sets in the revision refs/convert/parquet)",
        code="data-set",
    )


def _ambiguous(wanted: Wanted, candidates: Sequence[str]) -> WorkloadError:
    what = wanted.part.removeprefix(ADJACENT)
    return WorkloadError(
        f"data: which files of {wanted.repository} are the {what} rows? It has{_listed(candidates)}",
        hint=_named(wanted, candidates[0]),
        code="data-set",
    )


def _listed(paths: Sequence[str]) -> str:
    more = len(paths) - SHOWN
    return "".join(f"\n{path}" for path in paths[:SHOWN]) + (f"\n... and {more:,} more" if more > 0 else "")


def _named(wanted: Wanted, path: str) -> str:
    folder = str(PurePosixPath(path).parent)
    named = path if _shard_stem(PurePosixPath(path)) is None or folder == "." else folder
    key = "evaluate.adjacent[].data" if wanted.part.startswith(ADJACENT) else f"data.{wanted.part}"
    return f"name the file or its folder: {key}: {wanted.repository}:{named}"
