"""A schedule: one bad day, drawn from one seed: the cloud's traits, job, money, and every fault with its moment.

`drawn(seed)` is all of it; nothing else is random. A schedule without some of its faults (`without`) is how a failing
one is shrunk.
"""

import random
from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """What can go wrong. What each needs to know is in `Fault`."""

    # An answer of the cloud, at the nth call of a verb
    LOST_BEFORE = "answer lost, nothing done"
    LOST_AFTER = "answer lost, done"
    THROTTLED = "429"
    THROTTLED_WAIT = "429 with Retry-After"
    SERVER_ERROR = "5xx"
    UNREACHABLE = "no connection"
    CONTRACT_BROKEN = "contract broken"
    UNAUTHORISED = "401 once"
    BAD_ANSWER = "answer unreadable, done"
    NO_FUNDS = "402"
    DOUBLED = "create delivered twice"
    NO_CAPACITY = "no capacity"
    QUOTA = "quota"
    STALE_LIST = "stale list"
    LIST_GAP = "gap in a list"
    ODD_STATE = "state unknown"
    DEAF_TERMINATE = "terminate ignored"
    # The cloud, from the beginning on
    LATE_LISTED = "listed late"
    EARLY_NOT_FOUND = "early 404"
    SLOW_TERMINATE = "terminate slow"
    RATE_UNTOLD = "rate untold"
    VOLUME_LEFT = "volume left"
    # Something that happens at a time
    API_DOWN = "cloud down"
    CREDENTIALS_EXPIRED = "credentials expired"
    THROTTLED_LONG = "429 for a while"
    FUNDS_GONE = "balance at zero"
    REBALANCE = "rebalance hint"
    RECLAIM = "reclaim without notice"
    RECLAIM_30 = "reclaim, 30 s of notice"
    RECLAIM_120 = "reclaim, 120 s of notice"
    HOST_VANISHED = "host vanished"
    HOST_FAILED = "host failed"
    PRICE = "price change"
    SSH_DOWN = "ssh down"
    SSH_HANG = "ssh hangs"
    HALF_OPEN = "ssh half-open"
    WRONG_KEY = "wrong host key"
    MOVED = "another address"
    WIPED = "container restarted"
    CLOCK_FORWARD = "clock +1 d"
    CLOCK_BACK = "clock -1 d"
    SUSPEND = "suspended"
    DISK_FULL_HERE = "disk full here"
    DISK_FULL_THERE = "disk full there"
    SECOND_PROCESS = "second process"
    STOP = "stop asked"
    CTRL_C = "Ctrl-C"
    # A machine or a line, the nth
    SSH_DROP = "ssh drop"
    SSH_LOST_AFTER = "ssh answer lost"
    TORN_PULL = "torn pull"
    SPOILED_PULL = "spoiled pull"
    NEVER_READY = "never ready"
    UNARMED = "guest timer not armed"
    DIES_PENDING = "dies in pending"
    BAD_CHECKPOINT = "checkpoint spoiled there"
    SKEWED = "machine's clock is off"
    # The durable store
    STORE_AWAY = "store down"
    STORE_AWAY_THERE = "store out of the machines' reach"
    STORE_REFUSES = "store refuses"
    STORE_SPOILED = "stored objects come spoiled"
    STORE_LOST_BEGIN = "upload begun, answer lost"
    STORE_SHORT = "store's credentials end soon"
    # Our own process
    KILL = "SIGKILL"
    POWER_LOSS = "power loss"
    LEDGER_DELETED = "ledger deleted"
    LEDGER_ROLLED_BACK = "ledger rolled back"
    GONE = "laptop gone for good"


