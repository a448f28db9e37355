"""The real door to a durable store, against a server over sockets that checks every signed address."""

import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ConnectTimeoutError

from jobs.guest.container import Container, TooLarge
from jobs.guest.transfer import listed
from jobs.guest.upload import NotStored, upload
from launcher import bucket_calls
from launcher.answers import GuestError
from launcher.bucket import BucketError
from launcher.bucket_calls import SignedBucket
from launcher.config import DurableStore
from launcher.pull import Caps, pull
from launcher.store_reading import InStore
from tests.strict_store import BUCKET, KEY, REGION, SECRET, Store, strict_store

SECRET_OF_THE_MACHINE = "ab" * 32
WHOSE = ("brave-otter-0001", 1)
PART = 5 * 2**20
CAPS = Caps(files=10, bytes=2**30, seconds=60)


@pytest.fixture(scope="module")
def service() -> Iterator[Store]:
    with strict_store() as service:
        yield service


@pytest.fixture
def store(service: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    service.gate.refused.clear()
    return service


@pytest.fixture
def bucket(store: Store) -> SignedBucket:
    settings = DurableStore(bucket=BUCKET, prefix="launch/", endpoint_url=store.address, region=REGION)
    return bucket_calls.connect(settings, {})


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """More than one part, and a file that lies across the border of two."""
    folder = tmp_path / "out"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(bytes(range(256)) * (26 * 2**20 // 1024))
    (folder / "logs").mkdir()
    (folder / "logs" / "job.log").write_bytes(b"hello\n")
    return folder


def contained(folder: Path, name: str = "results", parts: int = 4) -> Container:
    about = {
        "what": "results", "name": "out", "step": 40, "object": name, "run": WHOSE[0], "attempt": WHOSE[1],
        "ending": {"outcome": "succeeded", "exit_code": 0, "step": "", "text": ""},
    }  # fmt: skip
    return Container(str(folder), listed(str(folder)), about, bytes.fromhex(SECRET_OF_THE_MACHINE), (parts, PART))


def slot_of(bucket: SignedBucket, name: str = "results", parts: int = 4) -> dict[str, object]:
    begun = bucket.begin(f"runs/brave-otter-0001/1/{name}")
    signed = bucket.addresses(begun, parts=parts, part_bytes=PART, seconds=600)
    return {"parts": list(signed.parts), "complete": signed.complete, "read": signed.read}


def never(seconds: float) -> bool:
    del seconds
    return False


def source(bucket: SignedBucket, name: str = "results", key: str = SECRET_OF_THE_MACHINE) -> InStore:
    (stored,) = bucket.objects(f"runs/brave-otter-0001/1/{name}")
    return InStore(bucket, stored, key, WHOSE)


def put(address: str, body: bytes) -> int:
    request = urllib.request.Request(address, data=body, method="PUT", headers={"Content-Type": ""})
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_what_a_machine_stores_by_signed_addresses_comes_home_whole(
    bucket: SignedBucket, store: Store, results: Path, tmp_path: Path
) -> None:
    upload(contained(results), slot_of(bucket), never)
    home = tmp_path / "home"
    pulled = pull(source(bucket), "out", home, CAPS, datetime.now(UTC))
    assert (pulled.files, pulled.verified) == (2, True)
    for path in ("adapter/adapter_model.safetensors", "logs/job.log"):
        assert (home / path).read_bytes() == (results / path).read_bytes()
    index = source(bucket).index()
    assert (index.what, index.step, index.done and index.done.outcome) == ("results", 40, "succeeded")
    assert store.gate.refused == []


def test_lost_answers_and_torn_parts_are_made_good(bucket: SignedBucket, store: Store, results: Path) -> None:
    store.gate.lose_answers, store.gate.torn_parts = 1, 1
    upload(contained(results, "checkpoint-1"), slot_of(bucket, "checkpoint-1"), never)
    assert source(bucket, "checkpoint-1").index().files[0].bytes == 26 * 2**20 // 4
    assert (store.gate.lose_answers, store.gate.torn_parts) == (0, 0)


def test_a_store_that_tells_no_hash_is_read_back_as_a_whole(bucket: SignedBucket, store: Store, results: Path) -> None:
    store.gate.plain_tags = True
    before = len(store.gate.signed)
    try:
        upload(contained(results, "checkpoint-2"), slot_of(bucket, "checkpoint-2"), never)
    finally:
        store.gate.plain_tags = False
    reads = [one for one in store.gate.signed[before:] if one.startswith("GET")]
    assert len(reads) == 2


def test_an_object_is_written_once_and_never_again(bucket: SignedBucket, store: Store, results: Path) -> None:
    slot = slot_of(bucket, "checkpoint-3")
    upload(contained(results, "checkpoint-3"), slot, never)
    before = store.client.get_object(Bucket=BUCKET, Key="launch/runs/brave-otter-0001/1/checkpoint-3")["ETag"]
    (results / "logs" / "job.log").write_bytes(b"something else\n")
    with pytest.raises(NotStored):
        upload(contained(results, "checkpoint-3"), slot, lambda seconds: seconds > 0)
    after = store.client.get_object(Bucket=BUCKET, Key="launch/runs/brave-otter-0001/1/checkpoint-3")["ETag"]
    assert before == after


def test_no_part_is_larger_or_smaller_than_was_signed(bucket: SignedBucket, store: Store) -> None:
    parts = slot_of(bucket, "sized")["parts"]
    assert isinstance(parts, list)
    assert put(parts[0], b"x" * (PART + 1)) == 403
    assert put(parts[0], b"x" * 10) == 403
    assert put(parts[0], b"x" * PART) == 200
    assert len(store.gate.refused) == 2


def test_an_address_is_good_for_one_object_and_for_a_while(bucket: SignedBucket, store: Store) -> None:
    parts = slot_of(bucket, "elsewhere")["parts"]
    assert isinstance(parts, list)
    assert put(parts[0].replace("elsewhere", "results"), b"x" * PART) == 403
    store.gate.now = lambda: datetime.now(UTC) + timedelta(seconds=601)
    try:
        assert put(parts[0], b"x" * PART) == 403
    finally:
        store.gate.now = lambda: datetime.now(UTC)


def test_more_than_was_granted_is_not_begun(results: Path) -> None:
    with pytest.raises(TooLarge):
        contained(results, parts=1)


def test_another_key_reads_nothing_of_it(bucket: SignedBucket, results: Path) -> None:
    upload(contained(results, "checkpoint-4"), slot_of(bucket, "checkpoint-4"), never)
    with pytest.raises(GuestError, match="not written by the machine"):
        source(bucket, "checkpoint-4", key="cd" * 32).index()
    with pytest.raises(GuestError, match="belongs elsewhere"):
        InStore(bucket, source(bucket, "checkpoint-4")._stored, SECRET_OF_THE_MACHINE, ("other-run-0002", 1)).index()


def test_what_is_no_object_of_ours_is_refused(bucket: SignedBucket, store: Store) -> None:
    for number, body in enumerate((b"", b"x", b"y" * 4096, b"launch-store 1 999999999999 " + b"0" * 64 + b" " * 35)):
        name = f"odd-{number}"
        store.client.put_object(Bucket=BUCKET, Key=f"launch/runs/brave-otter-0001/1/{name}", Body=body)
        with pytest.raises(GuestError):
            source(bucket, name).index()
        bucket.remove(f"runs/brave-otter-0001/1/{name}")


def test_the_probe_leaves_nothing_behind(bucket: SignedBucket) -> None:
    bucket.probe("probe-1")
    assert bucket.objects("probe-") == ()
    assert bucket.begun("probe-") == ()


class Halting:
    """A client whose second upload does not begin."""

    def __init__(self, client: Any) -> None:
        self._client, self.begun = client, 0

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._client, verb)

    def create_multipart_upload(self, **said: object) -> Any:
        self.begun += 1
        if self.begun == 2:
            raise ConnectTimeoutError(endpoint_url="http://away")
        return self._client.create_multipart_upload(**said)


def test_a_probe_that_fails_in_the_middle_leaves_nothing_behind(bucket: SignedBucket, store: Store) -> None:
    settings = DurableStore(bucket=BUCKET, prefix="launch/", endpoint_url=store.address, region=REGION)
    with pytest.raises(BucketError, match="ConnectTimeoutError"):
        SignedBucket(Halting(store.client), None, settings).probe("probe-2")
    assert bucket.begun("probe-") == ()


def test_given_up_uploads_and_removed_objects_are_gone_and_may_be_asked_for_again(bucket: SignedBucket) -> None:
    begun = bucket.begin("runs/calm-heron-0002/1/results")
    assert bucket.begun("runs/calm-heron-0002/") == (begun,)
    for _ in range(2):
        bucket.give_up(begun)
        bucket.remove("runs/calm-heron-0002/1/results")
    assert bucket.begun("runs/calm-heron-0002/") == ()


def test_a_bucket_that_is_not_there_is_told_by_name_and_code(store: Store) -> None:
    settings = DurableStore(bucket="nobodys", endpoint_url=store.address, region=REGION)
    with pytest.raises(BucketError, match="nobodys") as caught:
        bucket_calls.connect(settings, {}).probe("probe-1")
    assert caught.value.code == "NoSuchBucket"
    assert not caught.value.passing


def test_a_session_that_ends_is_known(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = DurableStore(bucket=BUCKET, endpoint_url=store.address, region=REGION)
    assert bucket_calls.connect(settings, {}).signed_until() is None
    monkeypatch.setenv("AWS_SESSION_TOKEN", "for-an-hour")
    until = bucket_calls.connect(settings, {}).signed_until()
    assert until is not None
    assert until <= datetime.now(UTC)  # nobody says when: counted as ending now


def test_no_credentials_are_told_with_what_to_do(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(BucketError) as caught:
        bucket_calls.connect(DurableStore(bucket=BUCKET, endpoint_url=store.address), {})
    assert caught.value.code == "store-auth"


def test_an_address_shows_in_no_error(bucket: SignedBucket, store: Store, results: Path) -> None:
    slot = slot_of(bucket, "expired")
    store.gate.now = lambda: datetime.now(UTC) + timedelta(days=1)
    try:
        with pytest.raises(NotStored) as caught:
            upload(contained(results, "expired"), slot, never)
    finally:
        store.gate.now = lambda: datetime.now(UTC)
    assert caught.value.refused
    assert not caught.value.spent, "the next grant has others for it"
    assert "Signature=" not in repr(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    assert caught.value.__cause__ is None
