"""The house rules, each as a test that says where a rule is broken and what to do about it."""

import ast
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

import pytest

from launcher import cli
from pricing import snapshot
from providers import registry
from tests.source import REPOSITORY, ROOMS, Function, Module, modules, tracked

LONGEST_FUNCTION, LONGEST_FILE, MOST_PARAMETERS = 50, 400, 6


def none_of(found: Iterable[str], what_to_do: str) -> None:
    """Fail with the places and the way out."""
    places = sorted(found)
    assert not places, f"{what_to_do}\n  " + "\n  ".join(places)


@cache
def everything() -> tuple[Module, ...]:
    return tuple(modules())


@cache
def rooms() -> tuple[Module, ...]:
    return tuple(modules(*ROOMS))


@cache
def of_tests() -> tuple[Module, ...]:
    return tuple(modules("tests"))


# Size and names


def opens_with_a_sentence(module: Module) -> bool:
    docstring = ast.get_docstring(module.tree)
    if not docstring:
        return not module.tree.body  # an empty __init__.py has nothing to explain
    return docstring.split("\n\n")[0].strip().endswith((".", "?", "!"))


def test_every_module_opens_with_a_sentence_on_what_it_is_for() -> None:
    found = (module.name for module in everything() if not opens_with_a_sentence(module))
    none_of(found, 'begin the file with """One sentence on what it is for.""" and a blank line before anything more')


def test_every_function_can_be_seen_whole() -> None:
    found = (
        f"{module.at(function.lineno)} {function.name}: {length} lines"
        for module in rooms()
        for function in module.functions()
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    )
    none_of(found, f"split what is longer than {LONGEST_FUNCTION} lines into functions with names")


def test_no_file_has_outgrown_its_purpose() -> None:
    found = (
        f"{module.name}: {length} lines"
        for module in rooms()
        if (length := len(module.text.splitlines())) > LONGEST_FILE
    )
    none_of(found, f"a file past {LONGEST_FILE} lines has two purposes: give the second a file of its own")


def parameters(function: Function) -> int:
    taken = function.args
    named = [*taken.posonlyargs, *taken.args]
    if named and named[0].arg in ("self", "cls"):
        named = named[1:]
    return len(named) + len(taken.kwonlyargs) + (taken.vararg is not None) + (taken.kwarg is not None)


def test_no_function_takes_more_than_can_be_kept_in_mind() -> None:
    found = (
        f"{module.at(function.lineno)} {function.name}: {count} parameters"
        for module in rooms()
        for function in module.functions()
        if (count := parameters(function)) > MOST_PARAMETERS
    )
    none_of(found, f"more than {MOST_PARAMETERS} parameters belong together: make them a value with a name")


NOTHING_NAMES = re.compile(r"(?<![a-z])(utils?|helpers?|commons?|managers?|handlers?)(?![a-z])")