BY_CALL = (
    Kind.LOST_BEFORE, Kind.LOST_AFTER, Kind.THROTTLED, Kind.THROTTLED_WAIT, Kind.SERVER_ERROR, Kind.UNREACHABLE,
    Kind.CONTRACT_BROKEN, Kind.UNAUTHORISED, Kind.BAD_ANSWER,
)  # fmt: skip
"""At the nth call of any verb of a provider."""
BY_TIME = (
    Kind.API_DOWN, Kind.CREDENTIALS_EXPIRED, Kind.RECLAIM, Kind.RECLAIM_30, Kind.RECLAIM_120, Kind.HOST_VANISHED,
    Kind.HOST_FAILED, Kind.PRICE, Kind.SSH_DOWN, Kind.SSH_HANG, Kind.WRONG_KEY, Kind.CLOCK_FORWARD, Kind.CLOCK_BACK,
    Kind.SUSPEND, Kind.DISK_FULL_HERE, Kind.DISK_FULL_THERE, Kind.SECOND_PROCESS, Kind.STOP, Kind.CTRL_C,
    Kind.THROTTLED_LONG, Kind.FUNDS_GONE, Kind.REBALANCE, Kind.HALF_OPEN, Kind.MOVED, Kind.WIPED,
)  # fmt: skip
BY_POINT = (Kind.KILL, Kind.POWER_LOSS, Kind.GONE)
"""Where the process dies: at the nth write, call start, call end or sleep; with a `verb`, at the nth of that name."""
DOORWAYS = (
    "after open_attempt", "before create", "after create", "after save_answered", "after terminate", "after end",
    "before advance", "after advance",
)  # fmt: skip
"""Where the world and the books differ for a moment, and a death is the likeliest to cost something."""
AT_WORK, GONE_AT_WORK = "after note_checkpoint", 0.3
"""How often it is the laptop that is gone, for good, while the job works: then only the machine's own lease ends it."""
DOORWAY_EVERY, DOORWAY = 10, 7
"""One day of so many has a death in a doorway, beside what else is drawn for it: by its number it is that one."""
AT_A_DEATH = (Kind.LEDGER_DELETED, Kind.LEDGER_ROLLED_BACK)
ONLY_TERMINATE, ONLY_LIST = (Kind.DEAF_TERMINATE,), (Kind.STALE_LIST, Kind.LIST_GAP)
ONLY_CREATE = (Kind.NO_CAPACITY, Kind.QUOTA, Kind.NO_FUNDS, Kind.DOUBLED)
VERBS = ("create", "create", "create", "list", "list", "list", "get", "terminate", "terminate", "offers", "leftovers")
MACHINE_KINDS = (Kind.UNARMED, Kind.DIES_PENDING, Kind.NEVER_READY, Kind.BAD_CHECKPOINT, Kind.SKEWED)
SOMETIMES = (Kind.LATE_LISTED, Kind.EARLY_NOT_FOUND, Kind.SLOW_TERMINATE, Kind.RATE_UNTOLD, Kind.VOLUME_LEFT)
OF_A_CLOUD = (Kind.API_DOWN, Kind.CREDENTIALS_EXPIRED, Kind.THROTTLED_LONG)
"""At a time, and at one cloud, or at all of them (an empty `Fault.cloud`)."""
STORE_BY_TIME = (Kind.STORE_AWAY, Kind.STORE_AWAY_THERE, Kind.STORE_REFUSES, Kind.STORE_SPOILED)
OF_A_STORE = (*STORE_BY_TIME, Kind.STORE_LOST_BEGIN, Kind.STORE_SHORT)
"""Only on days of somebody who has a durable store (`with_store`)."""
STORE_DOORWAYS = (
    "after store begin", "before store begin", "before store read", "before store remove", "after store remove",
    "before store objects", "after store give up",
)  # fmt: skip
DAY_SECONDS = 86_400.0
FIRST_CLOUD = "fake"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong: at the nth call of `verb`, the nth point, or `at_seconds`; so often, or so long.

    `cloud`: where, by name; "" at all of them, for what concerns a cloud as a whole, else at the first.
    """

    kind: Kind
    verb: str = ""
    nth: int = 0
    times: int = 1
    at_seconds: float = 0
    seconds: float = 0
    how: str = ""
    cloud: str = ""

    def __str__(self) -> str:
        where = f"{self.verb} #{self.nth}" if self.verb else f"#{self.nth}" if self.kind in BY_POINT else ""
        when = f"at {self.at_seconds:.0f} s" if self.kind in (*BY_TIME, *STORE_BY_TIME) else ""
        more = [f"x{self.times}" if self.times > 1 else "", f"{self.seconds:.0f} s" if self.seconds else "", self.how]
        more.append(f"at {self.cloud}" if self.cloud else "")
        return " ".join(part for part in (self.kind, where, when, *more) if part)


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A provider's nature."""

    guarded: bool = True
    idempotent: bool = True
    guard_delay_seconds: float = 30.0
    settle_seconds: float = 60.0
    granularity_seconds: int = 1
    minimum_seconds: int = 0
    noticed: bool = True
    """Whether a job there hears of a reclaim (`Traits.notice`)."""
    spot: bool = True
    limited: bool = False
    """One request a second, one launch in twelve (lambda.md, section 0); its adapter waits for its turn."""


@dataclass(frozen=True, kw_only=True)
class OtherCloud(Cloud):
    """One more provider of the day: its name, its region, and what it is dearer or cheaper by."""

    name: str
    region: str
    factor: str = "1"


