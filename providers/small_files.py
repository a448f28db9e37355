"""Small files beside a provider that only save questions: replaced as a whole, and never missed."""

import contextlib
import os
import threading
from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Write `text` aside and rename it; on a full or read-only disk there is simply nothing kept."""
    aside = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, "utf-8")
        aside.replace(file)
