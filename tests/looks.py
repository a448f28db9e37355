"""How a page looks to a person, measured in a real browser: width, text sizes, contrast, headings, ids."""

from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.browser import Browser, Page, opened

SMALLEST_PX = 11.0
"""Of a text that can still be read on a phone."""
CONTRAST = 4.5
"""Of a text on its background: WCAG 2.1, level AA."""

_TEXTS = """
(() => {
  // Every element with a text of its own that is seen, with its size, colour, and the colours behind it.
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const rgba = colour => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    return Array.from(pen.getImageData(0, 0, 1, 1).data).map((part, at) => at === 3 ? part / 255 : part); };
  const over = (top, below) => [0, 1, 2].map(at => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
  const light = colour => { const [r, g, b] = colour.map(part => { const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = element => { const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]); };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].filter(one => one.nodeType === 3).map(one => one.data.trim()).join(" ").trim();
    if (!own || !element.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    const style = getComputedStyle(element), ground = behind(element), ink = over(rgba(style.color), ground);
    const [bright, dim] = [light(ink), light(ground)].sort((a, b) => b - a);
    found.push([own.slice(0, 60), parseFloat(style.fontSize), (bright + 0.05) / (dim + 0.05)]);
  }
  return found;
})()
"""


def complaints(page: Page) -> list[str]:
    """What a person would complain about, in words; [] where nothing is wrong."""
    texts: list[tuple[str, float, float]] = page.evaluate(_TEXTS)
    assert texts, "the page shows no text at all"
    said = [f"{size} px is too small: {text!r}" for text, size, _ in texts if size < SMALLEST_PX]
    said += [f"contrast {contrast:.2f} is too low: {text!r}" for text, _, contrast in texts if contrast < CONTRAST]
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if wide > 0:
        said.append(f"the page is {wide} px wider than the window")
    return [*said, *_structure(page)]


def _structure(page: Page) -> list[str]:
    """Headings go down one level at a time, from one h1; no id is given twice; every link inside has its place."""
    levels: list[int] = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
    said = [] if levels.count(1) == 1 and levels[:1] == [1] else [f"headings begin {levels[:3]}, not with the one h1"]
    said += [f"h{a} is followed by h{b}" for a, b in pairwise(levels) if b > a + 1]
    ids: list[str] = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    said += sorted({f"id {one!r} is given twice" for one in ids if ids.count(one) > 1})
    links: list[str] = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash.slice(1))")
    return [*said, *(f"a link leads to #{one}, which is nowhere" for one in links if one not in ids)]


def opened_all(page: Page) -> None:
    """Everything that can be opened by a click is open."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")


def seen(browser: Browser, path: Path, **how: Any) -> list[str]:
    """What is wrong with a page that may neither run nor fetch anything: its complaints, errors, requests."""
    with opened(browser, path, **how) as page:
        opened_all(page)
        said = complaints(page)
        said += [f"console: {line}" for line in page.console] + [f"exception: {line}" for line in page.exceptions]
        said += [f"asked for {address}" for address in page.requests if address != path.resolve().as_uri()]
    return said
