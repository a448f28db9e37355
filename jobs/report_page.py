"""The report as one HTML page: no network, no script, foreign texts escaped, light and dark, readable on a phone."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import sqrt

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #888; --base: #888; --tuned: #2a7de1; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.why { color: var(--soft); margin: .25rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; min-width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; padding: .3rem 0 .3rem .8rem; }
td.long { overflow-wrap: anywhere; }
svg { width: 100%; height: auto; } svg text { fill: currentColor; font-size: 11px; }
svg polyline { fill: none; stroke: var(--tuned); stroke-width: 2; } svg line { stroke: var(--line); }
details summary { cursor: pointer; }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
PROPORTIONS = ("exact",)
"""Metrics that count rows as right or wrong, so that an interval can be given from `n` alone."""
Z95 = 1.96

Score = tuple[str, int, Mapping[str, float]]


def page(
    *,
    receipt: Mapping[str, object],
    scores: Sequence[Score],
    losses: Sequence[tuple[int, float]],
    made_with: Sequence[tuple[str, str]],
) -> str:
    """The whole page. `receipt` is the document of the contract."""
    title = escape(f"{_said(receipt, 'name')} · {_said(receipt, 'run')}")
    parts = [_verdict(receipt), _scores(scores), _curve(losses), _cost(receipt), _machine(receipt), _again(made_with)]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _said(mapping: object, *path: str) -> str:
    """The text at a path of nested objects; "unknown" where there is none."""
    for key in path:
        mapping = mapping.get(key) if isinstance(mapping, Mapping) else None
    return "unknown" if mapping is None else str(mapping)


def _rows(receipt: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = receipt.get(key)
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """First column words, the others figures; every cell is escaped here."""
    first, *others = heads
    top = f"<th>{escape(first)}</th>" + "".join(f'<th class="n">{escape(head)}</th>' for head in others)
    lines = "".join(
        f"<tr><td>{escape(row[0])}</td>" + "".join(f'<td class="n">{escape(cell)}</td>' for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{top}</tr>{lines}</table></div>'


def _verdict(receipt: Mapping[str, object]) -> str:
    why = _said(receipt, "why")
    reason = f'<p class="why">{escape(why)}</p>' if why not in ("", "unknown") else ""
    gate = receipt.get("gate")
    gates = "".join(f'<p class="why">gate: {escape(str(one))}</p>' for one in gate) if isinstance(gate, list) else ""
    return f"<p><strong>{escape(_said(receipt, 'outcome'))}</strong>, {escape(_said(receipt, 'at'))}</p>{reason}{gates}"


def _scores(scores: Sequence[Score]) -> str:
    if not scores:
        return "<h2>Evaluation</h2><p>No arm was evaluated.</p>"
    names = list(dict.fromkeys(name for _, _, metrics in scores for name in metrics))
    heads = ["metric", *(f"{arm} (n={n})" for arm, n, _ in scores)]
    rows = [[name, *(_value(name, metrics.get(name), n) for _, n, metrics in scores)] for name in names]
    note = "Brackets: 95 % interval of the share of right rows (Wilson), for these test rows only."
    return f'<h2>Evaluation</h2>{_table(heads, rows)}<p class="why">{note}</p>'


def _value(name: str, value: float | None, n: int) -> str:
    if value is None:
        return "unknown"
    if name not in PROPORTIONS or not 0 <= value <= 1 or n == 0:
        return f"{value:.3f}"
    low, high = wilson(value, n)
    return f"{value:.3f} [{low:.2f}-{high:.2f}]"


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of `n` rows (Wilson 1927), which stays within 0 and 1."""
    spread = Z95 * sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    middle, scale = share + Z95**2 / (2 * n), 1 + Z95**2 / n
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _curve(losses: Sequence[tuple[int, float]]) -> str:
    """The training loss as a line; its axis labels are the first and last step, the lowest and highest loss."""
    if len(losses) < 2:
        return ""
    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    across, up = max(steps) - min(steps) or 1, max(values) - min(values) or 1.0
    points = " ".join(
        f"{50 + 540 * (step - min(steps)) / across:.1f},{180 - 160 * (loss - min(values)) / up:.1f}"
        for step, loss in losses
    )
    labels = (
        f'<text x="44" y="24" text-anchor="end">{max(values):.2f}</text>'
        f'<text x="44" y="184" text-anchor="end">{min(values):.2f}</text>'
        f'<text x="50" y="198">step {min(steps)}</text><text x="590" y="198" text-anchor="end">{max(steps)}</text>'
    )
    return (
        '<h2>Training loss</h2><svg viewBox="0 0 600 205" role="img" aria-label="training loss by step">'
        f'<line x1="50" y1="180" x2="590" y2="180"/><line x1="50" y1="20" x2="50" y2="180"/>'
        f'<polyline points="{points}"/>{labels}</svg>'
    )


def _cost(receipt: Mapping[str, object]) -> str:
    rows = [
        [
            _said(one, "name"),
            _seconds(one.get("planned_seconds")),
            _seconds(one.get("seconds")),
            f"${_said(one, 'usd')}",
        ]
        for one in _rows(receipt, "phases")
    ]
    planned = f"planned ${_said(receipt, 'planned_usd', 'expected')}"
    interval = f"(${_said(receipt, 'planned_usd', 'low')} to ${_said(receipt, 'planned_usd', 'high')})"
    spent = f"${_said(receipt, 'spent_usd')} of ${_said(receipt, 'budget_usd')}, {planned} {interval}"
    return (
        f"<h2>Cost</h2><p>{escape(spent)}</p>{_table(['phase', 'planned', 'took', 'cost'], rows)}"
        f'<p class="why">{escape(_said(receipt, "spent_is"))}</p>'
    )


def _seconds(value: object) -> str:
    return f"{value:.0f} s" if isinstance(value, int | float) else "unknown"


def _machine(receipt: Mapping[str, object]) -> str:
    names = ("provider", "region", "zone", "instance_type", "market", "attempts")
    rows = [[name.replace("_", " "), _said(receipt, name)] for name in names]
    rows += [["price from", f"{_said(receipt, 'price', 'source')}, seen {_said(receipt, 'price', 'seen_at')}"]]
    confirmed = "confirmed" if _said(receipt, "terminated", "confirmed") == "True" else "NOT confirmed"
    rows += [["terminated", f"{confirmed}, {_said(receipt, 'terminated', 'at')}"]]
    return f"<h2>Machine</h2>{_table(['', ''], rows)}"


def _again(made_with: Sequence[tuple[str, str]]) -> str:
    if not made_with:
        return ""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="long">{escape(value)}</td></tr>' for name, value in made_with
    )
    table = f'<div class="wide"><table>{rows}</table></div>'
    return f"<h2>Doing it again</h2><details><summary>Versions, seeds and hashes</summary>{table}</details>"
