"""`--fit-budget`: the job as it is shipped when less of it fits, and the sentence that says so."""

from dataclasses import replace

from jobs.spec import LoadedSpec
from launcher.display import money, span
from pricing.fit_budget import SURE
from pricing.plan import Fitted
from pricing.terms import Terms


def shortened(loaded: LoadedSpec, steps: int) -> LoadedSpec:
    """The same job with so many optimiser steps: what is shipped then."""
    train = loaded.spec.train.model_copy(update={"max_steps": steps})
    return replace(loaded, spec=loaded.spec.model_copy(update={"train": train}))


def fitted_note(fitted: Fitted, terms: Terms) -> str:
    """What it came to, in one sentence."""
    deadline = "" if terms.deadline_seconds is None else f" and {span(terms.deadline_seconds)}"
    limits = f"{money(terms.budget_usd)}{deadline} with {SURE:.0%}"
    asked = epochs(fitted.asked_epochs)
    if not fitted.is_less:
        return f"--fit-budget: {asked} fit into {limits} ({fitted.steps} steps)"
    whole = "" if fitted.whole_usd is None else f"; all of it needs {money(fitted.whole_usd)}"
    do = "does" if fitted.epochs == 1 else "do"
    less = f"{epochs(fitted.epochs)} {do} ({fitted.steps} of {fitted.asked_steps} steps)"
    return f"--fit-budget: {asked} do not fit into {limits}: {less}{whole}"


def epochs(number: float) -> str:
    """`3 epochs`, `1 epoch`, `0.12 epochs`."""
    return f"{figure(number)} epoch{'' if number == 1 else 's'}"


def figure(number: float) -> str:
    """A whole number as it is, any other in three figures."""
    return f"{number:.0f}" if number == round(number) else f"{number:.3g}"
