"""Every kind of fault that a row can have, what is wrong with its structure, and a log that counts and shows three."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .records import Bad
from .report import EXAMPLES, TEXT_CAP, Example, Fault, Place
from .rows import Turns

ERROR, WARNING = "error", "warning"

ERRORS = {
    "not-utf8": "the text is not UTF-8; save the file as UTF-8",
    "not-json": "the line is no JSON object",
    "cut-line": "the file ends in the middle of a row: it was not written or copied whole",
    "huge-line": "the line is longer than any row can be",
    "not-an-object": "a row is an object with keys",
    "wrong-width": "the row has more or fewer fields than the head has columns",
    "mixed-shapes": "all rows of a file have the same shape",
    "missing-key": "the row lacks a key that its shape needs",
    "wrong-type": "a value has the wrong type",
    "wrong-role": "a turn is nobody's that a chat template knows",
    "tool-call": "calls of tools are not trained by this job: their turns need a template of their own",
    "unreadable-part": "only text is trained: images, sound and the like are not",
    "unlearned-turn": "a turn that is not to be learned cannot be left out here: part the row before it",
    "no-turns": "a row needs a user turn and an assistant turn",
    "empty-turn": "a turn says nothing",
    "wrong-order": "turns go user, assistant, user, assistant; one system turn may stand before them",
    "last-turn": "the last turn must be the assistant's: it is what the model learns to say",
    "lone-surrogate": "half a character (a lone surrogate) has no UTF-8",
    "nul": "a NUL character stands in the text, which comes of binary data",
    "missing-group": "the split keeps rows of one group together, but this row does not say its group",
}
"""Faults of structure: the row cannot be used."""
WARNINGS = {
    "leaked-token": "a chat template's own marks stand in the text: the tokenizer reads them as marks, and ends a turn "
    "there, or the row went through a template already",
    "mojibake": "the text was decoded wrongly once (U+FFFD, or sequences such as Ã©)",
    "control-character": "invisible control characters stand in the text",
    "near-empty-target": "the answer says next to nothing",
    "echoed-target": "the answer repeats the question",
    "boilerplate-target": "the answer speaks as another vendor's assistant",
    "broken-json-target": "the answer is no valid JSON, where nearly all others are: cut, or written by hand",
    "open-fence-target": "the answer opens a ``` block that it never closes: it was cut in the middle",
    "length-outlier": "the row is far longer or shorter than the others",
    "script-outlier": "the text is in another script than nearly all others",
    "html-junk": "HTML stands in the text, where nearly all others have none",
    "shared-group": "rows of this group stand in the training file and in the test file",
}
"""Doubts about quality: the row is used, and told."""


@dataclass
class Log:
    """The faults of one part, counted as they come, with the first few of each kind."""

    part: str
    file: str
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def add(self, bad: Bad, line: int, text: str) -> None:
        """One fault of the row on this line; `text` is the row's, shown shortened."""
        self.counts[bad.code] += 1
        shown = self.examples.setdefault(bad.code, [])
        if len(shown) < EXAMPLES:
            place = Place(file=self.file, line=line)
            shown.append(Example(place=place, detail=plain(bad.detail), text=plain(text)))

    def faults(self, effect: str) -> tuple[Fault, ...]:
        """One value a kind, errors first; `effect` is what becomes of rows with an error."""
        return tuple(
            Fault(
                code=code,
                severity=severity,
                part=self.part,
                count=self.counts[code],
                reason=reason,
                effect=effect if severity == ERROR else "kept",
                examples=tuple(self.examples[code]),
            )
            for severity, kinds in ((ERROR, ERRORS), (WARNING, WARNINGS))
            for code, reason in kinds.items()
            if self.counts[code]
        )


def structure(turns: Turns) -> Iterator[Bad]:
    """All that is wrong with the turns of a row; nothing for a row that can be trained on."""
    for at, (role, text) in enumerate(turns):
        if not text.strip():
            yield Bad("empty-turn", f"messages[{at}]: the content of this {role} turn is empty")
        elif not text.isascii() and _has_surrogate(text):
            yield Bad("lone-surrogate", f"messages[{at}]: {role} turn")
        if "\0" in text:
            yield Bad("nul", f"messages[{at}]: character {text.index(chr(0)) + 1} of this {role} turn")
    yield from _order([role for role, _ in turns])


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _order(roles: list[str]) -> Iterator[Bad]:
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    if not spoken:
        what = "only a system turn" if roles else "no turn"
        yield Bad("no-turns", f"expected at least one user turn and one assistant turn, got {what}")
        return
    for at, role in enumerate(spoken):
        wanted = "an assistant" if at % 2 else "a user"
        if not wanted.endswith(role):
            number = at + len(roles) - len(spoken)
            yield Bad("wrong-order", f"messages[{number}]: expected {wanted} turn, got {role}")
            return
    if len(spoken) % 2:
        yield Bad("last-turn", f"messages[{len(roles) - 1}] is the user's")


def plain(text: str) -> str:
    """The beginning of a text, safe for a terminal and a page: what does not print is written as an escape."""
    cut = text[: TEXT_CAP + 1]
    if not cut.isprintable():
        cut = "".join(_escaped(cut))
    return cut if len(cut) <= TEXT_CAP else cut[: TEXT_CAP - 1] + "…"


def _escaped(text: Iterable[str]) -> Iterator[str]:
    for character in text:
        yield character if character.isprintable() else character.encode("unicode_escape", "replace").decode("ascii")
