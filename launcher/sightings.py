"""What all our processes on this computer have seen last: offers of the market, and machines that a provider listed."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from launcher import offer_rows
from launcher.codec import dump, load
from launcher.transaction import transaction
from pricing.offer import Offer
from providers.base import Instance

ANSWER_SECONDS = 30.0
"""How long one process may take to list for all; who died over it is waited for no longer."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The machines of ours that a provider listed, and when."""

    at: datetime
    machines: tuple[Instance, ...]


class Sightings:
    """Two tables of the ledger's file, by the ledger's own connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last: tuple[str, Listing] | None = None
        """The listing that was read or kept last, beside its text: most looks read the same one again."""

    def offers(self, provider: str) -> tuple[Offer, ...]:
        """The provider's offers as they were seen last, each with the time at which it was."""
        rows = self._db.execute("SELECT offer FROM offers WHERE provider=?", (provider,))
        found = [offer_rows.loaded(row["offer"]) for row in rows]
        return tuple(one for one in found if one is not None)

    def keep_offers(self, provider: str, offers: Iterable[Offer], *, whole: bool) -> None:
        """Keep them; `whole`: they are all that there are, what is not among them is forgotten."""
        rows = [(one.id, provider, offer_rows.dumped(one)) for one in offers]
        with transaction(self._db) as db:
            if whole:
                db.execute("DELETE FROM offers WHERE provider=?", (provider,))
            db.executemany("INSERT OR REPLACE INTO offers VALUES (?,?,?)", rows)

    def listing(self, provider: str, region: str) -> Listing | None:
        """What any of our processes last saw there."""
        row = self._db.execute(
            "SELECT machines FROM sightings WHERE provider=? AND region=? AND seen_at IS NOT NULL",
            (provider, region),
        ).fetchone()
        if row is None:
            return None
        text: str = row["machines"]
        if self._last is None or self._last[0] != text:
            self._last = (text, load(Listing, text))
        return self._last[1]

    def claim(self, provider: str, region: str, now: datetime, fresh_seconds: float) -> bool:
        """Whether it is for us to ask now: nobody has asked so lately, and nobody is just asking.

        Of two who read the same, the first to write has it: what was read must still stand there.
        """
        place = (provider, region)
        row = self._db.execute(
            "SELECT asked_at, seen_at FROM sightings WHERE provider=? AND region=?", place
        ).fetchone()
        if row is None:
            claim = "INSERT OR IGNORE INTO sightings (provider, region, asked_at) VALUES (?,?,?)"
            return self._db.execute(claim, (*place, now.isoformat())).rowcount == 1
        if not _is_due(row, now, fresh_seconds):
            return False
        claim = "UPDATE sightings SET asked_at=? WHERE provider=? AND region=? AND asked_at IS ? AND seen_at IS ?"
        return self._db.execute(claim, (now.isoformat(), *place, row["asked_at"], row["seen_at"])).rowcount == 1

    def ask_again(self, provider: str, region: str, now: datetime, fresh_seconds: float) -> None:
        """Our asking came to nothing: somebody may ask again, after no more than the usual time."""
        unanswered = now - timedelta(seconds=max(0.0, ANSWER_SECONDS - fresh_seconds))
        self._db.execute(
            # What was seen before keeps its own time in the document; the column only says that nobody is asking now.
            "UPDATE sightings SET asked_at=CASE WHEN seen_at IS NULL THEN ? ELSE ? END,"
            " seen_at=CASE WHEN seen_at IS NULL THEN NULL ELSE ? END WHERE provider=? AND region=?",
            (unanswered.isoformat(), now.isoformat(), now.isoformat(), provider, region),
        )

    def keep_listing(self, provider: str, region: str, listing: Listing) -> None:
        """What we saw, for all."""
        text = dump(listing)
        self._last = (text, listing)
        self._db.execute(
            "UPDATE sightings SET seen_at=?, machines=? WHERE provider=? AND region=?",
            (listing.at.isoformat(), text, provider, region),
        )


def _is_due(row: sqlite3.Row, now: datetime, fresh_seconds: float) -> bool:
    """By our own clock, which may have been set back since: what lies ahead of it was long ago."""
    asked = (now - datetime.fromisoformat(row["asked_at"])).total_seconds()
    seen_at = row["seen_at"]
    if seen_at is not None and datetime.fromisoformat(seen_at) >= datetime.fromisoformat(row["asked_at"]):
        return not 0 <= asked < fresh_seconds
    return not 0 <= asked < max(fresh_seconds, ANSWER_SECONDS)
