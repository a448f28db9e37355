"""What leaves the provider is in the books before it does: a death in the middle of a large pull costs no more."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from jobs import progress
from launcher import egress, flow, look
from launcher.egress import SLICE_BYTES
from launcher.heard import MOST_WARNINGS, Heard
from launcher.run import Run, State
from launcher.world import World
from tests.fake_world import FIRST_RUN, Killed, Stage

GIB = 2**30


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


class Line:
    """As much of a `Guest` as one pull's bytes need; remembers what lease it was told."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.on_bytes: Callable[[int], None] = lambda received_bytes: None
        self.leases: list[int] = []

    def lease(self, seconds: int) -> None:
        self.leases.append(seconds)

    def send(self, size_bytes: int) -> None:
        """As `Guest.send` does."""
        self.on_bytes(self.received_bytes)
        self.received_bytes += size_bytes
        self.on_bytes(self.received_bytes)


def pulling(stage: Stage, *, budget: str) -> tuple[Run, World]:
    """A run that died while its results came home."""
    stage.cloud.before_call = lambda verb: stage.kill() if _state(stage) is State.PULLING else None
    with pytest.raises(Killed):
        stage.launch(budget=budget)
    stage.cloud.before_call = lambda verb: None
    stage.revive()
    world = stage.laptop()
    return world.ledger.load(FIRST_RUN), world


def _state(stage: Stage) -> State:
    runs = stage.laptop().ledger.runs()
    return runs[0].state if runs else State.PLANNED


def worst_usd(stage: Stage, run: Run) -> Decimal:
    """What it comes to if nobody of ours does anything any more: the books, and the guard's own time."""
    machine = stage.cloud.machines()[0]
    assert machine.dead_at is not None
    left_hours = Decimal(str((machine.dead_at - stage.clock()).total_seconds())) / 3600
    return run.attempt.egress_usd + stage.cloud.billed_usd() + left_hours * run.attempt.choice.worst_usd_per_hour


def test_a_slice_is_on_disk_before_it_flows_and_what_did_not_come_is_taken_out_again(stage: Stage) -> None:
    run, world = pulling(stage, budget="5")
    before, line = run.attempt.egress_usd, Line()
    booked = egress.Booked(run, line, world)  # type: ignore[arg-type]  # a line is enough of a guest
    line.on_bytes(0)
    known = world.ledger.load(FIRST_RUN).attempt.egress_usd
    assert known - before >= run.attempt.offer.fees.egress_usd_per_gib * SLICE_BYTES / GIB
    line.send(1000)
    booked.settle()
    exact = run.attempt.offer.fees.egress_usd_per_gib * 1000 / GIB
    assert world.ledger.load(FIRST_RUN).attempt.egress_usd - before == pytest.approx(exact)


def test_whoever_dies_in_a_pull_larger_than_was_set_aside_leaves_a_guard_that_keeps_the_budget(stage: Stage) -> None:
    run, world = pulling(stage, budget="1.00")
    machine = stage.cloud.machines()[0]
    line = Line()
    line.lease = lambda seconds: stage.cloud.extend(  # type: ignore[method-assign]  # as the machine takes it
        machine.id, (stage.clock() - machine.born_at).total_seconds() + seconds
    )
    egress.Booked(run, line, world)  # type: ignore[arg-type]  # as above
    assert worst_usd(stage, run) <= 1
    for _ in range(40):
        line.send(GIB // 10)
        assert worst_usd(stage, run) <= 1, "whenever we die"
    assert run.attempt.egress_usd >= Decimal("0.36")
    assert world.ledger.load(FIRST_RUN).attempt.deadline <= stage.clock() + timedelta(hours=1)


def test_what_is_pulled_by_hand_is_in_the_books_of_whoever_carries_the_run(stage: Stage) -> None:
    run, world = pulling(stage, budget="5")
    before, line = run.attempt.egress_usd, Line()
    egress.ByHand(world.run_folder(run.id), line)  # type: ignore[arg-type]  # as above
    line.send(SLICE_BYTES + 1)
    for _ in range(2):
        egress.take_in(run, world)
        slices = run.attempt.offer.fees.egress_usd_per_gib * 2 * SLICE_BYTES / GIB
        assert run.attempt.egress_usd - before == pytest.approx(slices), "once, however often it is looked at"
    receipt = flow.attach(FIRST_RUN, replace(world))
    assert receipt.spent_usd >= slices
    assert stage.cloud.alive() == ()


def test_marks_of_a_pull_by_hand_that_a_disk_has_spoilt_stop_nobody(stage: Stage) -> None:
    run, world = pulling(stage, budget="5")
    (world.run_folder(run.id) / egress.BY_HAND).write_bytes(b"8388608\n\xff\xfe\n")
    egress.take_in(run, world)
    assert run.attempt.slices_by_hand == 2, "each line counts, whatever it has become"


def test_a_flood_of_progress_is_paid_for_and_a_job_that_says_little_is_not_seen(stage: Stage) -> None:
    run, world = pulling(stage, budget="5")
    before, heard = run.attempt.egress_usd, Heard(run, world)
    heard.count(SLICE_BYTES - 1)
    assert run.attempt.egress_usd == before
    heard.count(SLICE_BYTES + 1)
    exact = run.attempt.offer.fees.egress_usd_per_gib * 2 * SLICE_BYTES / GIB
    assert world.ledger.load(FIRST_RUN).attempt.egress_usd - before == pytest.approx(exact)


def test_a_job_that_floods_warnings_leaves_a_bounded_number_in_the_books(stage: Stage) -> None:
    run, world = pulling(stage, budget="5")
    before, heard = len(world.ledger.events(FIRST_RUN)), Heard(run, world)
    for number in range(5 * MOST_WARNINGS):
        heard.take(progress.Warned(at=stage.clock(), code="again", text=f"{number}"))
    kept = world.ledger.events(FIRST_RUN)[before:]
    assert len(kept) == MOST_WARNINGS
    assert "no more of them are" in kept[-1].text


def test_a_pull_by_hand_takes_no_more_than_the_budget_pays_for(stage: Stage) -> None:
    """Typed again and again: the machine's own end comes first, whoever carries the run or not."""
    run, world = pulling(stage, budget="5")
    (world.run_folder(run.id) / egress.BY_HAND).write_bytes(b"8388608\n" * 10_000)
    pulled = look.pull_now(FIRST_RUN, world)
    assert not pulled.verified
    assert pulled.bytes == 0
    assert world.ledger.load(FIRST_RUN).attempt.slices_by_hand == 0, "the books are not ours to write"
    (world.run_folder(run.id) / egress.BY_HAND).unlink()
    assert look.pull_now(FIRST_RUN, world).verified
