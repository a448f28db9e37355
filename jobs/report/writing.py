"""Writes what a person opens: the report, the model card, and the script that tries the adapter."""

import json
from collections.abc import Mapping
from pathlib import Path

from jobs.report.card import card
from jobs.report.files import ReportError
from jobs.report.given import Base, Notes
from jobs.report.page import page
from jobs.report.read import Found, read_all
from jobs.whole_files import write_whole

NO_NOTES = Notes()
SCRIPT = Path(__file__).parents[1] / "try_adapter.py"


def write(folder: Path, receipt: Mapping[str, object], base: Base, notes: Notes = NO_NOTES) -> tuple[Path, ...]:
    """Write `report.html`; where an adapter came home also `MODEL_CARD.md` and `try.py` with its `try.json`.

    All of it is made on this computer from checked values; nothing of it is what a machine wrote. Raises `ReportError`
    where the folder is gone.
    """
    if not folder.is_dir():
        raise ReportError(f"{folder} is gone, and the results with it", "launch ps")
    found = read_all(folder)
    written = [write_whole(folder / "report.html", page(receipt, found, base, notes))]
    if found.has_adapter:
        written.append(write_whole(folder / "MODEL_CARD.md", card(receipt, found, base, notes)))
        write_whole(folder / "try.json", json.dumps(_to_try(base, found, notes), indent=1) + "\n")
        written.append(write_whole(folder / "try.py", SCRIPT.read_text(encoding="utf-8")))
    return tuple(written)


def _to_try(base: Base, found: Found, notes: Notes) -> dict[str, object]:
    """What try.py is told: the base model, whether it was in 4 bits, how long an answer may get, the system text."""
    return {
        "model": base.model,
        "revision": base.revision,
        "four_bit": notes.of("train", "method") != "lora",
        "max_new_tokens": longest_answer(found, notes),
        "system": notes.system or None,
    }


NEW_TOKENS = 256
"""Where neither the job nor the evaluation says how long an answer may get (assumed)."""
SPARE_TOKENS = 16
"""An answer may be a little longer than the longest wanted one, as in the evaluation."""


def longest_answer(found: Found, notes: Notes) -> int:
    """`evaluate.max_new_tokens`, else a little more than the longest wanted answer of the test, else 256; in tokens."""
    asked = notes.of("evaluate", "max_new_tokens")
    if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
        return asked
    return NEW_TOKENS if found.longest_answer is None else found.longest_answer + SPARE_TOKENS
