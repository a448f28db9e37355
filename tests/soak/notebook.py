"""What became of planted bugs and mutants, a line each in a file: who is broken off goes on there, and loses nothing.

A verdict holds for the source that it was given on, to the byte, tests included. What noticed something in another
source is only asked first, since it will mostly notice it again.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.soak.table import commit

ROW = re.compile(r"(?<!\\)\|")
"""Between the cells of a row of a Markdown table."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One verdict: on what, in which source, and what noticed it."""

    source: str
    commit: str
    what: str
    fate: str
    words: str


class Notebook:
    """Verdicts on one source; and hints, from verdicts on others and from the page that was written last."""

    def __init__(self, file: Path, source: str, page: Path | None = None) -> None:
        self.file, self.source = file, source
        self._lines = {(one.source, one.what): one for one in _read(file)}
        self._hints = _told(page) | {what: one.words for (_, what), one in self._lines.items()}
        file.parent.mkdir(parents=True, exist_ok=True)

    def verdict(self, what: str) -> Line | None:
        """What became of it in this very source; None where that is not known."""
        return self._lines.get((self.source, what))

    def hint(self, what: str) -> str:
        """What noticed it the last time; empty where nothing did."""
        return self._hints.get(what, "")

    def add(self, what: str, fate: str, words: str) -> Line:
        """One more, in one write."""
        line = Line(source=self.source, commit=commit(), what=what, fate=fate, words=words)
        with self.file.open("ab", buffering=0) as file:
            file.write(json.dumps(asdict(line)).encode() + b"\n")
        self._lines[self.source, what] = line
        return line


def _read(file: Path) -> list[Line]:
    """All of them; a line that was torn by a death does not count."""
    found = []
    for line in file.read_text("utf-8").splitlines() if file.exists() else []:
        try:
            found.append(Line(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def _told(page: Path | None) -> dict[str, str]:
    """By the first cell of each row: the last one."""
    rows = page.read_text("utf-8").splitlines() if page is not None and page.exists() else []
    cells = [[cell.strip().replace("\\|", "|") for cell in ROW.split(row)[1:-1]] for row in rows]
    return {row[0]: row[-1] for row in cells if len(row) == 3}


def digest(tree: Path) -> str:
    """Of a copy of the source: all its files, by name."""
    sha256 = hashlib.sha256()
    for path in sorted(tree.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.name != "equivalent.toml":
            sha256.update(f"{path.relative_to(tree)}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return sha256.hexdigest()[:16]
