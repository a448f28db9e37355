"""What the same budget would buy: more epochs, a larger model of the family, longer rows."""

from dataclasses import replace

from jobs import siblings
from launcher.price import Priced
from pricing.alternatives import Alternative, Kind, alternatives


def otherwise(priced: Priced) -> tuple[Alternative, ...]:
    """Each with what asks for it. Worked out from the plan and the built-in table of models; nobody is asked."""
    train = priced.loaded.spec.train
    found = alternatives(priced.plan, siblings.larger(priced.workload, train.target_modules))
    return found if train.max_steps is None else tuple(_without_max_steps(one) for one in found)


def _without_max_steps(one: Alternative) -> Alternative:
    """The job's own number of steps would win over the epochs."""
    return replace(one, flag=f"--set train.max_steps=null {one.flag}") if one.kind is Kind.EPOCHS else one
