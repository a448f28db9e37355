"""What `launch reap` found and did, as text, as a document, and as the error that is left of it."""

from datetime import datetime

from launcher import wire
from launcher.errors import Exit, LaunchError
from launcher.recover import Reaped
from launcher.wire import Json
from providers.base import Instance


def text(found: Reaped) -> str:
    """One line for each thing; a sentence where there was nothing."""
    lines = [
        *(f"ended        {machine(one)}, confirmed" for one in found.ended),
        *(f"taken back   {one}: its job runs inside its budget" for one in found.taken_back),
        *(f"left alone   {one}" for one in found.left_alone),
        *(f"removed      {one}" for one in found.leftovers_removed),
        *(f"left over    {one}" for one in found.leftovers_left),
        *(f"STILL THERE  {machine(one)}" for one in found.still_there),
        *(f"not asked    {one}" for one in found.unknown),
        *(f"not asked    {one}: no credentials, and no run of this computer's is open there" for one in found.not_used),
    ]
    if not (found.ended or found.still_there or found.taken_back or found.left_alone):
        where = f"at {', '.join(found.asked)}" if found.asked else "where we could ask: nobody was asked"
        lines.insert(0, f"nothing of ours runs {where}")
    return "\n".join([*lines, "", "next  launch ps"])


def machine(one: Instance) -> str:
    """A machine by its provider's id, and where."""
    return f"{one.id} ({one.provider} {one.zone or one.region}, {one.instance_type}, run {one.run_id or 'unknown'})"


def document(found: Reaped, at: datetime) -> dict[str, Json]:
    """The JSON of it."""
    return {
        **wire.head("reap", at, ""),
        "ended": [_instance(one) for one in found.ended],
        "taken_back": list(found.taken_back),
        "left_alone": list(found.left_alone),
        "leftovers_removed": list(found.leftovers_removed),
        "leftovers_left": list(found.leftovers_left),
        "still_there": [_instance(one) for one in found.still_there],
        "unknown": list(found.unknown),
        "asked": list(found.asked),
        "not_used": list(found.not_used),
    }


def failure(found: Reaped) -> LaunchError | None:
    """Exit 7 where a machine is still there, 4 where a provider could not be asked, else None."""
    if found.still_there:
        names = ", ".join(machine(one) for one in found.still_there)
        message = f"a machine may still be running: {names}\nit was told to end, and the provider still lists it"
        return LaunchError(
            message, code="may-be-running", exit_code=Exit.MAY_BE_RUNNING, hint="launch reap     # again"
        )
    if found.unknown or (found.not_used and not (found.asked or found.left_alone)):
        message = "\n".join(("not every provider could be asked", *found.unknown))
        return LaunchError(message, code="provider-unavailable", exit_code=Exit.PROVIDER, hint="launch doctor")
    return None


def _instance(one: Instance) -> dict[str, Json]:
    return {
        "provider": one.provider,
        "id": one.id,
        "region": one.region,
        "zone": one.zone,
        "instance_type": one.instance_type,
        "market": str(one.market),
        "state": str(one.state),
        "run": one.run_id,
        "deadline": wire.maybe_instant(one.deadline),
    }
