"""What `doctor` asks Runpod before money is spent: key and rights, balance, clock, interface, second door, guard."""

from collections.abc import Iterator
from decimal import Decimal

from providers import reading, runpod_sdk
from providers.base import (
    AuthFailed,
    ContractBroken,
    Finding,
    Level,
    NoCapacity,
    NoCredentials,
    OfferQuery,
    ProviderError,
    Surroundings,
    Traits,
)
from providers.findings import DRIFT_FIX, clock, interface, wrong
from providers.funds import Funds
from providers.reading import Odd, maybe_text, rows
from providers.runpod_calls import Calls
from providers.runpod_pods import STATES, offers
from providers.runpod_proof import Proof

CLOCK_FIX = "set this computer's clock: leases are counted by it, and a pod compares its own with it"
NEW_POD_FIX = "look for a new pod at console.runpod.io/pods and delete it"
LOW_USD = 1
GUARD_FIX = "launch doctor --live     # proves it on a small CPU pod, for some cents; asks before"


def findings(
    calls: Calls, around: Surroundings, traits: Traits, proof: Proof | None, profile: str
) -> tuple[Finding, ...]:
    """All findings, in a fixed order; nothing is raised, nothing is created."""
    guard = _guard(traits, proof)
    try:
        pods = rows(calls.read("/pods"), "pods")
        catalogue = calls.read("/catalog/gpus", include="AVAILABILITY", product="POD", cloud="SECURE")
        found = list(offers(reading.row(catalogue, "the catalogue"), OfferQuery(), traits, around.now(), ()))
    except NoCredentials as error:
        return (wrong("credentials", error),)
    except ProviderError as error:
        return (wrong("credentials", error), guard)
    except Odd as odd:
        return (Finding(level=Level.ERROR, subject="interface", text=str(odd), fix=DRIFT_FIX), guard)
    strange = [one for one in (maybe_text(pod, "status") for pod in pods) if one not in STATES]
    drift = [f"a pod's status {one!r}" for one in strange] + [str(one) for one in found if isinstance(one, Odd)]
    priced = sum(not isinstance(one, Odd) for one in found)
    return (
        *_account(calls),
        clock(calls.server_date, around.now(), "Runpod", CLOCK_FIX),
        _rights(calls),
        interface(drift, "REST v2"),
        Finding(level=Level.OK, subject="prices", text=f"{priced} offers with a price, from the catalogue, seen now"),
        Finding(level=Level.OK, subject="pace", text="60 requests a minute, for all that use the account"),
        _second_door(calls, around, profile),
        guard,
    )


def funds(calls: Calls) -> tuple[str, Funds | None]:
    """Whose account it is, and what it holds; None where that door does not tell."""
    said = calls.query("query { myself { id clientBalance currentSpendPerHr spendLimit } }")
    try:
        account = reading.row(reading.row(said, "data").get("myself"), "myself")
        told = account.get("clientBalance")
        balance = reading.maybe_usd(told)
        is_empty = isinstance(told, int | Decimal) and not isinstance(told, bool) and told <= 0  # or in debt
    except Odd:
        return "", None
    if balance is None and not is_empty:
        return maybe_text(account, "id"), None
    spending = reading.maybe_usd(account.get("currentSpendPerHr"))
    return maybe_text(account, "id"), Funds(
        balance_usd=balance or reading.NOTHING_USD,
        spending_usd_per_hour=spending or reading.NOTHING_USD,
        limit_usd_per_hour=reading.maybe_usd(account.get("spendLimit")),
    )


def _account(calls: Calls) -> Iterator[Finding]:
    who, held = funds(calls)
    whose = f"the key of {who}" if who else "the key"
    yield Finding(level=Level.OK, subject="credentials", text=f"{whose} is accepted at {calls.host_url}")
    if held is None:
        text = "unknown: it is told by GraphQL alone, and that did not answer (it retires early in 2027)"
        yield Finding(level=Level.WARNING, subject="balance", text=text, fix="look at console.runpod.io/user/billing")
        return
    limit = "no limit told" if held.limit_usd_per_hour is None else f"limit {held.limit_usd_per_hour:.2f}/h"
    told = f"{held.balance_usd:.2f}, spending {held.spending_usd_per_hour:.2f}/h now, {limit}"
    if held.balance_usd < LOW_USD:
        fix = "add money at console.runpod.io/user/billing; keep auto-pay off: the balance is the one hard cap there"
        yield Finding(level=Level.WARNING, subject="balance", text=told, fix=fix)
    else:
        yield Finding(level=Level.OK, subject="balance", text=f"{told}; at zero Runpod removes pods, with their data")


def _rights(calls: Calls) -> Finding:
    """A create call that can create nothing (it names nothing), refused for its form by whoever may create."""
    try:
        calls.act("POST", "/pods", {})
    except AuthFailed as error:
        return Finding(level=Level.ERROR, subject="rights", text=f"POST /v2/pods: {error.text}", fix=error.fix)
    except ContractBroken:
        return Finding(level=Level.OK, subject="rights", text="the key may create pods")
    except NoCapacity as error:
        if isinstance(error.or_else, AuthFailed):
            return Finding(level=Level.ERROR, subject="rights", text=error.or_else.text, fix=error.or_else.fix)
        return Finding(level=Level.OK, subject="rights", text="the key may create pods")
    except ProviderError as error:
        return Finding(level=Level.WARNING, subject="rights", text=f"could not be tried: {error.text}")
    text_odd = "an empty create call was accepted: a pod may have been made of it, which no command of launch can see"
    return Finding(level=Level.ERROR, subject="rights", text=text_odd, fix=NEW_POD_FIX)


def _second_door(calls: Calls, around: Surroundings, profile: str) -> Finding:
    """The `runpod` package, which is how people there are used to be seen: is it there, and does its door open?"""
    if not runpod_sdk.is_installed():
        told = "the `runpod` package is not installed: whether a pod is gone is looked at through one door"
        return Finding(level=Level.OK, subject="second look", text=told)
    said = runpod_sdk.described(around.environ, calls.host_url, profile)
    version = "" if said is None else f" {said.get('version')}"
    if runpod_sdk.listed(around.environ, calls.host_url, calls.key()) is None:
        told = f"the `runpod` package{version} gets no pod list (GraphQL retires early in 2027): one door is left"
        return Finding(level=Level.WARNING, subject="second look", text=told, fix="nothing to do; looks take longer")
    return Finding(
        level=Level.OK, subject="second look", text=f"by the `runpod` package{version}, which lists pods too"
    )


def _guard(traits: Traits, proof: Proof | None) -> Finding:
    if proof is None:
        told = f"if this computer dies, what ends a pod: {traits.guard}"
        return Finding(level=Level.WARNING, subject="guard", text=told, fix=GUARD_FIX)
    told = f"a pod ends itself: proven {proof.at:%Y-%m-%d} for this key, by {proof.door}"
    return Finding(level=Level.OK, subject="guard", text=told)
