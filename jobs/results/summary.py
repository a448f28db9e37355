"""The evaluation of a run as one checked document, `eval/summary.json`: made here, read by receipt, gate and report."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
ARMS = ("base", "prompted", "tuned", "larger")
"""In the order in which they are shown; not every run has all of them."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Value(_Frozen):
    """One arm's figure with its 95 % interval (None where there is no honest one)."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int


class Difference(_Frozen):
    """`arm` minus `against`, over the same items: 95 % paired bootstrap interval; for exact match McNemar's exact p."""

    arm: str
    against: str
    value: float
    low: float
    high: float
    n: int
    p: float | None = None
    distinguishable: bool
    """Whether the interval leaves zero out (after Holm's correction where a family of tests is read together)."""


class Metric(_Frozen):
    """One figure over all arms: `name` as in a gate ("exact"), `title` for people ("exact match")."""

    name: str
    title: str
    better: Literal["higher", "lower"]
    normalised: str
    """How texts are made comparable before they are compared, in a sentence; "" where nothing is done."""
    values: dict[str, Value]
    differences: tuple[Difference, ...] = ()


class FieldScore(_Frozen):
    """One field of the wanted JSON, over all items that want it."""

    field: str
    wanted: int
    precision: float | None
    recall: float | None
    f1: float | None


class JsonHealth(_Frozen):
    """Of one arm: shares of items whose answer is JSON, has the wanted shape, misses fields, invents some."""

    valid: float
    same_shape: float
    missing: float
    invented: float
    fields: tuple[FieldScore, ...]


class Confusion(_Frozen):
    """Of one arm: how often the label of a row was answered as the label of a column; the last column is "other"."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    accuracy: float
    macro_f1: float


class Arm(_Frozen):
    """One arm: what it is, how it was asked, how fast it answered."""

    name: str
    title: str
    n: int
    model: str
    system: str = ""
    shots: int = 0
    chosen_from: int = 0
    """How many prompts were tried on validation for this one."""
    new_tokens: int | None = None
    seconds: float | None = None
    """For all items, in batches, loading not counted; None: not measured."""
    cost_usd: str | None = None
    """Of an arm behind an endpoint."""
    unfinished: str = ""
    """Why not all items were asked."""


class Adjacent(_Frozen):
    """A task that was not trained, before and after."""

    name: str
    metric: str
    better: Literal["higher", "lower"]
    base: Value
    tuned: Value
    difference: Difference
    allow_drop: float
    state: Literal["held", "improved", "may have dropped", "dropped"]
    """"dropped": worse than `allow_drop`, and distinguishable; "may have dropped": worse, and not distinguishable."""


class Judged(_Frozen):
    """Two arms compared by a judge model, each pair in both orders; a disagreement of the orders is a tie."""

    arm: str
    against: str
    wins: int
    ties: int
    losses: int
    share: Value
    """Wins plus half the ties, with its interval."""
    distinguishable: bool
    agreement: float
    """Share of pairs on which both orders agreed."""
    first_position: float
    """Of the answers that chose one: the share that chose whoever stood first; 0.5 is without bias."""
    identical: int = 0
    """Of the ties: answers that were the same, which nobody was asked about."""
    unusable: int = 0
    """Pairs that count for nothing: the judge gave no verdict on them, asked twice."""


class Judging(_Frozen):
    """What the judge said. `unfinished` says why it did not see all items."""

    model: str
    rubric: str
    pairs: tuple[Judged, ...]
    items: int
    of: int
    cost_usd: str
    cap_usd: str
    unfinished: str = ""
    endpoint: str = ""
    counted_by_us: int = 0
    """Calls whose tokens the endpoint told wrongly or not at all: counted at the worst case."""


class Votes(_Frozen):
    """What people said on the blind page of `launch review`."""

    arm: str
    against: str
    wins: int
    ties: int
    losses: int
    share: Value
    distinguishable: bool
    voters: int
    """Each item counts once: by the choice of most of them, a draw is a tie."""
    agreement: float | None = None
    """Of all pairs of voters on the same item, the share that chose the same; None with one voter."""
    identical: int = 0
    """Of the ties: answers that were the same, which nobody was asked about."""
    skipped: int = 0
    """Items that nobody chose on; they count for nothing."""


class Serving(_Frozen):
    """What answering costs: seconds and dollars for 1,000 requests as they were in the test; None where unknown."""

    arm: str
    seconds_per_request: float | None
    usd_per_1000: str | None
    how: str


class Verdict(_Frozen):
    """Was it worth it? One headline, then what it rests on."""

    answer: Literal["worth it", "not worth it", "not distinguishable", "unknown"]
    headline: str
    reasons: tuple[str, ...]
    smallest_difference: float | None
    """The smallest difference of the first metric that this test set would have shown in 4 of 5 cases."""
    break_even_requests: int | None = None
    """From how many requests on the training has paid for itself; None: never, or not known."""
    break_even_against: str = ""
    """The arm that it is cheaper than from then on; "" where there is no such number."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """The reasons that speak against the answer."""
        return tuple(one for one in self.reasons if one.startswith("but "))


class Sample(_Frozen):
    """One test item with what each arm said: among the best, the worst, or those that tuning changed."""

    kind: Literal["best", "worst", "won", "lost"]
    item: int
    prompt: str
    wanted: str
    answers: dict[str, str]
    score: float


class Summary(_Frozen):
    """All of it. The first metric is the one that the verdict is about."""

    schema_: Annotated[int, Field(alias="schema")] = SCHEMA
    arms: tuple[Arm, ...]
    metrics: tuple[Metric, ...]
    json_health: dict[str, JsonHealth] = {}
    confusion: dict[str, Confusion] = {}
    adjacent: tuple[Adjacent, ...] = ()
    judging: Judging | None = None
    votes: tuple[Votes, ...] = ()
    serving: tuple[Serving, ...] = ()
    verdict: Verdict
    samples: tuple[Sample, ...] = ()
    warnings: tuple[str, ...] = ()
