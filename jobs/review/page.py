"""The blind page as one file: no request leaves it, and foreign texts are data that its script sets as plain text."""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from jobs.judge.exchanges import Exchange
from jobs.judge.question import shown
from jobs.review.key import PageKey

HERE = Path(__file__).parent


def page(made: PageKey, items: Sequence[Exchange], title: str) -> str:
    """The HTML of a page. Nothing in it says which arm an answer is from."""
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    data = {
        "page": made.page,
        "title": title,
        "items": [_item(place.id, place.first, made, one) for place, one in zip(made.places, items, strict=True)],
    }
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {"POLICY": policy, "STYLE": style, "SCRIPT": script, "DATA": as_data(data)}
    html = (HERE / "page.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        before, after = html.split(f"@{name}@")
        html = before + text + after
    return html


def _item(opaque: str, first: str, made: PageKey, one: Exchange) -> dict[str, object]:
    second = made.against if first == made.arm else made.arm
    return {
        "id": opaque,
        "prompt": [{"role": role, "text": shown(text)} for role, text in one.turns],
        "wanted": shown(one.wanted),
        "A": shown(one.answers[first]),
        "B": shown(one.answers[second]),
    }


def as_data(value: object) -> str:
    """JSON as it may stand in a script block: no `<` in it, so nothing that ends the block or begins a comment."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
