"""The report as one HTML page: the verdict first, no network, no script, foreign texts escaped, for any screen."""

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from jobs.report import comparison, costs, data, opinions, samples, training, verdict
from jobs.report.given import Base, Notes, said
from jobs.report.markup import join, seen, words
from jobs.report.read import Found

POLICY = Markup("default-src 'none'; style-src 'unsafe-inline'")
"""The page may load nothing and run nothing."""
STYLE = Path(__file__).with_name("style.css")


def page(receipt: Mapping[str, object], found: Found, base: Base, notes: Notes) -> str:
    """The whole page. `receipt` is the document of the contract.

    The rule for sections: one without data is left out, and "What was not measured" at the end says so.
    """
    summary = found.summary
    sections = {
        "Comparison": comparison.comparison(found),
        "Fields": comparison.fields(summary),
        "Shape": comparison.json_health(summary),
        "Labels": comparison.confusion(summary),
        "Adjacent tasks": comparison.adjacent(summary),
        "Judge": opinions.judge(summary),
        "People": opinions.votes(summary),
        "Serving": opinions.serving(summary),
        "Samples": samples.samples(summary, is_private=notes.is_private),
        "Data": data.data(found.data),
        "Training": training.training(found),
        "Cost": costs.cost(receipt),
        "Machine": costs.machine(receipt, found),
        "Doing it again": costs.again(found, base, notes),
        "Not measured": costs.missing(found, notes),
    }
    there = {name: part for name, part in sections.items() if part}
    top = verdict.header(receipt, base) + verdict.alarms(receipt, found) + verdict.verdict(receipt, found)
    title = words(f"{said(receipt, 'name')} · {said(receipt, 'run')}")
    return seen(str(_frame(title, top + _contents(there) + join(there.values()))))


def _contents(there: Mapping[str, Markup]) -> Markup:
    """Links to the sections, by the id that each begins with."""
    links = (
        Markup('<a href="#{}">{}</a> ').format(part.split('"', 2)[1], name)  # every section begins `<section id="…"`
        for name, part in there.items()
    )
    return Markup('<nav aria-label="Contents">{}</nav>\n').format(join(links))


def _frame(title: str, body: Markup) -> Markup:
    style = Markup(STYLE.read_text(encoding="utf-8"))  # noqa: S704 - our own file, no foreign text in it
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        "<title>{}</title><style>{}</style></head>\n<body>\n<main>\n{}</main>\n</body></html>\n"
    ).format(POLICY, title, style, body)
