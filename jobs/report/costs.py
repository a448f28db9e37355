"""What it cost, planned against actual; the machine; how to do it again; and what was not measured."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from jobs.report import charts
from jobs.report.given import Base, Notes, amount_usd, instant, is_billed, rows, said, seconds, usd
from jobs.report.markup import Head, folded, join, note, section, table, text, with_code
from jobs.report.read import Found, flat


def cost(receipt: Mapping[str, object]) -> Markup:
    """Money planned and spent, then phase by phase."""
    planned = receipt.get("planned_usd")
    interval = f" ({usd(said(planned, 'low'))} to {usd(said(planned, 'high'))})" if isinstance(planned, Mapping) else ""
    of = "" if receipt.get("budget_usd") is None else f" of {usd(receipt.get('budget_usd'))}"
    spent = f"{usd(receipt.get('spent_usd'))}{of}"
    line = f"{spent}; planned {usd(said(planned, 'expected'))}{interval}."
    billed = is_billed(receipt)
    found = rows(receipt, "phases")
    took = [_figure(one.get("seconds")) or 0.0 for one in found]
    most = max([*took, *(_figure(one.get("planned_seconds")) or 0.0 for one in found)], default=1.0) or 1.0
    made = table(
        ["phase", ("", "plot"), ("planned", "n"), ("took", "n"), *(_MONEY_HEADS if billed else [])],
        [
            [
                said(one, "name"),
                charts.planned_and_taken(_figure(one.get("planned_seconds")), actual, most),
                seconds(one.get("planned_seconds")),
                seconds(one.get("seconds")),
                *([_thousandths(one.get("planned_usd")), _thousandths(one.get("usd"))] if billed else []),
            ]
            for one, actual in zip(found, took, strict=True)
        ],
        "Cost by phase",
    )
    return section(
        "cost", "Cost", Markup("<p>{}</p>").format(line) if billed else Markup(""), _money(receipt),
        _KEYS if made else Markup(""), made,
        note(text(said(receipt, "spent_is"))),
    )  # fmt: skip


_MONEY_HEADS: list[Head] = [("planned cost", "n"), ("cost", "n")]
_KEYS = Markup(
    '<p class="sub"><span class="key"><i class="base"></i>planned</span>'
    '<span class="key"><i class="tuned"></i>took</span></p>'
)


def _thousandths(value: object) -> str:
    """Of a dollar, the same in every line: phases are compared with each other."""
    amount_of = amount_usd(value)
    return "–" if amount_of is None else f"${amount_of:,.3f}"


def _figure(value: object) -> float | None:
    """Seconds that can be drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return float(value)


def _money(receipt: Mapping[str, object]) -> Markup:
    """The planned interval and what was spent on one scale, up to the budget."""
    names = ("low", "expected", "high")
    low, expected, high = (amount_usd(said(receipt, "planned_usd", name)) for name in names)
    spent = amount_usd(receipt.get("spent_usd"))
    if low is None or expected is None or high is None or spent is None or high <= 0:
        return Markup("")
    by = charts.scale([0.0, float(high), float(spent)], zero=True)
    planned = charts.dot(float(expected), float(low), float(high), by, "base")
    actual = charts.dot(float(spent), None, None, by, "tuned")
    return Markup(
        '<table class="dots"><tbody><tr><th scope="row">planned</th><td class="plot">{}</td><td class="n">{}</td></tr>'
        '<tr><th scope="row">spent</th><td class="plot">{}</td><td class="n">{}</td></tr>'
        '<tr class="ticks"><td></td><td class="plot">{}</td><td></td></tr></tbody></table>'
    ).format(planned, usd(expected), actual, usd(spent), charts.axis(by))


