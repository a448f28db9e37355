"""The arms side by side: every metric with its interval, every difference with its test, fields, shape, confusion."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from jobs.report import charts
from jobs.report.charts import Scale
from jobs.report.markup import Head, folded, join, note, number, p_value, section, signed, table, text
from jobs.report.read import ArmScore, Found
from jobs.results.summary import ARMS, Adjacent, Arm, Confusion, Difference, JsonHealth, Metric, Summary, Value

PROPORTIONS = ("exact", "json_valid", "accuracy")
"""Metrics that count rows as right or wrong, so that an interval can be given from `n` alone."""
Z95 = 1.96


def comparison(found: Found) -> Markup:
    """All arms, each metric; without a summary what the arms themselves say."""
    summary = found.summary
    if summary is None:
        return section("comparison", "Comparison", _scores(found.scores))
    # Perplexity is the loss once more: its figures stand beside the loss.
    metrics = join(_metric(metric, summary) for metric in summary.metrics if metric.name != "perplexity")
    arms = _arms_of(summary)
    lead = f"{arms[:1].upper()}{arms[1:]}: the same test items, the same greedy decoding. Lines are 95 % intervals."
    return section(
        "comparison",
        "Comparison",
        note(text(lead)),
        Markup('<div class="two-up">{}</div>').format(metrics),
        _differences(summary.metrics),
        _arms(summary.arms),
    )


def _arms_of(summary: Summary) -> str:
    titles = [arm.title for arm in summary.arms]
    return ", ".join(titles[:-1]) + f" and {titles[-1]}" if len(titles) > 1 else "".join(titles)


def _metric(metric: Metric, summary: Summary) -> Markup:
    """One metric as a plot that is a table: an arm a line, its dot with the interval, its figure."""
    by = _scale_of(list(metric.values.values()))
    titles = {arm.name: arm.title for arm in summary.arms}
    rows = [(titles.get(arm, arm), arm, metric.values[arm]) for arm in _ordered(metric.values)]
    lines = join(
        Markup('<tr><th scope="row">{}</th><td class="plot">{}</td><td class="n">{}</td></tr>').format(
            text(title, 40), charts.dot(value.value, value.low, value.high, by, _colour(arm)), _figure(value)
        )
        for title, arm, value in rows
    )
    ticks = Markup('<tr class="ticks"><td></td><td class="plot">{}</td><td></td></tr>').format(charts.axis(by))
    said = f"{metric.better} is better" + (f"; {metric.normalised}" if metric.normalised else "")
    if metric.name == "loss":
        said += _perplexities(summary, titles)
    return Markup('<div><h3>{}</h3>{}<table class="dots"><tbody>{}{}</tbody></table></div>').format(
        text(metric.title), note(text(said)), lines, ticks
    )


def _perplexities(summary: Summary, titles: Mapping[str, str]) -> str:
    """How many tokens each arm hesitates between."""
    found = next((one.values for one in summary.metrics if one.name == "perplexity"), {})
    figures = ", ".join(f"{titles.get(arm, arm)} {found[arm].value:.4g}" for arm in _ordered(found))
    return f"; nats a token; perplexity, e to it: {figures}" if figures else "; nats a token"


def _scale_of(values: Sequence[Value]) -> Scale:
    ends = [end for value in values for end in (value.value, value.low, value.high) if end is not None]
    return charts.SHARES if all(0 <= end <= 1 for end in ends) else charts.scale(ends, zero=min(ends) >= 0)


def _ordered(arms: Sequence[str] | dict[str, Value]) -> list[str]:
    """Known arms in their order, then others."""
    return sorted(arms, key=lambda arm: (ARMS.index(arm) if arm in ARMS else len(ARMS), arm))


def _colour(arm: str) -> str:
    return arm if arm in ARMS else "base"


def _figure(value: Value) -> Markup:
    return Markup('{} <span class="sub">{}</span>').format(
        number(value.value),
        "" if value.low is None or value.high is None else f"[{number(value.low, 2)}–{number(value.high, 2)}]",
    )


def _differences(metrics: Sequence[Metric]) -> Markup:
    """Every paired difference; what cannot be told from chance is said so in words."""
    rows = [
        (
            metric.title if at == 0 else Markup(""),
            Markup('<span class="tick">{}</span>').format(text(f"{one.arm} − {one.against}", 60)),
            charts.dot(one.value, one.low, one.high, _around_zero(metric.differences), _colour(one.arm)),
            signed(one.value),
            f"{signed(one.low)} to {signed(one.high)}",
            p_value(one.p),
            f"{one.n:,}",
            _reading(one, metric.better),
        )
        for metric in metrics
        for at, one in enumerate(metric.differences)
    ]
    heads = (
        "metric",
        "arms",
        ("", "plot"),
        ("difference", "n"),
        ("95 % interval", "n"),
        ("p", "n"),
        ("n", "n"),
        "reading",
    )
    made = table(heads, rows, "Differences")
    how = "Over the same items: 95 % paired bootstrap interval; p is McNemar's exact test, of what is right or wrong."
    return Markup("<h3>Differences</h3>{}{}").format(note(how), made) if made else made


def _around_zero(differences: Sequence[Difference]) -> Scale:
    most = max(max(abs(one.low), abs(one.high)) for one in differences) or 1.0
    return Scale(low=-most, high=most, ticks=(-most, 0.0, most))


def _reading(one: Difference, better: str) -> Markup:
    if not one.distinguishable:
        return Markup('<span class="warn tick">not distinguishable</span>')
    good = (one.value > 0) == (better == "higher")
    return Markup('<span class="good">better</span>') if good else Markup('<span class="bad">worse</span>')


def _arms(arms: Sequence[Arm]) -> Markup:
    """How each arm was asked, and how long it took."""
    heads = (
        "arm",
        "model",
        ("examples shown", "n"),
        ("prompts tried", "n"),
        ("items", "n"),
        ("seconds", "n"),
        ("cost", "n"),
    )
    rows = [
        (
            arm.title,
            Markup('{}<span class="sub">{}</span>').format(
                text(arm.model, 80), text(f" {arm.unfinished}") if arm.unfinished else ""
            ),
            str(arm.shots) if arm.shots else "–",
            str(arm.chosen_from) if arm.chosen_from else "–",
            f"{arm.n:,}",
            number(arm.seconds, 1),
            "–" if arm.cost_usd is None else f"${arm.cost_usd}",
        )
        for arm in arms
    ]
    texts = join(
        Markup("<h3>{}</h3><pre>{}</pre>").format(text(arm.title), text(arm.system, 4_000))
        for arm in arms
        if arm.system
    )
    made = table(heads, rows, "How the arms were asked")
    return Markup("<h3>How they were asked</h3>{}{}").format(made, folded("System texts", texts)) if made else made


def _scores(scores: Sequence[ArmScore]) -> Markup:
    """The arms' own figures, where nobody compared them."""
    if not scores:
        return note("No arm was evaluated.")
    names = list(dict.fromkeys(name for score in scores for name in score.metrics))
    heads: list[Head] = ["metric", *((f"{score.arm} (n={score.n})", "n") for score in scores)]
    rows = [[name, *(_score(name, score) for score in scores)] for name in names]
    said = "Brackets: 95 % interval of the share of right rows (Wilson), for these test rows only."
    return table(heads, rows, "Scores") + note(said)


