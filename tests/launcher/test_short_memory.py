"""A card whose memory did not hold a micro-batch is remembered, and the next plan says so."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.progress import MemoryHalved, Step
from launcher.attempt_records import AttemptRecord, as_it_ran, records
from launcher.codec import dump
from launcher.measured import Measured, after, halved
from launcher.short_memory import remarks
from launcher.tracker import Tracker
from tests.fake_world import Stage, Work
from tests.launcher.values import plan

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
HALVED = MemoryHalved(at=AT, step=3, micro_batch=2, accumulation=8)


def step(number: int, *, rate: float = 1000.0, vram_gib: float = 20.0) -> Step:
    return Step(
        at=AT + timedelta(seconds=number), step=number, of=40, loss=1.0, learning_rate=1e-4, grad_norm=1.0,
        tokens_per_second=rate, vram_gib=vram_gib, epoch=1.0,
    )  # fmt: skip


def tracked(*events: Step | MemoryHalved) -> Measured:
    tracker = Tracker()
    for event in events:
        tracker.take(event, AT)
    assert tracker.measured is not None
    return tracker.measured


def test_speed_and_memory_of_the_micro_batch_that_was_too_large_are_forgotten() -> None:
    found = tracked(step(1), step(2), HALVED, step(1, rate=800.0, vram_gib=14.0), step(2, rate=800.0, vram_gib=14.0))
    assert (found.micro_batch, found.accumulation) == (2, 8)
    assert (found.tokens_per_second, found.vram_gib) == (800.0, 14.0)


def test_a_machine_that_held_what_was_planned_has_no_micro_batch_of_its_own() -> None:
    found = tracked(step(1), step(2))
    assert found.micro_batch is None
    assert as_it_ran(plan().workload, found) == plan().workload


def test_halved_twice_is_halved_to_the_last() -> None:
    once = halved(after(None, step(1), AT), HALVED)
    assert halved(once, replace(HALVED, micro_batch=1, accumulation=16)).micro_batch == 1


@pytest.fixture
def short(stage: Stage) -> AttemptRecord:
    """The record of a machine that went on with half of the planned micro-batch."""
    stage.site.work = Work(steps=12, step_seconds=30)
    stage.launch()
    ledger = stage.laptop().ledger
    run = ledger.load("brave-otter-0001")
    measured = run.attempt.measured
    assert measured is not None
    planned = json.loads(ledger.plan(run.id))["workload"]
    rows, times = planned["micro_batch"], planned["accumulation"]
    run.attempt.measured = replace(measured, micro_batch=rows // 2, accumulation=2 * times)
    (one,) = records(run, ledger.plan(run.id), {run.attempt.number: run.attempt.choice.estimate.usd.expected_usd})
    return one


def test_the_record_keeps_the_micro_batch_that_ran_and_the_memory_that_is_planned_for_it(
    short: AttemptRecord, stage: Stage
) -> None:
    ledger = stage.laptop().ledger
    (whole,) = ledger.records.all()
    assert json.loads(short.workload)["micro_batch"] == short.micro_batch // 2
    assert json.loads(whole.workload)["micro_batch"] == whole.micro_batch
    assert short.planned_vram_gib < whole.planned_vram_gib


def test_the_next_plan_of_the_card_and_the_model_says_so(short: AttemptRecord) -> None:
    before = plan()
    gpu = before.choices[0].offer.gpu
    assert gpu is not None
    load = replace(before.workload, micro_batch=4, accumulation=4)
    then = replace(before, workload=load)
    seen = replace(
        short, gpu=gpu.name, model=load.shape.name, method=str(load.method), max_length=load.max_length,
        micro_batch=4, workload=dump(replace(load, micro_batch=1, accumulation=16)),
    )  # fmt: skip
    (line,) = remarks(then, [seen])
    assert f"on {gpu.name} ran out of memory and went on with a micro-batch of 1" in line
    assert "--set train.per_device_train_batch_size=1 --set train.gradient_accumulation_steps=16" in line
    for other in (
        replace(seen, gpu="other"),
        replace(seen, model="other"),
        replace(seen, max_length=2 * load.max_length),
        replace(seen, workload=dump(load)),
    ):
        assert remarks(then, [other]) == ()
    assert remarks(replace(then, workload=replace(load, micro_batch=1, accumulation=16)), [seen]) == ()
