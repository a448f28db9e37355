"""What is typed: every flag and command, each mistake with its message, hint and exit code; start-up loads little."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import click
import pytest

from launcher import cli, commands, options
from launcher.cli import main
from launcher.errors import Exit
from launcher.ledger import Ledger
from launcher.request import Request
from launcher.run import State
from launcher.world import Console, World
from pricing.offer import Market
from providers.base import AuthFailed
from tests.fake_guest import Work
from tests.fake_world import Stage

RUN = "brave-otter-0001"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


Launch = Callable[..., int]


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed, in a world in memory."""

    def world(environ: Mapping[str, str], console: Console) -> World:
        return replace(stage.laptop(), console=console, environ=environ)

    def run(*argv: str, **environ: str) -> int:
        return main(list(argv), make_world=world, environ={"LAUNCH_HOME": str(stage.folder), **environ})

    return run


Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--budget", "-3"], "'-3' is not an amount of dollars"),
        (["--budget", "nan"], "not an amount"),
        (["--budget", "1e3"], "not an amount"),
        (["--budget", "5.00001"], "not an amount"),
        (["--budget", "0"], "must be above 0"),
        (["--budget", "5", "--max-price", "much"], "not an amount"),
        (["--deadline", "6"], "not a duration"),
        (["--deadline", "0h"], "must be above 0"),
        (["--wait-capacity", "soon"], "not a duration"),
        (["--gpu", "a10gg"], "no GPU is called 'a10gg'; the nearest: A10G"),
        (["--provider", "fakee"], "no provider is called 'fakee'; did you mean fake?"),
        (["--spot", "--on-demand"], "--spot and --on-demand exclude each other"),
        (["--secret", "HF_TOKEN=abc"], "give the name only"),
        (["--secret", "HF_TOKEN"], "HF_TOKEN is not set"),
        (["--secret", "a b"], "not the name of an environment variable"),
        (["--set", "train.r"], "not KEY=VALUE"),
        (["--budgett", "5"], "no such option"),
        (["estimat"], "did you mean `launch estimate`?"),
        (["resume"], "missing option '--budget'"),
        (["--budget", "5", "ps"], "--budget belongs behind the command"),
        (["ps", "too", "many"], "unexpected extra argument"),
        (["show", "nobody"], "no run 'nobody'"),
        (["receipt"], "there is no run yet"),
        (["doctor", "--provider", "x"], "no provider is called 'x'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_typing_is_told_with_a_hint_and_exit_2(
    launch: Launch, capsys: Capture, argv: list[str], part: str
) -> None:
    assert launch(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert part in " ".join(err.split())
    assert err.startswith("error: ")
    assert "\n\nhint: " in err


def test_a_mistake_before_json_is_a_json_document_all_the_same(launch: Launch, capsys: Capture) -> None:
    assert launch("--budget", "-3", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["event"], document["code"], document["exit_code"]) == ("error", "usage", 2)


@pytest.mark.parametrize("argv", [["--json", "ps"], ["ps", "--json"]])
def test_json_is_taken_before_and_after_the_command(launch: Launch, capsys: Capture, argv: list[str]) -> None:
    assert launch(*argv) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == []


def test_every_command_of_the_contract_is_there_with_help(capsys: Capture) -> None:
    wanted = {
        "estimate", "data", "offers", "ps", "show", "logs", "attach", "ssh", "pull", "stop", "resume", "receipt",
        "history", "report", "judge", "review", "score", "reap", "doctor", "init",
    }  # fmt: skip
    assert {command.name for command in commands.ALL} == wanted
    for name in wanted:
        assert main([name, "--help"]) == 0
        assert f"Usage: launch {name}" in capsys.readouterr().out


def test_help_and_version_need_no_world(capsys: Capture) -> None:
    def none(environ: Mapping[str, str], console: Console) -> World:
        raise AssertionError("no world is needed")

    assert main(["--help"], make_world=none) == 0
    assert "launch --budget 5 --gpu a10g" in capsys.readouterr().out
    assert main(["--version"], make_world=none) == 0
    assert capsys.readouterr().out.startswith("launch 0.")


TYPED = """--budget $5.25 --gpu a10g --provider fake --job x --model m --data d --name n --spot --region r1 --region r2
--deadline 1h30m --max-price 0.6 --wait-capacity 30m --set train.r=8 --out o --detach --yes --accept-unguarded"""


def test_the_options_of_a_launch_become_a_request() -> None:
    session = options.Session(environ={}, make_world=lambda *_: pytest.fail("not now"))
    with cli.launch.make_context("launch", shlex.split(TYPED), obj=session) as ctx:
        said = dict(ctx.params)
    said.pop("dry_run")
    wanted = Request(
        budget_usd=options.Usd().convert("5.25", None, None), gpu="a10g", providers=("fake",), job=Path("x"), model="m",
        data="d", name="n", markets=(Market.SPOT,), regions=("r1", "r2"), deadline_seconds=5400.0,
        max_price_usd_per_hour=options.Usd().convert("0.6", None, None), wait_capacity_seconds=1800.0,
        sets=("train.r=8",), out=Path("o"), detach=True, yes=True, accept_unguarded=True,
    )  # fmt: skip
    assert options.request(said) == wanted


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400.0), ("6h", 21600.0), ("2d", 172800.0), ("1.5h", 5400.0), ("45s", 45.0)]
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert options.Duration().convert(text, None, None) == seconds


