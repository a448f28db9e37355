"""What a machine may have brought home, and the rows that it was sent: the tests say what each arm answered."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.results.compare import Comparison, compared
from jobs.results.items import ArmItems, Item, Told
from jobs.results.kinds import KINDS, Measured, measure
from jobs.results.resample import RESAMPLES

Answer = Callable[[int], str]


def arm(
    name: str,
    answers: Sequence[str],
    wanted: Sequence[str],
    *,
    clusters: Sequence[int] = (),
    losses: Sequence[float] = (),
) -> ArmItems:
    """An arm whose items were read already."""
    items = tuple(
        Item(
            number=at, prompt=f"question {at}", wanted=want, answer=said, tokens=10,
            loss=losses[at] if losses else None, cluster=clusters[at] if clusters else at,
        )
        for at, (said, want) in enumerate(zip(answers, wanted, strict=True))
    )  # fmt: skip
    return ArmItems(arm=name, items=items, told=Told())


def measured(kind: str, items: ArmItems) -> Measured:
    """The arm's figure, which is there."""
    found = measure(KINDS[kind], items)
    assert found is not None
    return found


def pitted(kind: str, one: ArmItems, other: ArmItems, resamples: int = RESAMPLES) -> Comparison:
    """The two arms' comparison, which is there."""
    found = compared(measured(kind, one), measured(kind, other), resamples=resamples)
    assert found is not None
    return found


def right(n: int, of: int, *, start: int = 0) -> list[str]:
    """`n` right answers ("yes") from item `start` on, and wrong ones around them."""
    return ["yes" if start <= at < start + n else "no" for at in range(of)]


class Home:
    """A folder of results and one of our own rows."""

    def __init__(self, folder: Path) -> None:
        self.out, self.data = folder / "out", folder / "rows"
        (self.out / "eval" / "adjacent").mkdir(parents=True)
        (self.data / "adjacent").mkdir(parents=True)

    def sent(self, wanted: Sequence[str], *, part: str = "test", groups: Sequence[str] = ()) -> None:
        """The rows that we sent, one question each."""
        rows = [
            {"messages": [*_turns(f"question {at}"), {"role": "assistant", "content": want}], "source": {"file": "t"}}
            | ({"group": groups[at]} if groups else {})
            for at, want in enumerate(wanted)
        ]
        (self.data / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def brought(
        self, stem: str, answers: Sequence[str], wanted: Sequence[str], told: Mapping[str, Any] | None = None
    ) -> None:
        """An arm's two files."""
        self.lines(stem, [line(at, said, wanted[at]) for at, said in enumerate(answers)])
        self.figures(stem, {"n": len(answers), **(told or {})})

    def lines(self, stem: str, lines: Sequence[object]) -> None:
        """The per-item file; texts go in as they are."""
        text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
        (self.out / "eval" / f"{stem}.jsonl").write_text(text)

    def figures(self, stem: str, told: Mapping[str, Any]) -> None:
        """The machine's own figures."""
        (self.out / "eval" / f"{stem}.json").write_text(json.dumps({"metrics": {}, **told}))


def line(at: int, answer: str, wanted: str, **changes: Any) -> dict[str, Any]:
    """One item as the job writes it."""
    return {
        "item": at, "prompt": _turns(f"question {at}"), "wanted": wanted, "answer": answer, "loss": 0.5, "tokens": 10,
        "prompt_tokens": 7, "new_tokens": 3, "ended": True,
    } | changes  # fmt: skip


def _turns(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]
