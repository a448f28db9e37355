"""The blind page in a real browser: voted on with keys, on a phone, by night, and attacked from inside an answer."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.judge.exchanges import Exchange
from jobs.review.key import Keys, PageKey, draw
from jobs.review.page import page
from jobs.review.votes import page_of, read_votes, tally
from tests.browser import Browser, Page, opened
from tests.jobs.judge.asked import item

pytestmark = pytest.mark.xdist_group("browser")

OWNED = "document.title='owned'"
EVIL = f'</script x></script><script>{OWNED}</script><img src=x onerror="{OWNED}"><!--<script>'


def made(tmp_path: Path, count: int = 3, **texts: str) -> tuple[PageKey, Path]:
    answers = {"tuned": "the right one", "base": "the wrong one", **texts}
    items = [
        Exchange(number=at, turns=(("system", EVIL), ("user", f"q{at}")), wanted="w", answers=answers, cluster=at)
        for at in range(count)
    ]
    key, on_it = draw(items, "tuned", "base", 50)
    path = tmp_path / "review.html"
    path.write_text(page(key, on_it, f"run {EVIL}"), encoding="utf-8")
    return key, path


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[tuple[PageKey, Page]]:
    key, path = made(tmp_path)
    with opened(browser, path) as seen:
        yield key, seen


def press(seen: Page, key: str) -> None:
    """As a keyboard does it."""
    for kind in ("keyDown", "keyUp"):
        seen.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if len(key) == 1 and kind == "keyDown" else "")


def text(seen: Page, selector: str) -> str:
    return str(seen.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))


def prefer_tuned(key: PageKey, seen: Page) -> None:
    """Votes for the tuned answer of every item, by what is read on the page."""
    for _ in key.places:
        press(seen, "1" if text(seen, "#a") == "the right one" else "2")


def test_a_person_votes_with_keys_saves_and_is_counted(shown: tuple[PageKey, Page], tmp_path: Path) -> None:
    key, seen = shown
    downloads = tmp_path / "downloads"
    seen.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads), eventsEnabled=True)
    prefer_tuned(key, seen)
    assert "That was the last one" in text(seen, "#end")
    seen.evaluate("document.getElementById('save').click()")
    assert text(seen, "#said") == "Please say your name first."
    seen.call("Input.insertText", text="Ada 1/2 \U0001f642")
    seen.evaluate("document.getElementById('save').click()")
    assert text(seen, "#said") == "Saved as votes-Ada-1-2-.json: 3 votes."
    saved = arrived(seen, downloads / "votes-Ada-1-2-.json")
    votes = read_votes(saved)
    assert votes.voter == "Ada 1/2 \U0001f642"
    found = tally(page_of([(saved, votes)], Keys(pages=(key,)), "r"), [votes])
    assert (found.wins, found.ties, found.losses, found.voters) == (3, 0, 0, 1)


def arrived(seen: Page, path: Path) -> Path:
    """The file, once the browser has written it; each look takes it a moment."""
    for _ in range(200):
        if path.is_file() and path.stat().st_size:
            return path
        seen.evaluate("new Promise(done => setTimeout(done, 20))")
    raise AssertionError(f"{path} did not come")


def test_keys_go_back_and_change_a_vote_and_are_text_in_the_name_field(shown: tuple[PageKey, Page]) -> None:
    _, seen = shown
    press(seen, "3")
    assert text(seen, "#number") == "2 of 3"
    press(seen, "Backspace")
    assert text(seen, "#number") == "1 of 3"
    assert seen.evaluate("document.querySelector('[aria-pressed=true]').dataset.choice") == "same"
    assert seen.evaluate("document.activeElement.id") == "number"
    press(seen, "1")
    press(seen, "4")
    assert text(seen, "#count") == "2 of 3"
    seen.evaluate("document.getElementById('voter').focus()")
    press(seen, "1")
    assert (text(seen, "#count"), seen.evaluate("document.getElementById('voter').value")) == ("2 of 3", "1")


def test_votes_are_there_again_after_the_page_was_closed(browser: Browser, tmp_path: Path) -> None:
    _, path = made(tmp_path)
    with opened(browser, path) as seen:
        press(seen, "1")
        press(seen, "2")
    with opened(browser, path) as seen:
        assert (text(seen, "#number"), text(seen, "#count")) == ("3 of 3", "2 of 3")


def test_a_browser_that_keeps_nothing_can_still_vote(browser: Browser, tmp_path: Path) -> None:
    _, path = made(tmp_path)
    nowhere = f"data:text/html;base64,{base64.b64encode(path.read_bytes()).decode()}"
    with opened(browser, nowhere) as seen:
        press(seen, "1")
        assert text(seen, "#count") == "1 of 3"
        assert text(seen, "#said").startswith("This browser keeps nothing for this page: save your votes")
        assert seen.exceptions == []


def test_what_an_answer_holds_is_text_and_nothing_leaves_the_page(browser: Browser, tmp_path: Path) -> None:
    _, path = made(tmp_path, tuned=f"a {EVIL}", base="b\u202e\x1b[2J")
    with opened(browser, path) as seen:
        assert {text(seen, "#a"), text(seen, "#b")} == {f"a {EVIL}", "b[2J"}
        assert EVIL in text(seen, "#prompt")
        assert seen.evaluate("document.title") == "Which answer is better?"
        assert text(seen, "#run") == f"run {EVIL}"
        assert seen.evaluate("document.scripts.length") == 2
        assert seen.requests == [path.resolve().as_uri()]
        assert (seen.console, seen.exceptions) == ([], [])


def test_nothing_in_the_file_says_whose_answer_is_whose(tmp_path: Path) -> None:
    firsts = set()
    for _ in range(20):
        key, path = made(tmp_path, 1)
        html = path.read_text()
        assert not any(name in html for name in ("tuned", 'base"', "prompted", "larger"))
        firsts.add(html.index("the right one") < html.index("the wrong one"))
        assert (key.places[0].first == "tuned") == (html.index("the right one") < html.index("the wrong one"))
    assert firsts == {True, False}


def boxes(seen: Page, selector: str, side: str) -> list[int]:
    """A side of each element's box, in whole pixels."""
    each = f"[...document.querySelectorAll({json.dumps(selector)})]"
    found: list[int] = seen.evaluate(f"{each}.map(one => Math.round(one.getBoundingClientRect().{side}))")
    return found


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_is_readable_on_a_phone_and_a_desk_by_day_and_night(
    browser: Browser, tmp_path: Path, width: int, dark: bool
) -> None:
    _, path = made(tmp_path, 1, tuned="x" * 500)
    with opened(browser, path, width=width, height=800, dark=dark) as seen:
        assert seen.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tops = seen.evaluate(
            "[...document.querySelectorAll('article')].map(e => Math.round(e.getBoundingClientRect().top))"
        )
        assert (tops[0] == tops[1]) is (width > 800)
        heights = seen.evaluate(
            "[...document.querySelectorAll('[data-choice]')].map(e => e.getBoundingClientRect().height)"
        )
        assert min(heights) >= 44
        ground = seen.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(int(one) for one in ground[4:-1].split(",")) < 200) is dark
        unnamed = "[...document.querySelectorAll('input, progress')].filter(e => !e.labels.length).length"
        assert seen.evaluate(unnamed) == 0


def test_items_stand_in_the_order_of_their_key(tmp_path: Path) -> None:
    items = [item(at, tuned=f"mine {at}", base=f"theirs {at}") for at in range(5)]
    key, on_it = draw(items, "tuned", "base", 50)
    html = page(key, on_it, "r")
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    assert [one["id"] for one in data["items"]] == [one.id for one in key.places]
    for place, shown_item in zip(key.places, data["items"], strict=True):
        assert shown_item["A"] == f"{'mine' if place.first == 'tuned' else 'theirs'} {place.item}"
