"""What `doctor` asks Lambda before money is spent: the key, the clock, today's interface, and what guards a machine."""

from providers import reading
from providers.addresses import without_logins
from providers.base import Finding, Level, NoCredentials, OfferQuery, ProviderError, Surroundings, Traits
from providers.findings import DRIFT_FIX, clock, interface, wrong
from providers.lambda_calls import Calls
from providers.lambda_machines import STATES, offers
from providers.reading import Odd, maybe_text, rows

CLOCK_FIX = "set this computer's clock: leases are counted by it"
GUARD_FIX = "launch reap --elsewhere systemd     # a timer on another machine; the other two ways: docs/lambda.md"


def findings(calls: Calls, around: Surroundings, traits: Traits, has_key_deadman: bool) -> tuple[Finding, ...]:
    """All findings, in a fixed order; nothing is raised, nothing is created."""
    guard = _guard(traits, has_key_deadman, around)
    try:
        key = calls.key()
        machines = rows({"data": calls.read("/instances")}, "data")
        types = reading.row(calls.read("/instance-types"), "data")
    except NoCredentials as error:
        return (wrong("credentials", error),)
    except ProviderError as error:
        return (wrong("credentials", error), guard)
    except Odd as odd:
        return (Finding(level=Level.ERROR, subject="interface", text=str(odd), fix=DRIFT_FIX), guard)
    strange = [one for one in (maybe_text(machine, "status") for machine in machines) if one not in STATES]
    found = list(offers(types, OfferQuery(), traits, around.now(), ()))
    drift = [f"a machine's status {one!r}" for one in strange] + [str(one) for one in found if isinstance(one, Odd)]
    priced = sum(not isinstance(one, Odd) for one in found)
    address = without_logins(calls.base_url)
    return (
        Finding(level=Level.OK, subject="credentials", text=f"the key {_name(key)} is accepted at {address}"),
        clock(calls.server_date, around.now(), "Lambda", CLOCK_FIX),
        interface(drift, "API v1"),
        Finding(level=Level.OK, subject="prices", text=f"{priced} offers with a price, from the API, seen now"),
        Finding(level=Level.OK, subject="pace", text="1 request a second and 1 launch in 12 s, for the whole account"),
        Finding(
            level=Level.OK,
            subject="tax",
            text="prices come without it; what tax.lambda in config.yaml says is counted in every budget",
        ),
        guard,
    )


def _name(key: str) -> str:
    """The name that a key carries (`secret_NAME_...`), never the key itself."""
    parts = key.split("_")
    return parts[1] if parts[0] == "secret" and len(parts) > 2 else "that was given"


def _guard(traits: Traits, has_key_deadman: bool, around: Surroundings) -> Finding:
    if not has_key_deadman:
        text = f"if this computer dies, what ends a machine there: {traits.guard}"
        return Finding(level=Level.WARNING, subject="guard", text=text, fix=GUARD_FIX)
    if not around.environ.get("LAMBDA_DEADMAN_API_KEY"):
        text = "providers.lambda.deadman is api-key, and LAMBDA_DEADMAN_API_KEY is not set"
        return Finding(level=Level.ERROR, subject="guard", text=text, fix="export a key made for this alone")
    return Finding(level=Level.OK, subject="guard", text=f"what ends a machine there: {traits.guard}")
