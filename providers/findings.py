"""What several providers tell `doctor` in the same words: an error, and how far this computer's clock is off."""

from collections.abc import Iterable
from datetime import datetime

from providers.base import Finding, Level, NoCredentials, ProviderError, Throttled, Unavailable
from providers.reading import maybe_http_date

MOST_SKEW_SECONDS = 60
MOST_ODD = 5
DRIFT_FIX = "launch goes on without what it does not understand; a newer version may know it"


def wrong(subject: str, error: ProviderError) -> Finding:
    """A finding for what a call raised; whether it was the network is told apart from what was asked."""
    if isinstance(error, NoCredentials):
        return Finding(level=Level.UNUSED, subject=subject, text=error.text, fix=error.fix)
    if isinstance(error, Unavailable | Throttled):
        fix = (
            error.fix or "check the network, a proxy or firewall between here and there, and the service's status page"
        )
        return Finding(level=Level.ERROR, subject="reachability", text=error.text, fix=fix)
    return Finding(level=Level.ERROR, subject=subject, text=error.text, fix=error.fix)


def interface(odd: Iterable[str], what: str) -> Finding:
    """What of the answers was not understood, where `what` is how we know that interface."""
    told = sorted(set(odd))
    if not told:
        return Finding(level=Level.OK, subject="interface", text=f"{what} answers as launch knows it")
    text = f"not understood: {'; '.join(told[:MOST_ODD])}"
    return Finding(level=Level.WARNING, subject="interface", text=text, fix=DRIFT_FIX)


def clock(date: str, now: datetime, whose: str, fix: str) -> Finding:
    """Our clock against the `Date` of an answer; leases and prices are counted by ours."""
    told = maybe_http_date(date)
    if told is None:
        return Finding(level=Level.WARNING, subject="clock", text=f"{whose} did not tell the time")
    skew = abs((now - told).total_seconds())
    if skew > MOST_SKEW_SECONDS:
        return Finding(level=Level.WARNING, subject="clock", text=f"differs by {skew:.0f} s from {whose}'s", fix=fix)
    return Finding(level=Level.OK, subject="clock", text=f"within {MOST_SKEW_SECONDS} s of {whose}'s")
