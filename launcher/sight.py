"""One look at a run's machine through its provider, shared with all our processes: one list call for a hundred runs."""

from dataclasses import replace

from launcher.run import Attempt, Run
from launcher.sightings import Listing
from launcher.twins import end_twins
from launcher.world import World
from providers.base import Instance, InstanceState, NotFound, ProviderError

EARLY_SECONDS = 120.0
"""How long after the create call "not found" may mean "not listed yet"."""


def look(run: Run, world: World, fresh_seconds: float) -> Instance | None:
    """The machine as the provider showed it at most so long ago; None when this look says nothing."""
    attempt = run.attempt
    found = shown(attempt, world, fresh_seconds)
    if found is None:
        return None
    is_news = found != attempt.instance
    if found.state is not InstanceState.ABSENT and attempt.seen_at is None:
        attempt.seen_at, is_news = world.now(), True
    if is_news:
        attempt.instance = found
        world.ledger.save_attempt(run, attempt)
    end_twins(run, world)
    return found


def shown(attempt: Attempt, world: World, fresh_seconds: float) -> Instance | None:
    """The same, for those who do not carry the run and must not write in its books."""
    if attempt.instance is None:
        return None
    listing = listed(attempt, world, fresh_seconds)
    if listing is None:
        return None
    found = [one for one in listing.machines if one.id == attempt.instance.id]
    return found[0] if found else _by_id(attempt, world)


def listed(attempt: Attempt, world: World, fresh_seconds: float) -> Listing | None:
    """All machines of ours where this one is, by whichever of our processes asked last; None: nobody knows."""
    provider, now = world.provider(attempt.offer.provider), world.now()
    region = "" if provider.traits.one_list else attempt.offer.region
    sightings = world.ledger.sightings
    if sightings.claim(provider.name, region, now, fresh_seconds):
        try:
            listing = Listing(at=now, machines=provider.list(region or None))
        except ProviderError:
            sightings.ask_again(provider.name, region, now, fresh_seconds)
            return None
        sightings.keep_listing(provider.name, region, listing)
        return listing
    listing_before = sightings.listing(provider.name, region)
    if listing_before is None or not 0 <= (now - listing_before.at).total_seconds() <= 2 * fresh_seconds:
        return None
    return listing_before


def _by_id(attempt: Attempt, world: World) -> Instance | None:
    """A list lags and has gaps: not to be in it says nothing before the machine was asked for by its id."""
    assert attempt.instance is not None
    try:
        return world.provider(attempt.offer.provider).get(attempt.instance)
    except NotFound:
        is_early = attempt.unanswered_seconds(world.now()) < EARLY_SECONDS and attempt.seen_at is None
        return None if is_early else replace(attempt.instance, state=InstanceState.ABSENT)
    except ProviderError:
        return None
