"""What the tests of judge and larger model share: an endpoint's settings, an asker, items."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.judge.asking import Asker
from jobs.judge.cache import Book
from jobs.judge.endpoint import Client
from jobs.judge.exchanges import Exchange
from jobs.spec_evaluate import Endpoint, Judge
from tests.judge_server import Model, behind

OPEN: list[Client] = []
"""Clients that `served` closes."""
PRICES = {"input_usd_per_million": 2, "output_usd_per_million": 8}


def judge_of(model: Model, **said: Any) -> Judge:
    return Judge.model_validate({"endpoint": model.url, "model": model.name, **PRICES, **said})


def asker_of(to: Endpoint, book: Path, environ: Mapping[str, str] | None = None, **how: Any) -> Asker:
    """One that pauses for no time; `seconds` shortens how long an answer may take."""
    sleep: Callable[[float], object] = how.pop("sleep", lambda seconds: None)
    client = Client(to, environ or {}, **how)
    OPEN.append(client)
    return Asker(client, Book(book), sleep=sleep)


@contextmanager
def served(**said: Any) -> Iterator[Model]:
    model = Model(**said)
    try:
        with behind(model):
            yield model
    finally:
        while OPEN:
            OPEN.pop().close()


def item(number: int, wanted: str = "yes", **answers: str) -> Exchange:
    """`tuned`, `base`, ... : what each answered."""
    asked = (("user", f"question {number}"),)
    return Exchange(number=number, turns=asked, wanted=wanted, answers=answers, cluster=number)


def no_tick(done: int, of: int) -> None:
    """Nobody watches."""