def test_a_run_of_the_ledger_is_listed_shown_and_its_receipt_read(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    assert stage.launch().exit_code is Exit.SUCCEEDED
    assert launch("ps") == 0
    assert "terminated" in capsys.readouterr().out
    assert launch("show", "brave", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "TERMINATED"
    assert launch("receipt") == 0
    assert "terminated and confirmed" in capsys.readouterr().out
    assert launch("--json", "receipt", "test") == 0
    assert json.loads(capsys.readouterr().out)["event"] == "receipt"


def test_a_run_without_a_receipt_says_what_to_do(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.open_run(stage.laptop())
    assert launch("receipt") == 2
    assert f"hint: launch attach {RUN}" in capsys.readouterr().err


def test_attach_carries_a_run_to_its_end_and_ends_with_its_exit_code(stage: Stage, launch: Launch) -> None:
    stage.open_run(stage.laptop())
    assert launch("attach") == 0
    stage.all_quiet()


def test_a_job_that_failed_ends_with_exit_1(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.site.work = Work(outcome="failed")
    stage.open_run(stage.laptop())
    assert launch("attach") == 1
    assert "failed" in capsys.readouterr().out


def test_stop_ends_a_run_that_nobody_carries(stage: Stage, launch: Launch) -> None:
    stage.open_run(stage.laptop())
    assert launch("stop", "--now") == 0
    stage.all_quiet()
    assert launch("stop") == 0


def test_reap_with_nothing_to_do_says_so(launch: Launch, capsys: Capture) -> None:
    assert launch("reap") == 0
    assert "nothing of ours runs at fake" in capsys.readouterr().out
    assert launch("reap", "--json") == 0
    assert json.loads(capsys.readouterr().out)["still_there"] == []


def test_offers_and_doctor_speak_of_every_provider(launch: Launch, capsys: Capture) -> None:
    assert launch("offers") == 0
    assert "f1.large" in capsys.readouterr().out
    assert launch("doctor") == 0
    said = capsys.readouterr().out
    assert said.startswith("here\n  ok       ssh ")
    assert "\nfake\n  ok " in said


def test_a_market_that_nobody_has_a_key_for_is_exit_4(stage: Stage, launch: Launch, capsys: Capture) -> None:
    def refuse(verb: str) -> None:
        raise AuthFailed("no key was found in FAKE_KEY", fix="export FAKE_KEY=...")

    stage.cloud.before_call = refuse
    stage.open_run(stage.laptop())
    assert launch("attach") == 4
    assert "hint: export FAKE_KEY=..." in capsys.readouterr().err


def test_logs_of_a_finished_run_come_from_its_results(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.launch()
    folder = Ledger(stage.folder / "home" / "ledger.sqlite").find(None).out_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.log").write_text("step 1\x1b[2J\n")
    assert launch("logs") == 0
    assert capsys.readouterr().out == "step 1[2J\n"
    assert launch("logs", "--json") == 0
    assert json.loads(capsys.readouterr().out)["text"].startswith("step 1")


@pytest.mark.parametrize("command", ["ssh", "pull"])
def test_a_run_without_a_machine_cannot_be_spoken_with(
    stage: Stage, launch: Launch, capsys: Capture, command: str
) -> None:
    stage.open_run(stage.laptop())
    assert launch(command) == 2
    assert "has no machine to speak with" in capsys.readouterr().err


def test_a_bug_of_ours_is_exit_70_without_a_traceback_and_with_a_log_without_secrets(
    tmp_path: Path, capsys: Capture
) -> None:
    def broken(environ: Mapping[str, str], console: Console) -> World:
        raise ZeroDivisionError("with hf_abcdefghijkl and swordfish-1")

    environ = {"LAUNCH_HOME": str(tmp_path), "MY_SECRET": "swordfish-1"}
    assert main(["ps"], make_world=broken, environ=environ) == 70
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "hint: launch reap" in err
    (log,) = (tmp_path / "crashes").iterdir()
    text = log.read_text()
    assert "ZeroDivisionError" in text
    assert "swordfish-1" not in text + err
    assert "hf_abcdefghijkl" not in text + err
    assert str(log) in "".join(err.split()) or log.name in err


def test_a_crash_log_that_cannot_be_written_hides_nothing(tmp_path: Path, capsys: Capture) -> None:
    def broken(environ: Mapping[str, str], console: Console) -> World:
        raise ZeroDivisionError

    (tmp_path / "file").write_text("")
    assert main(["ps"], make_world=broken, environ={"LAUNCH_HOME": str(tmp_path / "file")}) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_ctrl_c_before_anything_runs_is_exit_6(tmp_path: Path, capsys: Capture) -> None:
    def interrupted(environ: Mapping[str, str], console: Console) -> World:
        raise KeyboardInterrupt

    assert main(["ps"], make_world=interrupted, environ={"LAUNCH_HOME": str(tmp_path)}) == 6
    assert "interrupted" in capsys.readouterr().err


def test_a_second_ctrl_c_says_what_may_run_and_the_command_that_ends_it(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    stage.site.work = Work(outcome="failed")
    stage.launch()

    def press_twice(verb: str) -> None:
        if verb == "create":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    stage.cloud.after_call = press_twice
    assert launch("resume", "--budget", "9", "--yes") == 7
    err = " ".join(capsys.readouterr().err.split())
    assert "a machine may still be running: brave-otter-0001" in err
    assert "hint: launch stop brave-otter-0001" in err
    assert len(stage.cloud.alive()) == 1


def test_the_first_ctrl_c_of_a_run_turns_it_round_and_ends_its_machine(stage: Stage, launch: Launch) -> None:
    stage.site.work = Work(outcome="failed")
    stage.launch()

    def press(verb: str) -> None:
        if verb == "create":
            stage.cloud.after_call = lambda _: None
            os.kill(os.getpid(), signal.SIGINT)

    stage.cloud.after_call = press
    assert launch("resume", "--budget", "9", "--yes") == 6
    stage.all_quiet()


def test_ctrl_c_in_attach_only_lets_go(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.open_run(stage.laptop())
    once = threading.Event()

    def press(verb: str) -> None:
        if verb == "create" and not once.is_set():
            once.set()
            os.kill(os.getpid(), signal.SIGINT)

    stage.cloud.after_call = press
    assert launch("attach") == 0
    assert "let go; brave-otter-0001 goes on" in capsys.readouterr().err
    assert Ledger(stage.folder / "home" / "ledger.sqlite").find(None).state is not State.TERMINATED


HEAVY = {"boto3", "botocore", "torch", "moto", "pandas", "pydantic", "httpx", "transformers", "rich"}


CLOUDS = HEAVY - {"pydantic"}
"""The history says again what today's estimator thinks of offers and jobs, which it reads by pydantic."""


@pytest.mark.parametrize("argv", [["--help"], ["ps"], ["show"], ["receipt"], ["ps", "--json"]], ids=" ".join)
def test_start_up_loads_nothing_heavy(argv: list[str], stage: Stage) -> None:
    assert not HEAVY & loaded_by(argv, stage)


@pytest.mark.parametrize("argv", [["history"], ["history", "--csv"]], ids=" ".join)
def test_the_history_loads_no_clouds_sdk(argv: list[str], stage: Stage) -> None:
    assert not CLOUDS & loaded_by(argv, stage)


def loaded_by(argv: list[str], stage: Stage) -> set[str]:
    """The packages that a command has imported when it is done, after one run."""
    stage.launch()
    stage.heard.events.clear()
    home = stage.folder / "home"
    code = (
        "import sys; from launcher.cli import main; code = main(sys.argv[1:]);"
        "sys.stderr.write(' '.join(sorted({name.partition('.')[0] for name in sys.modules}))); sys.exit(code)"
    )
    environ = {"PATH": os.environ["PATH"], "LAUNCH_HOME": str(home), "HOME": str(stage.folder)}
    done = subprocess.run(
        [sys.executable, "-c", code, *argv],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_every_option_has_a_help_text() -> None:
    every = [cli.launch, *commands.ALL]
    silent = [
        f"{command.name} {option.opts}"
        for command in every
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]
    assert silent == []
