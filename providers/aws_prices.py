"""AWS's prices: spot by zone as of now, on-demand from the price list, or from the shipped snapshot with its age."""

import json
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pricing import snapshot
from providers.aws_calls import Answer, Calls
from providers.base import Clock, ProviderError
from providers.reading import NOTHING_USD, maybe_usd
from providers.small_files import replace_text

PRICE_LIST_REGION = "us-east-1"
"""The price list is served in few regions, for all of them."""
PRODUCTS = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"]
KEPT_FOR = timedelta(hours=24)
NO_ENTRY = NOTHING_USD
"""What is kept of a type for which the list has no entry: that is an answer too, and not asked for again that day."""
WORKERS = 8
LIST_FILTERS = {
    "preInstalledSw": "NA",
    "operatingSystem": "Linux",
    "capacitystatus": "Used",
    "marketoption": "OnDemand",
    "tenancy": "Shared",
    "productFamily": "Compute Instance",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A price, when it was seen, and who said so."""

    usd_per_hour: Decimal
    at: datetime
    source: str


class Prices:
    """Asks, and keeps the price list's answers for a day in `file`."""

    def __init__(self, calls: Calls, file: Path, now: Clock) -> None:
        self._calls, self._file, self._now = calls, file, now
        self._lock = threading.Lock()
        self._kept: dict[str, Seen] | None = None
        self._list_is_down = False

    def spot(self, region: str, types: Iterable[str]) -> dict[tuple[str, str], Seen]:
        """(type, zone) to the spot price in force now."""
        now = self._now()
        rows = self._calls.items(
            "describe_spot_price_history",
            region,
            "SpotPriceHistory",
            StartTime=now,
            InstanceTypes=sorted(types),
            ProductDescriptions=PRODUCTS,
        )
        latest: dict[tuple[str, str], Answer] = {}
        for row in rows:
            place = (row["InstanceType"], row["AvailabilityZone"])
            if place not in latest or row["Timestamp"] > latest[place]["Timestamp"]:
                latest[place] = row
        return {place: self._spot_price(row, now) for place, row in latest.items() if _usd(row["SpotPrice"]) > 0}

    def on_demand(self, region: str, types: Iterable[str]) -> dict[str, Seen]:
        """Type to its list price; a type without any known price is left out."""
        names = sorted(types)
        with ThreadPoolExecutor(WORKERS) as pool:
            found = pool.map(lambda name: self._on_demand(region, name), names)
            return {name: seen for name, seen in zip(names, found, strict=True) if seen}

    def now_usd_per_hour(self, region: str, zone: str, instance_type: str, spot: bool) -> Decimal | None:
        """What AWS says that such a machine costs by the hour now; None where it does not say."""
        try:
            if spot:
                seen = self.spot(region, [instance_type]).get((instance_type, zone))
            else:
                seen = self.on_demand(region, [instance_type]).get(instance_type)
        except ProviderError:
            return None
        return seen.usd_per_hour if seen else None

    def _spot_price(self, row: Answer, now: datetime) -> Seen:
        return Seen(usd_per_hour=_usd(row["SpotPrice"]), at=now, source="spot price history")

    def _on_demand(self, region: str, name: str) -> Seen | None:
        key = f"{region}/{name}"
        with self._lock:
            kept = self._from_disk().get(key)
        if kept is None or self._now() - kept.at >= KEPT_FOR:
            seen = self._listed(region, name)
            if seen is not None:
                with self._lock:
                    self._to_disk({**self._from_disk(), key: seen})
                kept = seen
        return kept if kept and kept.usd_per_hour != NO_ENTRY else _from_snapshot(name, region)

    def _listed(self, region: str, name: str) -> Seen | None:
        """The price list's word, `NO_ENTRY` too; None where it gave none.

        Once it failed (it may be forbidden), it is left alone for the life of this object.
        """
        if self._list_is_down:
            return None
        wanted = {**LIST_FILTERS, "regionCode": region, "instanceType": name}
        filters = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()]
        try:
            answer = self._calls.read(
                "pricing", "get_products", PRICE_LIST_REGION, ServiceCode="AmazonEC2", Filters=filters, MaxResults=100
            )
        except ProviderError:
            self._list_is_down = True
            return None
        prices = [usd for product in answer.get("PriceList", ()) for usd in _hourly(product)]
        return Seen(usd_per_hour=max(prices, default=NO_ENTRY), at=self._now(), source="price list")

    def _from_disk(self) -> dict[str, Seen]:
        if self._kept is None:
            self._kept = _read(self._file)
        return self._kept

    def _to_disk(self, prices: dict[str, Seen]) -> None:
        self._kept = prices
        rows = {key: [_kept_as(one.usd_per_hour), one.at.isoformat()] for key, one in sorted(prices.items())}
        replace_text(self._file, json.dumps(rows, indent=1))


def _read(file: Path) -> dict[str, Seen]:
    try:
        rows = json.loads(file.read_text("utf-8"))
        return {
            key: Seen(
                usd_per_hour=Decimal(usd) if usd else NO_ENTRY,
                at=datetime.fromisoformat(at).astimezone(UTC),
                source="price list",
            )
            for key, (usd, at) in rows.items()
        }
    except (OSError, ValueError, TypeError, InvalidOperation, AttributeError):
        return {}  # nothing kept yet, or by another version


def _kept_as(usd: Decimal) -> str:
    """No entry is an empty text: nobody who reads the file may take it for a price of nothing."""
    return "" if usd == NO_ENTRY else str(usd)


def _from_snapshot(name: str, region: str) -> Seen | None:
    known = snapshot.on_demand_usd("aws", name, region)
    if known is None:
        return None
    usd, day = known
    seen_at = datetime.combine(day, time(), UTC)
    return Seen(usd_per_hour=usd, at=seen_at, source=f"shipped snapshot of {day.isoformat()}")


def _usd(text: str) -> Decimal:
    try:
        return maybe_usd(Decimal(text)) or NOTHING_USD
    except InvalidOperation:
        return NOTHING_USD


def _hourly(product: str) -> list[Decimal]:
    """The prices by the hour in one entry of the price list (JSON in a string); zero prices mean nothing."""
    terms = json.loads(product).get("terms", {}).get("OnDemand", {})
    dimensions = [one for term in terms.values() for one in term.get("priceDimensions", {}).values()]
    hourly = [_usd(one.get("pricePerUnit", {}).get("USD", "0")) for one in dimensions if one.get("unit") == "Hrs"]
    return [usd for usd in hourly if usd > 0]
