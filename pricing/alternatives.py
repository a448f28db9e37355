"""What the same budget would buy otherwise: more epochs, a larger model, a longer sequence, each with cost and odds.

`alternatives(plan, larger)` answers at most three: one a kind, in the order of `Kind`, of the offers that the plan has
weighed. `larger` are workloads of the next sizes of the family (`jobs.siblings.larger`), smallest first. A kind of
which nothing is known or nothing is left to gain is not there; one that does not fit is there with `usd` None and says
why in `why`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pricing.fit_budget import SURE, most_steps, steps_per_epoch
from pricing.interval import Dollars
from pricing.offer import Offer
from pricing.plan import Plan, make_plan, smallest_budget_usd
from pricing.workload import Workload

MOST_EPOCHS = 10
"""Beyond it, an adapter learns its rows by heart rather than the task (assumed)."""
MOST_TOKENS = 1 << 17
"""The longest sequence that is asked about, where a model does not say what it was made for."""


class Kind(StrEnum):
    """What would be changed."""

    EPOCHS = "epochs"
    MODEL = "model"
    LENGTH = "length"


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """One change of the job, priced on the offer that is then the cheapest to finish on.

    `text` is for people ("7 epochs", "Qwen/Qwen2.5-14B", "rows of 4,096 tokens, all of them full"), `flag` what asks
    for it ("--set train.epochs=7"). `odds`: P(finished within the budget), None without a budget. `offer`, `usd` and
    `odds` are None where no machine would do: then `why` says what is in the way, for people.
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


def alternatives(plan: Plan, larger: Sequence[Workload]) -> tuple[Alternative, ...]:
    """The most of each kind that finishes within the plan's budget with 95 %; without one the next larger of each."""
    offers = tuple(choice.offer for choice in plan.choices) + tuple(one.offer for one in plan.rejected)
    market = _Market(plan=plan, offers=offers)
    return (*market.epochs(), *market.model(larger), *market.length())


@dataclass(frozen=True, kw_only=True)
class _Market:
    """The offers and terms under which changes of the job are priced."""

    plan: Plan
    offers: tuple[Offer, ...]

    @property
    def is_limited(self) -> bool:
        """Whether "the most" means anything."""
        return self.plan.terms.budget_usd is not None

    def epochs(self) -> Iterator[Alternative]:
        """The largest whole number that is sure; nothing where no more than now is, or no budget limits it."""
        workload = self.plan.workload
        sure = self._planned(workload).choices
        if not self.is_limited or not sure:
            return
        wanted = replace(workload, epochs=float(max(MOST_EPOCHS, workload.epochs)))
        steps = most_steps([choice.offer for choice in sure], wanted, replace(self.plan.terms, least_odds=SURE))
        epochs = steps // steps_per_epoch(workload)
        if epochs > workload.epochs:
            more = replace(workload, epochs=float(epochs))
            yield self._alternative(Kind.EPOCHS, f"{epochs} epochs", f"--set train.epochs={epochs}", more)

    def model(self, larger: Sequence[Workload]) -> Iterator[Alternative]:
        """The largest of the family that is sure; where none is, the next size, and why not."""
        found = [self._of_model(one) for one in (larger if self.is_limited else larger[:1])]
        yield from [one for one in found if one.usd is not None][-1:] or found[:1]

    def length(self) -> Iterator[Alternative]:
        """The longest rows, in powers of two, that are sure if all are so long; else the next length, and why not."""
        workload = self.plan.workload
        tokens, found = 1 << max(workload.longest_tokens, workload.max_length).bit_length(), []
        while tokens <= (workload.shape.positions or MOST_TOKENS):
            found.append(self._of_length(tokens))
            if found[-1].usd is None or not self.is_limited:
                break
            tokens *= 2
        yield from [one for one in found if one.usd is not None][-1:] or found[:1]

    def _of_model(self, workload: Workload) -> Alternative:
        name = workload.shape.name
        return self._alternative(Kind.MODEL, name, f"--model {name}", workload)

    def _of_length(self, tokens: int) -> Alternative:
        workload = self.plan.workload
        longer = tokens * workload.examples / max(1, workload.tokens_per_epoch)
        full = replace(
            workload,
            max_length=tokens,
            longest_tokens=tokens,
            tokens_per_epoch=tokens * workload.examples,
            padded_tokens_per_epoch=None,
            packed_examples=None,
            asked=tuple(replace(one, row_tokens=max(one.row_tokens, tokens)) for one in workload.asked),
            validation_tokens=round(workload.validation_tokens * longer),
        )
        text = f"rows of {tokens:,} tokens, all of them full"
        return self._alternative(Kind.LENGTH, text, f"--set train.max_length={tokens}", full)

    def _planned(self, workload: Workload) -> Plan:
        return make_plan(self.offers, workload, replace(self.plan.terms, least_odds=SURE))

    def _alternative(self, kind: Kind, text: str, flag: str, workload: Workload) -> Alternative:
        plan = self._planned(workload)
        if not plan.choices:
            return Alternative(kind=kind, text=text, flag=flag, why=_why(plan))
        best = plan.choices[0]
        return Alternative(kind=kind, text=text, flag=flag, offer=best.offer, usd=best.estimate.usd, odds=best.odds)


def _why(plan: Plan) -> str:
    """What is in the way of all offers: money before memory, since it is the easier to give."""
    budget = smallest_budget_usd(plan)
    if budget is not None:
        return f"to finish with {SURE:.0%} it needs a budget of ${budget}"
    by_code = {one.code: one for one in plan.rejected}
    for code in ("over-deadline", "does-not-fit", "ram"):
        if code in by_code:
            return by_code[code].reason
    return plan.rejected[0].reason if plan.rejected else "nothing is on offer"
