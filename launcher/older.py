"""What a program of an older version wrote down, as today's reads it: a run may be under way while we are upgraded.

Version 2 of the ledger kept an estimate's dollars instead of the rate that they come from, and knew no odds.
"""

import json
from decimal import Decimal
from typing import Any

from pricing.budget import cost_usd
from pricing.offer import Billing

SINCE_3 = '"by_phase"'
"""Only an estimate of version 3 has it."""


def attempt(text: str) -> str:
    """An attempt's JSON."""
    if SINCE_3 in text:
        return text
    document = json.loads(text)
    return json.dumps({**document, "choice": _choice(document["choice"])})


def plan(text: str) -> str:
    """A plan's JSON."""
    document: dict[str, Any] = {} if SINCE_3 in text else json.loads(text)
    if not document.get("choices"):
        return text
    return json.dumps({**document, "choices": [_choice(one) for one in document["choices"]]})


def _choice(old: dict[str, Any]) -> dict[str, Any]:
    """What it costs to finish was what is expected; how likely that is nobody said."""
    estimate = old["estimate"]
    times = {
        "by_phase": [[one["name"], one["seconds"]] for one in estimate["phases"]],
        **{name: estimate[name] for name in ("seconds", "fit", "tokens_per_second", "rework_seconds")},
    }
    rate, usd = Decimal(old["expected_usd_per_hour"]), Decimal(estimate["usd"]["expected_usd"])
    machine_usd = cost_usd(estimate["seconds"]["expected"], rate, Billing(**old["offer"]["billing"]))
    renewed = {
        "offer": estimate["offer"],
        "times": times,
        "usd_per_hour": str(rate),
        "egress_usd": str(max(Decimal(0), usd - machine_usd)),
    }
    return {**old, "estimate": renewed, "finish_usd": str(usd), "odds": None}
