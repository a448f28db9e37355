"""Pairs by blocks are the pairs of one large product."""

import numpy as np
import pytest

from jobs.qlora.dataset import blocks
from jobs.qlora.dataset.blocks import close_pairs
from jobs.qlora.dataset.embed import unit

VECTORS = unit(np.random.default_rng(1).normal(size=(2 * blocks.BLOCK + 5, 3)).astype(np.float32))


@pytest.mark.parametrize("marked", [False, True])
def test_each_close_pair_comes_once_across_blocks(marked: bool) -> None:
    marks = [at % 3 for at in range(len(VECTORS))] if marked else None
    found = list(close_pairs([(VECTORS, 0.9999), (VECTORS, 0.5)], marks))
    near = np.triu(VECTORS @ VECTORS.T >= 0.9999, 1)
    wanted = {(int(a), int(b)) for a, b in zip(*np.nonzero(near), strict=True) if not marked or (a - b) % 3 == 0}
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert any(late - early > blocks.BLOCK for early, late in found)


def test_with_a_border_only_pairs_across_it_come() -> None:
    border = blocks.BLOCK + 3
    every = set(close_pairs([(VECTORS, 0.9999)]))
    assert {pair for pair in every if pair[0] < border <= pair[1]} == set(
        close_pairs([(VECTORS, 0.9999)], border=border)
    )
    assert list(close_pairs([(VECTORS, 0.9999)], list(range(len(VECTORS))))) == [], "no two marks are equal"
