"""Checks every row against the model's own chat template and tokenizer, here, before anything is rented."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jobs.chat_template import ChatTemplate, TemplateRefused, find
from jobs.config_values import WorkloadError
from jobs.hub import NoFile
from jobs.model_config import TOKENIZER, Model, model_file
from jobs.qlora.dataset.report import EXAMPLES, TEXT_CAP, Example, Fault, Place
from jobs.qlora.template import pairs
from jobs.tokens import COUNTED_BYTES, Lengths, Measure, Tally, Turns, read_chats, sample, tally_of

RULES = 1
"""Of what is looked for below: what was found by other rules is looked for anew."""
MOST_KEPT_ROWS = 100_000
TEMPLATE_CODE = "chat-template"
"""Of the error for a model without a template that can be used."""
REFUSED, NOT_A_PREFIX, NO_TARGET, LEAKED, NO_END = (
    "template-refuses", "prompt-not-prefix", "no-target", "leaked-token", "no-end-of-turn"
)  # fmt: skip
STOPPING = (REFUSED, NOT_A_PREFIX, NO_TARGET)
REASONS = {
    REFUSED: "the model's chat template refuses these turns",
    NOT_A_PREFIX: "the chat template writes the prompt differently in training and in use",
    NO_TARGET: "the chat template leaves nothing of the answer to learn from",
    LEAKED: "holds a special token of this model, which its tokenizer reads as one and not as text",
    NO_END: "the chat template writes nothing behind the answer: the model does not learn to stop",
}


@dataclass(frozen=True, kw_only=True)
class Examined:
    """The rows of one part, measured by the template; of `chats` conversations `looked_at` were rendered."""

    tally: Tally
    chats: int
    looked_at: int
    faults: tuple[Fault, ...] = ()
    longest: tuple[Example, ...] = ()
    """The longest rows, the longest first; () where tokens could not be counted."""

    @property
    def whole(self) -> bool:
        """Every conversation was looked at."""
        return self.looked_at == self.chats


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """A model's template and tokenizer (None: it has none that is understood, and only texts are compared).

    What was found is kept in `folder` (None: nowhere), by the contents of template, tokenizer and rows.
    """

    template: ChatTemplate
    tokenizer_json: bytes | None
    folder: Path | None = None

    @cached_property
    def counts(self) -> bool:
        """Whether its tokenizer is understood, so that lengths are counted and not guessed."""
        return _tokenizer(self.tokenizer_json) is not None

    def examine(self, path: Path, part: str) -> Examined:
        """The rows of a made part. Raises `WorkloadError` for a file that cannot be read."""
        kept = self._kept(path, part)
        if kept is not None and (before := _read(kept)) is not None:
            return before
        found = _examined(path, part, self.template, self.tokenizer_json)
        if kept is not None and len(found.tally.lengths) <= MOST_KEPT_ROWS:
            kept.parent.mkdir(parents=True, exist_ok=True)
            aside = kept.with_suffix(f".{os.getpid()}")
            aside.write_text(json.dumps(asdict(found)), encoding="utf-8")
            aside.replace(kept)
        return found

    def _kept(self, path: Path, part: str) -> Path | None:
        if self.folder is None or not path.is_file():
            return None
        named = json.dumps([RULES, COUNTED_BYTES, part, self.template.text, sorted(self.template.tokens.items())])
        name = hashlib.sha256(named.encode())
        for content in (self.tokenizer_json or b"", path.read_bytes()):
            name.update(hashlib.sha256(content).digest())
        return self.folder / f"template-{name.hexdigest()[:32]}.json"


def examiner(model: Model, *, environ: Mapping[str, str], cache: Path | None) -> Examiner:
    """The model's own, its files fetched once. Raises `HubError`: why they could not be read.

    Raises `WorkloadError` (code "chat-template") for a model that certainly has no template, or none that can be used.
    """

    def read(name: str) -> bytes | None:
        try:
            return model_file(model, name, environ=environ, cache=cache)
        except NoFile:
            return None

    content = read(TOKENIZER)
    try:
        template = find(read)
    except TemplateRefused as refused:
        raise _unusable(f"the chat template of {model.name} cannot be used: {refused}") from refused
    if template is None:
        raise _unusable(f"{model.name} has no chat template: it is no model that was made to answer in turns")
    return Examiner(template=template, tokenizer_json=content, folder=cache)


def _unusable(message: str) -> WorkloadError:
    hint = "name its instruction-tuned variant; or, for a folder, put a chat_template.jinja into it"
    return WorkloadError(message, hint=hint, code=TEMPLATE_CODE)


def _read(path: Path) -> Examined | None:
    """What was kept; None for what is not there, or damaged."""
    from pydantic import TypeAdapter  # start-up time: only where a job is measured

    try:
        return TypeAdapter(Examined).validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _examined(path: Path, part: str, template: ChatTemplate, tokenizer_json: bytes | None) -> Examined:
    places: dict[Turns, str] = {}
    every = []
    for turns, place in read_chats(path):
        places.setdefault(turns, place)
        every.append(turns)
    look = _Look(template=template, part=part, places=places, encode=_encoder(tokenizer_json))
    look.leaks(tokenizer_json)
    if look.encode is None:
        sizes = [sum(len(text.encode()) for _, text in chat) for chat in places]
        chats = list(places)
        look.measured([chats[at] for at in sample(sizes, COUNTED_BYTES)[1]])
        tally = tally_of(every, None)
    else:
        tally = tally_of(every, look.measure())
    look.one_of_each_order()
    longest = tuple(look.example(chat, f"{tokens:,} tokens") for tokens, chat in look.longest())
    return Examined(
        tally=tally,
        chats=len(places),
        looked_at=len(look.seen),
        faults=look.told(),
        longest=longest if look.encode else (),
    )


Encode = Callable[[Sequence[str]], list[list[int]]]


def _tokenizer(content: bytes | None) -> Any:
    import tokenizers  # start-up time

    try:
        return tokenizers.Tokenizer.from_buffer(content) if content else None
    except ValueError:
        return None


def _encoder(content: bytes | None) -> Encode | None:
    tokenizer = _tokenizer(content)
    if tokenizer is None:
        return None
    return lambda texts: [one.ids for one in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


@dataclass(frozen=True)
class _Rendered:
    prompt: str
    whole: str
    answer: str


@dataclass(kw_only=True)
class _Look:
    """One pass over the rows of a part, and what it found so far."""

    template: ChatTemplate
    part: str
    places: Mapping[Turns, str]
    encode: Encode | None
    seen: dict[Turns, int] = field(default_factory=dict)
    """Conversations that were rendered, with the tokens of their longest row."""
    found: dict[str, list[tuple[Turns, str]]] = field(default_factory=dict)

    def measure(self) -> Measure:
        """Counts by rendering; what the template adds is read off the shortest conversations."""
        one, two = (self._length(turns) for turns in (1, 2))
        per_turn = max(0.0, (two - one) / 2 - 1) if one and two else 0.0
        base = max(0.0, one - 2 - 2 * per_turn) if one else 0.0
        return Measure(count=self.measured, base=base, per_turn=per_turn)

    def _length(self, exchanges: int) -> int:
        turns = [{"role": role, "content": "a"} for _ in range(exchanges) for role in ("user", "assistant")]
        try:
            text = self.template.render(turns)
        except TemplateRefused:
            return 0
        return len(self.encode([text])[0]) if self.encode else 0

    def measured(self, chats: Sequence[Turns]) -> list[Lengths]:
        """The lengths of each conversation; none of one that the template refuses."""
        rendered = [self._rendered(chat) for chat in chats]
        flat = [text for of_chat in rendered for one in of_chat for text in (one.prompt, one.whole)]
        ids = iter(self.encode(flat)) if self.encode else None
        lengths = []
        for chat, of_chat in zip(chats, rendered, strict=True):
            found = [self._compared(chat, one, (next(ids), next(ids)) if ids else None) for one in of_chat]
            self.seen[chat] = max((whole for whole, _ in found), default=0)
            lengths.append(found)
        return lengths

    def _rendered(self, chat: Turns) -> list["_Rendered"]:
        try:
            return [
                _Rendered(*self.template.rendered(pair), answer=pair["completion"][0]["content"])
                for pair in pairs(chat)
            ]
        except TemplateRefused as refused:
            self._note(REFUSED, chat, str(refused))
            return []

    def _compared(self, chat: Turns, row: "_Rendered", ids: tuple[list[int], list[int]] | None) -> tuple[int, int]:
        """Tokens of the whole row and of its answer; and whether training and use agree on the prompt."""
        asked, trained = ids if ids is not None else (row.prompt, row.whole)
        if trained[: len(asked)] != asked:
            self._note(NOT_A_PREFIX, chat, _differs(row.prompt, row.whole))
        elif len(trained) <= len(asked):
            self._note(NO_TARGET, chat, f"the prompt alone: …{row.prompt[-40:]!r}")
        elif row.whole.endswith(row.answer):
            self._note(NO_END, chat, f"the row ends with …{row.whole[-40:]!r}")
        return len(trained), max(0, len(trained) - len(asked))

    def longest(self) -> list[tuple[int, Turns]]:
        """The longest rows of those that were looked at."""
        return sorted(((tokens, chat) for chat, tokens in self.seen.items()), key=lambda one: -one[0])[:EXAMPLES]

    def one_of_each_order(self) -> None:
        """Of large data the rows that were not drawn: one for each order of roles, since a template may refuse it."""
        orders = {tuple(role for role, _ in chat) for chat in self.seen}
        first = {tuple(role for role, _ in chat): chat for chat in reversed(list(self.places))}
        self.measured([chat for order, chat in first.items() if order not in orders])

    def leaks(self, tokenizer_json: bytes | None) -> None:
        """Every text is searched for this model's special tokens: the tokenizer reads those as what they are."""
        tokens = special_tokens(self.template, tokenizer_json)
        if not tokens:
            return
        pattern = re.compile("|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)))
        for chat in self.places:
            hit = next((match for _, text in chat if (match := pattern.search(text))), None)
            if hit is not None:
                self._note(LEAKED, chat, f"{hit[0]} in the text")

    def _note(self, code: str, chat: Turns, detail: str) -> None:
        self.found.setdefault(code, []).append((chat, detail))

    def told(self) -> tuple[Fault, ...]:
        """Each kind once, with its first examples."""
        return tuple(self._fault(code, self.found[code]) for code in REASONS if code in self.found)

    def _fault(self, code: str, rows: Sequence[tuple[Turns, str]]) -> Fault:
        stops = code in STOPPING
        distinct = list(dict(reversed(rows)).items())[::-1]
        return Fault(
            code=code,
            severity="error" if stops else "warning",
            part=self.part,
            count=len(distinct),
            reason=REASONS[code],
            effect="stops" if stops else "kept",
            examples=tuple(self.example(chat, detail) for chat, detail in distinct[:EXAMPLES]),
        )

    def example(self, chat: Turns, detail: str) -> Example:
        """A row as the report shows it."""
        file, _, line = self.places[chat].rpartition(":")
        text = chat[-1][1] if len(chat) == 1 else chat[-2][1]
        return Example(place=Place(file=file, line=int(line)), detail=detail, text=text[:TEXT_CAP])


def special_tokens(template: ChatTemplate, tokenizer_json: bytes | None) -> set[str]:
    """Of this model: those that its tokenizer marks as special, and those that are handed to its template by name."""
    try:
        added = json.loads(tokenizer_json or b"{}").get("added_tokens") or []
        marked = {str(one["content"]) for one in added if one.get("special")}
    except (ValueError, KeyError, TypeError, AttributeError):
        marked = set()
    return {token for token in {*marked, *template.tokens.values()} if token.strip()}


def _differs(prompt: str, whole: str) -> str:
    """Where the two part."""
    at = next((at for at, (one, other) in enumerate(zip(prompt, whole, strict=False)) if one != other), None)
    if at is None:
        return f"the tokens differ at the end of the prompt: …{prompt[-20:]!r}"
    return f"in use {prompt[max(0, at - 10) : at + 20]!r}, in training {whole[max(0, at - 10) : at + 20]!r}"
