"""A durable store in memory, and the machines that write into it: on a virtual clock, with faults.

    bucket = stage.with_store()      # from now on this laptop has one, and its machines use what it grants
Knobs: `is_away` (nobody gets an answer), `away_to_machines` (only machines do not), `shut` (the same, for a
while), `lost_begins` (the next n uploads are begun and the answer is lost), `spoiled` (keys of which other bytes come
back) and `spoils` (of all), `expires` (the credentials' end). `before_call` and `after_call` hear of every
call of the laptop.
`storing.upload_seconds` is what an upload takes. `content`, `uploads` and `calls` say what is there, and what was
asked. A machine stores each checkpoint that it has a place for (one is kept for the last), its results once the job is
over, and then ends itself where the grant says so and nobody has asked for anything for a while.
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from launcher.bucket import Addresses, Begun, BucketError, Stored
from providers.base import EndReason
from tests.fake_guest import Site, Started, checkpoint_bytes, finished_files, first_files
from tests.fake_machine import Machine, VirtualClock
from tests.fake_provider import FakeCloud


def packed(files: Mapping[str, bytes], about: Mapping[str, object], key: str) -> bytes:
    """One object as docs/durable.md describes it; without the zeros that fill up a part."""
    listed = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()
    ]
    index = json.dumps({"schema": 1, **about, "files": listed}).encode()
    proof = hmac.new(bytes.fromhex(key), index, hashlib.sha256).hexdigest()
    return b"".join(files.values()) + index + f"launch-store 1 {len(index):012d} {proof}".ljust(127).encode() + b"\n"


@dataclass
class Shut:
    """From one moment to another it does not answer."""

    since: datetime
    until: datetime
    to_laptops: bool


@dataclass
class FakeBucket:
    """See `launcher.bucket.Bucket`."""

    clock: Callable[[], datetime]
    content: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)
    """Upload to key."""
    ends: dict[str, datetime] = field(default_factory=dict)
    """When the addresses of an upload end."""
    calls: list[str] = field(default_factory=list)
    is_away: bool = False
    away_to_machines: bool = False
    shut: list[Shut] = field(default_factory=list)
    lost_begins: int = 0
    spoiled: set[str] = field(default_factory=set)
    spoils: bool = False
    expires: datetime | None = None
    refuses: str = ""
    begun_ever: int = 0
    due: Callable[[], None] = lambda: None
    """Lets machines do what they would have done by now."""
    at_read: Callable[[], None] = lambda: None
    """Called before the bytes of an object come."""
    before_call: Callable[[str], None] = lambda verb: None
    after_call: Callable[[str], None] = lambda verb: None
    name: str = "mine/launch"

    def _call(self, verb: str) -> None:
        self.before_call(verb)
        self.due()
        self.calls.append(verb)
        if self.is_away or self._is_shut(self.clock(), to_laptops=True):
            raise BucketError("no answer", passing=True)
        if self.refuses:
            raise BucketError(f"{verb}: {self.refuses}", code="AccessDenied")

    def begin(self, key: str) -> Begun:
        self._call("begin")
        self.begun_ever += 1
        upload = f"upload-{self.begun_ever}"
        self.uploads[upload] = key
        if self.lost_begins:
            self.lost_begins -= 1
            raise BucketError("the answer was lost", passing=True)
        self.after_call("begin")
        return Begun(key=key, upload_id=upload)

    def addresses(self, begun: Begun, *, parts: int, part_bytes: int, seconds: int) -> Addresses:
        self.ends[begun.upload_id] = datetime.fromtimestamp(self.clock().timestamp() + seconds, self.clock().tzinfo)
        upload = begun.upload_id
        return Addresses(
            parts=tuple(f"fake://{upload}/{number}" for number in range(parts)),
            complete=f"fake://{upload}/complete",
            read=f"fake://{upload}/read",
        )

    def signed_until(self) -> datetime | None:
        return self.expires

    def objects(self, under: str) -> tuple[Stored, ...]:
        self._call("objects")
        found = sorted((key, data) for key, data in self.content.items() if key.startswith(under))
        return tuple(Stored(key=key, bytes=len(data)) for key, data in found)

    def begun(self, under: str) -> tuple[Begun, ...]:
        self._call("begun")
        return tuple(Begun(key=key, upload_id=one) for one, key in self.uploads.items() if key.startswith(under))

    def read(self, key: str, start: int, length: int) -> Iterator[bytes]:
        self._call("read")
        self.at_read()
        data = self.content[key]
        if key in self.spoiled or self.spoils:
            data = bytes([data[0] ^ 1]) + data[1:]
        yield data[start : start + length]

    def remove(self, key: str) -> None:
        self._call("remove")
        self.content.pop(key, None)
        self.after_call("remove")

    def give_up(self, begun: Begun) -> None:
        self._call("give up")
        self.uploads.pop(begun.upload_id, None)
        self.after_call("give up")

    def probe(self, key: str) -> None:
        self._call("probe")

    def complete(self, slot: Mapping[str, object], at: datetime, content: bytes) -> bool:
        """A machine has written all of it by its addresses; whether that worked at that moment."""
        upload = str(slot["complete"]).split("/")[2]
        is_away = self.is_away or self.away_to_machines or self._is_shut(at)
        if is_away or upload not in self.uploads or at > self.ends[upload]:
            return False
        self.content[self.uploads.pop(upload)] = content
        return True

    def _is_shut(self, at: datetime, *, to_laptops: bool = False) -> bool:
        return any(one.since <= at < one.until and one.to_laptops >= to_laptops for one in self.shut)


@dataclass
class Storing:
    """All machines' side of it; `due` lets them do what they would have done by now."""

    bucket: FakeBucket
    site: Site
    cloud: FakeCloud
    clock: VirtualClock
    upload_seconds: float = 5.0
    used: dict[str, set[str]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    began: dict[str, datetime] = field(default_factory=dict)
    durable_at: dict[str, datetime] = field(default_factory=dict)
    keys: dict[str, list[str]] = field(default_factory=dict)
    """By machine: what it has stored."""
    looked_at: datetime | None = None
    alive_until: dict[str, datetime] = field(default_factory=dict)
    """By machine: how long it lived, as far as is known by now."""

    def __post_init__(self) -> None:
        self.bucket.due = self.site.store_due = self.due
        before = self.cloud.before_call

        def first_due(verb: str) -> None:
            self.due()
            before(verb)

        self.cloud.before_call = first_due

    def due(self) -> None:
        """For every machine that was granted anything and has a job."""
        for id, grant in self.site.grants.items():
            if id in self.site.unreachable | self.site.wiped:
                continue  # off the network, or begun anew: nothing is stored any more
            job, machine = self.site.started.get(id), self.cloud.truth[id]
            until = min(machine.ended_at or self.clock(), machine.dead_at or self.clock(), self.clock())
            if job is not None:
                self._stored_by(id, job, grant, until)
                self._ends(id, grant, machine, until)
        self.looked_at = self.clock()

    def _stored_by(self, id: str, job: Started, grant: dict[str, Any], until: datetime) -> None:
        lines = job.lines(until - timedelta(seconds=self.upload_seconds))
        self.alive_until[id] = until
        done = next(((at, event) for at, event in lines if event["event"] == "done"), None)
        saved = [(at, int(str(event["step"]))) for at, event in lines if event["event"] == "checkpoint"]
        is_last = done is not None and done[1]["outcome"] != "succeeded"
        for at, step in saved:
            kept = 0 if is_last and step == saved[-1][1] else 1
            is_due = id not in self.began or (at - self.began[id]).total_seconds() >= grant["every_seconds"]
            if step > self.steps.get(id, -1) and (is_due or not kept) and (done is None or is_last):
                files = {"manifest.json": checkpoint_bytes(step)}
                about = {"what": "checkpoint", "name": f"step-{step}", "step": step}
                if self._put(id, job, grant, at, about, files, kept):
                    self.steps[id], self.began[id] = step, at
        if done is not None and id not in self.durable_at:
            ending = {name: done[1][name] for name in ("outcome", "exit_code", "step", "text")}
            about = {"what": "results", "name": "out", "step": self.steps.get(id, 0), "ending": ending}
            files = finished_files(job) if any(e["event"] == "result" for _, e in lines) else first_files(job)
            if self._put(id, job, grant, done[0], about, files, 0):
                self.durable_at[id] = self._told_at(done[0])

    def _put(
        self, id: str, job: Started, grant: dict[str, Any], at: datetime, about: dict[str, Any],
        files: dict[str, bytes], kept: int,
    ) -> bool:  # fmt: skip
        used = self.used.setdefault(id, set())
        slots = [one for one in grant["slots"] if one["what"] == about["what"] and one["object"] not in used]
        if len(slots) <= kept:
            return False
        about = {**about, "run": grant["run"], "attempt": grant["attempt"], "object": slots[0]["object"]}
        content = packed(files, about, grant["key"])
        at = self._told_at(at)
        if at > self.alive_until[id] or not self.bucket.complete(slots[0], at, content):
            return False
        used.add(slots[0]["object"])
        key = f"runs/{grant['run']}/{grant['attempt']}/{slots[0]['object']}"
        self.keys.setdefault(id, []).append(key)
        self.site.sent_by[id] += len(content)
        told = {name: about[name] for name in ("what", "name", "step", "object")}
        job.stored.append((at, {"event": "stored", **told, "files": len(files), "bytes": len(content),
                                "sha256": hashlib.sha256(content).hexdigest()}))  # fmt: skip
        return True

    def _told_at(self, at: datetime) -> datetime:
        """When the upload was over; not before what anybody may have read already."""
        over = at + timedelta(seconds=self.upload_seconds)
        return over if self.looked_at is None or over > self.looked_at else self.clock()

    def _ends(self, id: str, grant: dict[str, Any], machine: Machine, until: datetime) -> None:
        if id not in self.durable_at or not grant["end"] or machine.ended_at is not None:
            return
        since = max(self.durable_at[id], self.site.asked_at.get(id, self.durable_at[id]))
        if until >= since + timedelta(seconds=grant["wait_seconds"]):
            machine.end(since + timedelta(seconds=grant["wait_seconds"]), EndReason.OWN_DEADLINE)
