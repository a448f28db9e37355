"""Rows made from the grammar, seeded: facts said several times in other words, and neighbours that are other facts."""

# ruff: noqa: E501 - a phrasing stands on one line

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.dedup.grammar import CITIES, FRAMES, PEOPLE, TRIVIA, Frame
from tests.dedup.unseen import UNSEEN

SEED = 17
MOST_SAYINGS = 4
TRIVIA_ONE_IN = 20
"""Rows for one of trivia, where there are so many."""
CHOICE, SLOT = re.compile(r"\[([^\[\]]*)\]"), re.compile(r"\{(\w+)(?::(\w+))?\}")
DONE = {"boil": "boiled", "roast": "roasted", "steam": "steamed", "fry": "fried", "grill": "grilled"}
ING = {"boil": "boiling", "roast": "roasting", "steam": "steaming", "fry": "frying", "grill": "grilling"}
SHORT = {
    "please": "pls", "order": "ord.", "patient": "pt", "people": "ppl", "minutes": "min", "quantity": "qty", "and": "&",
    "with": "w/", "from": "frm", "since": "snc", "number": "no.", "tonight": "2nite", "you": "u", "temperature": "temp",
    "because": "bc", "are": "r", "before": "b4", "password": "pw", "amount": "amt", "days": "d", "year": "yr",
    "transfer": "trf", "payment": "pmt", "tickets": "tix", "departing": "dep.", "would": "wd", "which": "wh.",
}  # fmt: skip
POLITE = (
    ("Good morning, ", ""), ("Hi there, ", " Many thanks!"), ("", " Thank you in advance."), ("Sorry to bother you. ", ""),
    ("Dear team, ", " Kind regards"), ("Quick question: ", ""), ("", " Cheers"), ("Would you be so kind? ", ""),
)  # fmt: skip
CHATTER = (
    " I have been trying to get an answer for a while now.", " It is rather urgent on our side.", " My colleague told me to write here.",
    " I could not find this anywhere else.", " Let me know if anything is unclear.", " I am writing from my phone.",
)  # fmt: skip
STYLES = {"plain": 35, "typo": 15, "short": 15, "lower": 10, "polite": 15, "long": 10}

Fact = tuple[str, tuple[tuple[str, str], ...]]
"""An act and the value (all its names) of each slot that the act's phrasings speak of."""


@dataclass(frozen=True)
class Made:
    """One row: what is asked and answered, and which fact it says; two rows are repeats if that is the same."""

    question: str
    target: str
    fact: int
    frame: str
    kind: str
    style: str
    neighbour: bool
    """Made as the neighbour of another fact: one value changed, another act, or two values that changed places."""


