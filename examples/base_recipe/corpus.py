"""Invented text for the fixture model: small text-to-JSON tasks, none of which the example uses."""

# ruff: noqa: SIM905 - long lists of short words read better as text

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Mapping

Turn = dict[str, str]

# Pieces as they occur in English and in names, so that the tokenizer cuts words that it never saw into few parts.
ONSETS = (
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p ph pl pr qu r s sc sh sk sl sm sn sp st str sw t th "
    "tr tw v w wh y z"
).split()
VOWELS = "a a a e e e i i i o o o u u ai ar ea ee ei er ia ie io oa oo or ou ur y".split()
# A dot is no ending.
ENDS = ". . . . ck ct d ft g l ll m n n nd ng nt p r r rd rk rt s s ss st t t tch x".replace(".", " ").split(" ")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"

# A domain: what opens the request, then its keys with the kind of their values, then ways to say it.
DOMAINS: Mapping[str, tuple[Mapping[str, str], list[str]]] = {
    "parcel": (
        {"sender": "name", "parcel": "code", "town": "word", "speed": "word"},
        [
            "Parcel {parcel} by {sender} goes to {town} at {speed} speed.",
            "{sender} sends parcel {parcel} to {town}, speed {speed}.",
            "To {town}, please: parcel {parcel}, {speed} speed, sender {sender}.",
        ],
    ),
    "booking": (
        {"guest": "name", "room": "number", "city": "word", "meal": "word"},
        [
            "Book room {room} in {city} for {guest} with {meal}.",
            "{guest} stays in {city}, room {room}, and eats {meal}.",
            "With {meal} for breakfast, {guest} takes room {room} in {city}.",
        ],
    ),
    "visit": (
        {"patient": "name", "ward": "code", "doctor": "name", "reason": "word"},
        [
            "{patient} sees doctor {doctor} in ward {ward} about {reason}.",
            "Ward {ward}: doctor {doctor} for {patient}, reason {reason}.",
            "Because of {reason}, {patient} is in ward {ward} with doctor {doctor}.",
        ],
    ),
    "garage": (
        {"owner": "name", "plate": "code", "part": "word"},
        [
            "The car {plate} of {owner} needs a new {part}.",
            "{owner} asks for a {part} in car {plate}.",
            "Fix the {part}. Car {plate}, owner {owner}.",
        ],
    ),
    "lesson": (
        {"pupil": "name", "hour": "number", "teacher": "name", "subject": "word", "level": "word"},
        [
            "{pupil} learns {subject} from {teacher} at {hour}, level {level}.",
            "At {hour} the teacher {teacher} gives {level} {subject} to {pupil}.",
        ],
    ),
    "flight": (
        {"traveller": "name", "flight": "code", "airport": "word", "seat": "number"},
        [
            "{traveller} flies {flight} from {airport} in seat {seat}.",
            "Seat {seat} on {flight} out of {airport} is for {traveller}.",
            "From {airport}: {flight}, seat {seat}, traveller {traveller}.",
        ],
    ),
    "library": (
        {"shelf": "number", "title": "word", "reader": "name"},
        [
            "{reader} borrows {title} from shelf {shelf}.",
            "Shelf {shelf} lends {title} to {reader}.",
            "The title {title} of shelf {shelf} went to {reader}.",
        ],
    ),
    "meter": (
        {"house": "code", "reading": "number", "street": "word", "tenant": "name"},
        [
            "House {house} on {street} street reads {reading}, tenant {tenant}.",
            "{tenant} reads {reading} at {house}, {street} street.",
        ],
    ),
}
FILLERS = [
    "Hello.",
    "Good day.",
    "Please note this.",
    "Many thanks.",
    "It is late.",
    "That is all.",
    "See you soon.",
    "We wait.",
]


def coin(rng: random.Random, syllables: int) -> str:
    """A made-up word; one in five is letters at random, so that any spelling can be copied."""
    if rng.random() < 0.2:
        return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 3 * syllables + 1)))
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(syllables)) + rng.choice(ENDS)


def name(rng: random.Random) -> str:
    """A made-up first and last name."""
    return f"{coin(rng, rng.randint(1, 2)).capitalize()} {coin(rng, rng.randint(1, 2)).capitalize()}"


def code(rng: random.Random) -> str:
    """Two letters, a dash and digits."""
    return f"{rng.choice(LETTERS)}{rng.choice(LETTERS)}-{number(rng)}"


def number(rng: random.Random) -> str:
    """Three to five digits."""
    return str(rng.randint(100, 99999))


def word(rng: random.Random) -> str:
    """A made-up word of two syllables."""
    return coin(rng, 2)


KINDS: Mapping[str, Callable[[random.Random], str]] = {"name": name, "code": code, "number": number, "word": word}


def compact(fields: Mapping[str, str]) -> str:
    """JSON without spaces, keys in the given order."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def wrapped(rng: random.Random, sentence: str) -> str:
    """The sentence, at times with a remark before or after it."""
    before = rng.choice(FILLERS) + " " if rng.random() < 0.4 else ""
    after = " " + rng.choice(FILLERS) if rng.random() < 0.4 else ""
    return before + sentence + after


def chat(question: str, answer: str) -> list[Turn]:
    """One question with its answer."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def known_domain(rng: random.Random) -> list[Turn]:
    """A request in one of the domains; the keys are for the model to know."""
    keys, sentences = DOMAINS[rng.choice(list(DOMAINS))]
    fields = {key: KINDS[kind](rng) for key, kind in keys.items()}
    return chat(wrapped(rng, rng.choice(sentences).format(**fields)), compact(fields))


def listed_keys(rng: random.Random) -> list[Turn]:
    """Keys that were never seen, listed first; each stands before its value in the text."""
    keys = [coin(rng, rng.randint(1, 3)) for _ in range(rng.randint(2, 4))]
    fields = {key: KINDS[rng.choice(list(KINDS))](rng) for key in keys}
    said = [f"{key}{rng.choice([' is ', ' ', ' was ', ': '])}{value}" for key, value in fields.items()]
    rng.shuffle(said)
    return chat(
        f"Keys: {', '.join(fields)}. " + wrapped(rng, rng.choice([", ", "; ", " and "]).join(said) + "."),
        compact(fields),
    )


def by_example(rng: random.Random) -> list[Turn]:
    """A made-up form filled in twice: the second answer follows the first."""
    keys = [coin(rng, 2) for _ in range(rng.randint(2, 3))]
    marks = [coin(rng, rng.randint(1, 2)) for _ in keys]
    kinds = [rng.choice(list(KINDS)) for _ in keys]
    turns: list[Turn] = []
    for _ in range(2):
        values = [KINDS[kind](rng) for kind in kinds]
        said = " ".join(f"{mark} {value}" for mark, value in zip(marks, values, strict=True))
        turns += chat(said.capitalize() + ".", compact(dict(zip(keys, values, strict=True))))
    return turns


def task(rng: random.Random) -> list[Turn]:
    """One row of the second part of the pre-training."""
    return rng.choices([known_domain, listed_keys, by_example], weights=[5, 3, 2])[0](rng)
