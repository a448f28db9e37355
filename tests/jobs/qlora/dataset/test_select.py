"""Selection: few rows that cover all."""

import random

import numpy as np

from jobs.qlora.dataset.select import selected, spread
from tests.dedup.judge import rows_of
from tests.dedup.made import made
from tests.jobs.qlora.dataset.asked import Placed, lines, row, rows, static


def test_a_heap_and_two_others_give_one_row_each() -> None:
    places = (
        {f"a{at}": (1.0, at / 100, 0) for at in range(9)}
        | {"b": (0, 1, 0), "b2": (0, 1, 0.1)}
        | {"c": (0, 0, 1), "c2": (0, 0.1, 1)}
    )
    found = selected(rows(*((text, "x") for text in places)), "train", 3, Placed(places))
    assert {one.asked[0] for one in found.kept} == {"a", "b", "c"}
    assert len(found.dropped) == len(places) - 3
    for gone in found.dropped:
        assert (gone.stage, gone.kept_text[0]) == ("select", gone.dropped_text[0]), (
            "told with the chosen row closest to it"
        )


def test_it_covers_more_than_a_random_draw() -> None:
    asked = rows_of(made("judged", 1500))
    vectors = static().vectors([one.asked for one in asked])

    def far(chosen: list[int]) -> float:
        """The 95th percentile of how far a row is from the closest chosen one."""
        return float(np.quantile(1 - (vectors @ vectors[chosen].T).max(1), 0.95))

    ours = far(lines(selected(asked, "train", 60, static()).kept))
    draws = [far(random.Random(seed).sample(range(len(asked)), 60)) for seed in range(10)]
    assert ours < min(draws)


def test_noise_that_stands_alone_is_not_chosen() -> None:
    asked = rows_of(made("judged", 490))
    noise = [
        row(text, "x", 900 + at)
        for at, text in enumerate(("qqzx wvbn", "%%%% 0000 ////", "лорем ипсум", "アイウエオ", "zzzzzz"))
    ]
    kept = lines(selected([*asked, *noise], "train", 50, static()).kept)
    assert len(kept) == 50
    assert sum(line >= 900 for line in kept) <= 1


def test_all_rows_stay_where_there_are_no_more_and_their_order_too() -> None:
    asked = rows(("a", "x"), ("b", "x"))
    assert selected(asked, "train", 2, static()).kept == tuple(asked)
    chosen = lines(selected(rows_of(made("chosen", 200)), "train", 20, static()).kept)
    assert chosen == sorted(chosen)
    assert chosen == lines(selected(rows_of(made("chosen", 200)), "train", 20, static()).kept)


def test_equal_rows_are_chosen_once_each_place() -> None:
    assert sorted(spread(np.ones((4, 1), np.float32), 4)) == [0, 1, 2, 3]
