"""Diversity: clusters, how many they are worth, and what is rare."""

import pytest

from jobs.qlora.dataset.diversity import diversity
from jobs.qlora.dataset.report import Diversity
from tests.dedup.judge import rows_of
from tests.dedup.made import made
from tests.jobs.qlora.dataset.asked import Placed, rows, static


def test_two_heaps_are_two_clusters_and_the_smaller_is_rare() -> None:
    places = {f"a{at}": (1.0, at / 100) for at in range(6)} | {f"b{at}": (at / 100, 1.0) for at in range(2)}
    found = diversity(rows(*((text, "x") for text in places)), Placed(places, 0.6))
    assert (found.rows, found.clusters, found.largest_share) == (8, 2, 0.75)
    assert found.effective == pytest.approx(1.75, abs=0.01), "exp of the entropy of 3/4 and 1/4"
    assert [cluster.size for cluster in found.largest] == [6]
    assert (found.rare[0].size, found.rare[0].text[0]) == (2, "b")


def test_the_same_rows_give_the_same_clusters_and_one_frame_is_less_diverse_than_four() -> None:
    mixed = made("chosen", 300)
    four = diversity(rows_of(mixed), static())
    assert four == diversity(rows_of(mixed), static())
    assert sum(cluster.size for cluster in (*four.largest, *four.rare)) <= four.rows == 300
    assert four.clusters > 12
    alike = diversity(rows(*((f"Where is order {at}?", "x") for at in range(300))), static())
    assert alike.effective < four.effective / 4


def test_all_rows_alike_are_one_cluster_and_no_rows_none() -> None:
    found = diversity(rows(*[("same", "x")] * 50), static())
    assert (found.clusters, found.effective, found.largest_share) == (1, 1.0, 1.0)
    assert diversity([], static()) == Diversity(0, 0, 0.0, 0.0, (), ())
