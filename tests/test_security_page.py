"""docs/security.md is as good as the tests that it names: each exists; and no reader here unpickles or unpacks."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(test_\w+)`")
NEVER = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "torch", "numpy.lib.npyio", "safetensors"}
"""Modules whose reading may run code, or that parse tensors: none of them is for this computer."""
OWN_ARCHIVES = {"jobs/package.py", "jobs/results/sent.py"}
"""Make and read the bundle that was made here; nothing that came from a machine."""
THERE = ("jobs/guest/", "jobs/qlora/")
"""What runs on the machine, and opens there what it likes."""
FOR_A_PERSON = {"jobs/try_adapter.py"}
"""Copied beside the results, and run by a person with libraries of their own."""


@pytest.mark.parametrize(("page", "least"), [("security.md", 40), ("money-safety.md", 12)])
def test_each_test_that_a_page_of_promises_names_exists(page: str, least: int) -> None:
    named = NAMED.findall((ROOT / "docs" / page).read_text("utf-8"))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(named) > least
    assert [name for name in named if name not in there] == []


def _imported(path: Path) -> set[str]:
    """Names of all modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return found


def test_no_code_of_ours_on_this_computer_unpickles_or_unpacks_what_came() -> None:
    wrong = {}
    for room in ("launcher", "jobs", "providers", "pricing"):
        for path in (ROOT / room).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith(THERE) or name in FOR_A_PERSON:
                continue
            heads = {head for one in _imported(path) for head in (one, one.partition(".")[0])}
            bad = heads & NEVER | (
                heads & {"tarfile", "zipfile", "shutil.unpack_archive"} if name not in OWN_ARCHIVES else set()
            )
            text = path.read_text("utf-8")
            bad |= {
                word
                for word in ("allow_pickle=True", "yaml.unsafe_load", "yaml.Loader", "rsync", "extractall")
                if word in text
            }
            if bad:
                wrong[name] = bad
    assert wrong == {}
