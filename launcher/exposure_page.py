"""What all live runs may still cost, as a line under `launch ps` and as a document."""

from launcher import wire
from launcher.display import money
from launcher.exposure import Exposure
from launcher.wire import Json


def line(risk: Exposure) -> str:
    """`exposure  6.50 of 10.00   2 live runs; 3.50 left for a new one`; "" where nothing lives and no cap is set."""
    if risk.cap_usd is None and not risk.parts:
        return ""
    runs = sum(one.is_run for one in risk.parts)
    others = len(risk.parts) - runs
    told = ["1 live run" if runs == 1 else f"{runs} live runs"]
    told += [f"{others} of ours that no run here knows (launch reap)"] if others else []
    told += ["no cap is set"] if risk.cap_usd is None else [f"{money(risk.room_usd)} left for a new one"]
    cap = "" if risk.cap_usd is None else f" of {money(risk.cap_usd)}"
    return f"exposure  {money(risk.usd)}{cap} may still be spent: {', '.join(told)}"


def document(risk: Exposure) -> dict[str, Json]:
    """The same for programs, part by part."""
    parts: list[Json] = [
        {"name": one.name, "state": one.what, "is_run": one.is_run, "may_still_cost_usd": wire.usd(one.usd)}
        for one in risk.parts
    ]
    return {
        "usd": wire.usd(risk.usd),
        "cap_usd": wire.maybe_usd(risk.cap_usd),
        "room_usd": wire.maybe_usd(risk.room_usd),
        "parts": parts,
    }