def machine(receipt: Mapping[str, object], found: Found) -> Markup:
    """Where it ran, at which price, and the proof that it is gone."""
    confirmed = "confirmed" if said(receipt, "terminated", "confirmed") == "True" else "NOT confirmed"
    looks, at = said(receipt, "terminated", "looks"), instant(said(receipt, "terminated", "at"))
    measured = dict(found.environment)
    pairs = [
        (name.replace("_", " "), said(receipt, name))
        for name in ("provider", "region", "zone", "instance_type", "market")
    ]
    pairs += [(name, measured[key]) for name, key in _MEASURED.items() if measured.get(key, "unknown") != "unknown"]
    pairs += [
        ("attempts", said(receipt, "attempts")),
        ("price from", f"{said(receipt, 'price', 'source')}, seen {instant(said(receipt, 'price', 'seen_at'))}"),
        ("terminated", f"{confirmed}, {at}, {looks} looks"),
    ]
    return section("machine", "Machine", _pairs([(name, value) for name, value in pairs if value]))


_MEASURED = {"GPU": "gpu", "GPU memory, GiB": "vram_gib", "driver": "driver", "CUDA": "cuda", "system": "platform"}


def _pairs(pairs: Sequence[tuple[str, str]]) -> Markup:
    inner = join(Markup("<dt>{}</dt><dd>{}</dd>").format(text(name, 80), text(value)) for name, value in pairs)
    return Markup('<dl class="pairs">{}</dl>\n').format(inner)


def again(found: Found, base: Base, notes: Notes) -> Markup:
    """Versions, hashes, seeds, revision, command: what it takes to do it again."""
    pairs = [("model", base.model), ("revision", base.revision or "not pinned")]
    if notes.command:
        pairs.append(("command", notes.command))
    if notes.bundle_sha256:
        pairs.append(("bundle sha256", notes.bundle_sha256))
    pairs += [(f"seed, {what}", str(seed)) for what, seed in _seeds(found, notes)]
    if found.data is not None:
        pairs += [(f"{one.part} rows, sha256", one.sha256) for one in found.data.parts]
    groups = (
        ("Settings", flat(notes.settings)),
        ("Machine and packages", found.environment),
        ("Rows and tokens", found.prepared),
        ("Training", found.training),
    )
    inner = join(folded(title, _pairs(facts)) for title, facts in groups if facts)
    return section("again", "Doing it again", _pairs(pairs), inner)


def _seeds(found: Found, notes: Notes) -> list[tuple[str, object]]:
    seeds: list[tuple[str, object]] = []
    if (seed := notes.of("train", "seed")) is not None:
        seeds.append(("training", seed))
    if found.data is not None:
        seeds.append(("split", found.data.split_seed))
    return seeds


def missing(found: Found, notes: Notes) -> Markup:
    """What was not measured, and which key asks for it: no section is silently left out."""
    lines = [*_without_arms(found), *_without_data(found)]
    if notes.is_private and "evaluate" in notes.settings and notes.of("evaluate", "judge") is None:
        lines.append("No judge model was asked: the data is private.")
    items = join(Markup("<li>{}</li>").format(with_code(line)) for line in lines)
    return section("missing", "What was not measured", Markup("<ul>{}</ul>").format(items)) if items else items


def _without_arms(found: Found) -> list[str]:
    summary = found.summary
    if summary is None:
        return ["No comparison: there is no evaluation of two arms over the same test items that could be read."]
    arms = {arm.name for arm in summary.arms}
    lines = []
    if "prompted" not in arms:
        lines.append("Whether a better prompt does the same (`evaluate.prompted`).")
    if "larger" not in arms:
        lines.append("What a larger general model answers, and at what price (`evaluate.larger`).")
    if not summary.adjacent:
        lines.append("Whether the model got worse at other tasks (`evaluate.adjacent`).")
    if summary.judging is None:
        lines.append("What a judge model prefers (`evaluate.judge`, then `launch judge`).")
    if not summary.votes:
        lines.append("What people prefer (`launch review`, then `launch score`).")
    if not any(one.usd_per_1000 for one in summary.serving):
        lines.append("What answering costs: no decode speed, or no price of the machine, is known.")
    return lines


def _without_data(found: Found) -> list[str]:
    lines = []
    if found.data is None:
        lines.append("Faults, duplicates and spread of the data: there is no data report.")
    if len(found.log.loss) < 2:
        lines.append("The course of the training: there is no training log.")
    elif not found.log.validation:
        lines.append("Validation loss during training (`data.validation` or `data.split`): the last step was taken.")
    if not found.log.vram_gib:
        lines.append("GPU memory: there was no GPU, or it was not logged.")
    return lines
