"""The project's own source as data: files, syntax trees and comments, for the tests that hold the house rules."""

import ast
import io
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ROOMS = ("launcher", "providers", "jobs", "pricing")
Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Module:
    """One Python file."""

    path: Path

    @property
    def name(self) -> str:
        """Its path from the repository's root."""
        return self.path.relative_to(REPOSITORY).as_posix()

    @property
    def room(self) -> str:
        """The folder at the root that it lies in; a file at the root has itself."""
        return self.name.partition("/")[0]

    @property
    def is_test(self) -> bool:
        """Whether pytest looks into it."""
        return self.path.name.startswith("test_")

    @cached_property
    def text(self) -> str:
        """What is written there."""
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text, filename=self.name)

    @cached_property
    def comments(self) -> dict[int, str]:
        """Its comments by line number."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}

    def at(self, line: int) -> str:
        """A place in it, as an editor takes it."""
        return f"{self.name}:{line}"

    def functions(self) -> Iterator[Function]:
        """Every function and method, however deep."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def imports(self) -> Iterator[tuple[Import, str]]:
        """Every import with the dotted name of what it loads."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                dots = "." * node.level
                yield from ((node, f"{dots}{node.module or ''}.{alias.name}") for alias in node.names)

    def docstrings(self) -> set[int]:
        """The `id` of every string that is a docstring, or stands under a name to explain it."""
        return {
            id(node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }

    def strings(self) -> Iterator[ast.Constant]:
        """Every text that the program uses: no docstrings."""
        explained = self.docstrings()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
                yield node


def tracked() -> list[Path]:
    """Every file that git has or would take."""
    argv = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, check=True, timeout=60)
    return [path for name in done.stdout.decode().split("\0") if name and (path := REPOSITORY / name).is_file()]


def modules(*folders: str) -> list[Module]:
    """The Python files below these folders, or all of them."""
    found = [Module(path) for path in tracked() if path.suffix == ".py"]
    return [one for one in found if not folders or one.name.startswith(tuple(f"{folder}/" for folder in folders))]
