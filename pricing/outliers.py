"""Spot prices that are not believed: far below all other places, or no cheaper than what is not reclaimed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pricing.offer import Market, Offer

OUTLIER_ZONES = 4
"""From so many zones of one type on, a price below `OUTLIER_SHARE` of their median is not believed."""
OUTLIER_SHARE = Decimal("0.5")
"""A public catalogue of 36 zones had one at 0.162 where the next was 0.359 and the median 0.507 dollars."""
Place = tuple[str, str]
"""Provider and region."""


def price_outliers(offers: Sequence[Offer]) -> Mapping[int, str]:
    """Why each such offer is left out, by its place in `offers`."""
    spot, on_demand = Market.SPOT, Market.ON_DEMAND  # looked up once: an enumeration's members are slow to reach
    reclaimable: dict[str, list[tuple[int, Offer]]] = defaultdict(list)
    certain: dict[str, list[Offer]] = defaultdict(list)
    for number, offer in enumerate(offers):
        market = offer.market
        if market is spot:
            reclaimable[offer.instance_type].append((number, offer))
        elif market is on_demand:
            certain[offer.instance_type].append(offer)
    found: dict[int, str] = {}
    for kind, numbered in reclaimable.items():
        found |= _odd_of_a_type(numbered, _least_usd(certain.get(kind, [])))
    return found


def _least_usd(offers: Sequence[Offer]) -> dict[Place, Decimal]:
    """The lowest on-demand price of each place."""
    least: dict[Place, Decimal] = {}
    for offer in offers:
        place, price = (offer.provider, offer.region), offer.usd_per_hour
        usual = least.get(place)
        if usual is None or price < usual:
            least[place] = price
    return least


def _odd_of_a_type(numbered: Sequence[tuple[int, Offer]], usual_usd: Mapping[Place, Decimal]) -> dict[int, str]:
    prices = sorted(offer.usd_per_hour for _, offer in numbered)
    middle = prices[len(prices) // 2]
    least = middle * OUTLIER_SHARE if len(prices) >= OUTLIER_ZONES else Decimal(0)
    found = {}
    for number, offer in numbered:
        price = offer.usd_per_hour
        if price < least:
            places = f"the median of {len(prices)} places (${middle:.3f})"
            found[number] = f"${price}/h is far below {places}: not believed"
        elif usual_usd:
            usual = usual_usd.get((offer.provider, offer.region))
            if usual is not None and usual <= price:
                found[number] = f"on-demand costs ${usual}/h there and is not reclaimed"
    return found
