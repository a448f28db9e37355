"""How long, and how much: an offer and a workload to low / expected / high for each phase of a run."""

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from pricing.budget import SECONDS_PER_HOUR, SMALLEST_USD, cost_usd, expected_usd_per_hour
from pricing.gpus import Gpu
from pricing.interval import Dollars, Interval, around, total
from pricing.memory import Fit, disk_gib, fit
from pricing.odds import Reclaims, Spread, spread
from pricing.offer import Market, Offer
from pricing.terms import Terms
from pricing.throughput import generation_seconds, padded_tokens, reading_seconds, tokens_per_second
from pricing.workload import Method, Optimizer, Workload

__all__ = ["PHASES", "Dollars", "Estimate", "Interval", "Outlook", "Phase", "Times", "estimate", "outlook"]

PHASES = ("boot", "ship", "install", "model", "train", "evaluate", "pull", "teardown")
"""The phases of a run in order: `boot` starts at the create call, `model` is download and preparation."""
SETUP_PHASES, CARD_PHASES, ENDING_PHASES = (
    ("boot", "ship", "install", "model"),
    ("train", "evaluate"),
    ("pull", "teardown"),
)
"""What a reclaimed run does again; what is as fast as the card, and errs together; what comes after the work."""

BOOT_SECONDS = 120.0
"""For a machine whose provider does not say (an EC2 GPU machine answers ssh after 1-3 minutes)."""
INSTALL_SECONDS = 150.0
"""About 3 GB of wheels, fetched and unpacked (assumed; the image may have them)."""
AHEAD_SECONDS = 5.0
"""Until the download beside the installation begins: 17 small wheels (2.3 s on 2 busy CPU cores, `pip install`)."""
IMPORT_SECONDS = 20.0
"""Python, torch and transformers up, in each step of the job (assumed; 8-15 s on 2 CPU cores)."""
UPLINK_GIB_PER_SECOND = 2.5e6 / 1024**3
"""20 Mbit/s from a home (assumed)."""
DOWNLOAD_GIB_PER_SECOND = 80e6 / 1024**3
"""From the Hub to a cloud's disk; a gp3 volume writes 125 MB/s at most."""
LOAD_GIB_PER_SECOND = 0.4
"""Reading a checkpoint from disk and quantising it (assumed)."""
TEARDOWN_SECONDS = 45.0
SAVE_SECONDS, SAVE_SPREAD = 1.0, 2.0
"""A checkpoint whatever its size: random state, tokenizer, the rename (assumed; 0.3 s on 2 CPU cores)."""
MOMENTS_BYTES = {Optimizer.ADAMW: 8.0, Optimizer.ADAMW_8BIT: 2.04, Optimizer.PAGED_ADAMW_8BIT: 2.04}
"""Of an adapter's parameter in a checkpoint: two moments in 32 bits, or in 8 with a 32-bit scale for each 256."""
DISK_BYTES_PER_SECOND = 125e6
"""A gp3 volume."""
DISK_GIB_PER_SECOND = DISK_BYTES_PER_SECOND / 1024**3
LOOK_SPREAD = 2.0
"""Of the time for the validation rows (assumed)."""

DEFAULT_RECLAIMS_PER_HOUR = 0.1
DEFAULT_RECLAIMS_PER_HOUR_HIGH = 0.25
"""Where nobody knows how often a spot machine is reclaimed: a middle, and for the high end the rate at which public
traces were replayed (facts: reliability.md, section 2)."""
HIGH_RECLAIMS = 2.0
"""Reclaims bunch: a known rate is doubled for the high end (assumed)."""

