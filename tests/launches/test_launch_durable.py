"""A whole launch whose laptop dies: the machine stores its results and ends itself, and they come home another day."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launches.laptop import Laptop
from tests.strict_store import BUCKET, REGION, Store, strict_store

pytestmark = pytest.mark.cloud


@pytest.fixture
def store(laptop: Laptop) -> Iterator[Store]:
    """A bucket of the laptop's own user, in its settings."""
    with strict_store(laptop.environ["AWS_SECRET_ACCESS_KEY"]) as store:
        settings = json.loads(Path(laptop.environ["LAUNCH_CONFIG"]).read_text())
        mine = {"bucket": BUCKET, "prefix": "launches", "endpoint_url": store.address, "region": REGION}
        own = laptop.folder / "config.yaml"
        own.write_text(json.dumps({**settings, "durable_store": {**mine, "wait_seconds": 1}}))
        laptop.environ["LAUNCH_CONFIG"] = str(own)
        yield store


def objects(store: Store, under: str) -> list[str]:
    listed = store.client.list_objects_v2(Bucket=BUCKET, Prefix=f"launches/{under}")
    return [one["Key"] for one in listed.get("Contents", [])]


def test_a_machine_without_its_laptop_stores_ends_itself_and_is_settled_another_day(
    laptop: Laptop, store: Store
) -> None:
    laptop.quick(steps=12, seconds=0.1, save_every=4)
    typed = laptop.launch()
    run = typed.until_state("RUNNING")["run"]
    typed.kill()
    laptop.cloud.wait_for(lambda: not laptop.cloud.meter().alive, 60)
    assert objects(store, f"runs/{run}/1/results") == [f"launches/runs/{run}/1/results"]
    early = laptop.cloud.meter().total_usd  # its lease would have cost dollars

    pulled = laptop.run("pull", "--json")
    assert (pulled.code, pulled.last["event"]) == (0, "pulled"), f"{pulled.out[-4000:]}\n{pulled.err[-4000:]}"
    assert pulled.last["verified"]
    assert (laptop.record().out_dir / "adapter" / "adapter_model.safetensors").is_file()

    reaped = laptop.run("reap", "--json")
    assert reaped.code == 0, reaped.err
    receipt = json.loads(laptop.run("receipt", "--json").out)
    assert (receipt["outcome"], receipt["exit_code"]) == ("succeeded", 0)
    assert receipt["results"]["verified"]
    assert receipt["results"]["store"] == "mine/launches"
    assert objects(store, "") == []
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=BUCKET)
    assert laptop.cloud.meter().total_usd < 2 * early < 1
    assert store.gate.refused == []
    laptop.all_quiet()


def test_doctor_writes_reads_and_removes(laptop: Laptop, store: Store) -> None:
    found = laptop.run("doctor", "--json").last["findings"]
    (told,) = [one for one in found if one["subject"] == "durable store"]
    assert (told["level"], told["text"]) == ("ok", "mine/launches: written, read back, removed")
    assert objects(store, "") == []
