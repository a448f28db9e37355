"""What a plan says of the user's own runs that its estimates were corrected by. Pure."""

from pricing.calibration import Correction, path
from pricing.plan import Choice, Plan

LEAST_CHANGE = 0.02
"""A correction by less is not told."""
PHASE_WORDS = {"train": "training", "evaluate": "evaluation", "model": "model download"}


def line(plan: Plan) -> str:
    """That the first choice was corrected, by how many runs and how much; "" where it was not."""
    said = corrections_of(plan.choices[0], plan) if plan.choices else []
    if not said:
        return ""
    count = max(one.runs for _, one in said)
    told = [f"{word(name)} x {one.factor:.2f}" for name, one in said if matters(one)]
    return (
        f"corrected by {count} of your own runs: {', '.join(told)}"
        if told
        else f"confirmed by {count} of your own runs"
    )


def corrections_of(choice: Choice, plan: Plan) -> list[tuple[str, Correction]]:
    """By phase, of those that were corrected."""
    phases = [name for name, _ in choice.estimate.times.factors]
    found = [(name, plan.terms.corrections.of(path(name, choice.offer, plan.workload))) for name in phases]
    return [(name, one) for name, one in found if one is not None]


def matters(one: Correction) -> bool:
    """It changes a figure that a person sees."""
    return abs(one.factor - 1) >= LEAST_CHANGE


def word(phase: str) -> str:
    """A phase's name in a sentence."""
    return PHASE_WORDS.get(phase, phase)