@dataclass(frozen=True, kw_only=True)
class Schedule(Cloud):
    """One bad day, whole. What it says of a cloud is said of the first; there may be others."""

    seed: int
    others: tuple[OtherCloud, ...] = ()
    strangers: int = 0
    """Machines of somebody else in the same account, under the same names."""
    leftovers: int = 0
    """Volumes of ours that lie about from earlier days."""
    forgotten: int = 0
    """Machines of ours that run since a day of which no ledger tells."""
    canaries: bool = False
    """Secrets are planted, and looked for at the end."""
    budget_usd: str = "0.60"
    deadline_seconds: float | None = None
    wait_capacity_seconds: float = 0
    ready_seconds: float = 6
    """From the create call to the first login."""
    steps: int = 20
    step_seconds: float = 10
    save_every: int = 5
    outcome: str = "succeeded"
    gaps_seconds: tuple[float, ...] = ()
    """How long after each death somebody comes back."""
    returns: tuple[str, ...] = ()
    """What is typed then."""
    resumes: int = 0
    """How often a person gives a run that ended early half as much again, from its last checkpoint."""
    store: bool = False
    """Whether this person has a durable store."""
    reaps: bool = True
    """At the end: whether somebody runs `reap`, or only time passes (guarded clouds alone)."""
    faults: tuple[Fault, ...] = ()

    def without(self, fault: Fault) -> "Schedule":
        """The same day with one thing less gone wrong."""
        left = list(self.faults)
        left.remove(fault)
        return replace(self, faults=tuple(left))

    @property
    def clouds(self) -> dict[str, Cloud]:
        """All of them, by name."""
        return {FIRST_CLOUD: self, **{one.name: one for one in self.others}}

    @property
    def all_guarded(self) -> bool:
        """Whether every machine of the day ends itself."""
        return all(one.guarded for one in self.clouds.values())

    def has(self, *kinds: Kind) -> bool:
        """Whether one of these may happen."""
        return any(fault.kind in kinds for fault in self.faults)


def drawn(seed: int) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(seed)
    guarded = dice.random() < 0.6
    granularity = dice.choice((1, 1, 1, 60, 3600 if dice.random() < 0.2 else 1))
    day = Schedule(
        seed=seed,
        guarded=guarded,
        idempotent=dice.random() < 0.5,
        guard_delay_seconds=dice.choice((5.0, 30.0, 240.0)),
        settle_seconds=dice.choice((60.0, 60.0, 180.0)),
        granularity_seconds=granularity,
        minimum_seconds=dice.choice((0, 60)),
        noticed=dice.random() < 0.7,
        spot=dice.random() < 0.7,
        budget_usd=dice.choice(("0.30", "0.40", "0.50", "0.60", "0.80", "1", "2", "5")),
        deadline_seconds=dice.choice((None, None, None, 1500.0, 3600.0)),
        wait_capacity_seconds=dice.choice((0, 0, 600)),
        ready_seconds=dice.choice((6.0, 6.0, 40.0, 120.0)),
        steps=dice.randint(3, 40),
        step_seconds=dice.choice((4.0, 10.0, 25.0)),
        save_every=dice.randint(2, 10),
        outcome=dice.choices(("succeeded", "failed", "vanished"), (90, 5, 5))[0],
        limited=dice.random() < 0.1,
        others=_others(dice),
        strangers=dice.choice((0, 0, 0, 2)),
        leftovers=dice.choice((0, 0, 0, 0, 0, 1, 12)),
        forgotten=dice.choice((0, 0, 0, 0, 0, 0, 1, 3)),
        canaries=seed % CANARIES_EVERY == 0,
        gaps_seconds=tuple(_gap(dice) for _ in range(4)),
        returns=tuple(dice.choices(("attach", "reap", "settle", "stop"), (50, 30, 15, 5))[0] for _ in range(4)),
    )
    day = replace(day, reaps=not day.all_guarded or dice.random() < 0.6)
    count = dice.choices((0, 1, 2, 3, 4, 6, 9), (3, 20, 25, 20, 15, 10, 7))[0]
    kinds = dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)
    faults = [_fault(kind, day, dice) for kind in kinds]
    if any(one.kind in AT_A_DEATH for one in faults) and not any(one.kind in BY_POINT for one in faults):
        faults.append(_fault(Kind.KILL, day, dice))
    day = replace(day, faults=tuple(faults), resumes=dice.choice((0, 0, 1, 2)))
    return _in_a_doorway(day) if seed % DOORWAY_EVERY == DOORWAY else day


