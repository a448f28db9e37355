"""What `docs/history.md` shows: `launch history` over a ledger of ten runs that the tests' world in memory has run."""

import contextlib
import io

from launcher.cli import main
from tests.fake_world import Stage
from tests.past_runs import memory_folder, past_runs


def told(*words: str) -> str:
    """What the program prints on standard output."""
    with memory_folder() as folder:
        return _typed(past_runs(folder), words)


def _typed(stage: Stage, words: tuple[str, ...]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["history", *words], make_world=lambda *_: stage.laptop(), environ={})
    if code:
        raise RuntimeError(f"launch history ended with exit code {code}")
    return out.getvalue().rstrip()
