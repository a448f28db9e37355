"""What rows are filled up with: the tokens of one epoch, each batch as long as its longest row."""

from bisect import bisect_left, insort
from collections.abc import Sequence

NEGLIGIBLE = 1e-12


def padded_tokens(lengths: Sequence[int], rows_per_batch: int) -> int:
    """The expected tokens of one epoch, fillings included, for batches that are drawn at random.

    Of n rows in order of length, the i-th is the longest of a batch of b with probability C(i-1, b-1) / C(n, b); a last
    batch that is not full is taken as the others.
    """
    n, b = len(lengths), min(rows_per_batch, len(lengths))
    longest_first = sorted(lengths, reverse=True)
    chance, expected = b / n, 0.0
    for place, length in zip(range(n, 0, -1), longest_first, strict=True):
        expected += chance * length
        if place <= b or chance < NEGLIGIBLE:
            break
        chance *= (place - b) / (place - 1)
    return max(sum(lengths), round(n * expected))


def packed(lengths: Sequence[int], room: int) -> list[int]:
    """Tokens of each sequence that rows of these lengths are packed into.

    The longest first, each into the fullest that has room: TRL's `bfd` (best fit decreasing). No row is longer than
    `room`.
    """
    open_: list[tuple[int, int]] = []
    filled: list[int] = []
    for length in sorted(lengths, reverse=True):
        place = bisect_left(open_, (length, -1))
        if place == len(open_):
            filled.append(length)
            insort(open_, (room - length, len(filled) - 1))
        else:
            left, number = open_.pop(place)
            filled[number] += length
            insort(open_, (left - length, number))
    return filled
