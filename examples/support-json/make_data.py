"""Make the example's rows, seeded: a message to a support desk, and the JSON record that a clerk would write for it.

Real data is never clean: `planted` puts repeats, leaks, conflicts and odd rows among them, for `launch data` to find.
"""

# ruff: noqa: S311 - a seeded generator is the point; nothing here is a secret

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def words(text: str) -> list[str]:
    """The words of a block of text."""
    return text.split()


SEED = 17
ROWS = {"train": 960, "test": 200}
FORMS = 100
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


def message(rng: random.Random, fields: dict[str, str]) -> str:
    """One way to say what the record holds."""
    return rng.choice(OPENINGS) + rng.choice(SENTENCES).format(**fields)


def answer(fields: dict[str, str]) -> str:
    """The record as the model has to write it."""
    return json.dumps(fields, separators=(",", ":"))


def line(asked: str, answered: str) -> str:
    """One line of JSONL: question and answer as two turns."""
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return json.dumps({"messages": turns}, ensure_ascii=False) + "\n"


def row(rng: random.Random) -> str:
    """A message with its record."""
    fields = record(rng)
    return line(message(rng, fields), answer(fields))


def turns_of(row_line: str) -> tuple[str, str]:
    """Question and answer of a line."""
    asked, answered = json.loads(row_line)["messages"]
    return asked["content"], answered["content"]


def reworded(rng: random.Random, row_line: str) -> str:
    """The same record asked for in other words."""
    asked, answered = turns_of(row_line)
    fields = json.loads(answered)
    others = [sentence.format(**fields) for sentence in SENTENCES if sentence.format(**fields) not in asked]
    return line(rng.choice(others), answered)


def planted(rng: random.Random, train: list[str], test: list[str]) -> list[str]:
    """What a careful eye would find in data that grew over the years."""
    picked = rng.sample(train, 20)
    found = [line(turns_of(one)[0].upper(), turns_of(one)[1]) for one in picked[:6]]  # the same, shouted
    found += [reworded(rng, one) for one in picked[6:14]]
    found += rng.sample(test, 4)  # test questions, answers and all
    for one in picked[14:17]:  # the same message, another request: one of the two clerks was wrong
        asked, answered = turns_of(one)
        fields = json.loads(answered)
        other = next(request for request in REQUESTS if request != fields["request"])
        found.append(line(asked, answer({**fields, "request": other})))
    asked, answered = turns_of(picked[17])
    found.append(line(asked + " Sent from my phone.", answered + "<|im_end|>"))  # a template's mark, leaked
    found.append(line(turns_of(picked[18])[0] + " Thanks a lot!", "{}"))  # nobody filled the form in
    found.append(line("Меня зовут Анна. Чайник из заказа 771204 сломан, нужен возврат.", answered))
    return found


def forms(rng: random.Random, count: int) -> list[str]:
    """What the fixture model could do before: forms of the kinds that it was made with (examples/base_recipe)."""
    sys.path.insert(0, str(HERE.parent / "base_recipe"))
    import corpus  # it lies beside us, not on the path

    return [json.dumps({"messages": corpus.known_domain(rng)}) + "\n" for _ in range(count)]


def make(folder: Path) -> None:
    """Write train.jsonl, test.jsonl and forms.jsonl; but for what is planted, no row occurs twice."""
    rng = random.Random(SEED)
    made: dict[str, list[str]] = {}
    seen: set[str] = set()
    folder.mkdir(exist_ok=True)
    for part, count in ROWS.items():
        lines: list[str] = []
        while len(lines) < count:
            line = row(rng)
            if line not in seen:
                lines.append(line)
                seen.add(line)
        made[part] = lines
    train = made["train"]
    for one in planted(rng, train, made["test"]):
        train.insert(rng.randint(len(train) // 4, len(train)), one)
    made["forms"] = forms(rng, FORMS)
    for part, lines in made.items():
        (folder / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    make(HERE / "data")
