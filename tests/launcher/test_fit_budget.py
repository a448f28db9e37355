"""`--fit-budget` as typed: what is said, what is shipped, and when it is refused."""

import json
import tarfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs import package
from launcher.errors import Exit
from launcher.fitting import fitted_note
from launcher.flow import open_run
from launcher.otherwise import otherwise
from launcher.price import Priced, current_plan, price
from launcher.request import Request
from pricing.alternatives import Kind
from pricing.plan import Fitted
from tests.fake_world import Stage
from tests.launcher.typed import Capture, Launch, document, typing, words
from tests.pricing.samples import terms

EPOCH = 55
"""Steps: the 866 rows that the example trains on, 16 at a time."""
JOBS = Path(package.__file__).parent / "qlora"
JOB = str(Path(__file__).parents[2] / "examples" / "support-json")
LONG = ("--job", JOB, "--set", "train.epochs=1000")
ENDLESS = ("--job", JOB, "--set", "train.epochs=1000", "--set", "evaluate.max_new_tokens=100000")


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed, in a world in memory."""
    return typing(stage)


def opened(stage: Stage, *sets: str, budget: str, fit_budget: bool = True) -> tuple[Priced, dict[str, Any]]:
    """What was agreed to, and the training settings in the bundle of the run that is opened for it."""
    world = replace(stage.laptop(), job_folder=JOBS)
    request = Request(budget_usd=Decimal(budget), job=Path(JOB), sets=sets, fit_budget=fit_budget)
    priced = price(request, world)
    run = open_run(request, priced, world)
    with tarfile.open(world.run_folder(run.id) / "bundle.tar.gz") as archive:
        file = archive.extractfile("job.json")
        assert file is not None
        return priced, json.load(file)["settings"]["train"]


def test_less_is_trained_where_all_of_it_does_not_surely_fit_and_that_is_what_is_shipped(stage: Stage) -> None:
    priced, train = opened(stage, "train.epochs=1000", budget="0.40")
    fitted = priced.plan.fitted
    assert fitted is not None
    assert 0 < fitted.steps < fitted.asked_steps == 1000 * EPOCH
    assert (train["max_steps"], priced.workload.steps) == (fitted.steps, fitted.steps)
    assert f"({fitted.steps} of {1000 * EPOCH} steps)" in priced.notes[-1]
    assert f"x {fitted.epochs:.3g} of 1000 epochs" in priced.title


def test_the_kept_plan_of_the_run_is_of_the_steps_that_are_shipped(stage: Stage) -> None:
    opened(stage, "train.epochs=1000", budget="0.40")
    world = stage.laptop()
    run = world.ledger.find(None)
    plan = current_plan(world.ledger.load(run.id), world)
    assert plan.fitted is not None
    assert plan.workload.steps == plan.fitted.steps


def test_without_it_or_where_all_fits_the_job_is_shipped_as_it_was_written(stage: Stage) -> None:
    plain, train = opened(stage, budget="5", fit_budget=False)
    assert (train["max_steps"], plain.plan.fitted) == (None, None)
    priced, train = opened(stage, budget="5")
    assert train["max_steps"] is None
    assert priced.notes[-1] == f"--fit-budget: 3 epochs fit into 5.00 with 95% ({3 * EPOCH} steps)"
    assert "x 3 epochs" in priced.title


def test_a_program_learns_what_was_asked_for_and_what_fits(launch: Launch, capsys: Capture) -> None:
    assert launch("estimate", "--budget", "0.40", "--fit-budget", *LONG, "--json") == 0
    told = document(capsys)
    fitted = told["fitted"]
    assert fitted["asked_steps"] == 1000 * EPOCH
    assert fitted["epochs"] == pytest.approx(fitted["steps"] / EPOCH, abs=1e-4)
    assert Decimal(fitted["whole_usd"]) > Decimal("0.40")
    assert all(choice["odds"] >= 0.95 for choice in told["choices"])
    assert launch("estimate", "--budget", "0.40", "--job", JOB, "--json") == 0
    assert document(capsys)["fitted"] is None


def test_where_not_a_tenth_of_an_epoch_fits_it_is_refused_with_the_budget_that_would_do(
    launch: Launch, capsys: Capture
) -> None:
    assert launch("estimate", "--budget", "0.05", "--fit-budget", *ENDLESS) == Exit.REFUSED
    said = capsys.readouterr().err
    assert f"does not surely pay for {6 / EPOCH:.3g} epochs of training (steps: 6)" in words(said)
    hint = next(line for line in said.splitlines() if line.startswith("hint: "))
    budget = hint.split("--budget ")[1].split()[0]
    assert hint == f"hint: launch --budget {budget} --fit-budget ..."
    assert launch("estimate", "--budget", budget, "--fit-budget", *ENDLESS) == 0


def test_it_needs_a_budget(launch: Launch, capsys: Capture) -> None:
    assert launch("--fit-budget", *LONG) == Exit.USAGE
    assert "--fit-budget needs a --budget to fit into" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("steps", "whole", "deadline_seconds", "sentence"),
    [
        (78, "1.60", None, "3 epochs fit into 5.00 with 95% (78 steps)"),
        (
            47,
            "7.20",
            None,
            "3 epochs do not fit into 5.00 with 95%: 1.81 epochs do (47 of 78 steps); all of it needs 7.20",
        ),
        (26, None, 7200.0, "3 epochs do not fit into 5.00 and 2:00:00 with 95%: 1 epoch does (26 of 78 steps)"),
    ],
)
def test_what_it_came_to_is_one_sentence(
    steps: int, whole: str | None, deadline_seconds: float | None, sentence: str
) -> None:
    usd = None if whole is None else Decimal(whole)
    fitted = Fitted(asked_epochs=3.0, asked_steps=78, epochs=steps / 26, steps=steps, whole_usd=usd)
    assert fitted_note(fitted, terms("5", deadline_seconds=deadline_seconds)) == f"--fit-budget: {sentence}"


def test_what_else_the_budget_buys_takes_the_jobs_own_number_of_steps_away(stage: Stage) -> None:
    plain = Request(budget_usd=Decimal(5), job=Path(JOB))
    stepped = Request(budget_usd=Decimal(5), job=Path(JOB), sets=("train.max_steps=60",))
    epochs, again = (
        next(one.flag for one in otherwise(price(request, stage.laptop())) if one.kind is Kind.EPOCHS)
        for request in (plain, stepped)
    )
    assert epochs == "--set train.epochs=10"
    assert again == "--set train.max_steps=null --set train.epochs=10"
