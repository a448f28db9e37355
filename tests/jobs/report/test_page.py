"""The report page without a browser: what stands in it and in which order, and that nothing foreign becomes a tag."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from jobs.report import Base, Notes, ReportError, write
from jobs.report.comparison import wilson
from jobs.report.samples import fields_of, marked
from tests.jobs.report import runs
from tests.jobs.report.runs import EVIL, Lying

SECTIONS = (
    "comparison", "fields", "json", "confusion", "adjacent", "judge", "votes", "serving", "samples", "data", "training",
    "cost", "machine", "again",
)  # fmt: skip
VOID = {"meta", "br", "input", "img", "hr"}


class Tags(HTMLParser):
    """Collects tags, what a page would load or run, ids, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if (
                name in ("src", "action")
                or name.startswith("on")
                or (name == "href" and not str(value).startswith("#"))
            ):
                self.fetched.append(name)
            if name == "id":
                self.ids.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.said += data


def page_of(run: Lying) -> tuple[str, Tags]:
    paths = write(run.folder, run.receipt, run.base, run.notes)
    page = paths[0].read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(page)
    return page, tags


@pytest.mark.parametrize("made", [runs.poor, runs.rich, runs.hostile])
def test_the_page_loads_nothing_runs_nothing_and_is_well_formed(tmp_path: Path, made: Callable[[Path], Lying]) -> None:
    page, tags = page_of(made(tmp_path))
    assert (tags.fetched, tags.open) == ([], [])
    assert not tags.seen & {"script", "iframe", "object", "embed", "link", "base", "form", "img", "foreignobject"}
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://|javascript:(?!alert)", page)
    assert len(tags.ids) == len(set(tags.ids))


def test_nothing_that_a_machine_says_becomes_a_tag_or_turns_the_reading_direction(tmp_path: Path) -> None:
    page, tags = page_of(runs.hostile(tmp_path))
    assert EVIL not in page
    assert EVIL in tags.said  # it is shown, as what it is
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\x00-\x08\x1b]", page)
    assert len(page) < 2_000_000
    page.encode()


def test_a_rich_run_has_every_section_in_its_order_after_the_verdict(tmp_path: Path) -> None:
    page, tags = page_of(runs.rich(tmp_path))
    assert [name for name in tags.ids if not name.startswith("samples-")] == list(SECTIONS)
    assert page.index("Fine-tuning was worth it") < page.index('id="comparison"')
    assert re.findall(r'href="#([^"]+)"', page) == list(SECTIONS)


def test_a_rich_run_shows_what_a_team_asks_for(tmp_path: Path) -> None:
    _, tags = page_of(runs.rich(tmp_path))
    said = re.sub(r"\s+", " ", tags.said)
    for part in (
        "Fine-tuning was worth it, with doubts", "; but translation dropped", "0.092", "requests, against the larger",
            "After about 520 requests training has paid for itself against the larger model", "$0.560", "$0.473",
            "nats a token",
        "0.930 [0.89–0.96]", "+0.320", "+0.250 to +0.390", "< 0.001", "not distinguishable", "wants_refund",
        "may have dropped", "orders agree", "$1.56", "≠ account", "not wanted", "two user turns in a row",
        "data/train.jsonl:118", "cosine from 0.93 on", "310,224", "15 (6 the same)", "84 %",
        "5 questions are asked twice", "as varied as 31.4",
        "best, step 450", "GPU memory", "planned $0.83", "570.86.15", "c170c708c41d", "launch --budget 5 --gpu a10g",
        "confirmed, 2026-11-24 20:57 UTC, 3 looks",
    ):  # fmt: skip
        assert part in said, part


def test_a_poor_run_says_what_was_not_measured_and_shows_no_empty_section(tmp_path: Path) -> None:
    page, tags = page_of(runs.poor(tmp_path))
    assert tags.ids == ["comparison", "cost", "machine", "again", "missing"]
    for part in ("No verdict", "base (n=200)", "0.930 [0.89–0.96]", "there is no data report", "no training log"):
        assert part in tags.said, part
    assert "<h2>Samples" not in page


def test_a_failed_run_says_why_before_all_else(tmp_path: Path) -> None:
    gate = ["exact 0.61 is below the 0.8 that the gate asks for"]
    receipt = runs.RECEIPT | {"outcome": "failed", "why": "the job ended with status 1", "gate": gate}
    page, tags = page_of(Lying(tmp_path, receipt))
    assert page.index("the job ended with status 1") < page.index("below the 0.8") < page.index('class="verdict')
    assert "Nothing was evaluated" in tags.said


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = runs.rich(tmp_path)
    runs.put(tmp_path / "eval" / "summary.json", "{")
    _, tags = page_of(run)
    assert "not readable, left out: eval/summary.json" in tags.said
    assert "base (n=200)" in tags.said
    assert "training" in tags.ids