NOTHING = Interval(low=0.0, expected=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of one run on one offer."""

    name: str
    seconds: Interval
    usd: Dollars


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long a run takes on a kind of machine, and whether it fits: the same for all offers that differ in price.

    `by_phase` are (name, P10 / P50 / P90) in the order of `PHASES`, uninterrupted; `seconds` is the whole run, with the
    rework of a spot machine, of which `rework_seconds` is the average.
    """

    by_phase: tuple[tuple[str, Interval], ...]
    seconds: Interval
    fit: Fit
    tokens_per_second: Interval
    rework_seconds: float
    factors: tuple[tuple[str, float], ...] = ()
    """(phase, what the user's own runs multiplied its estimate by), where they had anything to say."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """`Times`, and the distribution of the work: all but the ending, which takes `ending_seconds` on average."""

    times: Times
    work: Spread
    ending_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What one run would take on one offer, all in (fees, tax margin, minimum billing, spot rework).

    `usd_per_hour` is the price that was seen, all in; `egress_usd` is paid once. Low, expected and high are P10, P50
    and P90; money is worked out when asked for, since a market has more offers than anybody looks at.
    """

    offer: Offer
    times: Times
    usd_per_hour: Decimal
    egress_usd: Decimal

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Each of `PHASES`, uninterrupted, at the rate by the second."""
        return tuple(
            Phase(name=name, seconds=seconds, usd=_share(seconds, self.usd_per_hour))
            for name, seconds in self.times.by_phase
        )

    @property
    def seconds(self) -> Interval:
        """From the create call to the end of billing."""
        return self.times.seconds

    @property
    def usd(self) -> Dollars:
        """The whole run, time rounded as the provider rounds it."""
        seconds, rate, billing = self.times.seconds, self.usd_per_hour, self.offer.billing
        return Dollars(
            low_usd=cost_usd(seconds.low, rate, billing) + self.egress_usd,
            expected_usd=cost_usd(seconds.expected, rate, billing) + self.egress_usd,
            high_usd=cost_usd(seconds.high, rate, billing) + self.egress_usd,
        )

    @property
    def fit(self) -> Fit:
        """The verdict on memory."""
        return self.times.fit

    @property
    def tokens_per_second(self) -> Interval:
        """Of the data through training, padding not counted."""
        return self.times.tokens_per_second

    @property
    def rework_seconds(self) -> float:
        """What reclaims add on average."""
        return self.times.rework_seconds


def estimate(offer: Offer, workload: Workload, terms: Terms) -> Estimate:
    """The run on this offer."""
    disk = max(disk_gib(workload), terms.minimum_disk_gib.get(offer.provider, 0))
    return Estimate(
        offer=offer,
        times=outlook(offer, workload, terms).times,
        usd_per_hour=expected_usd_per_hour(offer, disk, terms.tax(offer.provider)),
        egress_usd=egress_usd(offer, workload, terms),
    )


def egress_usd(offer: Offer, workload: Workload, terms: Terms) -> Decimal:
    """What bringing the results home costs, and before them every checkpoint."""
    home_gib = workload.result_gib + workload.merged_gib
    return _egress_usd(offer, home_gib, terms) + checkpoints_usd(offer, workload, terms)


def checkpoints_usd(offer: Offer, workload: Workload, terms: Terms) -> Decimal:
    """The part of `egress_usd` that is paid while the job works: each checkpoint comes home as it is made."""
    saves = workload.steps // workload.save_steps
    return _egress_usd(offer, saves * _checkpoint_bytes(workload) / 1024**3, terms)


def _egress_usd(offer: Offer, gib: float, terms: Terms) -> Decimal:
    per_gib = offer.fees.egress_usd_per_gib * (1 + terms.tax(offer.provider))
    return (per_gib * Decimal(str(gib))).quantize(SMALLEST_USD, rounding=ROUND_UP)


def outlook(offer: Offer, workload: Workload, terms: Terms) -> Outlook:
    """How long the run takes on machines like this one; of the offer, price and place play no part."""
    seconds, factors = terms.corrections.applied(phase_seconds(offer, workload), offer, workload)
    reclaims = _reclaims(offer, seconds, workload)
    together = tuple(seconds[name] for name in CARD_PHASES)
    work = spread(together, tuple(seconds[name] for name in SETUP_PHASES), reclaims)
    ending = [seconds[name] for name in ENDING_PHASES]
    times = Times(
        by_phase=tuple((name, seconds[name]) for name in PHASES),
        seconds=total((work.interval, *ending)),
        fit=fit(workload, offer.gpu, offer.gpu_count, margin=terms.memory_margin, ram_gib=offer.ram_gib),
        tokens_per_second=_told_rate(workload, offer.gpu).times(1 / factors.get("train", 1.0)),
        rework_seconds=_rework_seconds(reclaims, seconds),
        factors=tuple(factors.items()),
    )
    return Outlook(times=times, work=work, ending_seconds=sum(one.expected for one in ending))


def phase_seconds(offer: Offer, workload: Workload) -> dict[str, Interval]:
    """Each of `PHASES` on this offer, uninterrupted."""
    owned = offer.market is Market.OWNED
    return {
        "boot": around(offer.boot_seconds or (1.0 if owned else BOOT_SECONDS), 1.8),
        "ship": around(2.0 if owned else 10.0 + workload.shipped_gib / UPLINK_GIB_PER_SECOND, 2.5),
        "install": around(5.0 if owned else INSTALL_SECONDS, 2.0),
        "model": _model_seconds(workload, owned=owned),
        "train": _train_seconds(workload, offer.gpu),
        "evaluate": _evaluate_seconds(workload, offer.gpu),
        "pull": around(
            1.0 if owned else 10.0 + (workload.result_gib + workload.merged_gib) / UPLINK_GIB_PER_SECOND, 2.5
        ),
        "teardown": around(1.0 if owned else TEARDOWN_SECONDS, 2.5),
    }


def _model_seconds(workload: Workload, *, owned: bool) -> Interval:
    """What is left of it after the installation, beside which the download is begun (`jobs/qlora/ahead.py`)."""
    check_seconds = IMPORT_SECONDS / 2 if owned else IMPORT_SECONDS
    beside_seconds = 0.0 if owned else INSTALL_SECONDS - AHEAD_SECONDS
    left_seconds = max(0.0, workload.download_gib / DOWNLOAD_GIB_PER_SECOND - beside_seconds)
    return around(check_seconds + left_seconds, 2.5)


def _train_seconds(workload: Workload, gpu: Gpu | None) -> Interval:
    rate = tokens_per_second(workload, gpu)
    tokens = padded_tokens(workload) * workload.epochs
    steps = Interval(low=tokens / rate.high, expected=tokens / rate.expected, high=tokens / rate.low)
    saves = around(workload.steps // workload.save_steps * _save_seconds(workload), SAVE_SPREAD)
    looks = around(workload.looks * reading_seconds(workload, gpu, workload.validation_tokens), LOOK_SPREAD)
    whole = steps.blurred(workload.token_spread).plus(saves).plus(looks).plus(_load_seconds(workload))
    return whole.plus(around(_merge_seconds(workload), SAVE_SPREAD)) if workload.merged_gib else whole


def _merge_seconds(workload: Workload) -> float:
    """The base is loaded once more in 16 bits, the adapter added, and the sum written and hashed."""
    return IMPORT_SECONDS + workload.merged_gib / LOAD_GIB_PER_SECOND + workload.merged_gib / DISK_GIB_PER_SECOND


def _told_rate(workload: Workload, gpu: Gpu | None) -> Interval:
    """Tokens of the data by the second: the trainer counts no padding, and what it tells is compared with this."""
    return tokens_per_second(workload, gpu).times(workload.tokens_per_epoch / padded_tokens(workload))


def _save_seconds(workload: Workload) -> float:
    """One checkpoint: the adapter with both moments, written and hashed."""
    return SAVE_SECONDS + _checkpoint_bytes(workload) / DISK_BYTES_PER_SECOND


def _checkpoint_bytes(workload: Workload) -> float:
    """What a whole run brings home, and both moments of the adapter's optimiser."""
    return workload.result_gib * 1024**3 + MOMENTS_BYTES[workload.recipe.optimizer] * workload.lora_parameters


def _evaluate_seconds(workload: Workload, gpu: Gpu | None) -> Interval:
    if not any(one.rows for one in workload.evaluation):
        return NOTHING
    return generation_seconds(workload, gpu).plus(_load_seconds(workload).times(workload.loads))


def _load_seconds(workload: Workload) -> Interval:
    checkpoint_gib = workload.shape.parameters * 2 / 1024**3
    read_again = 1.0 if workload.method is Method.LORA else 1.3
    return around(IMPORT_SECONDS + read_again * checkpoint_gib / LOAD_GIB_PER_SECOND, 2.0)


def _reclaims(offer: Offer, seconds: dict[str, Interval], workload: Workload) -> Reclaims | None:
    """What a spot machine may lose: it boots, installs and loads again, and works again from the last checkpoint.

    A notice that comes in time saves that work; it is not counted on.
    """
    if offer.market is not Market.SPOT:
        return None
    load, train = _load_seconds(workload), seconds["train"]
    known = offer.reclaims_per_hour
    rate = DEFAULT_RECLAIMS_PER_HOUR if known is None else known
    high = DEFAULT_RECLAIMS_PER_HOUR_HIGH if known is None else known * HIGH_RECLAIMS
    return Reclaims(
        per_hour=Interval(low=rate * rate / high if high else 0.0, expected=rate, high=high),
        restarts=(*(seconds[name] for name in SETUP_PHASES), load),
        lost_seconds=_most_lost_seconds(offer, workload, train),
    )


def _most_lost_seconds(offer: Offer, workload: Workload, train: Interval) -> float:
    """Of `train`, as own runs corrected it: the work between two checkpoints.

    Steps are not rounded here: else a longer training could lose less, and so cost less.
    """
    steps = workload.rows * workload.epochs / (workload.micro_batch * workload.accumulation)
    working_seconds = padded_tokens(workload) * workload.epochs / tokens_per_second(workload, offer.gpu).expected
    share = working_seconds / _train_seconds(workload, offer.gpu).expected
    return train.expected * share * min(1.0, workload.save_steps / steps)


def _rework_seconds(reclaims: Reclaims | None, seconds: dict[str, Interval]) -> float:
    """On average, at the middle rate."""
    if reclaims is None:
        return 0.0
    work_seconds = sum(seconds[name].expected for name in (*SETUP_PHASES, *CARD_PHASES))
    return reclaims.expected(work_seconds)[1] * reclaims.moments[0]


def _share(seconds: Interval, usd_per_hour: Decimal) -> Dollars:
    low, expected, high = (
        (Decimal(str(one)) * usd_per_hour / SECONDS_PER_HOUR).quantize(SMALLEST_USD)
        for one in (seconds.low, seconds.expected, seconds.high)
    )
    return Dollars(low_usd=low, expected_usd=expected, high_usd=high)
