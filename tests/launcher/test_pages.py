"""The pages of a run: there when it settles, opened when a person asks, and never the reason that a run ends badly."""

import io
import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import pages
from launcher.events import Happened, Settled, Warned
from launcher.request import Request
from launcher.run import Outcome
from pricing.offer import Market
from tests.fake_world import FIRST_RUN, Heard, Stage
from tests.launcher.opinions import lines, prepared, turn
from tests.launcher.typed import Capture, Launch, document, typing


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed, in a world in memory."""
    return typing(stage)


@dataclass
class Watching(Heard):
    """Looks whether the report is there at the moment that the end is told."""

    there: list[bool] = field(default_factory=list)

    def tell(self, event: Happened) -> None:
        if isinstance(event, Settled):
            self.there.append((event.receipt.results.folder / "report.html").is_file())
        super().tell(event)


def test_a_run_that_settles_has_its_report_before_that_is_told(stage: Stage) -> None:
    stage.heard = watching = Watching()
    stage.launch()
    assert watching.there == [True]


def test_a_report_that_cannot_be_written_is_a_warning_and_the_run_ends_well(stage: Stage) -> None:
    (stage.folder / "runs" / FIRST_RUN / "report.html").mkdir(parents=True)  # a folder where the page should be
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    (said,) = [one for one in stage.heard.of(Warned) if "no report yet" in one.text]
    assert f"launch report {FIRST_RUN}" in said.text


def finished(stage: Stage) -> Path:
    stage.launch()
    return prepared(stage)


class Terminal(io.StringIO):
    """Somebody sits there."""

    def isatty(self) -> bool:
        return True


def sit_down(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """In the test's own body: between its parts, pytest puts its own streams there."""
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", talk := Terminal())
    return talk


def test_report_writes_scores_and_opens_the_page(
    stage: Stage, launch: Launch, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, terminal = finished(stage), sit_down(monkeypatch)
    (results / "eval" / "summary.json").unlink()  # of an older version's run
    assert launch("report") == 0
    assert capsys.readouterr().out.splitlines()[0] == str(results / "report.html")
    assert stage.browsed == [results / "report.html"]
    assert "opened in the browser" in terminal.getvalue()
    page = (results / "report.html").read_text()
    assert "prompted base" in page  # scored by now
    assert (results / "eval" / "summary.json").is_file()


def test_report_opens_nothing_where_it_is_told_so_or_nobody_looks(
    stage: Stage, launch: Launch, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = finished(stage)
    assert launch("report") == 0  # no terminal
    sit_down(monkeypatch)
    assert launch("report", "--no-open") == 0
    capsys.readouterr()
    assert launch("report", "--json") == 0
    assert document(capsys)["files"] == [str(results / name) for name in ("report.html", "MODEL_CARD.md", "try.py")]
    assert stage.browsed == []


def test_report_of_a_folder_that_is_gone_says_so(stage: Stage, launch: Launch, capsys: Capture) -> None:
    results = finished(stage)
    results.rename(results.with_name("moved"))
    assert launch("report") == 2
    assert f"{results} is gone" in capsys.readouterr().err


def test_the_page_knows_what_was_typed_and_sent(stage: Stage, launch: Launch, capsys: Capture) -> None:
    results = finished(stage)
    assert launch("report") == 0
    page = (results / "report.html").read_text()
    assert "launch --budget 5" in page
    assert "someone/model" in page


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (Request(), "launch"),
        (
            Request(budget_usd=Decimal(5), gpu="a10g", job=Path("my job"), sets=("train.r=8",), yes=True, detach=True),
            "launch --budget 5 --gpu a10g --job 'my job' --set train.r=8",
        ),
        (
            Request(markets=(Market.SPOT,), regions=("a", "b"), deadline_seconds=5400.0, secrets=("HF_TOKEN",)),
            "launch --deadline 5400s --region a --region b --secret HF_TOKEN --spot",
        ),
        (Request(markets=(Market.SPOT, Market.ON_DEMAND)), "launch --any-market"),
    ],
)
def test_the_command_can_be_typed_again(request_: Request, line: str) -> None:
    assert pages.typed(request_) == line


@pytest.mark.parametrize(
    ("systems", "shared"),
    [(["Be brief."] * 3, "Be brief."), (["Be brief.", "Be long."], ""), (["A", None], ""), ([None], "")],
)
def test_a_system_text_that_all_test_rows_share_is_found(
    tmp_path: Path, systems: list[str | None], shared: str
) -> None:
    rows = [
        {
            "messages": [
                *([{"role": "system", "content": text}] if text else []),
                {"role": "user", "content": "?"},
                turn("!"),
            ]
        }
        for text in systems
    ]
    (tmp_path / "rows").mkdir()
    lines(tmp_path / "rows" / "test.jsonl", rows)
    assert pages.shared_system(tmp_path) == shared


def test_without_the_rows_that_were_sent_there_is_no_shared_text(tmp_path: Path) -> None:
    assert pages.shared_system(tmp_path) == ""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "test.jsonl").write_text(json.dumps({"prompt": "of an older version"}) + "\n")
    assert pages.shared_system(tmp_path) == ""
