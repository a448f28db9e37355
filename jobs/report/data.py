"""The data report: where the rows came from, what was wrong with them, what was taken out and why, how they spread."""

from collections.abc import Sequence

from markupsafe import Markup

from jobs.qlora.dataset.report import Cluster, Conflict, DataReport, Diversity, Dropped, Fault, Place, Removed
from jobs.report import charts
from jobs.report.markup import folded, join, note, number, section, table, text

STAGES = {
    "bad": "broken",
    "exact": "the same, word for word",
    "near": "near duplicates",
    "leak": "also in the test or validation rows",
    "select": "not selected",
}
MOST_EXAMPLES = 20
MOST_FAULTS = 40


def data(report: DataReport | None) -> Markup:
    """All of it."""
    if report is None:
        return Markup("")
    private = "Private: these rows were kept off community hosts, and away from any outside judge or tracker. "
    return section(
        "data",
        "Data",
        note(private) if report.private else Markup(""),
        join(Markup("<p>{}</p>").format(text(said)) for said in report.notes[:MOST_EXAMPLES]),
        _parts(report),
        _tokens(report),
        _sources(report),
        _faults(report.faults),
        _removed(report),
        _conflicts(report),
        _diversity(report.diversity, report.selected),
    )


def _parts(report: DataReport) -> Markup:
    heads = (
        "part",
        ("rows", "n"),
        ("answers", "n"),
        ("median", "n"),
        ("95 %", "n"),
        ("longest", "n"),
        ("", "plot"),
        ("sha256", "mono"),
    )
    longest = max((one.longest_characters for one in report.parts), default=1) or 1
    rows = [
        (
            one.part, f"{one.rows:,}", f"{one.answers:,}", f"{one.median_characters:,}", f"{one.p95_characters:,}",
            f"{one.longest_characters:,}", charts.bar(one.p95_characters / longest), text(one.sha256[:12]),
        )
        for one in report.parts
    ]  # fmt: skip
    made = table(heads, rows, "Parts")
    said = f"As shipped; lengths in characters of a row. Split with seed {report.split_seed}."
    return Markup("<h3>Parts</h3>{}{}").format(note(said), made) if made else made


def _tokens(report: DataReport) -> Markup:
    """What the model sees, by its own template."""
    heads = (
        "part", ("answers", "n"), ("tokens", "n"), ("learned", "n"), ("median", "n"), ("95 %", "n"), ("longest", "n"),
        "counted",
    )  # fmt: skip
    rows = [
        [
            one.part,
            *(f"{count:,}" for count in (one.rows, one.tokens, one.supervised, one.median, one.p95, one.longest)),
            one.are,
        ]
        for one in report.tokens
    ]
    made = table(heads, rows, "Tokens")
    return Markup("<h3>Tokens</h3>{}{}").format(note(text(report.template)), made) if made or report.template else made


def _sources(report: DataReport) -> Markup:
    heads = ("part", ("file", "long"), "format", "shape", ("rows", "n"), ("sha256", "mono"))
    rows = [
        (one.part, text(one.file, 120), one.format, one.shape, f"{one.rows:,}", text(one.sha256[:12]))
        for one in report.sources
    ]
    made = table(heads, rows, "Sources")
    return Markup("<h3>Sources</h3>{}").format(made) if made else made


def _faults(faults: Sequence[Fault]) -> Markup:
    """Errors before warnings, each with its examples."""
    if not faults:
        return Markup("<h3>Faults</h3><p>None was found.</p>")
    ordered = sorted(faults, key=lambda one: (one.severity != "error", -one.count))[:MOST_FAULTS]
    parts = join(folded(_fault(one), _examples(one)) for one in ordered)
    return Markup("<h3>Faults</h3>{}").format(parts)


def _fault(one: Fault) -> Markup:
    colour = "bad" if one.severity == "error" else "warn"
    return Markup('<span class="{}">{}</span> {} in {}: {} <span class="sub">{}</span>').format(
        colour, f"{one.count:,}", text(one.code, 60), text(one.part, 60), text(one.reason, 200), text(one.effect, 60)
    )


def _examples(one: Fault) -> Markup:
    rows = [(_place(example.place), text(example.detail), text(example.text, 200)) for example in one.examples]
    made = table((("place", "mono"), ("what", "long"), ("text", "long")), rows, f"Examples: {one.code}")
    return made or note("no example was kept")


