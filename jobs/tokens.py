"""How many tokens the data has: counted with the model's own tokenizer, on a sample of large data, or guessed."""

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from pathlib import Path

from jobs.config_values import WorkloadError

BYTES_PER_TOKEN = 3.2
GUESS_SPREAD = 1.3
"""Bytes of UTF-8 to a token, and the factor up and down that holds about 80 % of texts: 2.9 to 4.4, median 3.2, over
English prose and documentation, Python, pretty and compact JSON and our example's messages, with four tokenizers
(Mistral v1, v3 and Tekken of the wheel mistral-common 1.13.1, Llama 2 of wordllama 0.4.0; measured 2026-11-28).
Chinese, Japanese, Korean and Russian come to 3.0 to 4.8 by bytes; by characters they would be off threefold."""
TEMPLATE_TOKENS = 5
"""What a chat template adds to a turn where it could not be read (ChatML and Llama 3 add 5, Mistral's [INST] with
[/INST] and end of turn 4 to 6); a system text that a template adds by itself is not seen then."""
COUNTED_BYTES = 300_000
"""So much text is counted whole: 0.2 to 0.4 s (measured with tokenizers 0.23 on two busy cores, 2026-11-28)."""
LONGEST_COUNTED = 16
"""The longest conversations are always counted: they decide the memory."""
MOST_TOO_LONG = 0.05
"""The share of training rows over `max_length` that jobs/qlora/prepare.py leaves out; above, it gives up."""
SEED = 17
MOST_KEPT_ROWS = 100_000
"""Counts of more rows are made anew each time (about a megabyte of numbers)."""
Z_80 = 1.2816
"""Standard errors to either side that hold 80 % of a normal distribution."""
COUNTED, GUESSED = "counted", "guessed from characters"

Turns = tuple[tuple[str, str], ...]
"""One conversation, as (role, text)."""
Count = Callable[[Sequence[str]], list[int]]
"""Texts to the number of tokens of each."""
Lengths = list[tuple[int, int]]
"""Of one conversation, for each answer of the assistant: tokens of the whole row, and of the answer."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Counts conversations. `base` and `per_turn` are what is added to the texts: for those that are only guessed."""

    count: Callable[[Sequence[Turns]], list[Lengths]]
    base: float = 0.0
    per_turn: float = TEMPLATE_TOKENS


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Rows as the job sees them: one for each answer of the assistant. Lengths are in tokens, prompt included.

    `are` says how they were counted; `spread` is the factor up and down that holds the true sum in 80 % of cases.
    """

    lengths: tuple[int, ...]
    answers: tuple[int, ...]
    are: str = COUNTED
    spread: float = 1.0
    repeated: int = 0
    """Conversations that stood there before: they are trained on as often as they stand there."""

    def trained(self, rows: int) -> "Tally":
        """So many of them, for a part that the job draws by lot: of all lengths, the longest among them.

        The first of the file would not do: many files are sorted, and the longest row decides the memory.
        """
        return self._kept(sorted(range(len(self.lengths)), key=lambda at: -self.lengths[at]), rows, 0.0)

    def tested(self, rows: int) -> "Tally":
        """The same for a small part: of all answers' lengths, since the longest of all is seldom drawn."""
        return self._kept(sorted(range(len(self.answers)), key=lambda at: -self.answers[at]), rows, 0.5)

    def _kept(self, order: Sequence[int], rows: int, middle: float) -> "Tally":
        """Of `rows` equal stretches of `order` the row that is `middle` of the way into each."""
        kept = [order[int((number + middle) * len(order) / rows)] for number in range(rows)]
        return replace(
            self, lengths=tuple(self.lengths[at] for at in kept), answers=tuple(self.answers[at] for at in kept)
        )


def tally(path: Path, count: Count | None, *, most_bytes: int = COUNTED_BYTES) -> Tally:
    """The rows of a JSONL file of chat turns, as the job takes them.

    `count` is the model's tokenizer, where there is one. Raises `WorkloadError` for a line that is no chat.
    """
    return tally_of([turns for turns, _ in read_chats(path)], by_turns(count) if count else None, most_bytes)