def _in_a_doorway(day: Schedule) -> Schedule:
    """The same day, with a death where one hurts most, somebody back at once, and clouds that mostly list late.

    Its dice are its own: what is drawn here changes no other day.
    """
    dice = random.Random(f"doorway {day.seed}")
    death = Fault(kind=Kind.KILL, verb=dice.choice(DOORWAYS), nth=dice.choice((0, 0, 0, 1)))
    late = [
        Fault(kind=Kind.LATE_LISTED, cloud=name, seconds=round(dice.uniform(0.7, 0.95) * cloud.settle_seconds))
        for name, cloud in day.clouds.items()
        if dice.random() < 0.75
    ]
    gaps_seconds = (dice.choice((0.0, 5.0, 20.0)), *day.gaps_seconds[1:])
    if dice.random() < GONE_AT_WORK:
        death = Fault(kind=Kind.GONE, verb=AT_WORK, nth=dice.choice((0, 1, 2, 3)))
    return replace(day, faults=(*day.faults, death, *late), gaps_seconds=gaps_seconds)


def with_store(day: Schedule) -> Schedule:
    """The same day of somebody who has a durable store: it has faults of its own, and is looked into with `pull`.

    Mostly the laptop dies while the job works, and comes back late or never: that is what a store is for.
    """
    dice = random.Random(f"store {day.seed}")
    kinds = dice.choices(OF_A_STORE, k=dice.choice((0, 0, 1, 1, 2, 3)))
    faults = [*day.faults, *(_fault(kind, day, dice) for kind in kinds)]
    how = dice.choices(("kill", "gone", "doorway", ""), (40, 10, 20, 30))[0]
    if how == "doorway":
        faults.append(Fault(kind=Kind.KILL, verb=dice.choice(STORE_DOORWAYS), nth=dice.choice((0, 0, 1, 2, 5))))
    elif how:
        kind = Kind.KILL if how == "kill" else Kind.GONE
        faults.append(Fault(kind=kind, verb=AT_WORK, nth=dice.choice((0, 0, 1, 2))))
    gap = dice.choices((0.0, 90.0, 600.0, 5000.0, 3 * DAY_SECONDS), (15, 15, 25, 25, 20))[0]
    return replace(
        day, store=True, faults=tuple(faults), gaps_seconds=(gap, *day.gaps_seconds[1:]),
        returns=tuple(dice.choice((how, how, "pull")) for how in day.returns),
    )  # fmt: skip


WEIGHTS = {
    **dict.fromkeys(BY_CALL, 4),
    **dict.fromkeys(BY_TIME, 3),
    **dict.fromkeys((*ONLY_TERMINATE, *ONLY_CREATE, *ONLY_LIST, Kind.ODD_STATE), 3),
    **dict.fromkeys(MACHINE_KINDS, 2),
    Kind.DOUBLED: 2,
    **dict.fromkeys(SOMETIMES, 4),
    **dict.fromkeys((Kind.SSH_DROP, Kind.SSH_LOST_AFTER, Kind.TORN_PULL, Kind.SPOILED_PULL), 3),
    Kind.KILL: 30, Kind.POWER_LOSS: 8, Kind.GONE: 4, Kind.LEDGER_DELETED: 4, Kind.LEDGER_ROLLED_BACK: 4,
    Kind.LOST_AFTER: 10,
}  # fmt: skip


def _others(dice: random.Random) -> tuple[OtherCloud, ...]:
    """None, mostly; else one or two of the three natures that there are (EC2's, Lambda's, Runpod's)."""
    count = dice.choices((0, 1, 2), (60, 25, 15))[0]
    return tuple(replace(one, factor=dice.choice(("0.9", "1", "1.2"))) for one in dice.sample(NATURES, count))


NATURES = (
    OtherCloud(name="tokens", region="south-1", minimum_seconds=60),
    OtherCloud(
        name="slow", region="west-1", guarded=False, idempotent=False, granularity_seconds=60, minimum_seconds=60,
        noticed=False, spot=False, limited=True,
    ),
    OtherCloud(name="pods", region="east-1", guarded=False, idempotent=False, settle_seconds=180, noticed=False),
)  # fmt: skip
CANARIES_EVERY = 8
"""Planting and looking costs a few milliseconds: one schedule of so many."""


def _gap(dice: random.Random) -> float:
    return dice.choices((0.0, 20.0, 90.0, 600.0, 5000.0, 3 * DAY_SECONDS), (30, 20, 20, 15, 10, 5))[0]


