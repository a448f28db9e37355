"""Every typed error of the rooms has its words, a hint that is a command, and an exit code of the contract."""

import ast
import errno
import re
from pathlib import Path

import pytest

from jobs.qlora.dataset import parts
from jobs.shapes import WorkloadError
from launcher import commands, mistakes, remote
from launcher.errors import Exit, LaunchError
from launcher.mistakes import PROVIDER_ROWS, REMOTE_ROWS, explain, from_provider, from_remote, mistaken
from pricing.gpus import UnknownGpu
from providers import base

ROOT = Path(__file__).parents[2]


def all_of(kind: type[BaseException], module: object) -> set[type[BaseException]]:
    return {one for one in vars(module).values() if isinstance(one, type) and issubclass(one, kind)}


def test_every_error_of_a_provider_has_a_row() -> None:
    assert set(PROVIDER_ROWS) == all_of(base.ProviderError, base)


def test_every_error_of_the_line_to_a_machine_has_a_row() -> None:
    assert set(REMOTE_ROWS) == all_of(remote.RemoteError, remote)


@pytest.mark.parametrize("row", [*PROVIDER_ROWS.values(), *REMOTE_ROWS.values()], ids=lambda row: row.code)
def test_every_hint_is_a_command_that_exists(row: mistakes.Row) -> None:
    words = row.hint.split()
    names = {command.name for command in commands.ALL}
    assert words[0] == "launch"
    assert words[1] in names or words[1].startswith("--")


def test_what_a_provider_says_and_its_own_fix_reach_the_person_and_its_code_does_not() -> None:
    told = from_provider(base.QuotaExceeded("0 of 4 vCPUs", code="VcpuLimitExceeded", fix="ask for 4 at …"), "aws")
    assert told.message.endswith("0 of 4 vCPUs")
    assert "VcpuLimitExceeded" not in told.message + told.hint
    assert "VcpuLimitExceeded" in told.detail
    assert (told.hint, told.exit_code, told.code) == ("ask for 4 at …", Exit.PROVIDER, "quota")


def test_missing_credentials_say_where_to_look() -> None:
    told = from_provider(base.AuthFailed("no key in LAMBDA_API_KEY"), "other")
    assert "no key in LAMBDA_API_KEY" in told.message
    assert told.hint.startswith("launch doctor --provider other")
    assert told.exit_code is Exit.PROVIDER


def test_a_subclass_that_nobody_listed_is_told_as_its_parent() -> None:
    class Special(base.QuotaExceeded):
        pass

    assert from_provider(Special("x"), "aws").code == "quota"


def test_a_lost_answer_is_loud() -> None:
    assert from_provider(base.Ambiguous("500"), "aws").exit_code is Exit.MAY_BE_RUNNING


def test_a_hint_about_a_machine_works_with_and_without_the_run_s_name() -> None:
    error = remote.RemoteUnreachable("no route")
    assert from_remote(error, "otter").hint == "launch show otter"
    assert from_remote(error, "").hint == "launch show"


def test_an_unknown_gpu_names_the_nearest() -> None:
    told = explain(UnknownGpu("a10gg", ("A10G", "A10")))
    assert told is not None
    assert "A10G, A10" in told.message
    assert (told.hint, told.exit_code) == ("launch --gpu A10G", Exit.USAGE)


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "disk-full"), (errno.EACCES, "no-permission")])
def test_this_computer_s_own_troubles_are_told(number: int, code: str) -> None:
    told = explain(OSError(number, "x", "/some/file"))
    assert told is not None
    assert told.code == code
    assert "/some/file" in told.message


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EPIPE, "x"), KeyError("x")])
def test_what_nobody_foresaw_is_not_dressed_up(error: Exception) -> None:
    assert explain(error) is None
    with pytest.raises(type(error)), mistaken():
        raise error


def test_an_error_of_the_jobs_room_leaves_as_ours_with_its_hint() -> None:
    with pytest.raises(LaunchError) as caught, mistaken():
        raise WorkloadError("no such model", "did you mean mistralai/Mistral-7B-v0.3?")
    told = caught.value
    assert (told.message, told.code, told.exit_code) == ("no such model", "workload", Exit.USAGE)
    assert "did you mean" in told.hint
    assert isinstance(told.__cause__, WorkloadError)


def test_a_bad_row_of_the_data_is_told_with_its_file_and_line(tmp_path: Path) -> None:
    rows_file = tmp_path / "rows.jsonl"
    rows_file.write_text("no json\n")
    with pytest.raises(LaunchError) as caught, mistaken():
        parts.check_rows(rows_file)
    assert (caught.value.code, caught.value.exit_code) == ("data", Exit.USAGE)
    assert f"{rows_file}:1" in caught.value.message
    assert caught.value.hint


def codes_in(file: Path) -> set[str]:
    """What stands as `code="…"` in a call."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    said = [keyword.value for call in calls for keyword in call.keywords if keyword.arg == "code"]
    return {node.value for node in said if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_code_is_documented() -> None:
    documented = set(re.findall(r"`([a-z][a-z0-9-]*)`", (ROOT / "docs" / "errors.md").read_text()))
    used = {code for file in (ROOT / "launcher").glob("*.py") for code in codes_in(file)}
    assert used - {""} - documented == set()


def test_our_own_error_passes_as_it_is() -> None:
    own = LaunchError("x", code="x", exit_code=Exit.REFUSED)
    with pytest.raises(LaunchError) as caught, mistaken():
        raise own
    assert caught.value is own