def tally_of(every: Sequence[Turns], measure: Measure | None, most_bytes: int = COUNTED_BYTES) -> Tally:
    """The same for conversations that were read, however they are measured (once each); None: guessed."""
    first = {chat: at for at, chat in reversed(list(enumerate(every)))}
    chats = sorted(first, key=lambda chat: first[chat])
    lengths, are, spread = _measured(chats, measure, most_bytes)
    of = dict(zip(chats, lengths, strict=True))
    return replace(_rows([of[chat] for chat in every], are, spread), repeated=len(every) - len(chats))


def by_turns(count: Count) -> Measure:
    """Each turn is counted by itself, and what a template adds to it is guessed."""
    return Measure(count=lambda chats: [_answers(chat, one) for chat, one in _counted(chats, count)])


def _measured(chats: Sequence[Turns], measure: Measure | None, most_bytes: int) -> tuple[Sequence[Lengths], str, float]:
    """The lengths of each conversation, how they were counted, and the factor around their sum."""
    sizes = [sum(len(text.encode()) for _, text in chat) for chat in chats]
    if measure is None:
        guess = Measure(count=lambda _: [])
        return [_guessed(chat, 1 / BYTES_PER_TOKEN, guess) for chat in chats], GUESSED, GUESS_SPREAD
    drawn, wanted = sample(sizes, most_bytes)
    known = dict(zip(wanted, measure.count([chats[at] for at in wanted]), strict=True))
    if len(wanted) == len(chats):
        return [known[at] for at in wanted], COUNTED, 1.0
    texts = [(_of_texts(chats[at], known[at], measure), sizes[at]) for at in drawn if known[at]]
    ratio, spread = _ratio(texts, len(chats))
    lengths = [known[at] if at in known else _guessed(chat, ratio, measure) for at, chat in enumerate(chats)]
    return lengths, f"counted on a sample of {len(drawn):,} rows", spread


def sample(sizes: Sequence[int], most_bytes: int) -> tuple[list[int], list[int]]:
    """Which conversations are counted: those drawn by lot, and they with the longest of all; of small data all."""
    if sum(sizes) <= most_bytes:
        return list(range(len(sizes))), list(range(len(sizes)))
    drawn = _drawn(sizes, most_bytes)
    longest = sorted(range(len(sizes)), key=lambda at: -sizes[at])[:LONGEST_COUNTED]
    return drawn, sorted({*drawn, *longest})


def _of_texts(chat: Turns, lengths: Lengths, measure: Measure) -> float:
    """Tokens of the texts alone: of the whole without what was added to it."""
    return max(1.0, lengths[-1][0] - measure.base - measure.per_turn * len(chat))