def test_private_data_is_called_private(tmp_path: Path) -> None:
    run = runs.rich(tmp_path)
    _, tags = page_of(Lying(tmp_path, run.receipt, notes=Notes(settings={"privacy": "private"})))
    assert "mind with whom you share this page" in tags.said


def test_a_receipt_with_nothing_in_it_makes_a_page(tmp_path: Path) -> None:
    _, tags = page_of(Lying(tmp_path, {}, Base(model="", revision=None), Notes()))
    assert "unknown" in tags.said


def test_a_planted_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    results = tmp_path / "results"
    results.mkdir()
    runs.put(results / "adapter" / "adapter_config.json", "{}")
    for name in ("report.html", ".report.html.part", "MODEL_CARD.md", "try.py", "try.json"):
        (results / name).symlink_to(victim)
    write(results, runs.RECEIPT, runs.BASE)
    assert victim.read_text() == "mine"
    assert not any(path.is_symlink() for path in results.iterdir())


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is gone"):
        write(tmp_path / "none", runs.RECEIPT, runs.BASE)


@pytest.mark.parametrize(
    ("share", "n", "low", "high"), [(0.93, 200, 0.886, 0.958), (0.0, 100, 0.0, 0.037), (1.0, 1, 0.207, 1.0)]
)
def test_the_interval_of_a_share_is_wilson_s(share: float, n: int, low: float, high: float) -> None:
    assert wilson(share, n) == pytest.approx((low, high), abs=1e-3)


def test_fields_of_fields_are_compared_one_by_one_and_a_bottomless_object_ends() -> None:
    assert fields_of('{"a": {"b": 1, "c": [2]}, "d": "x"}') == {"a.b": "1", "a.c": "[2]", "d": '"x"'}
    assert fields_of('{"a": 1.0}') == fields_of('{"a": 1}') != fields_of('{"a": "1"}')
    assert fields_of('{"a": 1, "a": 1}') is None  # given twice
    assert fields_of("[1]") is None
    assert fields_of("no JSON") is None
    assert fields_of('{"a":' * 50_000) is None
    assert list(fields_of('{"a":' * 300 + "1" + "}" * 300) or ()) == ["a.a.a"]


def test_words_that_are_not_wanted_there_are_marked() -> None:
    assert marked("it left on Monday", "it left on Friday") == ('<bdi dir="auto">it left on<mark> Monday</mark></bdi>')
    assert "<mark>" not in marked("the same", "the same")
    assert "(nothing)" in marked("  ", "wanted")


def test_a_machine_that_nobody_bills_has_seconds_and_no_column_of_zeros(tmp_path: Path) -> None:
    run = runs.rich(tmp_path)
    free = {"spent_usd": "0.00", "budget_usd": None, "planned_usd": {"low": "0.00", "expected": "0.00", "high": "0.00"}}
    free |= {"spent_is": "nothing is billed for this machine"}
    _, tags = page_of(replace(run, receipt={**run.receipt, **free}))
    assert "nobody bills this machine" in tags.said
    assert "nothing is billed for this machine" in tags.said
    assert "planned cost" not in tags.said
    assert "unknown" not in tags.said.split("Comparison")[0]


def test_a_judge_that_looks_at_the_place_is_told_to_do_so(tmp_path: Path) -> None:
    run = runs.rich(tmp_path)
    path = run.folder / "eval" / "summary.json"
    told = json.loads(path.read_text())
    told["judging"]["pairs"][0] |= {"agreement": 0.31, "first_position": 0.9}
    path.write_text(json.dumps(told))
    assert "both orders agreed on only 31 % of the pairs" in page_of(run)[1].said


@pytest.mark.parametrize("loss", [5e-324, 1e-300, 1e30, 1.7e308, -1e30, 0.0])
def test_no_figure_of_a_training_log_is_too_small_or_too_large_for_a_curve(tmp_path: Path, loss: float) -> None:
    run = runs.rich(tmp_path)
    lines = [
        {"step": step, "loss": value, "grad_norm": loss} for step, value in enumerate((loss, -loss, loss, 0.1, 0.2))
    ]
    (run.folder / "logs" / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    huge = {"last_step": 1, "of": 2, "trainable_parameters": 10**4000, "parameters": 1}
    (run.folder / "logs" / "training.json").write_text(json.dumps(huge))
    assert "training.json: trainable_parameters" in page_of(run)[1].said
