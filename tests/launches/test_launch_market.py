"""One market of three clouds: the cheapest to finish on is taken, and what refuses is left for the next."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import jsonschema
import pytest

from tests.cloud.client import REPOSITORY, RUNPOD_READ_ONLY_KEY, Cloud
from tests.launches.laptop import Laptop, Said

pytestmark = pytest.mark.cloud

AWS, LAMBDA, RUNPOD = "aws", "lambda", "runpod"
ALL = (AWS, LAMBDA, RUNPOD)
SOLD_IN = {"us-east-1": "abcdf", "us-east-2": "abc"}
ZONES = tuple(f"{region}{letter}" for region, letters in SOLD_IN.items() for letter in letters)
LAMBDA_A100, RUNPOD_A100 = "gpu_1x_a100_sxm4", "NVIDIA A100 80GB PCIe"
SCHEMA = json.loads((REPOSITORY / "docs" / "events.schema.json").read_text())
AGREED = ("--budget", "20", "--yes", "--accept-unguarded", "--json")


@pytest.fixture
def three(laptop: Laptop) -> Laptop:
    """A laptop with credentials for all three, whose own waits are over quickly."""
    laptop.at(*ALL)
    laptop.hurry(5)
    return laptop


def sell_cheaply(cloud: Cloud, name: str, usd_per_hour: str) -> None:
    """One machine type costs so much there in one place; at AWS in every zone, where one would be an outlier."""
    if name == AWS:
        for zone in ZONES:
            cloud.price(zone, "g5.xlarge", usd_per_hour)
        return
    places = {LAMBDA: ["us-east-1"], RUNPOD: {"US-KS-2": "HIGH"}}[name]
    cloud.call("sell", cloud=name, usd_per_hour=usd_per_hour, instance_type=SOLD[name], places=places)


SOLD = {AWS: "g5.xlarge", LAMBDA: LAMBDA_A100, RUNPOD: RUNPOD_A100}
POOLS = {
    AWS: [f"{zone}/g5.xlarge/spot" for zone in ZONES],
    LAMBDA: [f"lambda/us-east-1/{LAMBDA_A100}"],
    RUNPOD: [f"runpod/SECURE/US-KS-2/{RUNPOD_A100}"],
}


RISING = (
    {AWS: "0.005", LAMBDA: "0.02", RUNPOD: "0.02"},
    {AWS: "0.10", LAMBDA: "0.12", RUNPOD: "0.12"},
    {AWS: "0.20", LAMBDA: "0.25", RUNPOD: "0.25"},
)
"""By the hour: what makes each cloud the cheapest, the second and the third to finish on.

AWS adds disk and address."""


def sold_out(cloud: Cloud, name: str) -> None:
    """Nothing is left of what that cloud sells cheaply."""
    for pool in POOLS[name]:
        cloud.capacity(pool, 0)


def refused(said: Said) -> list[str]:
    """Who refused, in order."""
    return [event["offer"]["provider"] for event in said.events if event["event"] == "refused"]


def sound(laptop: Laptop, said: Said) -> None:
    """It went well, by every judge: exit code, events, receipt, the clouds' bills and their contracts."""
    assert said.code == 0, said.err
    for event in said.events:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)
    receipt = said.last
    assert (receipt["outcome"], receipt["results"]["verified"]) == ("succeeded", True)
    assert receipt["terminated"]["confirmed"]
    assert receipt["leftovers"] == []
    assert laptop.cloud.meter().total_usd <= Decimal(receipt["spent_usd"])
    assert laptop.cloud.call("violations") == {}
    laptop.all_quiet(budget="20")


@pytest.mark.parametrize("name", ALL)
def test_the_cloud_that_is_cheapest_to_finish_on_gets_the_run(three: Laptop, name: str) -> None:
    sell_cheaply(three.cloud, name, "0.05")
    said = three.run(*AGREED, "--job", "job")
    sound(three, said)
    machines = three.cloud.machines()
    assert [(one.cloud, one.instance_type) for one in machines] == [(name, SOLD[name])]
    assert said.last["provider"] == name
    assert refused(said) == []


@pytest.mark.parametrize("order", [(LAMBDA, RUNPOD, AWS), (RUNPOD, AWS, LAMBDA), (AWS, LAMBDA, RUNPOD)], ids="-".join)
def test_where_the_two_cheapest_refuse_the_third_gets_the_run(three: Laptop, order: tuple[str, ...]) -> None:
    for name, usd in zip(order, RISING, strict=True):
        sell_cheaply(three.cloud, name, usd[name])
    for name in order[:2]:
        sold_out(three.cloud, name)
    said = three.run(*AGREED, "--job", "job")
    sound(three, said)
    assert list(dict.fromkeys(refused(said))) == list(order[:2])
    assert [machine.cloud for machine in three.cloud.machines()] == [order[2]]
    assert three.record().open_intents == 0


def test_each_refusal_is_one_line_that_a_person_can_read(three: Laptop) -> None:
    for name, usd in zip((LAMBDA, RUNPOD, AWS), RISING, strict=True):
        sell_cheaply(three.cloud, name, usd[name])
    sold_out(three.cloud, LAMBDA)
    sold_out(three.cloud, RUNPOD)
    said = three.run(*[word for word in AGREED if word != "--json"], "--job", "job", COLUMNS="200")
    lines = [line for line in said.err.splitlines() if "not to be had" in line]
    assert len(lines) == 2
    assert LAMBDA_A100 in lines[0]
    assert "US-KS-2" in lines[1]


