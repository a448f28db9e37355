"""The report: what a hostile machine sends is refused or escaped, and the page needs nothing but itself."""

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from jobs import report
from jobs.report import Base, ReportError, counted, read_scores, write
from jobs.report_page import wilson

BASE = Base(model="someone/model", revision="abc123")
RECEIPT: dict[str, Any] = {
    "run": "brave-otter-7f3a", "name": "support-json", "at": "2026-11-24T20:57:10Z", "outcome": "succeeded", "why": "",
    "provider": "somewhere", "region": "r", "zone": "z", "instance_type": "t", "market": "spot", "attempts": 1,
    "budget_usd": "5.00", "spent_usd": "0.79", "spent_is": "metered by us", "gate": [],
    "planned_usd": {"low": "0.61", "expected": "0.83", "high": "1.40"},
    "price": {"source": "history", "seen_at": "2026-11-24T20:02:05Z"},
    "phases": [{"name": "train", "seconds": 2410.0, "usd": "0.58", "planned_seconds": None}],
    "terminated": {"confirmed": True, "at": "2026-11-24T20:57:10Z", "looks": 3},
}  # fmt: skip
EVIL = "<script>alert(1)</script>"


def arm(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / "eval" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"arm": name, "n": 200, "metrics": {"exact": 0.93, "loss": 0.1}, **changes}))
    return path


def test_scores_are_read_base_first(tmp_path: Path) -> None:
    arm(tmp_path, "tuned")
    arm(tmp_path, "base", metrics={"exact": 0.02})
    assert [(one.arm, one.n, one.metrics["exact"]) for one in read_scores(tmp_path)] == [
        ("base", 200, 0.02), ("tuned", 200, 0.93),
    ]  # fmt: skip


def test_without_an_evaluation_there_are_no_scores(tmp_path: Path) -> None:
    assert read_scores(tmp_path) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"n": -1}, {"n": "many"}, {"metrics": {"exact": "high"}}, {"metrics": {EVIL: 1.0}}, {"arm": EVIL},
        {"metrics": {f"m{at}": 1.0 for at in range(40)}}, {"metrics": {"exact": float("nan")}}, {"metrics": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_score_that_is_not_sound_is_refused_with_its_file(tmp_path: Path, changes: dict[str, Any]) -> None:
    arm(tmp_path, "tuned", **changes)
    with pytest.raises(ReportError) as caught:
        read_scores(tmp_path)
    assert "tuned.json" in caught.value.message


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"arm": "tuned"}', b"[" * 100_000])
def test_a_score_that_is_no_score_is_refused(tmp_path: Path, content: bytes) -> None:
    arm(tmp_path, "tuned").write_bytes(content)
    with pytest.raises(ReportError):
        read_scores(tmp_path)


def test_a_score_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    with arm(tmp_path, "tuned").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ReportError, match="at most"):
        read_scores(tmp_path)


def test_a_link_in_place_of_a_score_is_not_followed(tmp_path: Path) -> None:
    arm(tmp_path, "base").rename(tmp_path / "elsewhere.json")
    (tmp_path / "eval" / "base.json").symlink_to(tmp_path / "elsewhere.json")
    assert read_scores(tmp_path) == ()


def manifest(folder: Path, *names: str) -> None:
    rows = [{"path": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()} for name in names]
    (folder / "manifest.json").write_text(json.dumps({"files": rows}))


def test_files_are_counted_and_verified_by_their_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"67")
    manifest(tmp_path, "a", "b")
    assert counted(tmp_path) == (2, 7, True)
    (tmp_path / "b").write_bytes(b"68")
    assert counted(tmp_path) == (1, 5, False)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', '{"files": [3]}'])
def test_nothing_is_verified_without_a_sound_manifest(tmp_path: Path, text: str) -> None:
    assert counted(tmp_path) == (0, 0, False)
    (tmp_path / "manifest.json").write_text(text)
    assert counted(tmp_path) == (0, 0, False)


class Tags(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)
        self.fetched += [name for name, _ in attrs if name in ("src", "href", "action") or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def whole(folder: Path) -> str:
    arm(folder, "base", metrics={"exact": 0.02})
    arm(folder, "tuned")
    logs = folder / "logs"
    logs.mkdir()
    lines = [json.dumps({"step": at, "loss": 2 / (at + 1)}) for at in range(1_000)]
    (logs / "train.jsonl").write_text("\n".join([*lines, "garbage", '{"step": 1, "loss": NaN}']))
    (logs / "environment.json").write_text(json.dumps({"torch": EVIL, "seeds": {"seed": 17}}))
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    phases = [*RECEIPT["phases"], {"name": EVIL, "seconds": 1.0, "usd": EVIL, "planned_seconds": 2.0}]
    paths = write(folder, RECEIPT | {"name": EVIL, "why": EVIL, "gate": [EVIL], "phases": phases, "zone": EVIL}, BASE)
    assert [path.name for path in paths] == ["report.html", "try.py"]
    return paths[0].read_text()


def test_the_page_loads_nothing_runs_nothing_and_escapes_everything(tmp_path: Path) -> None:
    page = whole(tmp_path)
    tags = Tags()
    tags.feed(page)
    assert EVIL not in page
    assert "script" not in tags.seen
    assert (tags.fetched, tags.open) == ([], [])
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)


def test_the_page_shows_scores_with_n_curve_cost_and_how_to_do_it_again(tmp_path: Path) -> None:
    page = whole(tmp_path)
    for part in ("base (n=200)", "tuned (n=200)", "0.930 [0.89-0.96]", "<polyline", "$0.58", "2410 s", "unknown",
                 "environment.seeds.seed", "width=device-width"):  # fmt: skip
        assert part in page, part
    assert "color-scheme: light dark" in page
    points = re.search(r'points="([^"]+)"', page)
    assert points is not None
    assert len(points[1].split()) <= report.MOST_POINTS


def test_a_planted_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    results = tmp_path / "results"
    results.mkdir()
    (results / "report.html").symlink_to(victim)
    (results / ".report.html.part").symlink_to(victim)
    write(results, RECEIPT, BASE)
    assert victim.read_text() == "mine"
    assert not (results / "report.html").is_symlink()


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is gone"):
        write(tmp_path / "none", RECEIPT, BASE)


def test_the_script_to_try_the_adapter_is_python(tmp_path: Path) -> None:
    whole(tmp_path)
    compile((tmp_path / "try.py").read_text(), "try.py", "exec")


@pytest.mark.parametrize(
    ("share", "n", "low", "high"), [(0.93, 200, 0.886, 0.958), (0.0, 100, 0.0, 0.037), (1.0, 1, 0.207, 1.0)]
)
def test_the_interval_of_a_share_is_wilson_s(share: float, n: int, low: float, high: float) -> None:
    assert wilson(share, n) == pytest.approx((low, high), abs=1e-3)
