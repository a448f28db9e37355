"""What a person would use instead of our estimator: rules of thumb, a published table, and what two programs answered.

Rules are computed here. Programs are asked once, by `ask_accelerate` and `ask_ftune`, and their answers lie in
`rivals.csv`, so that comparing needs neither torch nor a second environment.

Where something had to be chosen, it was chosen in the rival's favour: "GB" is read as GiB, which is what cards have,
and a program that miscounts a model stands here twice, also as if it had counted right. No margin is put on top.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pricing.workload import Quantisation
from tests.accuracy.points import GIB, Point

ANSWERS = Path(__file__).parent / "rivals.csv"
COLUMNS = ("id", "rival", "version", "gib", "seconds")

SIX_N_D, WEIGHTS, TABLE = "6ND at 40 % MFU", "weights x 1.2", "LLaMA-Factory table"
ACCELERATE, FTUNE, FTUNE_TOLD = "accelerate estimate-memory", "ftuneai", "ftuneai, told the true size"
ASKED_BY = {ACCELERATE: "ask_accelerate.py", FTUNE: "ask_ftune.py", FTUNE_TOLD: "ask_ftune.py"}

FLOPS_PER_PARAMETER, MFU = 6, 0.4
"""Forward 2, backward 4 (Kaplan et al. 2020); 40 % is what people take for a well-run training, PaLM's 46 % rounded."""

BYTES = {
    Quantisation.NONE: 2.0, Quantisation.INT8: 1.0, Quantisation.INT4: 0.5, Quantisation.NF4: 0.5,
    Quantisation.NF4_DOUBLE: 0.5,
}  # fmt: skip
"""Of a parameter, as the rules of thumb count: all parameters quantised, no scales."""
ON_TOP = 1.2
"""EleutherAI's 20 % on top of the weights ("Transformer Math 101"); accelerate's own page on `estimate-memory` says to
add "up to an additional 20 %" to its figures."""

TABLE_SIZES = (7, 14, 30, 70)
TABLE_GB: dict[float, tuple[int, ...]] = {2.0: (16, 32, 64, 160), 1.0: (10, 20, 40, 80), 0.5: (6, 12, 24, 48)}
"""LLaMA-Factory README, "Hardware Requirement" (it marks it "estimated"), rows LoRA 16, QLoRA 8 and QLoRA 4, read at
0.9.6.dev0, commit ff6d4d1 of 2026-08-18; figures unchanged since 2025-08-18 at the least. Its column for `x`B says 2x,
x and x/2 GB, which are the bytes of a parameter."""
NEAR = 1 / 8
"""A model within so much of a column's size is read from that column, as 13 B is from 14 B (assumed)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a program said of one run; None where it has no answer."""

    version: str
    gib: float | None
    seconds: float | None


def memory(point: Point) -> dict[str, float | None]:
    """Peak memory in GiB by each rival; None where it has no answer."""
    weights_gib = accelerate_gib(point)
    return {
        WEIGHTS: weights_times_1_2(point),
        TABLE: llama_factory_table(point),
        ACCELERATE: None if weights_gib is None else weights_gib * ON_TOP,
        FTUNE: _answer(FTUNE, point).gib,
        FTUNE_TOLD: _answer(FTUNE_TOLD, point).gib,
    }


def seconds(point: Point) -> dict[str, float | None]:
    """Seconds of a micro-step (one forward and backward of `point.tokens`) by each rival; None: no answer."""
    return {
        SIX_N_D: six_n_d(point),
        FTUNE: _answer(FTUNE, point).seconds,
        FTUNE_TOLD: _answer(FTUNE_TOLD, point).seconds,
    }


def six_n_d(point: Point) -> float | None:
    """Six operations for each parameter and token, at 40 % of the card's dense bf16 peak."""
    if point.gpu is None:
        return None
    return point.tokens * FLOPS_PER_PARAMETER * point.workload.shape.active / (MFU * point.gpu.bf16_tflops * 1e12)


def weights_times_1_2(point: Point) -> float:
    """The weights in the width that they are held in, and a fifth on top."""
    return point.workload.shape.parameters * _bytes(point) * ON_TOP / GIB


def llama_factory_table(point: Point) -> float:
    """The column of the model's size, or the formula of the column for other sizes."""
    billions, width = point.workload.shape.parameters / 1e9, _bytes(point)
    for size, table_gb in zip(TABLE_SIZES, TABLE_GB[width], strict=True):
        if abs(billions / size - 1) <= NEAR:
            return float(table_gb)
    return billions * width


def accelerate_gib(point: Point) -> float | None:
    """Column "Total Size" of the CLI's table, for float16 or int4.

    Not "Training using Adam": that is a full fine-tuning (its largest part, 8 bytes for each parameter), and for
    int4 it says N/A. So who plans LoRA takes what loading needs, with the 20 % that accelerate's page says to add.
    """
    return _answer(ACCELERATE, point).gib


def record(rival: str, rows: Iterable[tuple[str, Answer]]) -> None:
    """Replace all that `rivals.csv` holds of a rival; `rows` are pairs of a point's id and the answer."""
    kept = [row for row in _rows() if row["rival"] != rival]
    added = [
        {"id": id_, "rival": rival, "version": one.version, "gib": _text(one.gib), "seconds": _text(one.seconds)}
        for id_, one in rows
    ]
    with ANSWERS.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *added], key=lambda row: (row["rival"], row["id"])))
    _answers.cache_clear()


def _bytes(point: Point) -> float:
    return BYTES[point.workload.quantisation]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _rows() -> list[dict[str, str]]:
    if not ANSWERS.exists():
        return []
    with ANSWERS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _answers() -> dict[tuple[str, str], Answer]:
    return {
        (row["rival"], row["id"]): Answer(
            version=row["version"],
            gib=float(row["gib"]) if row["gib"] else None,
            seconds=float(row["seconds"]) if row["seconds"] else None,
        )
        for row in _rows()
    }


def _answer(rival: str, point: Point) -> Answer:
    """Of a program that was asked; a point that came after the asking is an error, not "no answer"."""
    found = _answers().get((rival, point.id))
    if found is None:
        raise LookupError(f"{rival} was never asked about {point.id}: see tests/accuracy/{ASKED_BY[rival]}")
    return found
