"""Answers side by side: best, worst, won and lost by tuning, with the fields or words marked that are not as wanted."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from jobs.report.markup import Head, folded, join, note, section, table, text, words
from jobs.results.summary import ARMS, Sample, Summary

KINDS = {
    "best": "Best",
    "worst": "Worst",
    "won": "Won by tuning",
    "lost": "Lost by tuning",
}
MOST_OF_A_KIND = 10
LONGEST_ANSWER = 2_000
"""Characters; the rest is in the per-item files."""
MOST_WORDS = 400
"""That are compared word by word: difflib takes quadratic time on two long texts."""
MOST_FIELDS = 60
DEEPEST_FIELDS = 3
LONGEST_JSON = 100_000


def samples(summary: Summary | None, *, is_private: bool) -> Markup:
    """By kind; the first of each is open."""
    found = () if summary is None else summary.samples
    parts = join(_kind(kind, title, [one for one in found if one.kind == kind]) for kind, title in KINDS.items())
    if not parts:
        return parts
    said = "Marked: what is not as wanted."
    private = " These are rows of private data: mind with whom you share this page." if is_private else ""
    return section("samples", "Samples", note(said + private), parts)


def _kind(kind: str, title: str, found: Sequence[Sample]) -> Markup:
    inner = [_sample(one) for one in found[:MOST_OF_A_KIND]]
    if not inner:
        return Markup("")
    more = folded(f"{len(inner) - 1} more", join(inner[1:])) if len(inner) > 1 else Markup("")
    return Markup('<h3 id="samples-{}">{}</h3>\n{}{}').format(kind, title, inner[0], more)


def _sample(one: Sample) -> Markup:
    arms = [arm for arm in ARMS if arm in one.answers] + sorted(set(one.answers) - set(ARMS))
    answers = {arm: one.answers[arm] for arm in arms}
    wanted = fields_of(one.wanted)
    body = _texts(one.wanted, answers) if wanted is None else _fields(wanted, answers)
    return Markup(
        '<article class="sample"><p class="sub">item {} · score {:.2f}</p><pre class="asked">{}</pre>{}</article>\n'
    ).format(one.item, one.score, text(one.prompt, LONGEST_ANSWER), body)


def fields_of(answer: str) -> dict[str, str] | None:
    """The fields of a JSON object, nested ones with dots, each as JSON; None where the text is no sound object.

    An object that gives a field twice is none: readers of JSON would not agree on what it says.
    """
    try:
        value = json.loads(answer[:LONGEST_JSON], object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, Mapping):
        return None
    found: dict[str, str] = {}
    _flatten("", value, found, DEEPEST_FIELDS)
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


def _flatten(name: str, value: object, into: dict[str, str], deeper: int) -> None:
    """Fields of fields as deep as a table can show; below that, as they are written. 1.0 is 1, as in the scores."""
    if isinstance(value, Mapping) and value and deeper:
        for key, inner in value.items():
            _flatten(f"{name}.{key}" if name else str(key), inner, into, deeper - 1)
    elif len(into) < MOST_FIELDS:
        into[name] = _written(int(value) if isinstance(value, float) and value.is_integer() else value)


def _written(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return '"(too deep)"'


def _bare(written: str) -> str:
    """A text without its quotes: most fields are texts, and nobody needs to see that."""
    return str(json.loads(written)) if written.startswith('"') else written


def _fields(wanted: Mapping[str, str], answers: Mapping[str, str]) -> Markup:
    """A field a line, wanted beside each arm; wrong, missing and invented fields are marked by a sign and a colour."""
    read = {arm: fields_of(answer) for arm, answer in answers.items()}
    given = {arm: said for arm, said in read.items() if said is not None}
    names = list(dict.fromkeys([*wanted, *(name for said in given.values() for name in said)]))
    rows = [[name, _wanted(wanted, name), *(_field(name, wanted, said) for said in given.values())] for name in names]
    heads: list[Head] = ["field", ("wanted", "long"), *((arm, "long") for arm in given)]
    broken = join(
        Markup('<div class="said"><h4>{}: no sound JSON object</h4><pre>{}</pre></div>').format(
            text(arm), text(answers[arm], LONGEST_ANSWER)
        )
        for arm, said in read.items()
        if said is None
    )
    return table(heads, rows[: 2 * MOST_FIELDS], "Fields of this item") + broken


def _wanted(wanted: Mapping[str, str], name: str) -> Markup:
    return text(_bare(wanted[name])) if name in wanted else Markup('<span class="sub">not wanted</span>')


def _field(name: str, wanted: Mapping[str, str], said: Mapping[str, str]) -> Markup:
    if name not in said:
        return Markup('<span class="bad">≠ missing</span>') if name in wanted else Markup("")
    if said[name] == wanted.get(name):
        return text(_bare(said[name]))
    looks_right = name in wanted and _bare(said[name]) == _bare(wanted[name])  # a number for a text, or the like
    return Markup("<mark>≠ {}</mark>").format(text(said[name] if looks_right else _bare(said[name])))


def _texts(wanted: str, answers: Mapping[str, str]) -> Markup:
    """Texts beside each other; in an answer the words are marked that the wanted one has not at that place."""
    columns = [
        ("wanted", text(wanted, LONGEST_ANSWER)),
        *((arm, marked(answer, wanted)) for arm, answer in answers.items()),
    ]
    return Markup('<div class="answers">{}</div>').format(
        join(Markup("<div><h4>{}</h4><pre>{}</pre></div>").format(text(name), inner) for name, inner in columns)
    )


def marked(answer: str, wanted: str) -> Markup:
    """The answer with the words marked that are not in the wanted text at that place."""
    if not answer.strip():
        return Markup("<mark>≠ (nothing)</mark>")
    said, right = _split(answer), _split(wanted)
    if len(said) > MOST_WORDS or len(right) > MOST_WORDS:
        return text(answer, LONGEST_ANSWER)
    blocks = difflib.SequenceMatcher(None, right, said, autojunk=False).get_opcodes()
    parts = []
    for kind, _, _, start, end in blocks:
        piece = words("".join(said[start:end]), LONGEST_ANSWER)
        if piece:
            parts.append(Markup("{}").format(piece) if kind == "equal" else Markup("<mark>{}</mark>").format(piece))
    return Markup('<bdi dir="auto">{}</bdi>').format(join(parts))


def _split(said: str) -> list[str]:
    """Words with the space before them."""
    return re.findall(r"\s*\S+", said[:LONGEST_ANSWER])
