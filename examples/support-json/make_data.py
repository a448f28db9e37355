"""Make the example's rows, seeded: a message to a support desk, and the JSON record that a clerk would write for it."""

# ruff: noqa: S311 - a seeded generator is the point; nothing here is a secret

from __future__ import annotations

import json
import random
from pathlib import Path


def words(text: str) -> list[str]:
    """The words of a block of text."""
    return text.split()


SEED = 17
ROWS = {"train": 960, "test": 200}
FIRST = words(
    """
    Ada Alice Amir Anna Ben Carla Chen Clara Daniel David Elena Emma Eric Fatima Felix George Grace Hannah Hugo
    Ines Ivan James Jonas Julia Karim Kate Laura Leo Lena Lucas Maria Martin Maya Mia Nadia Nina Noah Omar Oscar
    Paul Petra Priya Rosa Samir Sara Simon Sofia Theo Tom Vera
    """
)
LAST = words(
    """
    Adler Baker Bauer Bell Berg Brown Carter Costa Cruz Diaz Evans Fischer Fox Garcia Green Hall Hansen Hill Ito
    Jensen Jones Keller Khan Klein Kumar Lang Lee Lopez Mayer Meyer Mills Moore Novak Olsen Patel Perez Reed Rossi
    Santos Silva Singh Smith Stone Tanaka Turner Vogel Walker Weber Wood Young
    """
)
PRODUCTS = words(
    """
    kettle toaster blender monitor keyboard headset printer router camera tablet lamp desk chair shelf mattress
    tent backpack bicycle helmet drill sander ladder heater fan vacuum freezer oven mixer grill speaker
    """
)
REQUESTS = words(
    """
    refund replacement repair invoice callback discount manual upgrade
    """
)
SENTENCES = [
    "My name is {customer}. The {product} of order {order} came broken and I want a {request}.",
    "This is {customer}, order {order}. I would like a {request} for the {product}.",
    "Order {order}: the {product} does not work. Send me a {request}. Regards, {customer}",
    "I am {customer} and I need a {request}. It is about the {product} from order {order}.",
    "Can I have a {request} for my {product}? Order {order}, bought by {customer}.",
    "About the {product} in order {order}: {customer} is asking for a {request}.",
]
OPENINGS = ["", "", "Hi! ", "Dear team, ", "Good morning. ", "Sorry to bother you. "]


def record(rng: random.Random) -> dict[str, str]:
    """One clerk's record."""
    return {
        "customer": f"{rng.choice(FIRST)} {rng.choice(LAST)}",
        "order": str(rng.randint(100000, 999999)),
        "product": rng.choice(PRODUCTS),
        "request": rng.choice(REQUESTS),
    }


def row(rng: random.Random) -> str:
    """One line of JSONL: the message and the record as two turns."""
    fields = record(rng)
    message = rng.choice(OPENINGS) + rng.choice(SENTENCES).format(**fields)
    answer = json.dumps(fields, separators=(",", ":"))
    turns = [{"role": "user", "content": message}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"


def make(folder: Path) -> None:
    """Write train.jsonl and test.jsonl; no row occurs twice, within a file or across."""
    rng = random.Random(SEED)
    seen: set[str] = set()
    folder.mkdir(exist_ok=True)
    for part, count in ROWS.items():
        lines: list[str] = []
        while len(lines) < count:
            line = row(rng)
            if line not in seen:
                lines.append(line)
                seen.add(line)
        (folder / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    make(Path(__file__).resolve().parent / "data")