def _fault(kind: Kind, day: Schedule, dice: random.Random) -> Fault:
    """What is drawn about one thing that goes wrong; where, if there is a choice."""
    fault, names = _at_a_cloud(kind, day, dice), tuple(day.clouds)
    if kind in OF_A_CLOUD:
        return replace(fault, cloud=dice.choice(("", *names[1:])))
    if kind in SOMETIMES or (len(names) > 1 and fault.verb not in ("", "remote")):
        fault = replace(fault, cloud=dice.choice(names))
    if kind in SOMETIMES and kind is not Kind.SLOW_TERMINATE:
        most = 0.9 * day.clouds[fault.cloud].settle_seconds
        return replace(fault, seconds=round(dice.uniform(2, most)))
    return fault


def _at_a_cloud(kind: Kind, day: Schedule, dice: random.Random) -> Fault:
    times = dice.choice((1, 1, 1, 2, 3, 8))
    if kind in BY_CALL:
        verb = dice.choice(VERBS)
        return Fault(kind=kind, verb=verb, nth=_nth(verb, dice), times=times, seconds=_patience(kind, dice))
    if kind in ONLY_CREATE:
        return Fault(kind=kind, verb="create", nth=dice.choice((0, 0, 0, 1)), times=times)
    if kind in ONLY_TERMINATE:
        return Fault(kind=kind, verb="terminate", times=dice.choice((1, 1, 2, 3, 10)))
    if kind in ONLY_LIST:
        return Fault(kind=kind, verb="list", nth=_nth("list", dice), times=dice.choice((1, 1, 2)))
    if kind is Kind.ODD_STATE:
        return Fault(kind=kind, verb="get", nth=dice.choice((0, 0, 1, 3)), times=times)
    if kind in BY_POINT:
        return Fault(kind=kind, nth=_point(dice))
    if kind in SOMETIMES:
        return Fault(kind=kind, seconds=round(dice.uniform(2, 40)))
    if kind is Kind.STORE_SHORT:
        return Fault(kind=kind, seconds=dice.choice((60.0, 400.0, 900.0, 3600.0)))
    if kind in (*BY_TIME, *STORE_BY_TIME):
        at, seconds, how = round(dice.expovariate(1 / 200), 1), LENGTHS.get(kind, (0.0,)), HOW.get(kind, ("",))
        return Fault(kind=kind, at_seconds=at, seconds=dice.choice(seconds), how=dice.choice(how))
    if kind in (Kind.SSH_DROP, Kind.SSH_LOST_AFTER):
        return Fault(kind=kind, verb="remote", nth=round(dice.expovariate(1 / 30)), times=times)
    if kind in AT_A_DEATH:
        return Fault(kind=kind, nth=dice.randint(0, 60))
    return Fault(kind=kind, nth=dice.choice((0, 0, 0, 1)), times=times)


def _nth(verb: str, dice: random.Random) -> int:
    return round(dice.expovariate(1 / 12)) if verb == "list" else dice.choice((0, 0, 0, 1, 1, 2, 4))


def _point(dice: random.Random) -> int:
    """Most of them where a machine is made and its job begins; the others anywhere."""
    return dice.randint(1, 90) if dice.random() < 0.6 else dice.randint(1, 600)


def _patience(kind: Kind, dice: random.Random) -> float:
    return dice.choice((2.0, 10.0, 30.0, 120.0)) if kind is Kind.THROTTLED_WAIT else 0.0


LENGTHS = {
    Kind.API_DOWN: (10.0, 60.0, 300.0, 1200.0),
    Kind.SSH_DOWN: (10.0, 60.0, 300.0, 1200.0),
    Kind.SSH_HANG: (10.0, 60.0, 300.0),
    Kind.WRONG_KEY: (5.0, 60.0),
    Kind.SUSPEND: (60.0, 1800.0, DAY_SECONDS, 3 * DAY_SECONDS),
    Kind.DISK_FULL_HERE: (5.0, 60.0, 600.0),
    Kind.CREDENTIALS_EXPIRED: (30.0, 300.0, 3 * DAY_SECONDS),
    Kind.THROTTLED_LONG: (20.0, 120.0, 900.0),
    Kind.HALF_OPEN: (10.0, 60.0, 300.0, 1200.0),
    Kind.FUNDS_GONE: (300.0, 3600.0),
    **dict.fromkeys(STORE_BY_TIME, (20.0, 300.0, 2000.0, DAY_SECONDS)),
}
HOW = {
    Kind.SECOND_PROCESS: ("reap", "settle", "stop", "stop now", "attach"),
    Kind.STOP: ("save", "now"),
    Kind.PRICE: ("low", "high", "worst"),
}
