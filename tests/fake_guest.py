"""The machines' inside, in memory: guests that keep the protocol of docs/guest.md on a virtual clock.

    site = Site(cloud, clock)
    site.work = Work(steps=20, step_seconds=30)          # what the job will do on machines that start it from now on
    world = World(..., remote=site.remote, feed=site.feed)

Knobs on `site`: `unreachable` (ids that nobody reaches), `wrong_host_key`, `unarmed`, `probe` (fields to overrule),
`shown_key` (the host key that it shows), `trial` (fields of `prove` to overrule),
`lost_pulls` (the next n sends break off in the middle), `unsendable` (a file that always breaks off),
`spoiled` (a file that comes with other bytes than were announced),
`trickle_seconds` (what each chunk that is sent takes), `stop_is_ignored`, `unarmed_ids` (those alone are not armed),
`full_ids` (their disks are full); `sent_bytes` counts what was sent, `sent_by` by machine.
On `Work`: see its fields.
"""

import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import pairwise
from typing import Any, BinaryIO, Protocol

from jobs.guest.carrier import QUIET_SECONDS
from launcher.guest import Guest
from launcher.remote import CommandFailed, Completed, HostKeyMismatch, Keys, RemoteUnreachable
from pricing.gpus import Gpu
from providers.base import Access, EndReason, Ssh
from tests.fake_provider import FakeCloud

TICK_SECONDS = 5.0
"""A read passes at least so much virtual time: a run of ten minutes is a hundred ticks, not six hundred."""
NO_PROGRAM = "python3: can't open file '.launch/guest.pyz': [Errno 2] No such file or directory"
WARM_STEPS = 3
READY_SECONDS = 6.0
"""From the create call to the first login."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job: how long its phases take, what it makes, how it ends."""

    install_seconds: float = 20
    model_seconds: float = 10
    steps: int = 10
    step_seconds: float = 10
    evaluate_seconds: float = 20
    save_every: int = 5
    outcome: str = "succeeded"
    """How it ends; "vanished": the supervisor dies at the end, without a last word."""
    exact: float = 0.93
    weights_bytes: int = 7000
    log_bytes: int = 2
    makes_nothing: bool = False
    tokens_per_second: float = 1000.0
    vram_gib: float = 14.0
    probe_steps: int = 0
    """The probe counts so many steps, after three that warm up; 0: this job tells none, and cannot be shortened."""
    spread: float = 0.05