def _place(place: Place) -> Markup:
    return Markup('<span class="mono">{}:{}</span>').format(text(place.file, 120), place.line)


def _removed(report: DataReport) -> Markup:
    """Rows taken out by stage and part, and the pairs behind them."""
    parts = list(dict.fromkeys(one.part for one in report.removed))
    stages = [stage for stage in STAGES if any(one.stage == stage for one in report.removed)]
    stages += sorted({one.stage for one in report.removed} - set(STAGES))
    rows = [[STAGES.get(stage, stage), *(_count(report.removed, stage, part) for part in parts)] for stage in stages]
    made = table(["taken out", *((part, "n") for part in parts)], rows, "Taken out")
    close = report.threshold is not None
    by = f" ({report.embedder} embeddings, cosine from {number(report.threshold, 2)} on)" if close else ""
    means = report.threshold_means[:1].upper() + report.threshold_means[1:].rstrip(".")
    said = f"Deduplicated: {report.deduplicated_by}{by}. {means}{'.' if means else ''}"
    return Markup("<h3>Taken out</h3>{}{}{}").format(note(text(said)), made or note("No row."), _pairs(report))


def _count(removed: Sequence[Removed], stage: str, part: str) -> str:
    count = sum(one.count for one in removed if (one.stage, one.part) == (stage, part))
    return f"{count:,}" if count else "–"


def _pairs(report: DataReport) -> Markup:
    shown = report.pairs[:MOST_EXAMPLES]
    inner = join(_pair(one) for one in shown)
    total = sum(one.count for one in report.removed if one.stage in ("exact", "near", "leak"))
    title = f"{len(shown)} of {max(total, len(shown)):,} dropped pairs (all: data/dropped.jsonl)"
    return folded(title, inner)


def _pair(one: Dropped) -> Markup:
    return Markup(
        '<div class="pair"><div><span class="bad">dropped</span> {} '
        '<span class="sub">{} · similarity {}</span><br>{}</div>'
        '<div><span class="good">kept</span> {} <span class="sub">{}</span><br>{}</div></div>'
    ).format(
        _place(one.dropped), text(STAGES.get(one.stage, one.stage)), number(one.similarity),
        text(one.dropped_text), _place(one.kept), text(one.kept_part), text(one.kept_text),
    )  # fmt: skip


def _conflicts(report: DataReport) -> Markup:
    """Questions that are answered in two ways: a person has to decide."""
    if not report.conflict_count:
        return Markup("")
    inner = join(_conflict(one) for one in report.conflicts[:MOST_EXAMPLES])
    many = "question is" if report.conflict_count == 1 else "questions are"
    said = f"{report.conflict_count:,} {many} asked twice and answered differently (all: data/conflicts.jsonl)."
    return Markup("<h3>Conflicts</h3><p>{}</p>{}").format(said, folded("Show some", inner))


def _conflict(one: Conflict) -> Markup:
    targets = join(Markup("<li>{}</li>").format(text(target, 200)) for target in one.targets[:5])
    places = Markup(", ").join(_place(place) for place in one.places[:5])
    return Markup('<div class="sample"><p>{}</p><ul>{}</ul><p class="sub">{}</p></div>').format(
        text(one.prompt, 300), targets, places
    )


def _diversity(found: Diversity | None, selected: int | None) -> Markup:
    """Clusters in the embedding space and how large they are."""
    if found is None:
        return Markup("")
    said = (
        f"{found.rows:,} training rows form {found.clusters:,} clusters, as varied as {found.effective:.1f} of equal "
        f"size; the largest holds {100 * found.largest_share:.1f} %."
    )
    chosen = f" {selected:,} rows were selected for spread." if selected is not None else ""
    return Markup('<h3>Diversity</h3><p>{}</p><div class="two-up"><div>{}</div><div>{}</div></div>').format(
        said + chosen, _clusters("largest clusters", found.largest, found), _clusters("rarest", found.rare, found)
    )


def _clusters(title: str, clusters: Sequence[Cluster], found: Diversity) -> Markup:
    most = max((one.size for one in found.largest), default=1) or 1
    rows = [(text(one.text, 90), f"{one.size:,}", charts.bar(one.size / most)) for one in clusters[:MOST_EXAMPLES]]
    return table(((title, "long"), ("rows", "n"), ("", "plot")), rows, title)
