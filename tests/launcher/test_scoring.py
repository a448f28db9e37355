"""A run is scored when it settles: from its items, at its own price, and whatever its machine sent."""

import json
from decimal import Decimal
from pathlib import Path

from jobs.results.summarise import read_summary
from launcher import flow, scoring
from launcher.events import Warned
from launcher.receipt import ReceiptPhase
from launcher.run import Outcome
from tests.fake_world import Stage
from tests.launcher import values


def phase(name: str, seconds: float, usd: str) -> ReceiptPhase:
    return ReceiptPhase(name=name, seconds=seconds, usd=Decimal(usd), planned_seconds=None)


def test_the_price_is_that_of_the_machine_while_it_evaluated() -> None:
    phases = (phase("train", 3600, "1.00"), phase("evaluate", 360, "0.05"))
    paid = scoring.paid_of(values.receipt(phases=phases))
    assert (paid.training_usd, paid.usd_per_hour, paid.machine) == (Decimal("0.7912"), Decimal("0.5"), "aws g5.xlarge")


def test_a_run_that_cost_nothing_has_no_price() -> None:
    paid = scoring.paid_of(values.receipt(spent_usd=Decimal(0)))
    assert (paid.training_usd, paid.usd_per_hour) == (None, None)


def test_settings_that_are_gone_are_empty(tmp_path: Path) -> None:
    assert scoring.settings_of(tmp_path) == {}
    (tmp_path / "settings.json").write_text("[]")
    assert scoring.settings_of(tmp_path) == {}


def _items(folder: Path) -> None:
    for arm, answer in (("base", "no"), ("tuned", "yes")):
        turns = [{"role": "user", "content": "?"}]
        rows = [
            {"item": at, "prompt": turns, "wanted": "yes", "answer": answer, "loss": 0.1, "tokens": 3}
            for at in range(200)
        ]
        (folder / "eval" / f"{arm}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_run_without_items_still_has_its_scores_and_says_what_is_missing(stage: Stage) -> None:
    receipt = stage.launch()
    assert [score.arm for score in receipt.scores] == ["base", "tuned"]
    assert receipt.verdict.startswith("unknown: no sound per-item results came home")
    (text,) = {event.text for event in stage.heard.of(Warned) if event.code == "results"}
    assert text == "no sound per-item results of base, tuned: the machine's own figures are all there is"


def test_a_run_with_items_has_gains_and_a_verdict_on_its_receipt(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.launch().run
    found = world.ledger.load(run)
    _items(found.out_dir)
    paid = scoring.paid_for(Decimal(1), (phase("evaluate", 10, "0.1"),), "fake")
    summary = scoring.scored(found.out_dir, world.run_folder(run), paid)
    assert summary is not None
    assert read_summary(found.out_dir) == summary
    (first, *_) = scoring.gains_of(summary)
    assert (first.metric, first.against, first.value, first.n) == ("exact", "base", 1.0, 200)
    assert dict(scoring.scores_of(summary)[1].metrics)["exact"] == 1.0
    assert summary.verdict.headline.startswith("worth it: exact match +1.00 over the bare base model")


def test_a_machine_that_sends_garbage_gets_a_few_printable_warnings(stage: Stage) -> None:
    world = stage.laptop()
    receipt = stage.launch()
    folder = receipt.results.folder
    for arm in ("base", "tuned"):
        (folder / "eval" / f"{arm}.json").write_bytes(b"\x00" * 100)
        (folder / "eval" / f"{arm}.jsonl").write_bytes(b'{"item": "\x1b[2J"}\n' * 100)
    again = scoring.scored(folder, world.run_folder(receipt.run), scoring.paid_of(receipt))
    assert again is not None
    assert again.verdict.answer == "unknown"
    assert 0 < len(again.warnings) < 10
    assert all(text.isprintable() for text in again.warnings)


def test_a_summary_that_cannot_be_written_loses_no_receipt(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    run.out_dir.mkdir(parents=True)
    (run.out_dir / "eval").mkdir()
    (run.out_dir / "eval" / "summary.json").mkdir()
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.SUCCEEDED
    assert any("could not be scored" in event.text for event in stage.heard.of(Warned))
