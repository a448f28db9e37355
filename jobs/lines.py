"""Chunks of bytes to whole lines, each bounded, and the byte from which to follow again."""

from collections.abc import Iterator

LINE_CAP_BYTES = 4096


class Splitter:
    """Chunks of bytes in, whole lines out; holds at most a line's cap, and knows from which byte to follow again.

    `offset` is the position after the last whole line that came out: a broken stream goes on from there.
    """

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self._rest = bytearray()
        self._rest_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that this chunk completes, without their newline.

        Of a line over the cap one byte more than the cap comes out, which `parse` then calls too long.
        """
        for piece in _by_newline(chunk):
            self._rest += piece[: LINE_CAP_BYTES + 1 - len(self._rest)]
            self._rest_bytes += len(piece)
            if piece.endswith(b"\n"):
                yield self._line()

    def _line(self) -> bytes:
        line = bytes(self._rest).removesuffix(b"\n")
        self.offset += self._rest_bytes
        self._rest, self._rest_bytes = bytearray(), 0
        return line


def _by_newline(chunk: bytes) -> list[bytes]:
    """Pieces with their newlines; `splitlines` would also break at a carriage return."""
    *whole, rest = chunk.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])