@dataclass
class Started:
    """A job on a machine, from the second at which its supervisor was started."""

    work: Work
    at: datetime
    first_step: int
    stop_at: datetime | None = None
    slowness: float = 1.0
    """So many times as long each step takes on this machine."""
    shortened: list[tuple[datetime, int]] = field(default_factory=list)
    """When it was told to end at which step."""
    notice_at: datetime | None = None
    notice_action: str = "terminate"
    stored: list[tuple[datetime, dict[str, object]]] = field(default_factory=list)
    """What lies in the durable store, and since when it was told."""
    skew_seconds: float = 0
    """What its machine's clock is ahead of the truth."""
    _known: "Timeline | None" = field(default=None, repr=False, compare=False)

    def lines(self, now: datetime) -> list[tuple[datetime, dict[str, object]]]:
        """All events up to now."""
        whole = self.timeline()
        return whole.lines[: bisect_right(whole.times, now)]

    def text(self, now: datetime) -> bytes:
        """The same, as progress.jsonl holds them."""
        whole = self.timeline()
        count = bisect_right(whole.times, now)
        return b"".join(whole.texts[:count])

    def timeline(self) -> "Timeline":
        """All that will happen as things stand; made anew when the job was told something else."""
        told = (self.stop_at, len(self.shortened), self.notice_at, self.notice_action, self.work, self.slowness,
                len(self.stored))  # fmt: skip
        if self._known is None or self._known.told != told:
            own = list(self._all())
            notice: list[tuple[datetime, dict[str, object]]] = []
            if self.notice_at is not None and self.notice_at <= own[-1][0]:  # none once it ended
                notice.append((self.notice_at, {"event": "notice", "action": self.notice_action}))
            self._known = Timeline(
                told,
                list(merge(own, notice, self.stored, key=lambda line: line[0])),
                timedelta(seconds=self.skew_seconds),
            )
        return self._known

    def _all(self) -> Iterator[tuple[datetime, dict[str, object]]]:
        work, at = self.work, self.at
        for name, seconds in (("install", work.install_seconds), ("model", work.model_seconds)):
            yield at, _phase(name, "begin")
            at += timedelta(seconds=seconds)
            yield at, {**_phase(name, "end"), "seconds": seconds}
        yield at, _phase("train", "begin")
        began, step = at, self.first_step
        while step < self._last(at):
            step, at = step + 1, at + timedelta(seconds=work.step_seconds * self.slowness)
            yield at, {"event": "step", "step": step, "of": self._last(at), "loss": 2.0 / step, "learning_rate": 1e-4,
                       "grad_norm": 1.0, "tokens_per_second": work.tokens_per_second, "vram_gib": work.vram_gib,
                       "epoch": 1.0}  # fmt: skip
            if work.probe_steps and step == self.first_step + WARM_STEPS + work.probe_steps:
                yield at, self._probe(step, self._last(at))
            asked = self.stop_at is not None and at > self.stop_at  # what was told at that very moment stays
            if step % work.save_every == 0 or asked:
                yield at, _checkpoint(step)
            if asked:
                yield at, {"event": "done", "outcome": "stopped", "exit_code": 75, "step": "train", "text": ""}
                return
        yield at, {**_phase("train", "end"), "seconds": (at - began).total_seconds()}
        yield at, _phase("evaluate", "begin")
        at += timedelta(seconds=work.evaluate_seconds)
        yield at, {"event": "result", "arm": "tuned", "metrics": {"exact": work.exact}, "n": 200}
        yield at, {**_phase("evaluate", "end"), "seconds": work.evaluate_seconds}
        if work.outcome == "vanished":
            return
        failed = work.outcome == "failed"
        yield at, {"event": "done", "outcome": work.outcome, "exit_code": 1 if failed else 0,
                   "step": "evaluate" if failed else "", "text": "out of luck" if failed else ""}  # fmt: skip

    def _last(self, now: datetime) -> int:
        """The step that it ends at, by what it was told up to now."""
        return min((step for at, step in self.shortened if at <= now), default=self.work.steps)

    def _probe(self, step: int, of: int) -> dict[str, object]:
        seconds = self.work.step_seconds * self.slowness
        return {"event": "probe", "step": step, "of": of, "left": of - step, "steps": self.work.probe_steps,
                "step_seconds": seconds, "spread": self.work.spread, "tokens_per_second": 1000.0,
                "tokens_per_step": 1000.0 * seconds, "vram_gib": 14.0, "save_seconds": None,
                "save_every": self.work.save_every}  # fmt: skip

    def is_over(self, now: datetime) -> bool:
        vanishes = self.work.outcome == "vanished"
        return any(
            event["event"] == "done" or (vanishes and event.get("phase") == "evaluate" and event["state"] == "end")
            for _, event in self.lines(now)
        )

    def steps_done(self, now: datetime) -> int:
        return max((int(str(e["step"])) for _, e in self.lines(now) if e["event"] == "step"), default=self.first_step)


class Timeline:
    """What a job tells from its beginning to its end, by what it was `told`."""

    def __init__(
        self, told: tuple[object, ...], lines: list[tuple[datetime, dict[str, object]]], skew: timedelta
    ) -> None:
        self.told, self.lines = told, lines
        self.times = [at for at, _ in lines]
        self.texts = [
            f'{{"schema": 1, "at": "{(at + skew).isoformat()}", {_fields(event)}\n'.encode() for at, event in lines
        ]


def _fields(event: dict[str, object]) -> str:
    """The event's own fields as JSON, up to the end of its line."""
    try:
        return _known_fields(tuple((name, value, type(value)) for name, value in event.items()))
    except TypeError:  # a field of it is no plain value
        return json.dumps(event)[1:]


@lru_cache(maxsize=8192)
def _known_fields(fields: tuple[tuple[str, object, type], ...]) -> str:
    """Steps are told alike by many jobs. The types are there since 1 and 1.0 are alike, and are not written alike."""
    return json.dumps({name: value for name, value, _ in fields})[1:]


def _phase(name: str, state: str) -> dict[str, object]:
    return {"event": "phase", "phase": name, "name": name, "state": state}


def _checkpoint(step: int) -> dict[str, object]:
    files = {"manifest.json": checkpoint_bytes(step)}
    sha = hashlib.sha256(files["manifest.json"]).hexdigest()
    return {"event": "checkpoint", "name": f"step-{step}", "step": step, "bytes": 10, "sha256": sha}