def counter(tokenizer_json: bytes) -> Count | None:
    """Counts with this tokenizer; None for one that the library does not understand."""
    import tokenizers  # start-up time

    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(tokenizer_json)
    except ValueError:
        return None
    return lambda texts: [len(one.ids) for one in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A model's tokenizer.json, read only where something is to be counted: that takes up to a second for a large one.

    What was counted before is kept in `folder` (None: nowhere), by the contents of both files.
    """

    content: bytes
    folder: Path | None = None

    def tally(self, path: Path) -> Tally | None:
        """The rows of a file; None where the library does not understand the tokenizer. Raises `WorkloadError`."""
        kept = self._kept(path)
        if kept is not None and kept.is_file() and (before := _read_tally(kept)) is not None:
            return before
        count = counter(self.content)
        if count is None:
            return None
        made = tally(path, count)
        if kept is not None and len(made.lengths) <= MOST_KEPT_ROWS:
            kept.parent.mkdir(parents=True, exist_ok=True)
            aside = kept.with_suffix(f".{os.getpid()}")
            aside.write_text(json.dumps(asdict(made)), encoding="utf-8")
            aside.replace(kept)
        return made

    def _kept(self, path: Path) -> Path | None:
        if self.folder is None or not path.is_file():
            return None
        rules = f"{COUNTED_BYTES} {TEMPLATE_TOKENS} {LONGEST_COUNTED} {SEED} {GUESS_SPREAD} {Z_80}"
        name = hashlib.sha256(rules.encode())
        for content in (self.content, path.read_bytes()):
            name.update(hashlib.sha256(content).digest())
        return self.folder / f"tokens-{name.hexdigest()[:32]}.json"


def _read_tally(path: Path) -> Tally | None:
    """What was kept; None for what is damaged."""
    try:
        row = json.loads(path.read_text(encoding="utf-8"))
        return Tally(
            lengths=tuple(int(one) for one in row["lengths"]),
            answers=tuple(int(one) for one in row["answers"]),
            are=str(row["are"]),
            spread=float(row["spread"]),
            repeated=int(row["repeated"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _drawn(sizes: Sequence[int], most_bytes: int) -> list[int]:
    """Conversations in random order, the same at each call, until there is enough text."""
    order = random.Random(SEED).sample(range(len(sizes)), len(sizes))  # noqa: S311 - a sample, not a secret
    taken: list[int] = []
    so_far = 0
    for at in order:
        if taken and so_far + sizes[at] > most_bytes:
            break
        taken.append(at)
        so_far += sizes[at]
    return taken


def _ratio(sample: Sequence[tuple[float, int]], population: int) -> tuple[float, float]:
    """Tokens to a byte in the sample of (tokens, bytes), and the factor around it that holds 80 %.

    The standard error of a ratio estimator: sqrt(sum (t - r b)^2 x n / (n - 1)) / sum t, with the correction for a
    finite population (Cochran, Sampling Techniques, 6.4). A sample of one conversation says nothing: as for a guess.
    """
    tokens, size = sum(one for one, _ in sample), sum(one for _, one in sample)
    ratio, n = tokens / size if size else 1 / BYTES_PER_TOKEN, len(sample)
    if n < 2:
        return ratio, GUESS_SPREAD
    residual = sum((one - ratio * of) ** 2 for one, of in sample)
    error = sqrt(residual * n / (n - 1) * max(0.0, 1 - n / population)) / tokens
    return ratio, 1 + Z_80 * error


def _counted(chats: Sequence[Turns], count: Count) -> Iterator[tuple[Turns, list[int]]]:
    """Each conversation with the tokens of its turns."""
    flat = iter(count([text for chat in chats for _, text in chat]))
    for chat in chats:
        yield chat, [next(flat) for _ in chat]


def _guessed(chat: Turns, tokens_per_byte: float, measure: Measure) -> Lengths:
    return _answers(chat, [max(1, round(len(text.encode()) * tokens_per_byte)) for _, text in chat], measure)


def _answers(chat: Turns, tokens: Sequence[int], measure: Measure | None = None) -> Lengths:
    """Each assistant turn is a row of its own: all turns before it are its prompt; the template adds to each."""
    base, per_turn = (0.0, TEMPLATE_TOKENS) if measure is None else (measure.base, measure.per_turn)
    found: Lengths = []
    so_far = base
    for (role, _), of_turn in zip(chat, tokens, strict=True):
        so_far += of_turn + per_turn
        if role == "assistant":
            found.append((round(so_far), round(of_turn + per_turn)))
    return found


def _rows(lengths: Sequence[Lengths], are: str, spread: float) -> Tally:
    flat = [one for of_chat in lengths for one in of_chat]
    return Tally(
        lengths=tuple(whole for whole, _ in flat), answers=tuple(answer for _, answer in flat), are=are, spread=spread
    )


def read_chats(path: Path) -> Iterator[tuple[Turns, str]]:
    """The turns of each line, as (role, text), and where the row stood: `file:line` of its source where it says so."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _turns(line, f"{path}:{number}")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"cannot read {path}: {error}", hint="data files are JSON lines in UTF-8") from error


def _turns(line: str, where: str) -> tuple[Turns, str]:
    expected = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
    try:
        row = json.loads(line)
        source = row.get("source")
        stood = f"{source['file']}:{source['line']}" if isinstance(source, dict) else where
        return tuple((str(turn["role"]), str(turn["content"])) for turn in row["messages"]), stood
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkloadError(f"{where}: this line is no chat", hint=f"each line is {expected}") from error
