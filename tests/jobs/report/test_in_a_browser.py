"""The report in a real browser: it renders without an error, asks for nothing, and can be read, wide and narrow."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.report import write
from tests.browser import Browser, opened
from tests.jobs.report import runs
from tests.jobs.report.runs import Lying
from tests.looks import complaints, opened_all, seen

pytestmark = pytest.mark.xdist_group("browser")

WINDOWS = [(360, 740, False), (360, 740, True), (1440, 900, False), (1440, 900, True)]


@pytest.fixture(scope="module", params=[runs.rich, runs.poor, runs.hostile], ids=["rich", "poor", "hostile"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Callable[[Path], Lying] = request.param
    run = made(tmp_path_factory.mktemp("run"))
    return write(run.folder, run.receipt, run.base, run.notes)[0]


@pytest.mark.parametrize(("width", "height", "dark"), WINDOWS)
def test_the_report_is_readable_quiet_and_alone(
    browser: Browser, report: Path, width: int, height: int, dark: bool
) -> None:
    assert seen(browser, report, width=width, height=height, dark=dark) == []


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = runs.rich(tmp_path_factory.mktemp("rich"))
    return write(run.folder, run.receipt, run.base, run.notes)[0]


def test_the_verdict_and_what_speaks_against_it_is_what_one_sees_first(browser: Browser, rich: Path) -> None:
    for width, height, whole in ((360, 740, False), (1440, 900, True)):
        last = ".verdict" if whole else ".verdict li:has(.bad):not(:has(~ li .bad))"
        with opened(browser, rich, width=width, height=height) as page:
            top, bottom = page.evaluate(
                "[document.querySelector('.verdict').getBoundingClientRect().top, "
                f"document.querySelector('{last}').getBoundingClientRect().bottom]"
            )
            assert 0 <= top < bottom <= height


def test_wide_tables_scroll_inside_themselves(browser: Browser, rich: Path) -> None:
    with opened(browser, rich, width=360) as page:
        scrolling = "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(scrolling) > 0
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_colours_follow_the_reader(browser: Browser, rich: Path) -> None:
    grounds = set()
    for dark in (False, True):
        with opened(browser, rich, dark=dark) as page:
            line = "document.querySelector('polyline.tuned')"
            grounds.add(
                page.evaluate(f"getComputedStyle(document.body).backgroundColor + getComputedStyle({line}).stroke")
            )
    assert len(grounds) == 2


def test_the_drawings_are_drawn(browser: Browser, rich: Path) -> None:
    with opened(browser, rich, width=360) as page:
        opened_all(page)
        sizes: list[list[float]] = page.evaluate(
            "[...document.querySelectorAll('polyline, svg.dot circle')].map(one => one.getBoundingClientRect())"
            ".map(box => [box.left, box.right, box.top, box.bottom])"
        )
    assert len(sizes) > 20
    assert all(0 <= left <= right <= 361 and top <= bottom for left, right, top, bottom in sizes)


def test_a_printer_gets_all_of_it(browser: Browser, rich: Path, tmp_path: Path) -> None:
    with opened(browser, rich) as page:
        page.call("Emulation.setEmulatedMedia", media="print")
        hidden = "[...document.querySelectorAll('details > *')].filter(one => !one.checkVisibility()).length"
        assert page.evaluate(hidden) == 0
        paper = page.pdf(tmp_path / "report.pdf").read_bytes()
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") >= 5


def test_a_script_that_slipped_in_would_not_run(browser: Browser, rich: Path, tmp_path: Path) -> None:
    """The policy is the second lock: here the first one is picked by hand."""
    evil = "<script>document.title = 'taken'</script><img src='https://127.0.0.1:1/x'><p onclick='x()'>"
    picked = tmp_path / "picked.html"
    picked.write_text(rich.read_text(encoding="utf-8").replace("</main>", f"{evil}</main>"), encoding="utf-8")
    with opened(browser, picked) as page:
        assert page.evaluate("document.title") != "taken"
        assert any("Content Security Policy" in line for line in page.console)
        assert page.blocked == [address for address in page.requests if not address.startswith("file:")] != []


BAD = {
    "a small text": ("p { font-size: 9px }", "9 px is too small"),
    "a pale text": ("p { color: #ccc }", "contrast"),
    "a wide page": ("main { width: 2000px }", "wider than the window"),
}


@pytest.mark.parametrize("what", BAD)
def test_the_look_itself_sees(browser: Browser, tmp_path: Path, what: str) -> None:
    style, complaint = BAD[what]
    path = tmp_path / "bad.html"
    path.write_text(f"<!doctype html><style>{style}</style><main><h1>a</h1><p>text</p></main>")
    with opened(browser, path) as page:
        assert any(complaint in said for said in complaints(page)), json.dumps(complaints(page))


def test_the_look_sees_structure_scripts_and_requests(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    body = "<h1>a</h1><h3 id=x>b</h3><p id=x><a href='#y'>c</a></p><img src='https://127.0.0.1:1/x.png'><script>nothing()</script>"
    path.write_text(f"<!doctype html>{body}")
    said = "\n".join(seen(browser, path))
    for part in (
        "h1 is followed by h3",
        "'x' is given twice",
        "#y, which is nowhere",
        "asked for https://127",
        "exception: ",
    ):
        assert part in said, part
