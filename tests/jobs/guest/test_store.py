"""The supervisor and a durable store over sockets: stored beside the job and after it, and then the machine may end."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.progress import Checkpoint, Done, Stored, Warned
from launcher import bucket_calls
from launcher.bucket_calls import SignedBucket
from launcher.config import DurableStore
from launcher.store_reading import InStore
from tests.jobs.guest.box import RUN, Box
from tests.strict_store import BUCKET, KEY, REGION, SECRET, Store, strict_store

MACHINES_KEY = "ef" * 32
PART = 64 * 1024


@pytest.fixture(scope="module")
def service() -> Iterator[Store]:
    with strict_store() as service:
        yield service


@pytest.fixture
def bucket(service: Store, monkeypatch: pytest.MonkeyPatch) -> SignedBucket:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    settings = DurableStore(bucket=BUCKET, endpoint_url=service.address, region=REGION)
    return bucket_calls.connect(settings, {})


def grant(bucket: SignedBucket, run: str, **changes: object) -> bytes:
    slots = []
    for name in ("results", "checkpoint-1", "checkpoint-2"):
        begun = bucket.begin(f"runs/{run}/1/{name}")
        signed = bucket.addresses(begun, parts=1, part_bytes=PART, seconds=600)
        slots.append(
            {
                "what": name.partition("-")[0], "object": name, "part_bytes": PART, "parts": list(signed.parts),
                "complete": signed.complete, "read": signed.read,
            }
        )  # fmt: skip
    document = {
        "schema": 1, "key": MACHINES_KEY, "run": run, "attempt": 1, "every_seconds": 0, "upload_seconds": 5,
        "end": True, "wait_seconds": 0.2, "slots": slots,
    }  # fmt: skip
    return json.dumps({**document, **changes}).encode()


def lease(box: Box) -> int:
    return int((box.guard / "lease").read_text())


def until_over(box: Box) -> None:
    """The supervisor goes on after `done`: it stores, and waits."""
    list(box.follow())


def index_of(bucket: SignedBucket, run: str, name: str) -> InStore:
    (stored,) = bucket.objects(f"runs/{run}/1/{name}")
    return InStore(bucket, stored, MACHINES_KEY, (run, 1))


def test_results_are_stored_told_and_then_the_machine_ends_itself(box: Box, bucket: SignedBucket) -> None:
    box.ship()
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "one"))
    box.start()
    events = list(box.follow())
    (told,) = [one for one in events if isinstance(one, Stored) and one.what == "results"]
    index = index_of(bucket, "one", "results").index()
    assert index.done is not None
    assert index.done.outcome == "succeeded"
    assert "adapter/adapter_model.safetensors" in [file.path for file in index.files]
    assert told.object == "results"
    assert lease(box) == 10  # its life: the dead-man ends it now
    assert "ends-itself" in [one.code for one in events if isinstance(one, Warned)]


def test_it_does_not_end_itself_where_the_grant_does_not_say_so(box: Box, bucket: SignedBucket) -> None:
    box.ship()
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "two", end=False))
    box.start()
    until_over(box)
    assert index_of(bucket, "two", "results").index().files
    assert lease(box) == 100_000


def test_somebody_who_asks_keeps_it(box: Box, bucket: SignedBucket) -> None:
    box.ship()
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "three", wait_seconds=3))
    box.start()
    until = time.monotonic() + 60
    while not bucket.objects("runs/three/1/results") and time.monotonic() < until:
        box.status()
    for _ in range(8):
        box.ask("manifest", "--run", RUN)
        assert lease(box) == 100_000
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "three-again"))


def test_a_store_that_refuses_fails_no_job_and_keeps_the_machine(box: Box, bucket: SignedBucket) -> None:
    box.ship()
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "four").replace(b"/runs/four/", b"/runs/five/"))
    box.start()
    events = list(box.follow())
    (done,) = [one for one in events if isinstance(one, Done)]
    assert done.outcome == "succeeded"
    (why,) = {one.text for one in events if isinstance(one, Warned) and one.code == "store" and "out" in one.text}
    assert why == "out is not stored yet: the store refused (403 SignatureDoesNotMatch)"
    assert lease(box) == 100_000


def test_the_last_checkpoint_of_a_job_that_was_stopped_is_stored_with_its_logs(box: Box, bucket: SignedBucket) -> None:
    box.environment["QUICK_STEPS"], box.environment["QUICK_SECONDS"] = "400", "0.05"
    box.ship()
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "five", every_seconds=3600, end=False))
    box.start()
    last = 0
    stopped = False
    stored: list[Stored] = []
    for event in box.follow():
        if isinstance(event, Checkpoint):
            last = event.step
            if not stopped and last >= 8:
                stopped = True
                box.ask("stop", "--run", RUN)
        if isinstance(event, Stored):
            stored.append(event)
    assert (stored[-1].what, stored[-2].what, stored[-2].step) == ("results", "checkpoint", last)
    (newest, *_) = sorted(bucket.objects("runs/five/1/checkpoint-"), key=lambda one: one.key, reverse=True)
    source = InStore(bucket, newest, MACHINES_KEY, ("five", 1))
    assert source.index().name == f"step-{last}"
    assert "manifest.json" in [file.path for file in source.index().files]


def test_addresses_that_ran_out_give_way_to_those_of_a_newer_grant(box: Box, bucket: SignedBucket) -> None:
    """The laptop's credentials ended and were renewed: the same objects can be written again."""
    box.environment["QUICK_STEPS"], box.environment["QUICK_SECONDS"] = "400", "0.05"
    good = grant(bucket, "renewed", end=False)
    stale = json.loads(good)
    for slot in stale["slots"]:
        slot["parts"] = [address.replace("Signature=", "Signature=0") for address in slot["parts"]]
        slot["complete"] += "&stale"
    box.ship()
    box.ask("grant", "--run", RUN, stdin=json.dumps(stale).encode())
    box.start()
    renewed = stopped = False
    stored: list[str] = []
    for event in box.follow():
        if isinstance(event, Warned) and event.code == "store" and not renewed:
            renewed = True
            box.ask("grant", "--run", RUN, stdin=good)
        if isinstance(event, Stored):
            stored.append(event.object)
        if stored and not stopped:
            stopped = True
            box.ask("stop", "--run", RUN)
    assert renewed
    assert "checkpoint-1" in stored
    assert stored[-1] == "results"


