"""What a receipt says of the parts of a resumed run, and of what a person does next: a list of facts for each line."""

from collections.abc import Callable
from decimal import Decimal

from launcher.receipt import Receipt

Money = Callable[[Decimal | None], str]
"""How an amount is written: `display.money`, which knows this module."""


def of_each(paper: Receipt, money: Money) -> list[list[str]]:
    """One line a part: `1: out of budget`, `4.70 of 5.00`, `2 machines`, and what its phases cost."""
    return [
        [
            f"{at}: {part.outcome}",
            money(part.spent_usd) + ("" if part.allowed_usd is None else f" of {money(part.allowed_usd)}"),
            "1 machine" if part.attempts == 1 else f"{part.attempts} machines",
            " · ".join(f"{phase.name} {money(phase.usd)}" for phase in part.phases if phase.usd),
        ]
        for at, part in enumerate(paper.parts, start=1)
    ]


def next_steps(paper: Receipt, money: Money) -> list[str]:
    """The command to go on with. Its amount is all that the run may cost, so what that adds stands beside it."""
    look = f"launch report {paper.run}" if paper.results.files else f"launch show {paper.run}"
    if paper.resume_usd is None:
        return [look]
    more = money(paper.resume_usd - paper.spent_usd)
    return [f"launch resume {paper.run} --budget {paper.resume_usd:.2f}", f"{more} more would finish it", look]
