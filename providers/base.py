"""The one page that a provider's author reads: the verbs, the values, the typed errors, and the numbered promises.

Promises (each has a contract test that runs against every provider, in `tests/providers/test_contract.py`):

1. `create` carries the attempt's nonce in the same call (tag, name, client token). Asked twice with the same request
   there is one machine where the cloud has a token; where it has none the caller can find it by that nonce.
2. `create` arms the deadline on the machine itself, before anything that can fail; a provider that cannot says so in
   `Traits.guarded`, and the plan says so before the user agrees.
3. `terminate` is idempotent. "Gone" is only what a terminal state, or repeated, spaced, consistent absence says.
4. `list` covers every place that we can create in, and shows only what is ours (tag and owner id).
5. Only the errors below escape; the raw code and text stay in `code` and in the cause.
6. No printing, no silent retry of `create`, no waiting but for the cloud's own pace (`Surroundings.pause`, seconds).
7. Prices say when and where they were seen; `Instance.billed_usd_per_hour` is compared with the plan after create.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from pricing.offer import BY_THE_SECOND, Billing, Market, Offer
from providers.addresses import without_logins
from providers.carried import Carried
from providers.funds import Funds


class InstanceState(StrEnum):
    """Where a machine is. All but ENDING and GONE count as alive and billed, and have to be ended.

    UNHEALTHY: the provider itself says that it is broken. STOPPED: nothing runs in it any more, and it is still there.
    ABSENT: neither its id nor the list know it, which proves nothing by itself. UNKNOWN: a word that we never saw.
    """

    PENDING = "pending"
    RUNNING = "running"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"
    ENDING = "ending"
    GONE = "gone"
    ABSENT = "absent"
    UNKNOWN = "unknown"


OVER = (InstanceState.STOPPED, InstanceState.ENDING, InstanceState.GONE)
"""States in which no job runs any more."""


class EndReason(StrEnum):
    """Why a machine ended, as the provider tells it."""

    NONE = ""
    ASKED = "asked"
    OWN_DEADLINE = "own deadline"
    PREEMPTED = "preempted"
    NO_CAPACITY = "no capacity"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a provider can do: shown in the plan, asked for by the story, never looked up by name."""

    bills: bool
    guarded: bool
    guard: str
    """What ends a machine there if this computer dies, in a few words for people."""
    spot: bool
    idempotent_create: bool
    boot_deadline_seconds: float
    settle_seconds: float
    """How long after a lost create answer the machine may still turn up in `list`."""
    guard_delay_seconds: float
    """The most time between the machine's own deadline and the end of billing."""
    billing: Billing = BY_THE_SECOND
    look_seconds: float = 1.0
    """Between two looks at a machine that boots: as often as the provider's own limits allow."""
    one_list: bool = False
    """One `list` call shows every region; else one call is made for each."""
    first_use: bool = False
    """The image may keep a host key of its own that nobody vouches for: then the first one seen is pinned, and said."""
    boot_data_is_seen: bool = False
    """Others in the account may read it: then the host key in it is replaced in the first session."""
    prepaid: bool = False
    """The account holds a balance, which `funds` may tell."""
    minimum_disk_gib: int = 0
    notice: str = ""
    """How a machine there learns that it is taken back, in the words of `job.json` ("imds"); "" where it does not."""
    automatic: bool = True
    """False: only by `--provider`, never part of the automatic choice."""


