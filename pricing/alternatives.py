"""What the same budget would buy otherwise: more epochs, a larger model, a longer sequence, each with cost and odds.

`alternatives(plan, larger)` answers at most three: one a kind, in the order of `Kind`, of the offers that the plan has
weighed. `larger` are workloads of the next sizes of the family (`jobs.siblings.larger`), smallest first. A kind of
which nothing is known or nothing is left to gain is not there; one that does not fit is there with `usd` None and says
why in `why`.
"""

from dataclasses import dataclass
from enum import StrEnum

from pricing.interval import Dollars
from pricing.offer import Offer


class Kind(StrEnum):
    """What would be changed."""

    EPOCHS = "epochs"
    MODEL = "model"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One change of the job, priced on the offer that is then the cheapest to finish on.

    `text` is for people ("7 epochs", "Qwen/Qwen2.5-14B", "sequences of 4096 tokens"), `flag` what asks for it
    ("--set train.epochs=7"). `odds`: P(finished within the budget), None without a budget. `offer`, `usd` and `odds`
    are None where no machine would do: then `why` says what is in the way, for people.
    """

    kind: Kind
    text: str
    flag: str
    offer: Offer | None = None
    usd: Dollars | None = None
    odds: float | None = None
    why: str = ""

    def __post_init__(self) -> None:
        if (self.usd is None) != (self.offer is None) or (self.usd is None) != bool(self.why):
            raise ValueError(f"an alternative has an offer with its cost, or a reason why it has none: {self}")
