"""`--fit-budget`: the most training, up to what was asked for, that finishes within the budget with 95 %."""

from collections.abc import Iterable
from dataclasses import replace
from math import ceil

from pricing.kinds import Kind, Kinds
from pricing.offer import Offer
from pricing.plan import Fitted, Plan, make_plan, smallest_budget_usd
from pricing.terms import Terms
from pricing.workload import Workload

SURE = 0.95
"""What the option promises: P(cost <= budget and finished)."""
LEAST_EPOCH_SHARE = 0.1
"""Less than a tenth of the data seen once is no tuning worth paying a machine's start for (assumed)."""


def fitted_plan(offers: Iterable[Offer], workload: Workload, terms: Terms) -> Plan:
    """The plan of the largest number of steps, of those that were asked for, at which an offer is as sure as that.

    `Plan.workload` holds the steps, `Plan.fitted` what was asked for. Without choices where not even
    `least_steps(workload)` fit: `smallest_budget_usd` of that plan is the budget with which they would.
    """
    offers, sure = tuple(offers), replace(terms, least_odds=SURE)
    asked, least = workload.steps, least_steps(workload)
    whole = plan = make_plan(offers, workload, sure)
    if not plan.choices and least < asked:
        plan = make_plan(offers, with_steps(workload, least), sure)
        steps = most_steps([choice.offer for choice in plan.choices], workload, sure)
        plan = make_plan(offers, with_steps(workload, steps), sure) if steps > least else plan
    fitted = Fitted(
        asked_epochs=workload.epochs,
        asked_steps=asked,
        epochs=plan.workload.epochs,
        steps=plan.workload.steps,
        whole_usd=smallest_budget_usd(whole),
    )
    return replace(plan, fitted=fitted)


def least_steps(workload: Workload) -> int:
    """The fewest that make sense: a tenth of an epoch, at least one, and never more than were asked for."""
    return min(workload.steps, max(1, ceil(steps_per_epoch(workload) * LEAST_EPOCH_SHARE)))


def with_steps(workload: Workload, steps: int) -> Workload:
    """The same job with so many optimiser steps."""
    return replace(workload, epochs=steps / steps_per_epoch(workload))


def steps_per_epoch(workload: Workload) -> int:
    """Optimiser steps in which all rows are seen once."""
    return -(-workload.examples // (workload.micro_batch * workload.accumulation))


def most_steps(offers: list[Offer], workload: Workload, terms: Terms) -> int:
    """The most steps, of those of `workload`, that one of these offers is sure to finish (at least `least_steps`).

    Of a kind the lowest worst rate is enough. A kind that cannot do one step more than the best so far is out after
    one question; so there are about as many questions as kinds.
    """
    kinds = Kinds(workload, terms)
    cheapest: dict[Kind, Offer] = {}
    for offer in offers:
        kind = kinds.able(offer)
        if kind not in cheapest or offer.worst_usd_per_hour < cheapest[kind].worst_usd_per_hour:
            cheapest[kind] = offer
    best = least_steps(workload)
    for offer in cheapest.values():
        sure, unsure = best, workload.steps + 1
        if sure + 1 < unsure and not _is_sure(offer, sure + 1, workload, terms):
            continue
        while unsure - sure > 1:
            middle = (sure + unsure) // 2
            if _is_sure(offer, middle, workload, terms):
                sure = middle
            else:
                unsure = middle
        best = sure
    return best


def _is_sure(offer: Offer, steps: int, workload: Workload, terms: Terms) -> bool:
    kind = Kinds(with_steps(workload, steps), terms).able(offer)
    worst = kind.all_in_usd_per_hour(offer.worst_usd_per_hour)
    return kind.working_lease_seconds(worst) >= kind.needed_lease_seconds