@dataclass(frozen=True, kw_only=True)
class BootFile:
    """A file that must lie on the machine before anybody logs in."""

    path: str
    content: str
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Boot:
    """How a machine starts: one typed value made by the launcher, which a provider only encodes.

    `deadman` is a POSIX shell script that the provider runs first, as
    `sh deadman GUARD_DIR LEASE_SECONDS END...`: it ends the machine by running END once LEASE_SECONDS of its life are
    over. GUARD_DIR is the provider's to choose (`Ssh.guard_dir`, `Folder.guard_dir`); END is what ends a machine there.
    """

    deadman: str
    lease_seconds: int
    authorized_key: str
    host_key_private: str = field(repr=False)
    host_key_public: str
    files: tuple[BootFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InstanceRequest:
    """Everything about one create call. Equal requests are the same request: `nonce` makes them different."""

    offer: Offer
    run_id: str
    attempt: int
    nonce: str
    """At most 32 characters, [a-z0-9]; made and written down before the call."""
    deadline: datetime
    disk_gib: int
    boot: Boot

    @property
    def name(self) -> str:
        """The machine's name in the provider's console."""
        return f"launch-{self.run_id}-{self.attempt}"


@dataclass(frozen=True, kw_only=True)
class Ssh:
    """A machine reached by SSH. Its host key is the one that `Boot` gave it, or `host_key`, where that was accepted."""

    host: str
    port: int
    user: str
    guard_dir: str
    host_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A machine that is a folder here: the `local` provider."""

    path: Path
    guard_dir: str


Access = Ssh | Folder


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A machine as the provider shows it now."""

    provider: str
    id: str
    region: str
    zone: str
    instance_type: str
    market: Market
    state: InstanceState
    run_id: str
    attempt: int
    nonce: str
    created_at: datetime
    deadline: datetime | None = None
    access: Access | None = None
    """None while there is no address yet."""
    end_reason: EndReason = EndReason.NONE
    end_text: str = ""
    billed_usd_per_hour: Decimal | None = None
    """The rate that the provider says it bills; None where it does not say."""
    carried: Carried | None = None
    """The last `mark`; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """Something of ours beside a machine that costs money or lies about: a volume, a security group, a key."""

    provider: str
    kind: str
    id: str
    region: str
    run_id: str
    billed: bool
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class OfferQuery:
    """What to look for. Empty tuples mean "any"; `gpus` are canonical names (`pricing.gpus`)."""

    gpus: tuple[str, ...] = ()
    markets: tuple[Market, ...] = ()
    regions: tuple[str, ...] = ()
    max_usd_per_hour: Decimal | None = None
    """`--max-price`: sent as a spot offer's MaxPrice where it is below the on-demand price."""
    community: bool = False
    """Also machines of private hosts, who can read all that is on them (`Offer.vetted` false)."""

    def allows(self, offer: Offer) -> bool:
        """Whether an offer is one that was asked for."""
        return (
            (not self.gpus or (offer.gpu is not None and offer.gpu.name in self.gpus))
            and (not self.markets or offer.market in self.markets)
            and (not self.regions or offer.region in self.regions)
            and (self.max_usd_per_hour is None or offer.usd_per_hour <= self.max_usd_per_hour)
            and (self.community or offer.vetted)
        )


class Level(StrEnum):
    """How bad a finding is. UNUSED: there are no credentials, so nothing was asked."""

    OK = "ok"
    UNUSED = "unused"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that `check` looked at, and what to do about it."""

    level: Level
    subject: str
    text: str
    fix: str = ""


class Provider(Protocol):
    """The verbs. All are synchronous, bounded in time (30 s a call), and raise only the errors below."""

    name: str

    @property
    def traits(self) -> Traits:
        """What it can do, for this account."""

    def check(self) -> tuple[Finding, ...]:
        """What must be in order before money is spent: credentials, quota, network. Costs nothing; raises nothing."""

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """What can be rented now, one row for each type, place and market."""

    def create(self, request: InstanceRequest) -> Instance:
        """Rent one machine. Raises `Ambiguous` when it cannot be known whether there is one now."""

    def get(self, instance: Instance) -> Instance:
        """The machine as it is now. Raises `NotFound`, which early in life does not mean gone."""

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """All machines of this owner that are not GONE, in `region` or everywhere that we can create in."""

    def terminate(self, instance: Instance) -> None:
        """Ask for its end; idempotent. Returning is no proof: look with `get` and `list`."""

    def leftovers(self) -> tuple[Leftover, ...]:
        """What of ours remains beside machines."""

    def remove(self, leftover: Leftover) -> None:
        """Remove one leftover; idempotent. Raises `Busy` while a machine still holds it."""

    # What not every provider can answer (`providers.silent` says so for those that cannot).

    def account(self) -> str:
        """Which account the credentials speak for, as far as can be told (a mark of the key will do); "" if unknown."""

    def funds(self) -> Funds | None:
        """What the account holds; None where that is unknown, or where nothing is paid in advance."""

    def console(self, instance: Instance) -> tuple[str, ...]:
        """Lines that the machine printed while it booted, through the provider's own authenticated door."""

    def still_there(self, instance: Instance) -> bool | None:
        """A second, independent look at a machine that `get` and `list` do not show; None: there is no second door."""

    def let_in(self, instance: Instance) -> str:
        """Open its SSH port to where we are now, and to nobody else; our new address, "" where nothing changed."""

    def billed_usd(self, instance: Instance) -> Decimal | None:
        """What the provider's own books say that a machine has cost, by now; None where they do not say (yet)."""

    def mark(self, instance: Instance, carried: Carried) -> None:
        """Write who carries it where others of its owner can read it; nothing where the cloud keeps no such mark."""

    def trial(self) -> Offer | None:
        """The cheapest machine on which it can be proven that one here ends itself; None: there is nothing to prove."""

    def policy(self) -> str:
        """The least that its credentials must be allowed, as a document to paste there; "" where nothing is set so."""

    def note_trial(self, instance: Instance, lines: tuple[str, ...]) -> Finding:
        """Write down that the trial's machine ended itself; `lines` are the last that its console showed."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a provider may know of the world: handed in, so that nothing is read behind our back."""

    environ: Mapping[str, str]
    state_dir: Path
    owner_id: str
    now: "Clock"
    pause: Callable[[float], None] = time.sleep
    """Waits for some seconds; only to keep to a cloud's own pace."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """The provider's own part of `config.yaml` (`providers: {aws: {...}}`), checked by the provider."""


class Clock(Protocol):
    """Tells the time as an aware UTC instant."""

    def __call__(self) -> datetime:
        """Now."""


class ProviderError(Exception):
    """Base of all that a provider raises. `code` is the raw code of the cloud, for logs and `-v`; `fix` what to do."""

    def __init__(self, text: str, *, code: str = "", fix: str = "") -> None:
        self.text, self.code, self.fix = without_logins(text), code, fix
        super().__init__(self.text)


class NoCapacity(ProviderError):
    """The place has no such machine now: try the next. `or_else`: what its words mean where all places say them."""

    def __init__(self, text: str, *, code: str = "", fix: str = "", or_else: ProviderError | None = None) -> None:
        super().__init__(text, code=code, fix=fix)
        self.or_else = or_else


class QuotaExceeded(ProviderError):
    """The account may not have it; waiting does not help. `text` names the quota, its value and the need."""


class NoFunds(ProviderError):
    """The account's balance or spending limit does not allow it: no choice there will be had."""


class PriceTooLow(ProviderError):
    """Our MaxPrice is below the market."""


class AuthFailed(ProviderError):
    """Missing, wrong, expired or insufficient credentials; `text` names which."""


class NoCredentials(AuthFailed):
    """There are none at all: nothing was sent."""


class NotSetUp(ProviderError):
    """The account lacks something that a person must make once (a default VPC, an opted-in region)."""


class Throttled(ProviderError):
    """Refused before anything was done, because we ask too often; safe to repeat later, best after `wait_seconds`."""

    def __init__(self, text: str, *, code: str = "", fix: str = "", wait_seconds: float = 0.0) -> None:
        super().__init__(text, code=code, fix=fix)
        self.wait_seconds = wait_seconds


class Unavailable(ProviderError):
    """A *read* got no usable answer. Says nothing about any machine."""


class Unreachable(Unavailable):
    """No connection came about: nothing was sent, so nothing was done."""


class Ambiguous(ProviderError):
    """A create or terminate may or may not have happened."""


class NotFound(ProviderError):
    """The cloud does not know that id (yet, or any more)."""


class Busy(ProviderError):
    """It cannot be removed yet; ask again later."""


class ContractBroken(ProviderError):
    """The cloud's answer breaks its own API, or calls our request malformed: a bug, ours or theirs."""
