"""Decides which file names of a strange machine may exist on this one: an allow-list, the same on every system."""

from launcher.answers import printable

RESULT_SUFFIXES = frozenset(
    {".safetensors", ".gguf", ".json", ".jsonl", ".txt", ".log", ".md", ".jinja", ".model", ".csv", ".tfevents"}
)
"""What a result may be. No format among them runs code when it is opened; pickles do, and are not. GGUF holds tensors
and key-value pairs; tfevents, TensorBoard's, are protocol buffers of figures."""

_DEEPEST = 6
_PART_BYTES = 120
_SIGNS = frozenset("._-+=@")
_OURS = frozenset({"manifest.json", "receipt.json", "report.html", "try.json", "model_card.md", "keys", "data"})
_OURS_WITHIN = ("eval/summary", "eval/judge", "eval/votes", "eval/larger", "eval/review")
"""Beginnings of names that we write ourselves between the machine's: what it cannot write it cannot make up."""
_DEVICES = frozenset({"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)})


class Names:
    """Accepts names one after the other; each must be plain, and must not collide with one before."""

    def __init__(self, suffixes: frozenset[str] | None, reserved: frozenset[str] = _OURS) -> None:
        """`suffixes` None: any (opaque files that nobody opens here). `reserved`: top names that are ours to write."""
        self._suffixes, self._reserved = suffixes, reserved
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}

    def refuse(self, path: str) -> str:
        """Why this name is not taken; "" where it is, and from then on counts as given away."""
        parts = path.split("/")
        why = _odd(parts) or self._unwanted(parts) or self._collides(parts)
        if not why:
            self._files.add(path.casefold())
            self._folders.update((folder.casefold(), folder) for folder in _folders(parts))
        return f"{printable(path)[:_PART_BYTES]!r}: {why}" if why else ""

    def _unwanted(self, parts: list[str]) -> str:
        whole = "/".join(parts).casefold()
        if parts[0].casefold() in self._reserved or (self._reserved and whole.startswith(_OURS_WITHIN)):
            return "this name is ours"
        suffix = parts[-1][parts[-1].rfind(".") :].lower() if "." in parts[-1] else ""
        if self._suffixes is not None and suffix not in self._suffixes:
            return f"{suffix or 'no suffix'} is no kind of result"
        return ""

    def _collides(self, parts: list[str]) -> str:
        # On many laptops A and a are one file; there, the second would land in the first.
        whole = "/".join(parts).casefold()
        if whole in self._files or whole in self._folders:
            return "another name comes to the same"
        for folder in _folders(parts):
            if folder.casefold() in self._files or self._folders.get(folder.casefold(), folder) != folder:
                return "another name comes to the same"
        return ""


def _folders(parts: list[str]) -> list[str]:
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _odd(parts: list[str]) -> str:
    if len(parts) > _DEEPEST:
        return f"more than {_DEEPEST} levels"
    return "not a plain name" if any(not _is_plain(part) for part in parts) else ""


def _is_plain(part: str) -> bool:
    if not part or part[0] in ".-+=@" or part.endswith("."):
        return False
    if part.split(".", maxsplit=1)[0].casefold() in _DEVICES:
        return False
    # ASCII alone: no signs that look alike, that cannot be seen, or that some file system turns into others. All that a
    # job writes is named so, also its tasks (`jobs.spec_evaluate`).
    known = all(sign in _SIGNS or (sign.isascii() and sign.isalnum()) for sign in part)
    return known and len(part) <= _PART_BYTES
