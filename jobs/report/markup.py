"""Small pieces of HTML. `Markup` (markupsafe) escapes by its type: a `str` that is put into one cannot become a tag."""

import unicodedata
from collections.abc import Iterable, Sequence

from markupsafe import Markup

LONGEST_TEXT = 400
MOST_ROWS = 200
"""Of a table: more would not be read, and the page must open on a phone."""

Head = str | tuple[str, str]
"""A column's title, and its kind where it is none of words: "n" figures, "plot" a drawing, "long" a long text."""

join = Markup("").join


def words(value: object, most: int = LONGEST_TEXT) -> str:
    """A foreign text made plain: bounded, no signs that turn the reading direction or cannot be seen."""
    said = str(value)
    plain = seen(said[:most].rstrip())
    return plain if len(said) <= most else f"{plain}… ({len(said):,} characters)"


HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode's categories of what has no look of its own, turns what follows around, or is half of a pair."""


def seen(said: str) -> str:
    """A text with hidden signs by their numbers, as "[U+202E]".

    U+200C and U+200D stay: Persian and Hindi are written with them, and families of emoji are joined by them.
    """
    hidden = {sign for sign in set(said) - set("\n\t\u200c\u200d") if unicodedata.category(sign) in HIDDEN}
    return said.translate({ord(sign): f"[U+{ord(sign):04X}]" for sign in hidden})


def text(value: object, most: int = LONGEST_TEXT) -> Markup:
    """A foreign text in the page: plain, escaped, and in its own reading direction."""
    return Markup('<bdi dir="auto">{}</bdi>').format(words(value, most))


def section(name: str, title: str, *parts: Markup) -> Markup:
    """A part of the page with its heading; nothing where it has no content."""
    inner = join(parts)
    if not inner:
        return Markup("")
    return Markup('<section id="{}">\n<h2>{}</h2>\n{}</section>\n').format(name, title, inner)


def note(said: str) -> Markup:
    """A sentence that explains, in a softer colour, its per cent not torn off; nothing where there is none."""
    return Markup('<p class="note">{}</p>\n').format(said.replace(" %", "\u00a0%")) if said else Markup("")


def with_code(said: str) -> Markup:
    """A sentence of ours in which `commands` and `keys` stand between backticks."""
    pieces = said.split("`")
    return join(
        Markup("<code>{}</code>").format(one) if at % 2 else Markup("{}").format(one) for at, one in enumerate(pieces)
    )


def folded(title: object, inner: Markup, *, is_open: bool = False) -> Markup:
    """What can be opened by a click, without a script; nothing where there is nothing inside."""
    if not inner:
        return Markup("")
    return Markup("<details{}><summary>{}</summary>\n{}</details>\n").format(
        Markup(" open") if is_open else "", title, inner
    )


def table(heads: Sequence[Head], rows: Iterable[Sequence[object]], title: str, most: int = MOST_ROWS) -> Markup:
    """Rows under heads; a cell that is no `Markup` is escaped. `title` names the table for those who hear it.

    Wide ones scroll inside themselves. Nothing where there is no row.
    """
    kinds = [("" if isinstance(head, str) else head[1]) for head in heads]
    names = [(head if isinstance(head, str) else head[0]) for head in heads]
    all_rows = list(rows)
    if not all_rows:
        return Markup("")
    top = join(
        Markup('<th scope="col"{}>{}</th>').format(_class(kind), name) for kind, name in zip(kinds, names, strict=True)
    )
    head = Markup("<thead><tr>{}</tr></thead>").format(top) if any(names) else Markup("")
    body = join(_row(row, kinds) for row in all_rows[:most])
    more = note(f"and {len(all_rows) - most:,} more") if len(all_rows) > most else Markup("")
    return Markup(
        '<div class="wide" role="region" aria-label="{}" tabindex="0"><table>{}<tbody>\n{}</tbody></table></div>\n{}'
    ).format(title, head, body, more)


def _row(row: Sequence[object], kinds: Sequence[str]) -> Markup:
    first, *others = (cell if isinstance(cell, Markup) else text(cell) for cell in row)
    cells = join(
        Markup("<td{}>{}</td>").format(_class(kind), cell) for cell, kind in zip(others, kinds[1:], strict=True)
    )
    return Markup('<tr><th scope="row"{}>{}</th>{}</tr>\n').format(_class(kinds[0]), first, cells)


def _class(kind: str) -> Markup:
    return Markup(' class="{}"').format(kind) if kind else Markup("")


def number(value: float | None, digits: int = 3) -> str:
    """A figure; "–" where it was not measured."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign (a true minus), never "-0"."""
    rounded = f"{value:+,.{digits}f}"
    return rounded.lstrip("+-") if float(rounded.replace(",", "")) == 0 else rounded.replace("-", "−")


def p_value(p: float | None) -> str:
    """As it is written in a paper."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
