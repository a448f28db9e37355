"""What a run is: where its machine is (`State`), how the work ended (`Outcome`), and which steps may follow which."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from providers.base import Instance


class State(StrEnum):
    """Where a run's machine is."""

    PLANNED = "PLANNED"
    PROVISIONING = "PROVISIONING"
    BOOTING = "BOOTING"
    SHIPPING = "SHIPPING"
    RUNNING = "RUNNING"
    PULLING = "PULLING"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"


NEXT: dict[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.PROVISIONING, State.TERMINATING}),
    State.PROVISIONING: frozenset({State.BOOTING, State.TERMINATING}),
    State.BOOTING: frozenset({State.SHIPPING, State.TERMINATING}),
    State.SHIPPING: frozenset({State.RUNNING, State.TERMINATING}),
    State.RUNNING: frozenset({State.PULLING, State.TERMINATING}),
    State.PULLING: frozenset({State.TERMINATING}),
    State.TERMINATING: frozenset({State.TERMINATED, State.PROVISIONING}),
    State.TERMINATED: frozenset(),
}
"""Every path leaves through TERMINATING; from there a new attempt may start, once the last machine is proven gone."""


class Outcome(StrEnum):
    """How the work ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PREEMPTED = "preempted"
    OUT_OF_BUDGET = "out of budget"
    CANCELLED = "cancelled"
    LOST = "lost"
