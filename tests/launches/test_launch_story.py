"""`launch --budget 5 --gpu a10g`, as a process against the test cloud: from the plan to the receipt."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

from tests.cloud.client import REPOSITORY, Cloud, Machine, Reading
from tests.launches.laptop import Laptop, Said

pytestmark = pytest.mark.cloud

SCHEMA = json.loads((REPOSITORY / "docs" / "events.schema.json").read_text())
STORY = ["PROVISIONING", "BOOTING", "SHIPPING", "RUNNING", "PULLING", "TERMINATING", "TERMINATED"]
TOGETHER = pytest.mark.xdist_group("story")
"""Several tests read one launch."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """One launch to its end, and what the cloud had to say about it then."""

    said: Said
    reading: Reading
    machine: Machine
    asked: dict[str, str]
    """The parameters of the only RunInstances call."""
    history: Said
    estimate: Said
    """The next one, of the same job."""


@pytest.fixture(scope="module")
def whole(launch_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """The launch."""
    laptop = Laptop(launch_cloud, tmp_path_factory.mktemp("whole"))
    said = laptop.launched()
    assert said.code == 0, said.err
    laptop.all_quiet()
    (asked,) = launch_cloud.call("calls", operation="RunInstances")
    whole = Whole(
        said=said,
        reading=launch_cloud.meter(),
        machine=laptop.machine(),
        asked=asked,
        history=laptop.run("history", "--json"),
        estimate=laptop.run("estimate", "--gpu", "a10g", "--spot", "--json"),
    )
    launch_cloud.reset()
    yield whole
    laptop.close()


@TOGETHER
def test_one_command_brings_adapter_evaluation_and_receipt_home_and_leaves_no_machine(whole: Whole) -> None:
    receipt = whole.said.last
    folder = Path(receipt["results"]["dir"])
    for name in ("adapter/adapter_model.safetensors", "eval/tuned.json", "logs/job.log", "manifest.json"):
        assert (folder / name).is_file(), name
    assert json.loads((folder / "receipt.json").read_text()) == receipt
    assert receipt["results"]["verified"]
    assert receipt["terminated"]["confirmed"]
    assert (receipt["attempts"], receipt["leftovers"]) == (1, [])
    assert whole.machine.state == "terminated"


@TOGETHER
def test_the_events_are_the_story_in_its_order_and_end_with_the_only_receipt(whole: Whole) -> None:
    events = whole.said.events
    for event in events:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)
    names = [event["event"] for event in events]
    assert next(name for name in names if name != "warning") == "plan"  # what the plan rests on is told before it
    assert names.index("intent") < min(names.index("progress"), names.index("pulled"))
    assert names.count("receipt") == 1
    assert names[-1] == "receipt"
    assert "error" not in names
    assert [event["state"] for event in events if event["event"] == "state"] == STORY
    assert all(before <= after for before, after in pairwise(event["at"] for event in events))


@TOGETHER
def test_the_receipt_is_never_below_the_meter_and_close_to_it(whole: Whole) -> None:
    metered, spent = whole.reading.total_usd, Decimal(whole.said.last["spent_usd"])
    assert metered <= spent <= metered + Decimal("0.005")


@TOGETHER
def test_a_spot_machine_is_asked_for_with_the_price_that_the_budget_counts_on(whole: Whole) -> None:
    intent = next(event for event in whole.said.events if event["event"] == "intent")
    assert whole.machine.spot
    assert whole.asked["InstanceMarketOptions.MarketType"] == "spot"
    most = Decimal(whole.asked["InstanceMarketOptions.SpotOptions.MaxPrice"])
    assert most == Decimal(intent["offer"]["worst_usd_per_hour"])


@TOGETHER
def test_the_run_is_in_the_history_beside_its_forecast_and_corrects_the_next_estimate(whole: Whole) -> None:
    assert whole.history.code == 0, whole.history.err
    found, receipt = whole.history.last, whole.said.last
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    (run,) = found["runs"]
    assert (run["run"], run["counts"], run["gpu"]) == (receipt["run"], True, "A10G")
    assert (run["spent_usd"], run["planned_usd"]) == (receipt["spent_usd"], receipt["planned_usd"])
    phases = {one["name"]: one["whole_seconds"] for one in run["machines"][0]["phases"]}
    assert all(phases[one["name"]] == pytest.approx(one["seconds"], abs=0.2) for one in receipt["phases"])
    assert whole.estimate.code == 0, whole.estimate.err
    factors = whole.estimate.last["choices"][0]["corrections"]
    assert {"boot", "train", "evaluate"} <= set(factors)
    assert factors["boot"] < 1  # a machine of the test cloud is there at once


def test_an_on_demand_machine_is_rented_where_that_is_asked_for(laptop: Laptop) -> None:
    said = laptop.launched("--on-demand", "--region", "us-east-2")
    assert said.code == 0, said.err
    machine = laptop.machine()
    assert (machine.spot, machine.region) == (False, "us-east-2")
    laptop.all_quiet()