def words(name: str) -> str:
    """A name with its words apart: `FileManager` and `file_manager` alike."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_every_name_says_what_it_is() -> None:
    files = (module.name for module in everything() if NOTHING_NAMES.search(words(module.name)))
    names = (
        f"{module.at(node.lineno)} {node.name}"
        for module in everything()
        for node in ast.walk(module.tree)
        if isinstance(node, Function | ast.ClassDef) and NOTHING_NAMES.search(words(node.name))
    )
    none_of((*files, *names), "a name like utils, common or manager says nothing: name it after what it does")


LATER = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")


def test_nothing_is_left_for_later() -> None:
    texts = (path for path in tracked() if path.suffix in (".py", ".md", ".sh", ".toml", ".yaml", ".yml", ""))
    found = (
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in texts
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
        if LATER.search(line)
    )
    none_of(found, "do it now, or say in the README what is not there yet")


# What is caught, and what is silenced

BROAD = ("Exception", "BaseException")
MAY_CATCH_ALL = {
    # Whatever went wrong, the machine must go: the one room where that is worth more than knowing what it was.
    "launcher/teardown.py": None,
    # The last net of the program: a person gets a message and an exit code, never a traceback.
    "launcher/cli.py": "main",
    # A tracker of somebody else's, with errors of its own making, must not end a training that is paid for.
    "jobs/qlora/trackers.py": "safely",
}


def caught(clause: ast.ExceptHandler) -> list[str]:
    kinds = clause.type.elts if isinstance(clause.type, ast.Tuple) else [clause.type]
    return [kind.id if isinstance(kind, ast.Name) else "" for kind in kinds if kind is not None]


def is_broad(clause: ast.ExceptHandler) -> bool:
    """Whether it catches everything and keeps it; what puts things in order and raises on is no such thing."""
    passes_on = isinstance(clause.body[-1], ast.Raise) and clause.body[-1].exc is None
    return (clause.type is None or any(kind in BROAD for kind in caught(clause))) and not passes_on


def may_catch_all(module: Module, clause: ast.ExceptHandler) -> bool:
    if module.name not in MAY_CATCH_ALL:
        return False
    inside = MAY_CATCH_ALL[module.name]
    return inside is None or any(
        function.name == inside and function.lineno <= clause.lineno <= (function.end_lineno or 0)
        for function in module.functions()
    )


def test_nothing_is_caught_blindly() -> None:
    found = (
        module.at(node.lineno)
        for module in rooms()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and not may_catch_all(module, node)
    )
    none_of(found, "name the errors that are expected here; a broad except belongs to the teardown only")


def test_the_last_net_says_why_it_is_there() -> None:
    (net,) = [
        node
        for module in rooms()
        if module.name == "launcher/cli.py"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node)
    ]
    comments = next(module for module in rooms() if module.name == "launcher/cli.py").comments
    assert net.lineno in comments, "the broad except in cli.main must carry its reason in its line"


SILENCED = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma)")
WITH_REASON = re.compile(
    r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[a-z0-9, -]+\])\s+(?:-|#|:)\s*\w.+"
)


def test_a_silenced_complaint_carries_its_code_and_its_reason() -> None:
    found = (
        f"{module.at(line)} {comment}"
        for module in everything()
        for line, comment in module.comments.items()
        if SILENCED.search(comment) and not WITH_REASON.search(comment)
    )
    none_of(found, "write `# noqa: CODE - reason` or `# type: ignore[code]  # reason`")


# Who imports what, and where


def late_imports(module: Module) -> list[ast.stmt]:
    """Imports inside functions, the first of each block of neighbours."""
    inside = {
        id(node): node
        for function in module.functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    return sorted(inside.values(), key=lambda node: node.lineno)


def is_explained(module: Module, late: ast.stmt) -> bool:
    """In its lines, the line above, or by a neighbour of the same block of imports."""
    lines = {line for node in late_imports(module) for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    first = last = late.lineno
    while first - 1 in lines:
        first -= 1
    while last + 1 in lines:
        last += 1
    return any(line in module.comments for line in range(first - 1, last + 1))


FOR_THE_WHOLE_FILE = re.compile(r"imported inside the functions")


def test_a_late_import_says_why_it_is_late() -> None:
    found = (
        module.at(late.lineno)
        for module in rooms()
        if not any(FOR_THE_WHOLE_FILE.search(comment) for comment in module.comments.values())
        for late in late_imports(module)
        if not is_explained(module, late)
    )
    none_of(found, "import at the top; where start-up time forbids it, say so in the line or the one above")


def imported(module: Module) -> set[str]:
    return {name.partition(".")[0] for _, name in module.imports()}


def test_the_test_cloud_and_its_meter_know_nothing_of_the_product() -> None:
    found = (
        f"{module.name}: {', '.join(ours)}"
        for module in modules("tests/cloud")
        if not module.is_test and (ours := sorted(imported(module) & set(ROOMS)))
    )
    none_of(found, "the judge must not share code with what it judges: let the test cloud find out for itself")


NEWER = {"kw_only", "slots", "strict", "UTC", "pairwise", "file_digest", "bit_count", "StrEnum"}
"""Words of Python 3.10 and later that its grammar does not give away."""


@pytest.mark.parametrize("module", modules("jobs/guest"), ids=lambda module: module.name)
def test_the_supervisor_runs_on_python_3_9_with_nothing_installed(module: Module) -> None:
    tree = ast.parse(module.text, feature_version=(3, 9))
    foreign = imported(module) - sys.stdlib_module_names - {"jobs", ""}
    assert not foreign, f"only the standard library is there: {sorted(foreign)}"
    outside = [name for _, name in module.imports() if re.match(r"jobs(?!\.guest\b)", name)]
    assert not outside, f"it is shipped alone: {outside}"
    said = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    said |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    said |= {name.rpartition(".")[2] for _, name in module.imports()}
    assert not said & NEWER, f"Python 3.9 does not know {sorted(said & NEWER)}"
    unions = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)]
    lazy = "from __future__ import annotations" in module.text
    annotated = any(re.search(r"(?:->|:) *\w+(?:\[.*\])? \| None", line) for line in module.text.splitlines())
    assert lazy or not (unions and annotated), "`X | None` needs `from __future__ import annotations` there"


def test_the_job_imports_nothing_of_ours() -> None:
    shipped = modules("jobs/qlora")
    siblings = {module.path.stem for module in shipped}
    found = (
        f"{module.name}: {', '.join(ours)}" for module in shipped if (ours := imported(module) & set(ROOMS) - siblings)
    )
    none_of(
        found, "jobs/qlora runs alone on a strange machine: it may import its own files and what is installed there"
    )


def clouds() -> set[str]:
    """Every provider that bills, here already or only in the price list."""
    listed = {offer.provider for offer in snapshot.offers(datetime.now(UTC))}
    return listed | {name for name in registry.names() if registry.traits(name).bills}


def test_no_cloud_is_named_outside_its_own_file() -> None:
    named = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, sorted(clouds()))) + r")(?![\w.])", re.IGNORECASE)
    here = set(registry.names()) - clouds()
    found = (
        f"{module.at(text.lineno)} {text.value!r}"
        for module in modules("launcher", "pricing")
        for text in module.strings()
        if named.search(str(text.value)) or text.value in here
    )
    none_of(found, "what differs between providers is a trait (providers/base.py), not a name in an `if`")


# Money and time


def annotations(module: Module) -> Iterable[tuple[int, str, str]]:
    """Line, name and annotation of everything that is annotated."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name | ast.Attribute):
            target = node.target
            name = target.id if isinstance(target, ast.Name) else target.attr
            yield node.lineno, name, ast.unparse(node.annotation)
        elif isinstance(node, ast.arg) and node.annotation is not None:
            yield node.lineno, node.arg, ast.unparse(node.annotation)


