"""`make dedup`: how well repeats and leaks are found, on 10,000 rows whose paraphrases no embedder made."""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from jobs.qlora.dataset.duplicates import without_near
from jobs.qlora.dataset.embed import STATIC_THRESHOLD, Embedder, embedder
from jobs.qlora.dataset.leaks import without_leaks
from jobs.qlora.dataset.rows import Row
from tests.dedup import baselines
from tests.dedup.judge import Score, ours, overlap, planted, rows_of, score
from tests.dedup.made import Made, labelled, made, templated

RESULT = Path(__file__).with_name("result.md")
ROWS, UNSEEN_ROWS, LABEL_ROWS, TEMPLATED, LABELLED = 5000, 2100, 1000, 800, 600
GRID = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RECALL_WANTED = 0.91
"""Of the domains on which the threshold is chosen: the bar of .90 and a margin."""


def main() -> None:
    """Print the table of docs/data.md, and with `--write` keep it for that page."""
    text = table()
    if "--write" in sys.argv[1:]:
        RESULT.write_text(text)
    print(text)


def table() -> str:
    """All of it, as Markdown."""
    space = embedder("static")
    chosen, judged = made("chosen", ROWS), made("judged", ROWS)
    parts = (
        _found(chosen, judged, space),
        _baselines(chosen, judged, space),
        _grid(chosen, space),
        _leaks(judged, space),
    )
    return "\n".join((*parts, _kept(space), _words(judged)))


def line(name: str, found: Score) -> str:
    """One row of the table."""
    return f"| {name} | {found.dropped} | {found.precision:.3f} | {found.recall:.3f} |"


def judged_line(space: Embedder) -> str:
    """The line that counts."""
    rows = made("judged", ROWS)
    return line(f"domains it is judged on, {ROWS:,} rows", score(rows, ours(rows, space)))


def _found(chosen: Sequence[Made], judged: Sequence[Made], space: Embedder) -> str:
    unseen = made("unseen", UNSEEN_ROWS)
    labels = [row for half in ("chosen", "judged") for row in made(half, LABEL_ROWS, labels=True)]
    lines = [
        "| rows | dropped | precision | recall |",
        "|---|---:|---:|---:|",
        line(f"domains the threshold is chosen on, {ROWS:,} rows", score(chosen, ours(chosen, space))),
        judged_line(space),
        line(f"domains written last, {UNSEEN_ROWS:,} rows", score(unseen, ours(unseen, space))),
    ]
    half = labels[:LABEL_ROWS], labels[LABEL_ROWS:]
    found = [score(rows, ours(rows, space)) for rows in half]
    both = Score(*(sum(values) for values in zip(*((f.dropped, f.right, f.repeats) for f in found), strict=True)))
    lines.append(line(f"classification (targets are labels), {len(labels):,} rows", both))
    pairs = ours(judged, space)
    for name in dict.fromkeys(row.frame for row in judged):
        own = [at for at, row in enumerate(judged) if row.frame == name]
        place = {at: number for number, at in enumerate(own)}
        here = [(place[gone], place.get(kept, -1)) for gone, kept in pairs if gone in place]
        lines.append(line(f"judged: {name}", score([judged[at] for at in own], here)))
    return "\n".join(lines)


def _baselines(chosen: Sequence[Made], judged: Sequence[Made], space: Embedder) -> str:
    grams = baselines.n_grams(judged)
    best = baselines.best_threshold(chosen, baselines.n_grams(chosen))
    static = baselines.embedded(judged, space)
    own = baselines.best_threshold(chosen, baselines.embedded(chosen, space))
    ways = {
        "normalised hash alone": baselines.by_hash(judged),
        "equal targets alone": baselines.by_target(judged),
        "questions alone, static embedder, cosine .90": baselines.by_question(static, 0.9),
        f"questions alone, static embedder, cosine {own:.2f} (best F1)": baselines.by_question(static, own),
        f"questions alone, character n-grams, cosine {best:.2f} (best F1)": baselines.by_question(grams, best),
    }
    return "\n".join(line(f"judged, {name}", score(judged, pairs)) for name, pairs in ways.items())


def _grid(chosen: Sequence[Made], space: Embedder) -> str:
    found = {threshold: score(chosen, ours(chosen, space, threshold)) for threshold in GRID}
    best = chosen_threshold(found)
    lines = ["", "| threshold, on the domains it is chosen on | dropped | precision | recall |", "|---|---:|---:|---:|"]
    lines += [line(f"{at:.2f}{' (chosen)' if at == best else ''}", one) for at, one in found.items()]
    return "\n".join(lines)


def chosen_threshold(found: dict[float, Score]) -> float:
    """The highest that still finds enough: a repeat that stays costs little, a lost row is lost."""
    return max(at for at, one in found.items() if one.recall >= RECALL_WANTED)


def _leaks(judged: Sequence[Made], space: Embedder) -> str:
    train, test, leaked = planted(judged)
    gone = {one.dropped.line for one in without_leaks(train, "train", test, "test", space).dropped}
    hashed = {one.dropped.line for one in without_leaks(train, "train", test, "test").dropped}
    other = [Row((row.messages[0], ("assistant", f"Not answered: {row.asked}")), row.line, row.file) for row in train]
    blind = {one.dropped.line for one in without_leaks(other, "train", test, "test", space).dropped}
    lines = ["", "| paraphrases of test questions in train | removed | precision | recall |", "|---|---:|---:|---:|"]
    for name, found in {"as shipped": gone, "exactly only": hashed, "as shipped, all answers changed": blind}.items():
        lines.append(line(name, Score(len(found), len(found & leaked), len(leaked))))
    return "\n".join(lines)


def _kept(space: Embedder) -> str:
    lines = ["", "| sets of distinct facts, every row has to stay | rows | kept | questions alone at .90 keep |"]
    lines.append("|---|---:|---:|---:|")
    sets = {"one template, extraction": templated(TEMPLATED), "a template each label": labelled(LABELLED)}
    for name, rows in sets.items():
        kept = len(without_near(rows_of(rows), "train", space).kept)
        blind = len(rows) - len(baselines.by_question(baselines.embedded(rows, space), 0.9))
        lines.append(f"| {name} | {len(rows)} | {kept} | {blind} |")
    return "\n".join(lines)


def _words(judged: Sequence[Made]) -> str:
    same, other = overlap(judged)
    return (
        f"\nWords that two questions share (Jaccard, median): {median(same):.2f} between repeats, {median(other):.2f} "
        f"between a row and its closest row of another fact. Threshold as shipped: {STATIC_THRESHOLD}.\n"
    )


if __name__ == "__main__":
    main()