def _score(name: str, score: ArmScore) -> str:
    value = score.metrics.get(name)
    if value is None:
        return "–"
    if name not in PROPORTIONS or not 0 <= value <= 1 or score.n == 0:
        return number(value)
    low, high = wilson(value, score.n)
    return f"{value:.3f} [{low:.2f}–{high:.2f}]"


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of `n` rows (Wilson 1927), which stays within 0 and 1."""
    half = Z95 * (share * (1 - share) / n + Z95**2 / (4 * n**2)) ** 0.5
    middle, whole = share + Z95**2 / (2 * n), 1 + Z95**2 / n
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def fields(summary: Summary | None) -> Markup:
    """Each field of the wanted JSON, over all arms; precision and recall of the tuned one."""
    health = {} if summary is None else summary.json_health
    arms = _ordered(list(health))
    by_arm = {arm: {one.field: one for one in health[arm].fields} for arm in arms}
    names = list(dict.fromkeys(one.field for arm in reversed(arms) for one in health[arm].fields))
    shown = "tuned" if "tuned" in arms else next(iter(arms), "")
    rows = []
    for name in names:
        own = by_arm[shown].get(name)
        figures = [number(None if name not in by_arm[arm] else by_arm[arm][name].f1, 2) for arm in arms]
        known = (0, None, None, None) if own is None else (own.wanted, own.precision, own.recall, own.f1)
        cells = [name, f"{known[0]:,}", *figures, number(known[1], 2), number(known[2], 2)]
        rows.append([*cells, charts.bar(known[3] or 0.0)])
    of_arm = [(f"F1 {arm}", "n") for arm in arms]
    of_shown = [(f"precision {shown}", "n"), (f"recall {shown}", "n"), ("", "plot")]
    heads: list[Head] = ["field", ("wanted", "n"), *of_arm, *of_shown]
    said = "Over all items that want the field. A missing one counts against recall, an invented one against precision."
    made = table(heads, rows, "Fields")
    return section("fields", "Fields", note(said), made) if made else made


def json_health(summary: Summary | None) -> Markup:
    """Whether answers are JSON at all, and of the wanted shape."""
    health = {} if summary is None else summary.json_health
    heads = ("arm", ("valid JSON", "n"), ("wanted shape", "n"), ("misses fields", "n"), ("invents fields", "n"))
    made = table(heads, [(arm, *_shares(health[arm])) for arm in _ordered(list(health))], "Health of the JSON")
    return section("json", "Shape of the answers", note("Shares of all test items."), made) if made else made


def _shares(one: JsonHealth) -> list[str]:
    return [f"{100 * share:.1f} %" for share in (one.valid, one.same_shape, one.missing, one.invented)]


def confusion(summary: Summary | None) -> Markup:
    """Of each arm which label was taken for which; the tuned one is open."""
    found = {} if summary is None else summary.confusion
    parts = join(
        folded(f"{arm}: accuracy {one.accuracy:.3f}, macro-F1 {one.macro_f1:.3f}", _matrix(one), is_open=arm == "tuned")
        for arm in reversed(_ordered(list(found)))
        if (one := found[arm]).labels
    )
    said = "Rows: the right label; columns: what was answered. The darker, the larger the share of the row."
    return section("confusion", "Labels", note(said), parts) if parts else parts


MOST_LABELS = 30


def _matrix(one: Confusion) -> Markup:
    """Cells shaded by their share of the row."""
    columns = [*one.labels[:MOST_LABELS], "other"]
    head = join(Markup('<th scope="col" class="n">{}</th>').format(text(label, 24)) for label in columns)
    rows = join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(text(label, 24), _cells(at, counts, len(one.labels)))
        for at, (label, counts) in enumerate(zip(one.labels[:MOST_LABELS], one.counts, strict=False))
    )
    return Markup(
        '<div class="wide" role="region" aria-label="Confusion" tabindex="0"><table class="matrix"><thead><tr><td></td>'
        "{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(head, rows)


def _cells(at: int, counts: Sequence[int], labels: int) -> Markup:
    total = sum(counts) or 1
    shown = [*counts[:MOST_LABELS], sum(counts[MOST_LABELS:])] if labels > MOST_LABELS else list(counts)
    return join(
        Markup('<td class="n" style="background:color-mix(in srgb, var({}) {:.0f}%, transparent)">{}</td>').format(
            "--good" if column == at else "--bad", 30 * count / total, f"{count:,}" if count else "·"
        )
        for column, count in enumerate(shown)
    )


_STATES = {"held": "good", "improved": "good", "may have dropped": "warn", "dropped": "bad"}


def adjacent(summary: Summary | None) -> Markup:
    """Tasks that were not trained, before and after."""
    found = () if summary is None else summary.adjacent
    heads = (
        "task",
        "metric",
        ("base", "n"),
        ("tuned", "n"),
        ("difference", "n"),
        ("95 % interval", "n"),
        ("may drop", "n"),
        ("n", "n"),
        "",
    )
    made = table(heads, [_task(one) for one in found], "Adjacent tasks")
    said = "“Dropped”: worse by more than may be, and not by chance. “May have dropped”: worse, perhaps by chance."
    return section("adjacent", "Adjacent tasks", note(said), made) if made else made


def _task(one: Adjacent) -> list[object]:
    state = Markup('<span class="{}">{}</span>').format(_STATES[one.state], one.state)
    low, high = signed(one.difference.low), signed(one.difference.high)
    figures = [number(one.base.value), number(one.tuned.value), signed(one.difference.value), f"{low} to {high}"]
    return [one.name, one.metric, *figures, number(one.allow_drop, 2), f"{one.difference.n:,}", state]