def test_without_consent_the_cheaper_machines_that_do_not_end_themselves_are_left_out(three: Laptop) -> None:
    sell_cheaply(three.cloud, LAMBDA, "0.01")
    sell_cheaply(three.cloud, RUNPOD, "0.01")
    said = three.run("--budget", "20", "--yes", "--json", "--job", "job")
    sound(three, said)
    assert {machine.cloud for machine in three.cloud.machines()} == {AWS}
    plan = next(event for event in said.events if event["event"] == "plan")
    assert all(choice["offer"]["guarded"] for choice in plan["choices"])


def test_an_a10g_is_had_at_aws_alone(three: Laptop) -> None:
    sell_cheaply(three.cloud, LAMBDA, "0.01")
    said = three.run(*AGREED, "--gpu", "a10g", "--job", "job")
    sound(three, said)
    assert said.last["provider"] == AWS


@pytest.mark.parametrize("name", [LAMBDA, RUNPOD])
def test_a_single_a100_is_had_at_the_other_two(three: Laptop, name: str) -> None:
    sell_cheaply(three.cloud, name, "0.50")
    said = three.run(*AGREED, "--gpu", "a100", "--job", "job")
    sound(three, said)
    assert said.last["provider"] == name


def test_a_machine_that_turns_out_bad_is_followed_by_one_of_another_cloud(three: Laptop) -> None:
    sell_cheaply(three.cloud, LAMBDA, "0.04")
    sell_cheaply(three.cloud, RUNPOD, "0.06")
    three.cloud.knobs(cloud=LAMBDA, unhealthy=1)
    said = three.run(*AGREED, "--job", "job")
    sound(three, said)
    assert [machine.cloud for machine in three.cloud.machines()] == [LAMBDA, RUNPOD]
    assert said.last["attempts"] == 2


def test_a_container_that_begins_anew_loses_the_pod_and_not_the_run(laptop: Laptop) -> None:
    laptop.at(RUNPOD)
    laptop.hurry(5)
    laptop.quick(steps=40, seconds=0.25)
    launch = laptop.type(*AGREED, "--job", "job")
    launch.until(lambda event: event["event"] == "pulled")
    laptop.cloud.knobs(cloud=RUNPOD, restarts=1)
    said = launch.ended()
    sound(laptop, said)
    assert any(event["kind"] == "restarted" for event in laptop.cloud.call("events"))
    assert said.last["attempts"] == 2


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is wrong with an account, and what the program must say to it."""

    cloud: str
    words: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    before: Callable[[Laptop], object] = lambda laptop: None


def _key(variable: str, value: str) -> Callable[[Laptop], object]:
    return lambda laptop: laptop.environ.update({variable: value})


def _knobs(cloud: str, **changes: object) -> Callable[[Laptop], object]:
    return lambda laptop: laptop.cloud.knobs(cloud=cloud, **changes)


def _hidden_and_empty(laptop: Laptop) -> None:
    laptop.cloud.knobs(cloud=RUNPOD, graphql_gone=True, balance_usd="0.01")


YES = ("--budget", "5", "--yes", "--accept-unguarded", "--job", "job")
MISTAKES = {
    "a wrong key": Mistake(
        cloud=LAMBDA, words=YES, code=4, says=("credentials", "LAMBDA_API_KEY"),
        before=_key("LAMBDA_API_KEY", "secret_wrong_0123.x"),
    ),
    "another wrong key": Mistake(
        cloud=RUNPOD, words=YES, code=4, says=("credentials", "RUNPOD_API_KEY"),
        before=_key("RUNPOD_API_KEY", "rpa_WRONG"),
    ),
    "no key": Mistake(
        cloud=LAMBDA, words=(*YES, "--provider", "lambda"), code=4, says=("LAMBDA_API_KEY", "lambda_keys"),
        before=lambda laptop: laptop.environ.pop("LAMBDA_API_KEY"),
    ),
    "a key that may only read": Mistake(
        cloud=RUNPOD, words=YES, code=4, says=("may create nothing", "read-only"),
        before=_key("RUNPOD_API_KEY", RUNPOD_READ_ONLY_KEY),
    ),
    "a balance below the budget": Mistake(
        cloud=RUNPOD, words=YES, code=3, says=("account holds", "--budget 3"), before=_knobs(RUNPOD, balance_usd="3.2")
    ),
    "a balance that nobody tells": Mistake(
        cloud=RUNPOD, words=YES, code=4, says=("does not tell what the account holds", "balance"),
        before=_hidden_and_empty,
    ),
    "a quota": Mistake(cloud=LAMBDA, words=YES, code=4, says=("quota",), before=_knobs(LAMBDA, quota=0)),
    "a GPU that is not sold there": Mistake(
        cloud=RUNPOD, words=(*YES, "--gpu", "a10g"), code=3,
        says=("there is no A10G on runpod; nearest by speed and memory: ",),
    ),
    "no consent": Mistake(
        cloud=LAMBDA, words=("--budget", "5", "--yes", "--job", "job"), code=3, says=("--accept-unguarded",)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_wrong_with_an_account_is_told_with_a_way_out_and_rents_nothing(laptop: Laptop, name: str) -> None:
    mistake = MISTAKES[name]
    laptop.at(mistake.cloud)
    laptop.hurry(20)
    mistake.before(laptop)
    said = laptop.run(*mistake.words, COLUMNS="300")
    assert said.code == mistake.code, said.err
    assert "error: " in said.err
    assert "\nhint: " in said.err
    assert "Traceback" not in said.err
    assert [part for part in mistake.says if part not in said.err] == [], said.err
    assert laptop.cloud.machines() == ()
