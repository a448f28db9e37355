"""Spot prices that are not believed: far below all other places, or no cheaper than what is not reclaimed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pricing.offer import Market, Offer

OUTLIER_ZONES = 4
"""From so many zones of one type on, a price below `OUTLIER_SHARE` of their median is not believed."""
OUTLIER_SHARE = Decimal("0.5")
"""A public catalogue of 36 zones had one at 0.162 where the next was 0.359 and the median 0.507 dollars."""
NEVER = Decimal("Infinity")

Place = tuple[str, str, str]


def price_outliers(offers: Sequence[Offer]) -> Mapping[int, str]:
    """Why each such offer is left out, by its place in `offers`."""
    spot, on_demand = Market.SPOT, Market.ON_DEMAND  # looked up once: an enumeration's members are slow to reach
    reclaimable = [(number, offer) for number, offer in enumerate(offers) if offer.market is spot]
    zones: dict[str, list[Decimal]] = defaultdict(list)
    for _, offer in reclaimable:
        zones[offer.instance_type].append(offer.usd_per_hour)
    middles = {kind: sorted(prices)[len(prices) // 2] for kind, prices in zones.items() if len(prices) >= OUTLIER_ZONES}
    certain: dict[Place, Decimal] = {}
    for offer in offers:
        if offer.market is on_demand and offer.instance_type in zones:
            place, price = (offer.provider, offer.region, offer.instance_type), offer.usd_per_hour
            if price < certain.get(place, NEVER):
                certain[place] = price
    found = {}
    for number, offer in reclaimable:
        price, middle = offer.usd_per_hour, middles.get(offer.instance_type)
        usual = certain.get((offer.provider, offer.region, offer.instance_type), NEVER)
        if middle is not None and price < middle * OUTLIER_SHARE:
            places = f"the median of {len(zones[offer.instance_type])} places (${middle:.3f})"
            found[number] = f"${price}/h is far below {places}: not believed"
        elif usual <= price:
            found[number] = f"on-demand costs ${usual}/h there and is not reclaimed"
    return found