def made(half: str, count: int, *, labels: bool = False, seed: int = SEED) -> list[Made]:
    """`count` rows of a half (or "unseen"), shuffled: of its frames whose targets tell something, or of its labelling frame.

    To the first come trivia: short answers that are right for two different questions.
    """
    rng = random.Random(f"{half} {seed}")
    frames = [frame for frame in (*FRAMES, *UNSEEN) if frame.half == half and (frame.kind == "label") == labels]
    rows = [] if labels or half not in TRIVIA else trivia(half, count // TRIVIA_ONE_IN, rng)
    rest = count - len(rows)
    for at, frame in enumerate(frames):
        rows += of_frame(frame, rest // len(frames) + (at < rest % len(frames)), rng)
    numbered = {key: at for at, key in enumerate(dict.fromkeys((row.frame, row.fact) for row in rows))}
    rng.shuffle(rows)
    return [Made(**{**vars(row), "fact": numbered[row.frame, row.fact]}) for row in rows]


def trivia(half: str, most: int, rng: random.Random) -> list[Made]:
    """Both phrasings of both questions of an answer, in some style."""
    rows = []
    for at, (answer, *questions) in enumerate(TRIVIA[half]):
        for number, phrasings in enumerate(questions):
            for phrasing in phrasings:
                style = rng.choices(list(STYLES), list(STYLES.values()))[0]
                said = styled(phrasing, style, rng)
                rows.append(Made(said, answer.capitalize() + ".", 2 * at + number, "trivia", "text", style, True))
    return rows[:most]


def of_frame(frame: Frame, count: int, rng: random.Random) -> list[Made]:
    """Rows of one frame: a fact in one to four sayings, then by chance one to three neighbours of it, and so on."""
    rows: list[Made] = []
    seen: dict[Fact, int] = {}
    said: set[str] = set()
    for _ in range(100 * count):
        fact = any_fact(frame, rng)
        family = [fact, *(neighbour(frame, fact, rng) for _ in range(rng.choice((0, 0, 1, 2, 3))))]
        for at, one in enumerate(family):
            if one in seen:
                continue
            seen[one] = len(seen)
            for row in sayings(frame, one, seen[one], at > 0, rng):
                key = re.sub(r"\W+", " ", row.question.lower())
                if key not in said and len(rows) < count:
                    said.add(key)
                    rows.append(row)
        if len(rows) == count:
            return rows
    raise ValueError(f"the grammar has no {count} rows of {frame.name}, only {len(rows)}")


def any_fact(frame: Frame, rng: random.Random) -> Fact:
    """An act and a value of each of its slots; two slots of one kind differ."""
    act = rng.choice(list(frame.acts))
    values: dict[str, str] = {}
    for slot in spoken(frame, act):
        values[slot] = rng.choice([value for value in frame.slots[slot] if value not in values.values()])
    return act, tuple(values.items())


def spoken(frame: Frame, act: str) -> list[str]:
    """The slots of an act's phrasings, in the frame's order."""
    named = {slot for phrasing in frame.acts[act] for slot, _ in SLOT.findall(phrasing)}
    return [slot for slot in frame.slots if slot in named]


def neighbour(frame: Frame, fact: Fact, rng: random.Random) -> Fact:
    """Another fact that would be said in the same words but for one thing."""
    act, values = fact[0], dict(fact[1])
    swaps = [pair for pair in frame.swaps if pair[0] in values]
    others = [other for other in frame.acts if other != act and spoken(frame, other) == list(values)]
    way = rng.choice(["value", "value", *(["swap"] if swaps else []), *(["act"] if others else [])])
    if way == "act":
        return rng.choice(others), fact[1]
    if way == "swap":
        one, two = swaps[0]
        values[one], values[two] = values[two], values[one]
    else:
        slot = rng.choice(list(values))
        values[slot] = rng.choice([value for value in frame.slots[slot] if value not in values.values()])
    return act, tuple(values.items())


def sayings(frame: Frame, fact: Fact, number: int, near: bool, rng: random.Random) -> Iterator[Made]:
    """One to four rows of a fact, each in another phrasing, other names of its values, and a style."""
    act, values = fact
    phrasings = list(frame.acts[act])
    rng.shuffle(phrasings)
    for phrasing in phrasings[: rng.choice((1, 1, 2, 2, 3, MOST_SAYINGS))]:
        style = rng.choices(list(STYLES), list(STYLES.values()))[0]
        names = {slot: rng.choice(value.split("|")) for slot, value in values}
        question = styled(said_with(phrasing, names, rng), style, rng)
        yield Made(question, target(frame, fact, rng), number, frame.name, frame.kind, style, near)


def said_with(phrasing: str, names: dict[str, str], rng: random.Random) -> str:
    """A phrasing with its choices made and its slots filled."""
    text = CHOICE.sub(lambda found: rng.choice(found[1].split("|")), phrasing)

    def filled(found: re.Match[str]) -> str:
        name = names[found[1]]
        return {None: name, "done": DONE.get(name, name), "ing": ING.get(name, name), "First": name.capitalize()}[
            found[2]
        ]

    text = SLOT.sub(filled, text)
    return text[0].upper() + text[1:]


def target(frame: Frame, fact: Fact, rng: random.Random) -> str:
    """The answer, which depends on the fact alone; its wording does not."""
    act, values = fact[0], {slot: value.split("|")[0] for slot, value in fact[1]}
    if frame.kind == "label":
        return act
    if frame.kind == "extract":
        record = [*values.items(), *([("present", act)] if len(frame.acts) > 1 else [])]
        rng.shuffle(record)
        return json.dumps(dict(record), separators=rng.choice([(",", ":"), (", ", ": ")]))
    lot = int(hashlib.sha256(repr(fact).encode()).hexdigest(), 16)
    names = {
        **values, "minutes": str(5 + lot % 87), "grams": str(110 + lot % 2890), "year": str(1850 + lot % 170),
        "degrees": str(200 + lot % 1999), "city": CITIES[lot % len(CITIES)],
        "founder": f"{PEOPLE[lot % 26].split()[0]} {PEOPLE[lot // 26 % 26].split()[1]}",
        "function": f"{['fast', 'safe', 'lazy', 'pure', 'bulk'][lot % 5]}_{values.get('task', 'task').split()[0]}_{lot % 97}",
    }  # fmt: skip
    return said_with(rng.choice(frame.answers[act]), names, rng)


def styled(text: str, style: str, rng: random.Random) -> str:
    """The text as another person would type it."""
    if style == "typo":
        return typed_badly(text, rng)
    if style == "short":
        return re.sub(r"[A-Za-z]+", lambda word: SHORT.get(word[0].lower(), word[0]), text)
    if style == "lower":
        return re.sub(r"[.,!?:;]", "", text).lower()
    if style == "polite":
        before, after = rng.choice(POLITE)
        return before + (text[0].lower() + text[1:] if before.endswith(", ") and text[1:2] != " " else text) + after
    return text + rng.choice(CHATTER) if style == "long" else text


def typed_badly(text: str, rng: random.Random) -> str:
    """One or two longer words with a letter lost, doubled, or two that changed places."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for at in rng.sample(long, min(len(long), rng.choice((1, 2)))):
        word = words[at]
        place = rng.randrange(1, len(word) - 2)
        one, two = word[place], word[place + 1]
        words[at] = word[:place] + rng.choice((two, one + one + two, two + one)) + word[place + 2 :]
    return " ".join(words)


def templated(count: int, *, seed: int = SEED) -> list[Made]:
    """Distinct facts of the support frame in one and the same phrasing: every row has to stay."""
    return distinct(("support orders",), count, seed)


def labelled(count: int, *, seed: int = SEED) -> list[Made]:
    """Distinct facts of the two labelling frames, a phrasing for each label: few targets, and every row has to stay."""
    return distinct(("help desk labels", "bank labels"), count, seed)


def distinct(names: tuple[str, ...], count: int, seed: int) -> list[Made]:
    """One row a fact, each act in its first phrasing."""
    rng, facts = random.Random(f"{names} {seed}"), dict[tuple[str, Fact], int]()
    frames = [frame for frame in FRAMES if frame.name in names]
    rows: list[Made] = []
    for _ in range(100 * count):
        frame = frames[len(rows) % len(frames)]
        fact = any_fact(frame, rng)
        if (frame.name, fact) not in facts:
            facts[frame.name, fact] = len(facts)
            text = said_with(frame.acts[fact[0]][0], {slot: value.split("|")[0] for slot, value in fact[1]}, rng)
            rows.append(Made(text, target(frame, fact, rng), len(facts), frame.name, frame.kind, "plain", True))
        if len(rows) == count:
            return rows
    raise ValueError(f"the grammar has no {count} facts of {names}, only {len(rows)}")
