"""Wins, ties and losses over items as a share with its interval; the same for a judge model and for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.results.summary import Value

WIN, TIE, LOSS = 1.0, 0.5, 0.0


@dataclass(frozen=True, kw_only=True)
class Wins:
    """Of items: won, neither, lost; `share` is wins plus half the ties, of all."""

    wins: int
    ties: int
    losses: int
    share: Value
    p: float
    """Of the exact sign test, ties left out."""
    leaves_half_out: bool
    """Whether the interval does."""

    @property
    def distinguishable(self) -> bool:
        """Where this is the only pair of arms; several are a family of tests (`family`)."""
        return family([self])[0]


def family(found: Sequence[Wins]) -> list[bool]:
    """Which of several pairs of arms can be told apart, read together: after Holm's correction."""
    from jobs.results import resample  # numpy: here for start-up time

    corrected = resample.holm([one.p for one in found])
    return [one.leaves_half_out and p < resample.ALPHA for one, p in zip(found, corrected, strict=True)]


def counted(outcomes: Sequence[float], clusters: Sequence[int]) -> Wins:
    """The share with its 95 % interval by a bootstrap over `clusters` (items that belong together), one for each item.

    Distinguishable where the interval leaves one half out *and* the exact sign test (ties left out) agrees: a bootstrap
    alone is too sure of a few items. Where all items came out alike a bootstrap knows no spread; then the interval is
    the exact one (Clopper & Pearson 1934): what share of other outcomes could have been missed in so many.
    """
    from jobs.results import resample  # numpy: here for start-up time

    wins, losses = outcomes.count(WIN), outcomes.count(LOSS)
    n = len(outcomes)
    if not n:
        return Wins(wins=0, ties=0, losses=0, share=Value(value=0.5, n=0), p=1.0, leaves_half_out=False)
    if len(set(outcomes)) == 1:
        low, high = _all_alike(outcomes[0], len(set(clusters)), resample.ALPHA)
    else:
        import numpy as np  # as above

        parts = np.array([[outcome, 1.0] for outcome in outcomes])
        figure = resample.Figure(parts=parts, of=lambda sums: sums[..., 0] / sums[..., 1])
        low, high = resample.spread(figure, clusters).interval()
    return Wins(
        wins=wins,
        ties=n - wins - losses,
        losses=losses,
        share=Value(value=sum(outcomes) / n, low=max(0.0, low), high=min(1.0, high), n=n),
        p=resample.mcnemar(wins, losses),
        leaves_half_out=not low <= 0.5 <= high,
    )


def _all_alike(outcome: float, units: int, alpha: float) -> tuple[float, float]:
    unseen = 1 - (alpha / 2) ** (1 / units)
    return {WIN: (1 - unseen, 1.0), LOSS: (0.0, unseen), TIE: (0.5 - unseen / 2, 0.5 + unseen / 2)}[outcome]
