"""One life, drawn from one seed: a cloud and its bad habits, a job, and the commands that are typed and killed."""

import random
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

SCALE = 20.0
"""Sim seconds in one real second, for the cloud, its machines and the program alike."""
LONG_SCALE = 60.0
"""The same of lives whose job needs more than the budget: somebody looks on for half an hour of sim time."""
AWAY_SCALE = 150.0
"""And of those in which nobody does, so that nothing of ours must keep up with it."""
PRESSED_EVERY = 8
"""Every so many seeds a life has a job that its budget does not pay for."""
SHORTENED_EVERY = 4 * PRESSED_EVERY
"""Of those whose budget stops them, every so many seeds may be shortened, which is what happens where nobody says."""
Cloud = Literal["aws", "lambda", "runpod"]
Blow = Literal["kill", "group", "stopped", "term", "hup"]
"""SIGKILL of the process; of its whole group; SIGSTOP for a while and then SIGKILL; SIGTERM; SIGHUP."""
Point = Literal["time", "call", "ssh.command", "ssh.answer", "ssh.bytes", "ledger", "files"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When it dies: so many real seconds after its start, or at the nth of something that is seen from outside."""

    point: Point
    nth: int = 0
    operation: str = "*"
    """Of a cloud's calls, those that count."""
    seconds: float = 0
    applied: bool = False
    """Of a cloud's call: after it was carried out, before its answer is sent; else before it is carried out."""
    blow: Blow = "kill"
    stopped_seconds: float = 0
    """Real seconds between SIGSTOP and SIGKILL."""

    def __str__(self) -> str:
        when = (
            f"{self.seconds:.3f} s"
            if self.point == "time"
            else f"{self.operation.replace('*', self.point)} #{self.nth}"
        )
        return f"{self.blow} at {when}{' applied' if self.applied else ''}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command, and how it is killed; no words: the background process that carries the run, if there is one."""

    words: tuple[str, ...]
    moment: Moment | None
    is_cold: bool = False
    is_elsewhere: bool = False
    """On a second laptop: its state folder is a copy of the first one's as it was when it was first used."""
    pause_seconds: float = 0
    """Real seconds before it is typed."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What the cloud does beside: a fault of its API, a knob, or something at so many real seconds after the start."""

    name: str
    verb: str
    asked: dict[str, object]
    at_seconds: float = -1


@dataclass(frozen=True, kw_only=True)
class Life:
    """One run, from `launch` to the meter's last word."""

    seed: int
    cloud: Cloud
    words: tuple[str, ...]
    budget_usd: str
    job: dict[str, object]
    troubles: tuple[Trouble, ...]
    steps: tuple[Step, ...]
    is_seasoned: bool
    """Whether this laptop has asked that cloud before, and kept what it was told of machine types and prices."""
    scale: float = SCALE
    """Sim seconds in one real second."""
    is_away: bool = False
    """Whether nobody does anything after the steps until the machine has ended itself."""
    afterwards: tuple[Step, ...] = ()
    """What is typed after that, and after the budget has stopped the run, before the last `reap`."""
    returns: bool
    """Whether somebody comes back at all; else the machine's own deadline is all there is."""

    @property
    def guarded(self) -> bool:
        """Whether machines end without us there."""
        return self.cloud == "aws"


LEAST_USD = "0.34"
"""A little more than the least with which a machine can be had (0.32: reserves and a boot at the worst rate)."""
CARDS = {"aws": "a10g", "lambda": "a10", "runpod": "l4"}
SECOND_SHARE = 0.12
"""Of lives with a second laptop."""
ELSEWHERE = (("attach", "--take-over"),) * 2 + (("attach",), ("reap",), ("reap", "--take-over"))
TIMED = ("reap", "--log", "reap.json")
"""As the timer types it."""
NEXT = (
    (("attach",),) * 5
    + (("reap",),) * 4
    + (TIMED,)
    + (("stop",),) * 2
    + (("stop", "--now"), ("offers", "--gpu", "a10g"), ())
)
MOST: dict[str, dict[Point, int]] = {
    # measured: about as many as four of five undisturbed commands of that name come to
    "launch": {"call": 45, "ssh.command": 20, "ssh.answer": 20, "ssh.bytes": 20, "ledger": 130, "files": 80},
    "attach": {"call": 16, "ssh.command": 8, "ssh.answer": 8, "ssh.bytes": 10, "ledger": 70, "files": 40},
    "reap": {"call": 14, "ssh.command": 2, "ssh.answer": 2, "ssh.bytes": 2, "ledger": 16, "files": 5},
    "stop": {"call": 10, "ssh.command": 4, "ssh.answer": 4, "ssh.bytes": 5, "ledger": 30, "files": 25},
    "offers": {"call": 10, "ssh.command": 1, "ssh.answer": 1, "ssh.bytes": 1, "ledger": 15, "files": 5},
    "": {"call": 14, "ssh.command": 8, "ssh.answer": 8, "ssh.bytes": 8, "ledger": 60, "files": 30},
}
SECONDS = {"launch": 4.0, "attach": 2.5, "reap": 1.2, "stop": 1.5, "offers": 0.8, "": 3.0}
"""Real seconds that an undisturbed one takes at that scale (measured on a computer with something else to do)."""
PRICING_SECONDS, PRICING_CALLS, PRICING_SHARE = 0.8, 14, 0.15
"""The first part of a launch writes nothing down and rents nothing: that share of its deaths fall there."""
COLD_SHARE = 0.03
"""Of commands that import all anew: a second of CPU more for each, and deaths in imports are all alike."""
SEASONED_SHARE = 0.9
"""Of laptops that need not ask for the list of machine types, which costs the test cloud a second."""
COLD_SECONDS = 1.2
"""What the start-up adds."""


def drawn(seed: int) -> Life:
    """All of it; nothing else is random but what real processes are."""
    dice = random.Random(f"kill {seed}")
    if seed % PRESSED_EVERY == PRESSED_EVERY - 1:
        return _away(seed, dice) if dice.random() < 0.5 else _stopped_by_its_budget(seed, dice)
    cloud: Cloud = dice.choices(("aws", "lambda", "runpod"), (5, 3, 3))[0]
    market = dice.choice((("--spot",), ("--on-demand",), ())) if cloud == "aws" else ("--accept-unguarded",)
    returns = cloud != "aws" or dice.random() > 0.05
    budget = dice.choice((LEAST_USD, "0.40", "0.60", "1", "5")) if returns else LEAST_USD
    detach = ("--detach",) if dice.random() < 0.2 else ()
    words = ("--budget", budget, "--gpu", CARDS[cloud], "--yes", "--json", "--provider", cloud, *market, *detach)
    return Life(
        seed=seed,
        cloud=cloud,
        words=words,
        budget_usd=budget,
        job=_job(dice),
        troubles=tuple(_troubles(dice, cloud)),
        steps=tuple(_steps(dice, cloud, bool(detach))),
        is_seasoned=dice.random() < SEASONED_SHARE,
        returns=returns,
    )


def _away(seed: int, dice: random.Random) -> Life:
    """Nobody is there any more while a long job works: the machine's own deadline is all that holds the budget."""
    budget = dice.choice(("0.60", "0.80", "1", "1.20"))
    returns = dice.random() < 0.5
    nth = dice.randint(50, 100)
    steps = [Step(words=("launch",), moment=Moment(point="ledger", nth=nth))]
    if dice.random() < 0.4:
        steps.append(_next(dice, ("attach",)))
    more = f"{Decimal(budget) + dice.choice((Decimal('0.3'), Decimal('0.6'), Decimal(1)))}"
    again = [
        _resumed(dice, more, "aws"),
        _next(dice, dice.choice((("attach",), ("reap",)))),
        _next(dice, ("attach",)),
    ]
    return Life(
        seed=seed,
        cloud="aws",
        words=("--budget", budget, "--gpu", CARDS["aws"], "--yes", "--json", "--provider", "aws", "--on-demand"),
        budget_usd=budget,
        job={"steps": 400, "seconds": round(dice.uniform(10, 15), 1), "save_every": dice.randint(2, 8)},
        troubles=(),
        steps=tuple(steps),
        is_seasoned=dice.random() < SEASONED_SHARE,
        scale=AWAY_SCALE,
        is_away=True,
        afterwards=tuple(again) if returns else (),
        returns=returns,
    )


def _stopped_by_its_budget(seed: int, dice: random.Random) -> Life:
    """Somebody is there, and the money goes out: saved, brought home, stopped; and more money takes it up again."""
    cloud: Cloud = dice.choices(("aws", "lambda", "runpod"), (3, 1, 1))[0]
    market = ("--on-demand",) if cloud == "aws" else ("--accept-unguarded",)
    slow = () if seed % SHORTENED_EVERY == PRESSED_EVERY - 1 else ("--if-slow", "go-on")
    budget = dice.choice((LEAST_USD, "0.36", "0.40"))
    first = dice.choice((None, _moment(dice, "launch")))
    steps = [Step(words=("launch",), moment=first), *(_next(dice, ("attach",)) for _ in range(dice.randint(1, 2)))]
    more = dice.choice(("0.50", "0.80", "1", "1.5"))
    again = [
        _resumed(dice, more, cloud),
        *(_next(dice, dice.choice(NEXT)) for _ in range(dice.randint(1, 3))),
    ]
    return Life(
        seed=seed,
        cloud=cloud,
        words=("--budget", budget, "--gpu", CARDS[cloud], "--yes", "--json", "--provider", cloud, *market, *slow),
        budget_usd=budget,
        job={"steps": dice.randint(60, 120), "seconds": round(dice.uniform(5, 9), 1), "save_every": dice.randint(2, 9)},
        troubles=tuple(_troubles(dice, cloud)),
        steps=tuple(steps),
        is_seasoned=dice.random() < SEASONED_SHARE,
        scale=LONG_SCALE,
        afterwards=tuple(again),
        returns=True,
    )


def _resumed(dice: random.Random, budget: str, cloud: Cloud) -> Step:
    moment = _moment(dice, "launch")
    words = ("resume", "--budget", budget, "--yes", "--json", *(() if cloud == "aws" else ("--accept-unguarded",)))
    return Step(words=words, moment=moment if dice.random() < 0.7 else None)


def _job(dice: random.Random) -> dict[str, object]:
    steps = dice.randint(4, 12)
    return {"steps": steps, "seconds": round(dice.uniform(0.2, 1.2), 2), "save_every": dice.randint(2, 4)}


def _steps(dice: random.Random, cloud: Cloud, detach: bool) -> list[Step]:
    first = Step(words=("launch",), moment=_first(dice, cloud), is_cold=dice.random() < COLD_SHARE)
    steps = [_warmed(first, dice)]
    if detach and dice.random() < 0.6:
        steps = [replace(first, moment=None, is_cold=False), _next(dice, ())]
    for _ in range(dice.randint(4, 9)):
        steps.append(_next(dice, dice.choice(NEXT)))
    if dice.random() < SECOND_SHARE:
        for _ in range(dice.randint(1, 2)):
            other = _next(dice, dice.choice(ELSEWHERE))
            steps.insert(dice.randint(1, 3), replace(other, is_elsewhere=True, is_cold=False))
    return steps


def _next(dice: random.Random, words: tuple[str, ...]) -> Step:
    low, high = dice.choices(((0, 0), (0, 1), (1, 8), (8, 45)), (70, 20, 7, 3))[0]
    pause = dice.uniform(low, high)
    cold = bool(words) and dice.random() < COLD_SHARE
    moment = _moment(dice, words[0] if words else "")
    json = ("--json",) if words else ()
    return _warmed(Step(words=(*words, *json), moment=moment, is_cold=cold, pause_seconds=round(pause, 3)), dice)


def _warmed(step: Step, dice: random.Random) -> Step:
    """A cold one dies later, or in its imports."""
    moment = step.moment
    if not step.is_cold or moment is None or moment.point != "time":
        return step
    return replace(step, moment=replace(moment, seconds=moment.seconds + dice.uniform(0, COLD_SECONDS)))


def _first(dice: random.Random, cloud: Cloud) -> Moment:
    """Of a launch: often at the one call that begins to cost money."""
    if dice.random() > CREATE_SHARE:
        return _moment(dice, "launch")
    return Moment(point="call", nth=1, operation=CREATES[cloud], applied=dice.random() < 0.7)


def _moment(dice: random.Random, command: str) -> Moment:
    point: Point = dice.choices(
        ("time", "call", "ssh.command", "ssh.answer", "ssh.bytes", "ledger", "files"),
        (30, 26, *((5, 5, 4) if command not in ("reap", "offers") else (1, 1, 1)), 20, 9),
    )[0]
    blow: Blow = dice.choices(("kill", "group", "stopped", "term", "hup"), (78, 10, 5, 4, 3))[0]
    is_later = command == "launch" and dice.random() > PRICING_SHARE
    least, first = (PRICING_SECONDS, PRICING_CALLS if point == "call" else 1) if is_later else (0.0, 1)
    seen_here = point in ("time", "ledger", "files")
    return Moment(
        point=point,
        nth=0 if point == "time" else dice.randint(first, MOST[command][point]),
        seconds=round(dice.uniform(least, SECONDS[command]), 4) if point == "time" else 0,
        applied=point == "call" and dice.random() < 0.5,
        blow=blow if seen_here or blow in ("kill", "group") else "kill",
        stopped_seconds=round(dice.uniform(0.1, 3), 2) if blow == "stopped" else 0,
    )


def _troubles(dice: random.Random, cloud: Cloud) -> list[Trouble]:
    if dice.random() < 0.4:
        return []
    kinds = [*API, *HABITS, "ssh drop", *(("reclaim", "rebalance") if cloud == "aws" else ())]
    return [_trouble(dice, cloud, kind) for kind in dice.sample(kinds, dice.choice((1, 1, 2, 3)))]


API = ("answer lost", "answer lost before", "5xx", "throttled", "html", "silence")
HABITS = ("listed late", "early 404", "gap in a list", "terminate ignored", "slow end")


def _trouble(dice: random.Random, cloud: Cloud, kind: str) -> Trouble:
    if kind in API:
        how: dict[str, dict[str, object]] = {
            "answer lost": {"when": "reset", "applied": True},
            "answer lost before": {"when": "reset"},
            "5xx": {"when": "before", "status": 503, "times": dice.randint(1, 3)},
            "throttled": {"when": "throttle", "seconds": 1, "times": dice.randint(1, 3)},
            "html": {"when": "html", "applied": dice.random() < 0.5},
            "silence": {"when": "hang", "seconds": 0.5, "applied": dice.random() < 0.5},
        }
        asked: dict[str, object] = {"operation": _operation(dice, cloud), "skip": dice.randint(0, 3), **how[kind]}
        return Trouble(name=kind, verb="fault", asked=asked)
    knobs: dict[str, dict[str, object]] = {
        "listed late": {"list_lag_seconds": dice.choice((5, 20, 60))},
        "early 404": {"early_not_found_seconds": dice.choice((5, 20, 60))},
        "gap in a list": {"list_gap": dice.randint(1, 2)},
        "terminate ignored": {"terminate_ignored": 1},
        "slow end": {"ending_seconds": dice.choice((5, 20, 40))},
    }
    if kind in HABITS:
        return Trouble(name=kind, verb="knobs", asked={"cloud": cloud, **knobs[kind]})
    if kind == "ssh drop":
        return Trouble(name=kind, verb="drop", asked={}, at_seconds=round(dice.uniform(0.3, 4), 2))
    notice: dict[str, object] = {"notice_seconds": dice.choice((0, 30, 120))} if kind == "reclaim" else {}
    verb = "preempt" if kind == "reclaim" else "rebalance"
    return Trouble(name=kind, verb=verb, asked=notice, at_seconds=round(dice.uniform(1, 5), 2))


CREATE_SHARE = 0.12
CREATES = {"aws": "RunInstances", "lambda": "lambda.launch", "runpod": "runpod.create"}
OPERATIONS = {
    "aws": ("RunInstances", "TerminateInstances", "DescribeInstances", "DescribeInstances", "CreateSecurityGroup"),
    "lambda": ("lambda.launch", "lambda.terminate", "lambda.list", "lambda.get", "lambda.addkey"),
    "runpod": ("runpod.create", "runpod.delete", "runpod.list", "runpod.get"),
}


def _operation(dice: random.Random, cloud: Cloud) -> str:
    return dice.choice((*OPERATIONS[cloud], "*"))
