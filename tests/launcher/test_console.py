"""Where events and questions go: which stream, how often, and what happens when nobody reads any more."""

import io
import json
import os
import signal
from dataclasses import replace
from datetime import timedelta

import pytest

from launcher import console, display, wire
from launcher.console import JsonConsole, Paper, PlainConsole, Streams, TerminalConsole, pick
from launcher.events import Progressed, Warned
from launcher.interrupt import Interrupt
from tests.launcher import values
from tests.launcher.values import NOW, RUN


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, text: str, /) -> int:
        raise BrokenPipeError


def streams(*, typed: str = "", interactive: bool = False, verbose: bool = False) -> Streams:
    kind = Terminal if interactive else io.StringIO
    return Streams(
        out=Paper(stream=io.StringIO()), talk=Paper(stream=kind()), stdin=kind(typed), now=lambda: NOW,
        width=lambda: 80, verbose=verbose,
    )  # fmt: skip


def said(paper: Paper) -> str:
    assert isinstance(paper.stream, io.StringIO)
    return paper.stream.getvalue()


def progressed(seconds: float) -> Progressed:
    return Progressed(run=RUN, at=NOW + timedelta(seconds=seconds), snapshot=values.snapshot_of_work())


def test_away_from_a_terminal_talk_goes_to_stderr_and_the_receipt_to_stdout() -> None:
    paper = streams()
    plain = PlainConsole(paper)
    for event in values.events():
        plain.tell(event)
    assert said(paper.out).startswith("\nsucceeded")
    assert "cost to finish" in said(paper.talk)
    assert "booting aws" in said(paper.talk)
    assert "\x1b" not in said(paper.talk) + said(paper.out)


def test_away_from_a_terminal_progress_comes_at_most_every_half_minute() -> None:
    paper = streams()
    plain = PlainConsole(paper)
    for seconds in range(0, 61, 5):
        plain.tell(progressed(seconds))
    assert said(paper.talk).count("step 142/233") == 3


def test_a_forecast_is_told_before_the_progress_that_came_after_it() -> None:
    paper = streams()
    plain = PlainConsole(paper)
    plain.tell(values.forecast())
    assert said(paper.talk) == ""
    plain.tell(progressed(0))
    told = said(paper.talk)
    assert told.count("forecast 0.79") == 1
    assert told.index("forecast 0.79") < told.index("step 142/233")


def test_json_lines_on_stdout_and_the_same_for_people_on_stderr() -> None:
    paper = streams()
    json_console = pick(paper, as_json=True)
    for event in values.events():
        json_console.tell(event)
    lines = [json.loads(line) for line in said(paper.out).splitlines()]
    assert [line["event"] for line in lines] == [wire.document(event)["event"] for event in values.events()]
    assert "succeeded" in said(paper.talk)


def test_an_error_document_is_the_last_line_and_names_the_run() -> None:
    paper = streams()
    json_console = pick(paper, as_json=True)
    json_console.tell(progressed(0))
    json_console.fail(values.failure(), "")
    last = json.loads(said(paper.out).splitlines()[-1])
    assert (last["event"], last["run"], last["exit_code"], last["code"]) == ("error", RUN, 3, "does-not-fit")
    assert "hint: launch --set" in said(paper.talk)


def test_the_raw_code_is_shown_only_to_those_who_asked() -> None:
    quiet, verbose = streams(), streams(verbose=True)
    PlainConsole(quiet).fail(values.failure(), RUN)
    PlainConsole(verbose).fail(values.failure(), RUN)
    assert "InsufficientMemory" not in said(quiet.talk)
    assert "InsufficientMemory" in said(verbose.talk)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_closed_pipe_mutes_the_console_and_does_not_stop_the_run(as_json: bool) -> None:
    paper = replace(streams(), out=Paper(stream=ClosedPipe()), talk=Paper(stream=ClosedPipe()))
    deaf = pick(paper, as_json=as_json)
    for event in values.events():
        deaf.tell(event)
    deaf.fail(values.failure(), RUN)
    assert paper.talk.closed


def test_a_terminal_that_goes_away_does_not_stop_the_run() -> None:
    class Gone(Terminal):
        def write(self, text: str, /) -> int:
            raise OSError(5, "gone")

    live = TerminalConsole(replace(streams(), talk=Paper(stream=Gone())))
    for event in values.events():
        live.tell(event)


def test_control_characters_of_strangers_never_reach_the_terminal() -> None:
    plain, live = streams(), streams(interactive=True)
    event = Warned(run=RUN, at=NOW, code="x", text="\x1b]0;owned\x07 \x1b[2J\x9b31m hello \r\x08")
    PlainConsole(plain).tell(event)
    TerminalConsole(live).tell(event)
    for paper in (plain, live):
        assert "hello" in said(paper.talk)
        assert not set(said(paper.talk)) & {"\x1b", "\x07", "\x9b", "\r", "\x08"}


def test_on_a_terminal_one_view_moves_and_what_matters_stands_above_it() -> None:
    paper = streams(interactive=True)
    live = TerminalConsole(paper)
    for event in values.events():
        live.tell(event)
    text = said(paper.talk)
    assert "60 %  step 142/233" in text
    assert "warning: the provider wants the machine back" in text
    assert said(paper.out).startswith("\nsucceeded")


@pytest.mark.parametrize(
    ("typed", "default", "answer"),
    [
        ("\n", True, True), ("\n", False, False), ("y\n", False, True), ("No\n", True, False), ("", True, False),
        ("what?\nyes\n", True, True), ("a\nb\nc\ny\n", True, False),
    ],
)  # fmt: skip
def test_a_question_is_answered_as_typed(typed: str, default: bool, answer: bool) -> None:
    paper = streams(typed=typed, interactive=True)
    assert PlainConsole(paper).ask("launch it?", default=default) is answer
    assert "launch it? [" in said(paper.talk)


def test_ctrl_c_at_the_question_leaves_at_once_even_while_a_run_listens_for_it() -> None:
    class Pressed(Terminal):
        def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # typeshed's size is wider
            os.kill(os.getpid(), signal.SIGINT)
            return "y\n"

    paper = replace(streams(interactive=True), stdin=Pressed())
    interrupt = Interrupt()
    with interrupt.listening(), pytest.raises(KeyboardInterrupt):
        PlainConsole(paper).ask("launch it?", default=True)
    assert not interrupt.asked


def test_nobody_is_asked_where_there_is_no_terminal() -> None:
    paper = streams(typed="y\n")
    assert pick(paper, as_json=True).ask("launch it?", default=True) is None
    assert said(paper.talk) == ""


def test_the_console_is_picked_by_what_stderr_is() -> None:
    assert isinstance(pick(streams(interactive=True), as_json=False), TerminalConsole)
    assert type(pick(streams(), as_json=False)) is PlainConsole
    assert isinstance(pick(streams(), as_json=True), JsonConsole)


def test_the_view_keeps_what_the_events_said() -> None:
    view = display.View(run="")
    for event in values.events():
        view = console.seen(view, event)
    assert (view.run, view.state, view.started_at) == (RUN, "BOOTING", NOW)
    assert view.forecast is not None
    assert view.snapshot.step == 142
