"""A machine slower than sold, with real sockets and real machines: the forecast after the probe, and each policy."""

import json
from dataclasses import dataclass
from decimal import Decimal

import jsonschema
import pytest

from tests.cloud.client import REPOSITORY
from tests.launches.laptop import Event, Laptop, Said, Typed

pytestmark = pytest.mark.cloud

SCHEMA = json.loads((REPOSITORY / "docs" / "events.schema.json").read_text())
EPOCHS, STEPS = 600, 4800
"""Eight rows, one a step."""
TRAIN = {
    "method": "qlora", "epochs": EPOCHS, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1,
    "save_steps": 1000,
}  # fmt: skip
STEP_SECONDS = 0.0005
WORDS = ("--gpu", "a10g", "--region", "us-east-1", "--job", "job", "--json")
ZONES = "abcdf"
"""Of us-east-1, where the type is sold."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What the program itself says before a launch: dollars, and seconds a step."""

    usd: Decimal
    step: dict[str, float]


@pytest.fixture
def laptop(laptop: Laptop) -> Laptop:
    """One whose job makes as many steps as its settings ask for."""
    path = laptop.work / "job" / "launch.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "train": TRAIN}))
    laptop.quick(steps=STEPS, seconds=STEP_SECONDS, save_every=1000, probe=2)
    laptop.hurry(5)
    return laptop


def planned(laptop: Laptop, *more: str) -> Planned:
    said = laptop.run(*WORDS, "--budget", "5", "--dry-run", *more)
    assert said.code == 0, said.err
    choice = next(event for event in said.events if event["event"] == "plan")["choices"][0]
    train = next(one["seconds"] for one in choice["phases"] if one["name"] == "train")
    step = {end: train[end] / STEPS for end in ("low", "expected", "high")}
    return Planned(usd=Decimal(choice["planned_usd"]["expected"]), step=step)


def launched(laptop: Laptop, step_seconds: float, *more: str) -> Typed:
    """A launch whose first machine takes so long for a step."""
    laptop.cloud.pace(step_seconds / STEP_SECONDS)
    return laptop.type(*WORDS, "--yes", *more)


def on_a_slow_one(laptop: Laptop, *more: str) -> tuple[Typed, str]:
    """The first machine is slow, as far as estimates may miss: too slow for the budget, which the plan is sure of."""
    plan = planned(laptop, *more[:1])
    budget = str(round(plan.usd + Decimal("0.4"), 2))
    return launched(laptop, 1.2 * plan.step["high"], "--budget", budget, *more), budget


def warned(said: Said, code: str) -> list[str]:
    return [event["text"] for event in said.events if event["event"] == "warning" and event["code"] == code]


def on_the_probe(event: Event) -> bool:
    return bool(event["event"] == "forecast" and event["basis"] == "probe")


def sound(laptop: Laptop, said: Said, budget: str) -> Event:
    """By the meter within the budget, nothing left; every line as the schema says. The receipt."""
    for event in said.events:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)
    receipt = said.last
    assert receipt["event"] == "receipt", said.err
    assert laptop.cloud.meter().total_usd <= Decimal(receipt["spent_usd"]) <= Decimal(budget)
    laptop.all_quiet(budget)
    return receipt


def test_a_slow_host_is_named_and_left_and_the_next_one_goes_on_from_its_checkpoint(laptop: Laptop) -> None:
    plan = planned(laptop)
    typed = launched(laptop, 2 * plan.step["high"], "--budget", "5")
    before = typed.until(lambda event: event["event"] == "forecast")
    after = typed.until(on_the_probe)
    said = typed.ended(90)
    receipt = sound(laptop, said, "5")
    assert after["seconds"]["expected"] > 1.5 * before["seconds"]["expected"]
    assert Decimal(after["forecast_usd"]["expected"]) > Decimal(before["forecast_usd"]["expected"])
    assert (said.code, receipt["outcome"], receipt["attempts"]) == (0, "succeeded", 2)
    (text,) = warned(said, "slow-host")
    assert "this A10G trains at 0." in text
    assert "of what it should" in text
    assert warned(said, "resumed")
    one, other = laptop.cloud.machines()
    assert one.zone != other.zone


def test_a_training_that_would_not_fit_is_shortened_and_ends_inside_the_budget(laptop: Laptop) -> None:
    typed, budget = on_a_slow_one(laptop, "--on-demand")
    typed.until(lambda event: event.get("code") == "shortened")
    laptop.cloud.pace(1, laptop.machine().id)  # the test does not wait for an hour of slow steps
    said = typed.ended()
    receipt = sound(laptop, said, budget)
    assert (said.code, receipt["outcome"], receipt["attempts"]) == (0, "succeeded", 1)
    last = next(event for event in reversed(said.events) if event["event"] == "progress" and event["step"])
    assert STEPS / 4 < last["step"] == last["of"] < STEPS
    assert receipt["why"] == f"trained for {last['of']} of {STEPS} steps, to stay within its limits"
    assert receipt["results"]["verified"]


def test_who_wants_to_stop_is_stopped_for_cents_and_keeps_the_checkpoint(laptop: Laptop) -> None:
    typed, budget = on_a_slow_one(laptop, "--on-demand", "--if-slow", "stop")
    said = typed.ended()
    receipt = sound(laptop, said, budget)
    assert (said.code, receipt["outcome"], receipt["attempts"]) == (5, "out of budget", 1)
    assert Decimal(receipt["spent_usd"]) < Decimal("0.1")
    assert "at the measured speed it needs" in receipt["why"]
    assert f"the budget is {Decimal(budget):.2f}; stopped at step" in receipt["why"]
    assert any(event["event"] == "pulled" and event["what"].startswith("step-") for event in said.events)


def test_who_wants_to_move_goes_where_the_rest_is_cheaper(laptop: Laptop) -> None:
    laptop.cloud.knobs(no_spot_history=True)
    typed, budget = on_a_slow_one(laptop, "--any-market", "--if-slow", "move")
    typed.until_state("RUNNING")
    laptop.cloud.knobs(no_spot_history=False)
    for zone in ZONES:
        laptop.cloud.price(f"us-east-1{zone}", "g5.xlarge", "0.20")
    said = typed.ended()
    receipt = sound(laptop, said, budget)
    assert (said.code, receipt["outcome"], receipt["attempts"]) == (0, "succeeded", 2)
    (text,) = warned(said, "too-slow")
    assert "is expected to finish for" in text
    assert receipt["market"] == "spot"
    assert warned(said, "resumed")