MONEY = re.compile(r"(?:^|_)usd(?:_per_hour|_per_second|_per_gib|_per_gib_month|_per_kwh)?$")
NOT_MONEY = {"tax_fraction": "a share", "default_tax_fraction": "a share"}


def test_money_is_called_money() -> None:
    found = (
        f"{module.at(line)} {name}: {annotation}"
        for module in rooms()
        for line, name, annotation in annotations(module)
        if re.fullmatch(r"Decimal( \| None)?", annotation) and not MONEY.search(name) and name not in NOT_MONEY
    )
    none_of(
        found, "a Decimal is an amount: end its name in _usd or _usd_per_hour, or list it in NOT_MONEY with a reason"
    )


def test_money_is_never_a_float() -> None:
    found = (
        f"{module.at(line)} {name}: {annotation}"
        for module in rooms()
        for line, name, annotation in annotations(module)
        if MONEY.search(name) and re.search(r"\bfloat\b", annotation)
    )
    none_of(found, "a sum of floats is not the sum: take Decimal")


def is_naive(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute):
        return False
    given = len(call.args) + len(call.keywords)
    naive = {"utcnow": 0, "utcfromtimestamp": 0, "today": 0}
    on_datetime = ast.unparse(call.func.value) in ("datetime", "datetime.datetime", "dt.datetime")
    return on_datetime and (
        call.func.attr in naive
        or (call.func.attr == "now" and given == 0)
        or (call.func.attr == "fromtimestamp" and given == 1)
    )


def test_every_instant_has_a_zone() -> None:
    found = (
        module.at(node.lineno)
        for module in everything()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and is_naive(node)
    )
    none_of(found, "take datetime.now(UTC)")


# Tests

MAY_SLEEP = {
    "tests/jobs/quick/quick.py": "a job, no test: its steps take time, as training does",
    "tests/cloud/processes.py": "part of a world: between two blows at processes that fork, a moment must pass",
}


def test_no_test_waits_for_time_to_pass() -> None:
    found = (
        module.at(node.lineno)
        for module in of_tests()
        if module.name not in MAY_SLEEP
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep")
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and "sleep" in {one.name for one in node.names})
    )
    none_of(found, "wait for an event or a condition, with a bound")


PATCHES = ("monkeypatch.setattr", "monkeypatch.setitem", "monkeypatch.delattr", "patch", "mock.patch", "patch.object")


def is_foreign(call: ast.Call) -> bool:
    """Whether what is patched is named in a string, and is none of ours."""
    target = call.args[0] if call.args else None
    named = target.value if isinstance(target, ast.Constant) and isinstance(target.value, str) else "launcher"
    return named.partition(".")[0] not in ROOMS


def test_no_test_patches_our_own_code() -> None:
    found = (
        module.at(node.lineno)
        for module in of_tests()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PATCHES and not is_foreign(node)
    )
    none_of(found, "hand in a fake: everything outside is in World or in a parameter")


# What is told to others

REGISTRIES = tuple(
    ".".join(parts)  # in parts, since this file is searched too
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
    )
)


def test_no_file_names_a_host_of_a_package_registry() -> None:
    hosts = [host.encode() for host in REGISTRIES]
    found = (
        str(path.relative_to(REPOSITORY)) for path in tracked() if any(host in path.read_bytes() for host in hosts)
    )
    none_of(found, "which registry is asked is the user's own setting: leave its host out")


def test_every_command_is_documented() -> None:
    told = "".join((REPOSITORY / name).read_text("utf-8") for name in ("README.md", "docs/commands.md"))
    found = (name for name in cli.launch.commands if f"## launch {name}" not in told and f"`launch {name}`" not in told)
    none_of(found, "run `.venv/bin/cog -r docs/commands.md`")
