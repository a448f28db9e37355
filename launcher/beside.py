"""What `launch estimate` tells beside the plan: room in memory, a card of one's own, prices elsewhere, its sources."""

from dataclasses import dataclass, replace

from launcher.otherwise import otherwise
from launcher.price import Priced
from launcher.world import World
from pricing.alternatives import Alternative
from pricing.elsewhere_prices import Quote, quotes
from pricing.memory import disk_gib, largest_micro_batch, longest_sequence, ram_gib
from pricing.offer import Market
from pricing.own_hardware import Hardware, OwnRun, PaysAfter, own_run
from pricing.plan import Choice, Plan


@dataclass(frozen=True, kw_only=True)
class Room:
    """What of the job could grow and surely still fit on the card: each with all else as it is."""

    micro_batch: int
    sequence_tokens: int


@dataclass(frozen=True, kw_only=True)
class Own:
    """One run on a card of one's own, and after how many the card is paid for, against the best that can be rented.

    `is_here`: this computer has it; else it stands in `config.yaml`. `rented` is None where nothing is for rent.
    """

    run: OwnRun
    is_here: bool
    rented: Choice | None
    pays_after: PaysAfter | None


@dataclass(frozen=True, kw_only=True)
class Beside:
    """All that is told beside the plan. `room` is of the first choice, and None where it trains on the CPU."""

    quotes: tuple[Quote, ...]
    own: Own | None
    ram_gib: float
    disk_gib: int
    room: Room | None
    otherwise: tuple[Alternative, ...]
    model_source: str
    tokens_are: str


def beside(priced: Priced, world: World) -> Beside:
    """Worked out from the plan, the settings and our own tables; nobody is asked."""
    plan = priced.plan
    return Beside(
        quotes=quotes(plan.workload, plan.terms),
        own=_own(plan, world),
        ram_gib=ram_gib(plan.workload),
        disk_gib=max(disk_gib(plan.workload), plan.choices[0].disk_gib),
        room=_room(plan),
        otherwise=otherwise(priced),
        model_source=plan.workload.shape.source,
        tokens_are=plan.workload.tokens_are,
    )


def _room(plan: Plan) -> Room | None:
    gpu, margin = plan.choices[0].offer.gpu, plan.terms.memory_margin
    if gpu is None:
        return None
    return Room(
        micro_batch=largest_micro_batch(plan.workload, gpu, margin=margin),
        sequence_tokens=longest_sequence(plan.workload, gpu, margin=margin),
    )


def _own(plan: Plan, world: World) -> Own | None:
    """The card of `config.yaml`, else the first one in this computer on which the job would run."""
    owned = [choice.offer.gpu for choice in plan.choices if choice.offer.market is Market.OWNED]
    here = [gpu for gpu in owned if gpu is not None]
    hardware = world.config.hardware or (Hardware(gpu=here[0]) if here else None)
    if hardware is None:
        return None
    priced = replace(hardware, usd_per_kwh=world.config.electricity_usd_per_kwh)
    run = own_run(plan.workload, priced, plan.terms)
    rented = next((choice for choice in plan.choices if choice.offer.market is not Market.OWNED), None)
    return Own(
        run=run,
        is_here=hardware.gpu in here,
        rented=rented,
        pays_after=None if rented is None or not run.fit.fits else run.pays_after(rented.estimate.usd),
    )
