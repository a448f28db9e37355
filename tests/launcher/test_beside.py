"""What `launch estimate` tells beside the plan, worked out in a world in memory: whose card, against which rent."""

import contextlib
import shlex
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from launcher.beside import Beside, beside
from launcher.config import Config
from launcher.price import Priced, price
from launcher.request import Request
from pricing import gpus
from pricing.memory import largest_micro_batch, longest_sequence
from pricing.offer import Market, Offer
from pricing.own_hardware import Hardware
from tests.fake_machine import fake_offer
from tests.fake_world import Stage
from tests.launcher.test_wire import is_sound
from tests.launcher.typed import Capture, document, typing, words

JOB = Path(__file__).parents[2] / "examples" / "support-json"
CARD = Hardware(gpu=gpus.by_name("RTX4090"), price_usd=Decimal(1800))


def owned(gpu: str = "RTX3090") -> Offer:
    free = fake_offer("mine", usd="0", market=Market.OWNED)
    return replace(free, worst_usd_per_hour=Decimal(0), gpu=gpus.by_name(gpu))


def priced(stage: Stage) -> Priced:
    return price(Request(budget_usd=Decimal(5), job=JOB), stage.laptop(), from_snapshot=True)


def told(stage: Stage, config: Config) -> Beside:
    return beside(priced(stage), replace(stage.laptop(), config=config))


def test_the_card_of_the_settings_is_weighed_against_the_best_that_is_for_rent(stage: Stage) -> None:
    own = told(stage, Config(hardware=CARD, electricity_usd_per_kwh=Decimal("0.32"))).own
    assert own is not None
    assert (own.run.hardware.gpu.name, own.is_here) == ("RTX4090", False)
    assert own.run.hardware.usd_per_kwh == Decimal("0.32")
    assert own.rented is not None
    assert own.rented == priced(stage).plan.choices[0]
    assert own.pays_after == own.run.pays_after(own.rented.estimate.usd)
    assert own.pays_after is not None


def test_without_a_price_of_electricity_nothing_is_paid_for(stage: Stage) -> None:
    own = told(stage, Config(hardware=CARD)).own
    assert own is not None
    assert (own.run.electricity_usd, own.pays_after) == (None, None)


def test_a_card_in_this_computer_is_shown_without_any_settings_and_rent_is_what_bills(stage: Stage) -> None:
    stage.provider.catalogue = (owned(), *stage.provider.catalogue)
    own = told(stage, Config()).own
    assert own is not None
    assert (own.run.hardware.gpu.name, own.is_here) == ("RTX3090", True)
    assert own.rented is not None
    assert own.rented.offer.market is not Market.OWNED


def test_whoever_has_no_card_and_names_none_is_told_of_none(stage: Stage) -> None:
    assert told(stage, Config()).own is None


def test_room_is_what_surely_fits_on_the_card_of_the_first_choice(stage: Stage) -> None:
    had = priced(stage).plan
    room, gpu = told(stage, Config()).room, had.choices[0].offer.gpu
    assert room is not None
    assert gpu is not None
    assert room.micro_batch == largest_micro_batch(had.workload, gpu, margin=had.terms.memory_margin)
    assert room.sequence_tokens == longest_sequence(had.workload, gpu, margin=had.terms.memory_margin)


def test_an_estimate_as_typed_tells_it_all_and_ends_with_the_next_command(stage: Stage, capsys: Capture) -> None:
    assert typing(stage)("estimate", "--budget", "5", "--job", str(JOB)) == 0
    out = capsys.readouterr().out
    for label in ("phase ", "in all ", "memory ", "machine ", "speed ", "odds ", "rests on "):
        assert f"\n{label}" in out
    assert out.rstrip().splitlines()[-1].startswith("next  launch --budget 5")


@pytest.mark.parametrize(
    ("typed", "next_command"),
    [
        ("", "launch --budget 5 --job {job}"),
        ("--provider fake", "launch --provider fake --job {job}"),
        ("--budget 7.50 --gpu a10g --set train.r=8 --set 'data.train=my rows.jsonl'",
         "launch --budget 7.50 --gpu a10g --job {job} --set train.r=8 --set 'data.train=my rows.jsonl'"),
        ("--deadline 6h --spot --community --max-price 3 --region north-1 --name x",
         "launch --budget 5 --region north-1 --max-price 3 --job {job} --name x --deadline 21600s --spot --community"),
    ],
)  # fmt: skip
def test_the_next_command_asks_for_the_same_job_under_the_same_limits(
    stage: Stage, capsys: Capture, typed: str, next_command: str
) -> None:
    (rows,) = (path for path in (JOB / "data").glob("train*.jsonl"))
    (stage.folder / "my rows.jsonl").write_bytes(rows.read_bytes())
    with contextlib.chdir(stage.folder):
        argv = shlex.split(typed.replace("my rows", str(stage.folder / "my rows")))
        assert typing(stage)("estimate", "--job", str(JOB), *argv) == 0
    shown = capsys.readouterr().out.rstrip().splitlines()[-1].replace(str(stage.folder / "my rows"), "my rows")
    assert shown == "next  " + next_command.format(job=JOB)


@pytest.mark.parametrize("words_typed", [("estimate",), ("--dry-run",)])
def test_an_estimate_in_json_is_one_sound_document(stage: Stage, capsys: Capture, words_typed: tuple[str, ...]) -> None:
    assert typing(stage)(*words_typed, "--budget", "5", "--job", str(JOB), "--json") == 0
    found = document(capsys)
    is_sound(found)
    assert found["event"] == "plan"
    assert found["estimate"]["workload"]["examples"] > 800
    assert found["estimate"]["room"]["micro_batch"] > 0


def test_verbose_adds_the_phases_of_the_other_kinds(stage: Stage, capsys: Capture) -> None:
    typed = typing(stage)
    assert typed("estimate", "--budget", "5", "--job", str(JOB)) == 0
    assert capsys.readouterr().out.count("in all ") == 1
    assert typed("estimate", "--budget", "5", "--job", str(JOB), "-v") == 0
    out = capsys.readouterr().out
    assert out.count("in all ") == 2  # f1.small and f1.large
    assert "fake f1.large on demand" in words(out)
