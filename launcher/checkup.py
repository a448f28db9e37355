"""What `doctor` looks at: this computer first, then every provider at once; nothing here costs money."""

import os
import re
import shutil
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

from launcher import durable, market, piped, timer
from launcher.bucket import BucketError
from launcher.display import age
from launcher.world import World
from providers.base import Finding, Level, OfferQuery, ProviderError

HERE = "here"
"""Where a finding is about this computer, and no provider."""
Found = tuple[str, Finding]

OLDEST_SSH = (7, 0)
"""Of 2016: it knows all options that we give (`UpdateHostKeys`, `-E`, `ControlPersist`)."""
LEAST_FREE_GIB = 1.0
VERSION_SECONDS = 5.0
OLD_PRICE = timedelta(days=30)
TIMER_LATE_SECONDS = 3600.0
"""A timer runs every ten minutes, where the computer is awake."""


def findings(names: Sequence[str], world: World, *, named: bool) -> tuple[Found, ...]:
    """All findings, this computer's first. `named`: the providers were asked for, so that a missing key is an error."""
    with ThreadPoolExecutor(max(1, len(names))) as pool:
        by_provider = dict(zip(names, pool.map(lambda name: _checked(name, world), names), strict=True))
    told = [(name, one) for name, found in by_provider.items() for one in (*found, *_prices(name, found, world))]
    here = (_ssh(world), _state(world), _timer(world), *_store(world), *_open_runs(world))
    return (*((HERE, one) for one in here), *_judged(told, world, named))


def _checked(name: str, world: World) -> tuple[Finding, ...]:
    try:
        return world.provider(name).check()
    except ProviderError as error:  # its settings are wrong: it could not even be connected
        return (Finding(level=Level.ERROR, subject="settings", text=error.text, fix=error.fix),)


def _judged(told: list[Found], world: World, named: bool) -> list[Found]:
    """No credentials are an error where they were asked for, or where there are none for anybody who rents machines."""
    unused = {name for name, finding in told if finding.level is Level.UNUSED}
    renting = {name for name in {name for name, _ in told} if _bills(name, world)}
    if not named and not (renting and renting <= unused):
        return told
    return [
        (name, replace(finding, level=Level.ERROR) if finding.level is Level.UNUSED else finding)
        for name, finding in told
    ]


def _bills(name: str, world: World) -> bool:
    try:
        return world.provider(name).traits.bills
    except ProviderError:  # told by `_checked`
        return False


def _ssh(world: World) -> Finding:
    try:
        program = piped.Program(argv=["ssh", "-V"], environ={"PATH": world.environ.get("PATH", os.defpath)})
        said = piped.complete(program, b"", VERSION_SECONDS).stderr.strip()
    except (OSError, TimeoutError) as error:
        fix = "install OpenSSH's client (Debian and Ubuntu: apt install openssh-client)"
        return Finding(level=Level.ERROR, subject="ssh", text=f"`ssh` cannot be run: {error}", fix=fix)
    version = said.split(",")[0]
    found = re.search(r"OpenSSH\D*(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_SSH:
        fix = f"install OpenSSH {'.'.join(map(str, OLDEST_SSH))} or newer, and put it first in PATH"
        return Finding(
            level=Level.WARNING, subject="ssh", text=f"{version or 'another ssh'}: not tried with it", fix=fix
        )
    return Finding(level=Level.OK, subject="ssh", text=version)


def _state(world: World) -> Finding:
    """The folder that holds keys and ledger: ours alone to read, and with room."""
    mode, free_gib = stat.S_IMODE(world.home.stat().st_mode), shutil.disk_usage(world.home).free / 2**30
    if mode & 0o077:
        text = f"{world.home} can be read by others (mode {mode:o}), and holds the keys of machines"
        return Finding(level=Level.WARNING, subject="state", text=text, fix=f"chmod 700 {world.home}")
    text = f"{world.home}, {free_gib:.0f} GiB free"
    if free_gib < LEAST_FREE_GIB:
        fix = "make room: checkpoints and results come here"
        return Finding(level=Level.WARNING, subject="state", text=text, fix=fix)
    return Finding(level=Level.OK, subject="state", text=text)


def _store(world: World) -> list[Finding]:
    """A small object written, read back and removed, as a machine would: some requests, a part of a cent."""
    if world.bucket is None:
        return []
    try:
        bucket = world.bucket()
        bucket.probe(durable.probe_key(world))
        told = durable.remark(bucket, world)
    except BucketError as error:
        fix = error.fix or "docs/durable.md says which rights it needs; or remove `durable_store` from config.yaml"
        return [Finding(level=Level.ERROR, subject="durable store", text=str(error), fix=fix)]
    if told:
        return [Finding(level=Level.WARNING, subject="durable store", text=told, fix="use keys that do not expire")]
    return [Finding(level=Level.OK, subject="durable store", text=f"{bucket.name}: written, read back, removed")]


def _timer(world: World) -> Finding:
    """Whether somebody looks after our machines while no command of ours runs."""
    ran_at = timer.last_ran(world)
    if not timer.installed(world) and ran_at is None:
        return Finding(level=Level.OK, subject="timer", text="none here (launch reap --install-timer)")
    age_seconds = float("inf") if ran_at is None else (world.now() - ran_at).total_seconds()
    if age_seconds > TIMER_LATE_SECONDS:
        text = "launch reap is to run every ten minutes, and " + ("never ran" if ran_at is None else "does not")
        text += "" if ran_at is None else f": last {age(world.now() - ran_at)} ago"
        return Finding(level=Level.WARNING, subject="timer", text=text, fix="launch reap --install-timer")
    assert ran_at is not None
    text = f"launch reap ran {age(world.now() - ran_at)} ago, and does every ten minutes"
    return Finding(level=Level.OK, subject="timer", text=text)


def _open_runs(world: World) -> list[Finding]:
    unfinished = [record.id for record in world.ledger.unfinished()]
    if not unfinished:
        return []
    text = f"{len(unfinished)} may have a machine: {', '.join(unfinished[:5])}"
    return [Finding(level=Level.WARNING, subject="runs", text=text, fix="launch ps     # or launch reap")]


def _prices(name: str, found: tuple[Finding, ...], world: World) -> list[Finding]:
    """How old the newest price is that is known without asking: what `offers` and `estimate` show at once."""
    if any(finding.level is Level.UNUSED for finding in found):
        return []
    seen = [offer.seen_at for offer in market.last_seen(name, OfferQuery(), world) if offer.worst_usd_per_hour > 0]
    if not seen:
        return []
    old = world.now() - max(seen)
    text = f"{len(seen)} kept from the last look, the newest {age(old)} old; a launch asks anew"
    level = Level.WARNING if old > OLD_PRICE else Level.OK
    fix = f"launch offers --provider {name}     # asks now" if level is Level.WARNING else ""
    return [Finding(level=level, subject="kept prices", text=text, fix=fix)]
