"""The lines of a receipt about what the model has learned: figures over all arms, the gain, what was unlearned."""

from collections.abc import Sequence

from launcher.receipt import Gain, Receipt, Score

SHORT = {"base": "base", "prompted": "prompted", "larger": "larger"}
FIRST = ("prompted", "base", "larger")
"""Whom the gain is told over: the best rival that was tried."""
ALARMING = ("dropped", "may have dropped")


def figures(paper: Receipt) -> list[str]:
    """The verdict's metric over all arms, and what tuning gained; of a run without per-item results every figure."""
    if not paper.gains:
        return _plain(paper.scores)
    first = paper.gains[0].metric
    gains = [one for one in paper.gains if one.metric == first]
    gain = next((one for arm in FIRST for one in gains if one.against == arm), gains[0])
    arms = " · ".join(
        f"{score.arm} {dict(score.metrics)[first]:.2f}" for score in paper.scores if first in dict(score.metrics)
    )
    return [f"{gain.title}  {arms}", f"({_gained(gain)})"]


def _gained(gain: Gain) -> str:
    told = f"{gain.value:+z.2f} over {SHORT.get(gain.against, gain.against)}, 95 % {_ends(gain)}, n={gain.n}"
    return told if gain.distinguishable else f"{told}, not distinguishable"


def _ends(gain: Gain) -> str:
    """Without a sign in it a dash reads well."""
    ends = f"{gain.low:z.2f}", f"{gain.high:z.2f}"
    return " to ".join(ends) if "-" in "".join(ends) else "-".join(ends)


def _plain(scores: Sequence[Score]) -> list[str]:
    """Each metric over all arms, and what tuning gained, with the number of test rows."""
    names = list(dict.fromkeys(name for score in scores for name, _ in score.metrics))
    return [_metric(name, scores) for name in names]


def _metric(name: str, scores: Sequence[Score]) -> str:
    values = {score.arm: dict(score.metrics)[name] for score in scores if name in dict(score.metrics)}
    arms = " · ".join(f"{arm} {value:.2f}" for arm, value in values.items())
    gain = f"{values['tuned'] - values['base']:+.2f}, " if {"tuned", "base"} <= values.keys() else ""
    return f"{name} {arms} ({gain}n={min(score.n for score in scores)})"


def regressions(paper: Receipt) -> list[str]:
    """The adjacent tasks that got worse beyond what they may."""
    return [
        f"{one.name} {one.state}: {one.metric} {one.base:.2f} to {one.tuned:.2f}"
        for one in paper.adjacent
        if one.state in ALARMING
    ]
