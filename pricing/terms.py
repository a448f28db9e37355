"""What a person allows: the limits under which offers are weighed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from pricing.calibration import Corrections


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Budget, tax, deadline and consent. `budget_usd` is what is still left where a run has spent some already.

    All mappings are by provider name. `asked_for` holds the providers that the person named: one of `by_name_only`, and
    a machine without a GPU, is a choice only if it is among them; None means that all offers handed in were asked for.
    """

    budget_usd: Decimal | None
    tax_fraction: Decimal
    """Of providers that `tax_fractions` does not name."""
    now: datetime
    deadline_seconds: float | None
    accept_unguarded: bool
    interactive: bool
    memory_margin: float | None = None
    """One factor on the predicted memory, where own runs have shown it; None: `pricing.memory.sure_gib`."""
    guard_delay_seconds: Mapping[str, float] = field(default_factory=dict)
    minimum_disk_gib: Mapping[str, int] = field(default_factory=dict)
    asked_for: frozenset[str] | None = None
    by_name_only: frozenset[str] = frozenset()
    tax_fractions: Mapping[str, Decimal] = field(default_factory=dict)
    balance_usd: Mapping[str, Decimal] = field(default_factory=dict)
    """What prepaid accounts hold, where that is known."""
    spare_usd_per_hour: Mapping[str, Decimal] = field(default_factory=dict)
    """What accounts with a spending limit may still spend by the hour, where that is known."""
    gpus_by_name: frozenset[str] = frozenset()
    """Canonical names of the cards that the person named."""
    has_secrets: bool = False
    unguarded_usd_per_hour: Decimal | None = None
    """The most that a machine which does not end itself may cost by the hour, where that was agreed to."""
    least_odds: float = 0.5
    """An offer is a choice only if P(finished within budget and deadline) is at least this."""
    durable_store: bool = False
    """The machine also writes checkpoints and results into a durable store: its traffic is set aside, too."""
    corrections: Corrections = field(default_factory=Corrections)
    """What the user's own finished runs say about estimates."""

    def tax(self, provider: str) -> Decimal:
        """The margin on every price of that provider."""
        return self.tax_fractions.get(provider, self.tax_fraction)

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("terms need an aware time")
        if min((self.tax_fraction, *self.tax_fractions.values())) < 0 or (self.memory_margin or 1) < 1:
            raise ValueError(f"tax must be at least 0 and the memory margin at least 1: {self}")
        if self.budget_usd is not None and not self.budget_usd >= 0:
            raise ValueError(f"a budget must be at least 0, not {self.budget_usd}")
        if not 0 < self.least_odds < 1:
            raise ValueError(f"odds lie between 0 and 1, not {self.least_odds}")
        if self.deadline_seconds is not None and not self.deadline_seconds >= 0:
            raise ValueError(f"a deadline must be at least 0 seconds away, not {self.deadline_seconds}")
