"""What a person allows: the limits under which offers are weighed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Budget, tax, deadline and consent. `budget_usd` is what is still left where a run has spent some already.

    Mappings are by provider name. `asked_for` holds the providers that the person named: one of `by_name_only`, and a
    machine without a GPU, is a choice only if it is among them; None means that all offers handed in were asked for.
    """

    budget_usd: Decimal | None
    tax_fraction: Decimal
    now: datetime
    deadline_seconds: float | None
    accept_unguarded: bool
    interactive: bool
    memory_margin: float = 1.4
    guard_delay_seconds: Mapping[str, float] = field(default_factory=dict)
    minimum_disk_gib: Mapping[str, int] = field(default_factory=dict)
    asked_for: frozenset[str] | None = None
    by_name_only: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.now.tzinfo is None:
            raise ValueError("terms need an aware time")
        if self.tax_fraction < 0 or self.memory_margin < 1:
            raise ValueError(f"tax must be at least 0 and the memory margin at least 1: {self}")
        if self.budget_usd is not None and not self.budget_usd >= 0:
            raise ValueError(f"a budget must be at least 0, not {self.budget_usd}")
        if self.deadline_seconds is not None and not self.deadline_seconds >= 0:
            raise ValueError(f"a deadline must be at least 0 seconds away, not {self.deadline_seconds}")
