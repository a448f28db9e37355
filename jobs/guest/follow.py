"""Streams a file that still grows, from a byte on, until the supervisor is over and all is sent."""

from __future__ import annotations

import contextlib
import os
import time
from typing import BinaryIO

from .keep import Redactor, load
from .places import Run, read_json
from .start import alive

LOOK_SECONDS = 0.1
BLOCK_BYTES = 64 * 1024


def follow(run: Run, offset: int, out: BinaryIO) -> None:
    """progress.jsonl in whole lines; a secret that a job told is masked by as many stars, so that offsets stay true."""
    redactor = Redactor(load(run))
    while True:
        over = not alive(run)  # asked before reading: what was written until then is then read
        block = _whole_lines(_block(run.progress, offset), over=over)
        if block:
            _send(out, redactor.mask(block))
            offset += len(block)
        elif over:
            return
        else:
            time.sleep(LOOK_SECONDS)


def log(run: Run, offset: int, out: BinaryIO, *, on: bool) -> None:
    """job.log (redacted when it was written); with `on` also what is still to come, until the job is done."""
    while True:
        over = not on or not alive(run) or _is_done(run)
        block = _block(run.log, offset)
        if block:
            _send(out, block)
            offset += len(block)
        elif over:
            return
        else:
            time.sleep(LOOK_SECONDS)


def _is_done(run: Run) -> bool:
    """The job has said its last word; its supervisor may live on, to store the results and to wait for somebody."""
    return read_json(run.status).get("state") == "over"


def _block(path: str, offset: int) -> bytes:
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        file.seek(max(0, offset))
        return file.read(BLOCK_BYTES)
    return b""


def _whole_lines(block: bytes, *, over: bool) -> bytes:
    """Up to the last newline; all of it where none will come, or none came in a whole block."""
    end = block.rfind(b"\n") + 1
    return block if not end and (over or len(block) == BLOCK_BYTES) else block[:end]


def _send(out: BinaryIO, block: bytes) -> None:
    out.write(block)
    out.flush()


def mask_at_rest(run: Run) -> None:
    """Before the secrets are forgotten: mask them in progress.jsonl itself, byte for byte in place."""
    redactor = Redactor(load(run))
    with contextlib.suppress(FileNotFoundError), open(run.progress, "r+b") as file:
        offset = 0
        for line in iter(file.readline, b""):
            masked = redactor.mask(line)
            if masked != line:
                os.pwrite(file.fileno(), masked, offset)
            offset += len(line)
