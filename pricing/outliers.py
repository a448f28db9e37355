"""Spot prices that are not believed: far below all other places, or no cheaper than what is not reclaimed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pricing.offer import Market, Offer

OUTLIER_ZONES = 4
"""From so many zones of one type on, a price below `OUTLIER_SHARE` of their median is not believed."""
OUTLIER_SHARE = Decimal("0.5")
"""A public catalogue of 36 zones had one at 0.162 where the next was 0.359 and the median 0.507 dollars."""
Place = tuple[str, str, str]


def price_outliers(offers: Sequence[Offer]) -> Mapping[int, str]:
    """Why each such offer is left out, by its place in `offers`."""
    spot, on_demand = Market.SPOT, Market.ON_DEMAND  # looked up once: an enumeration's members are slow to reach
    reclaimable = [(number, offer) for number, offer in enumerate(offers) if offer.market is spot]
    zones: dict[str, list[Decimal]] = defaultdict(list)
    for _, offer in reclaimable:
        zones[offer.instance_type].append(offer.usd_per_hour)
    middles = {kind: sorted(prices)[len(prices) // 2] for kind, prices in zones.items() if len(prices) >= OUTLIER_ZONES}
    least = {kind: middle * OUTLIER_SHARE for kind, middle in middles.items()}
    certain: dict[Place, Decimal] = {}
    for offer in offers:
        if offer.instance_type in zones and offer.market is on_demand:
            place, price = (offer.provider, offer.region, offer.instance_type), offer.usd_per_hour
            usual = certain.get(place)
            if usual is None or price < usual:
                certain[place] = price
    found = {}
    for number, offer in reclaimable:
        price, kind = offer.usd_per_hour, offer.instance_type
        usual = certain.get((offer.provider, offer.region, kind))
        if kind in least and price < least[kind]:
            places = f"the median of {len(zones[kind])} places (${middles[kind]:.3f})"
            found[number] = f"${price}/h is far below {places}: not believed"
        elif usual is not None and usual <= price:
            found[number] = f"on-demand costs ${usual}/h there and is not reclaimed"
    return found