def checkpoint_bytes(step: int) -> bytes:
    """The manifest of the checkpoint of that step."""
    return json.dumps({"step": step, "files": []}).encode()


class Lived(Protocol):
    """A machine as it truly is, whatever its cloud says."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def born_at(self) -> datetime:
        """When it was created."""

    @property
    def ended_at(self) -> datetime | None:
        """From when on nobody is in it any more."""

    @property
    def gpu(self) -> Gpu | None:
        """The card that is in it."""


class House(Protocol):
    """Where machines live, and where a test may let itself be killed around each call."""

    after_call: Callable[[str], None]

    def call(self, verb: str) -> None:
        """Before a call."""

    def machines(self) -> Iterable[Lived]:
        """All that ever were."""

    def extend(self, machine_id: str, lease_seconds: float) -> None:
        """What the dead-man is told."""


class Time(Protocol):
    """A clock that moves only when told."""

    def __call__(self) -> datetime:
        """Now."""

    def sleep(self, seconds: float) -> None:
        """Time passes."""


@dataclass
class Inside:
    """All guests, by the machine that they are in."""

    cloud: House
    clock: Time
    work: Work = field(default_factory=Work)
    started: dict[str, Started] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    wrong_host_key: bool = False
    shown_key: str = "ssh-ed25519 AAAAfake"
    trial: dict[str, object] = field(default_factory=dict)
    unarmed: bool = False
    probe: dict[str, object] = field(default_factory=dict)
    lost_pulls: int = 0
    unsendable: str = ""
    spoiled: str = ""
    trickle_seconds: float = 0
    tick_seconds: float = TICK_SECONDS
    ready_seconds: float = READY_SECONDS
    knocking_seconds: float = 0
    """What a try to reach a machine takes where nobody answers."""
    sent_bytes: int = 0
    sent_by: Counter[str] = field(default_factory=Counter)
    spoiled_by: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By machine and file: how often in a row it came spoiled."""
    unarmed_ids: set[str] = field(default_factory=set)
    full_ids: set[str] = field(default_factory=set)
    rotten_ids: set[str] = field(default_factory=set)
    """Machines whose checkpoints are not what they announced."""
    skews: dict[str, float] = field(default_factory=dict)
    """By machine: what its clock is ahead of the truth, in seconds."""
    stop_is_ignored: bool = False
    slowness: dict[str, float] = field(default_factory=dict)
    """By machine: so many times as long each step takes there."""
    cannot_be_shortened: bool = False
    wiped: set[str] = field(default_factory=set)
    """Machines that began anew with a fresh disk."""
    sent_paths: list[list[str]] = field(default_factory=list)
    told_to_end: dict[str, int] = field(default_factory=dict)
    """By machine: the step that its training was last told to end at."""
    carriers: dict[str, tuple[int, str, str, datetime]] = field(default_factory=dict)
    """By machine: who carries its run (number, place, host), and when that was last heard."""
    keeps_its_carrier: bool = False
    """Whether machines lie, and give themselves up to nobody who takes them over."""
    secrets_seen: list[bytes] = field(default_factory=list)
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By machine: what it may write into the durable store, as it was last told."""
    asked_at: dict[str, datetime] = field(default_factory=dict)
    """By machine: when anybody last asked it for anything."""
    store_due: Callable[[], None] = lambda: None
    """Lets all machines do what they would have done by now in the durable store."""
    argv_seen: list[tuple[str, ...]] = field(default_factory=list)

    def answers(self, machine: Lived) -> bool:
        """Whether its SSH server can be reached by now."""
        return self.clock() >= machine.born_at + timedelta(seconds=self.ready_seconds)

    def is_armed(self, machine_id: str) -> bool:
        """Whether its dead-man runs, as its probe says."""
        return not self.unarmed and machine_id not in self.unarmed_ids

    def feed(self, guest: Guest, offset: int) -> "FakeFeed":
        """Progress without a thread: a read passes virtual time."""
        return FakeFeed(guest, self.clock, self.vanished, offset, self.tick_seconds)

    def vanished(self) -> bool:
        """Whether whoever is followed says no last word: the supervisor died, or was never started."""
        jobs = self.started.values()
        return not jobs or any(job.work.outcome == "vanished" and job.is_over(self.clock()) for job in jobs)


@dataclass
class Site(Inside):
    """The guests of a `FakeCloud`."""

    cloud: FakeCloud

    def remote(self, access: Access, _keys: Keys) -> "FakeRemote":
        """A connection to the machine at that address."""
        assert isinstance(access, Ssh)
        return FakeRemote(self, access.host.removesuffix(".invalid"))

    def preempt_with_notice(self, machine_id: str, notice_seconds: float) -> None:
        """The provider announces that it takes the machine back; the supervisor asks the job to save."""
        job = self.started[machine_id]
        job.notice_at = job.stop_at = self.clock()
        self.cloud.truth[machine_id].end(self.clock() + timedelta(seconds=notice_seconds), EndReason.PREEMPTED)


class FakeFeed:
    """See `launcher.feed.Feed`."""

    def __init__(
        self, guest: Guest, clock: Time, vanished: Callable[[], bool], offset: int, tick_seconds: float = TICK_SECONDS
    ) -> None:
        self._tick_seconds = tick_seconds
        self._guest, self._clock, self._vanished, self.offset = guest, clock, vanished, offset
        self.over, self.trouble, self.refused = False, "", False

    def read(self, timeout_seconds: float) -> bytes:
        """What is there; waits in virtual time when there is nothing."""
        self._clock.sleep(max(timeout_seconds, self._tick_seconds))
        try:
            data = b"".join(self._guest.follow(self.offset))
        except (RemoteUnreachable, CommandFailed) as error:
            self.trouble, self.refused = str(error), isinstance(error, CommandFailed)
            return b""
        self.trouble, self.refused = "", False
        self.offset += len(data)
        self.over = b'"done"' in data or self._vanished() or self.over
        return data

    def close(self) -> None:
        """Nothing to let go of."""


class FakeRemote:
    """Answers the verbs of docs/guest.md for one machine."""

    def __init__(self, site: Inside, machine_id: str) -> None:
        self._site, self._id = site, machine_id

    def run(self, argv: Sequence[str], *, stdin: bytes | BinaryIO = b"", timeout_seconds: float = 60) -> Completed:
        """One verb."""
        self._site.cloud.call("remote")
        machine = self._alive()
        self._site.argv_seen.append(tuple(argv))
        if argv[0] in ("sudo", "true"):  # a new host key is laid down, and the line that shows it
            self._site.cloud.after_call("remote")
            return _said({})
        if argv[1] == "-c":
            self._site.wiped.discard(self._id)
            return _said({})
        if self._id in self._site.wiped:
            return Completed(exit_code=2, stdout=b"", stderr=NO_PROGRAM)
        data = stdin if isinstance(stdin, bytes) else stdin.read()
        options = dict(zip(argv[3::2], argv[4::2], strict=False))
        options |= {"--take": ""} if "--take" in argv else {}
        refusal = self._fenced(options) if argv[2] != "carry" else None
        answer = refusal or getattr(self, f"_{argv[2]}")(machine, options, data)
        self._site.cloud.after_call("remote")
        return _said(answer)

    def stream(self, argv: Sequence[str], *, idle_seconds: float = 60) -> Iterator[bytes]:
        """follow, log, send: what there is now."""
        self._site.cloud.call("remote")
        machine = self._alive()
        if self._id in self._site.wiped:
            raise CommandFailed(NO_PROGRAM, exit_code=2)
        options = dict(zip(argv[3::2], argv[4::2], strict=False))
        content = self._content(machine, argv[2], options)[int(options.get("--offset", "0")) :]
        if argv[2] == "send":
            self._site.sent_paths.append([after for word, after in pairwise(argv) if word == "--path"])
            yield from self._sent(content, options["--path"])
            return
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    def _sent(self, content: bytes, path: str) -> Iterator[bytes]:
        site, breaks = self._site, path == self._site.unsendable
        if site.lost_pulls > 0:
            site.lost_pulls, breaks = site.lost_pulls - 1, True
        whole = content[: len(content) // 2] if breaks else content
        whole = whole[::-1] if path == site.spoiled else whole
        site.spoiled_by[self._id, path] = site.spoiled_by[self._id, path] + 1 if path == site.spoiled else 0
        size = max(1000, len(content) // 100)
        for start in range(0, len(whole), size):
            site.clock.sleep(site.trickle_seconds)
            self._alive()
            site.sent_bytes += len(whole[start : start + size])
            site.sent_by[self._id] += len(whole[start : start + size])
            yield whole[start : start + size]
        if breaks:
            raise RemoteUnreachable("connection reset")

    def interactive(self, argv: Sequence[str]) -> int:
        """No terminal in here."""
        return 0

    def shown_host_key(self) -> str:
        """What this machine shows."""
        return self._site.shown_key

    def close(self) -> None:
        """Nothing to let go of."""

    def _alive(self) -> Lived:
        site = self._site
        site.store_due()
        if site.wrong_host_key:
            raise HostKeyMismatch("another key")
        machine = next((one for one in site.cloud.machines() if one.id == self._id), None)
        if machine is None:
            raise RemoteUnreachable("no route to host")
        gone = machine.ended_at is not None and machine.ended_at <= site.clock()
        if gone or self._id in site.unreachable or not site.answers(machine):
            site.clock.sleep(site.knocking_seconds)
            raise RemoteUnreachable("no route to host")
        site.asked_at[self._id] = site.clock()
        return machine

    def _fenced(self, options: dict[str, str]) -> dict[str, object] | None:
        epoch, place, host, _ = self._site.carriers.get(self._id, (0, "", "", self._site.clock()))
        if not options.get("--as") or options["--as"] == f"{epoch}.{place}":
            return None
        return {"error": f"fenced: {host} carries this run now"}

    def _carry(self, _machine: Lived, options: dict[str, str], _data: bytes) -> dict[str, object]:
        site, now, place = self._site, self._site.clock(), options["--place"]
        epoch, held, host, heard = site.carriers.get(self._id, (0, "", "", now))
        quiet_seconds = (now - heard).total_seconds()
        is_kept = bool(options.get("--as")) and options["--as"] == f"{epoch}.{held}"
        is_free = held == "" or quiet_seconds > QUIET_SECONDS or (held == place and "--as" not in options)
        granted = is_kept or is_free or ("--take" in options and not site.keeps_its_carrier)
        if granted and not is_kept:
            epoch, held, host = epoch + 1, place, options["--host"]
        if granted:
            site.carriers[self._id] = (epoch, held, host, now)
        quiet_seconds = max(0.0, quiet_seconds)
        return {"granted": granted, "epoch": epoch, "place": held, "host": host, "since_seconds": quiet_seconds,
                "heard_seconds": quiet_seconds}  # fmt: skip

    def _probe(self, machine: Lived, _options: dict[str, str], _data: bytes) -> dict[str, object]:
        gpu = machine.gpu
        memory, armed = int(gpu.usable_mib) if gpu else 0, self._site.is_armed(self._id)
        life = (self._site.clock() - machine.born_at).total_seconds()
        return {
            "python": "3.11.7", "architecture": "x86_64", "cpus": 4, "ram_gib": 15.5, "disk_free_gib": 80.0,
            "gpus": [{"name": gpu.name, "memory_mib": memory, "driver": "580.1"}] if gpu else [],
            "guard": {"armed": armed, "life_seconds": life, "lease_seconds": 1.0, "why": "test"},
            "clock": self._site.clock().timestamp() + self._site.skews.get(self._id, 0.0), "torch": True,
            **self._site.probe,
        }  # fmt: skip

    def _prove(self, _machine: Lived, _options: dict[str, str], _data: bytes) -> dict[str, object]:
        return {"proved": ["bf16"], "why": "", "failed": "", **self._site.trial}

    def _received(self, _machine: Lived, _options: dict[str, str], _data: bytes) -> dict[str, object]:
        return {"have": 0}

    def _receive(self, _machine: Lived, options: dict[str, str], data: bytes) -> dict[str, object]:
        path = options["--path"]
        if self._id in self._site.full_ids:
            return {"error": "[Errno 28] No space left on device"}
        if "/checkpoints/" in path and path.endswith("manifest.json"):
            self._site.restored[self._id] = json.loads(data)["step"]
        return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    def _unpack(self, _machine: Lived, _options: dict[str, str], _data: bytes) -> dict[str, object]:
        return {}

    def _secrets(self, _machine: Lived, _options: dict[str, str], data: bytes) -> dict[str, object]:
        self._site.secrets_seen.append(data)
        return {}

    def _grant(self, machine: Lived, _options: dict[str, str], data: bytes) -> dict[str, object]:
        self._site.grants[machine.id] = json.loads(data)
        return {"objects": []}

    def _start(self, machine: Lived, _options: dict[str, str], _data: bytes) -> dict[str, object]:
        first, slowness = self._site.restored.get(self._id, 0), self._site.slowness.get(machine.id, 1.0)
        before = self._site.told_to_end.get(machine.id)
        skew = self._site.skews.get(machine.id, 0.0)
        job = Started(self._site.work, self._site.clock(), first, slowness=slowness, skew_seconds=skew)
        job.shortened += [] if before is None else [(job.at, before)]
        self._site.started.setdefault(machine.id, job)
        return {"pid": 7}

    def _status(self, machine: Lived, _options: dict[str, str], _data: bytes) -> dict[str, object]:
        job, now = self._site.started.get(machine.id), self._site.clock()
        if job is None:
            return {"supervisor_alive": False}
        told = [event for _, event in job.lines(now)]
        done = next((one for one in told if one["event"] == "done"), None)
        last = {} if done is None else {key: done[key] for key in ("outcome", "exit_code", "text")}
        answer: dict[str, object] = {"supervisor_alive": not job.is_over(now), "state": "over" if last else "running"}
        answer |= last
        saved = [int(str(one["step"])) for one in told if one["event"] == "checkpoint"]
        step = max(saved, default=self._site.restored.get(machine.id, 0))
        if step:
            manifest = self._files(machine, f"checkpoints/step-{step}")["manifest.json"]
            answer["checkpoint"] = {"name": f"step-{step}", "sha256": hashlib.sha256(manifest).hexdigest()}
        return answer

    def _stop(self, machine: Lived, _options: dict[str, str], _data: bytes) -> dict[str, object]:
        if not self._site.stop_is_ignored:
            job = self._site.started.get(machine.id)
            if job is not None:
                job.stop_at = job.stop_at or self._site.clock()
        return {}

    def _shorten(self, machine: Lived, options: dict[str, str], _data: bytes) -> dict[str, object]:
        site, steps = self._site, int(options["--steps"])
        if site.cannot_be_shortened:
            return {"error": "no such verb"}
        site.told_to_end[machine.id] = steps
        if machine.id in site.started:
            site.started[machine.id].shortened.append((site.clock(), steps))
        return {"max_steps": steps, "supervisor_alive": machine.id in site.started}

    def _lease(self, machine: Lived, options: dict[str, str], _data: bytes) -> dict[str, object]:
        life = (self._site.clock() - machine.born_at).total_seconds()
        self._site.cloud.extend(machine.id, life + float(options["--seconds"]))
        return {"life_seconds": life, "lease_seconds": life + float(options["--seconds"])}

    def _manifest(self, machine: Lived, options: dict[str, str], _data: bytes) -> dict[str, object]:
        files = self._files(machine, options["--under"])
        return {
            "files": [
                {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for path, data in files.items()
            ]
        }

    def _content(self, machine: Lived, verb: str, options: dict[str, str]) -> bytes:
        job = self._site.started.get(machine.id)
        if job is None:
            return b""
        if verb == "send":
            return self._files(machine, options["--under"])[options["--path"]]
        if verb == "log":
            return b"hello from the job\n"
        return job.text(self._site.clock())

    def _files(self, machine: Lived, under: str) -> dict[str, bytes]:
        job, now = self._site.started.get(machine.id), self._site.clock()
        if job is None:
            return {}
        if under.startswith("checkpoints/"):
            whole = checkpoint_bytes(int(under.rpartition("-")[2]))
            return {"manifest.json": whole[:-3] if machine.id in self._site.rotten_ids else whole}
        if job.work.makes_nothing:
            return {}
        if job.is_over(now) and any(e["event"] == "result" for _, e in job.lines(now)):
            return finished_files(job)
        return first_files(job)


def first_files(job: Started) -> dict[str, bytes]:
    return {"logs/data.json": b"{}".ljust(job.work.log_bytes)}


def finished_files(job: Started) -> dict[str, bytes]:
    """What lies below `out` once the job is done."""
    files = first_files(job)
    files["adapter/adapter_model.safetensors"] = (
        b"w" * (job.work.weights_bytes - 1) + b"."
    )  # no palindrome: spoiled is turned
    files["adapter/adapter_config.json"] = b"{}"
    for arm, exact in (("base", 0.02), ("tuned", job.work.exact)):
        summary = {"arm": arm, "n": 200, "metrics": {"exact": exact}}
        files[f"eval/{arm}.json"] = json.dumps(summary).encode()
    return files


def _said(answer: dict[str, object]) -> Completed:
    return Completed(exit_code=0, stdout=json.dumps(answer).encode(), stderr="")