def test_who_follows_the_log_is_told_its_end_while_the_supervisor_waits_on(box: Box, bucket: SignedBucket) -> None:
    box.ship()
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "waits", wait_seconds=30))
    box.start()
    assert b"step 8 of 8" in box.call("log", "--run", RUN, "--offset", "0", "--follow").stdout
    assert box.status()["supervisor_alive"], "it stores, and waits for somebody"
    assert lease(box) == 100_000


def test_no_address_lies_on_the_disk(box: Box, bucket: SignedBucket) -> None:
    box.ship()
    box.ask("grant", "--run", RUN, stdin=grant(bucket, "six", end=False))
    box.start()
    until_over(box)
    for path in box.folder.rglob("*"):
        if path.is_file():
            assert b"X-Amz-Signature" not in path.read_bytes() or path.name == "guest.pyz", path
    held = [path for path in Path("/dev/shm").glob("launch-*-grant") if path.is_dir()]
    assert not [path for path in held if "six" in (path / "grant.json").read_text()]


def test_an_address_in_a_jobs_own_words_is_redacted(box: Box, bucket: SignedBucket) -> None:
    box.environment["QUICK_TELL"] = "https://x/?X-Amz-Credential=A%2Fb&X-Amz-Signature=" + "a" * 64
    box.ship()
    box.start()
    until_over(box)
    assert b"a" * 64 not in (box.run / "progress.jsonl").read_bytes()


@pytest.mark.parametrize("odd", [b"", b"{", b"[]", b'{"slots": []}', b'{"slots": [{}]}', b"x" * (4 << 20) + b"y"])
def test_an_odd_grant_is_refused_and_shows_nothing(box: Box, odd: bytes) -> None:
    box.ship()
    assert box.refusal("grant", "--run", RUN, stdin=odd) == "that is no grant"
