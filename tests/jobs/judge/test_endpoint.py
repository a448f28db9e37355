"""An endpoint that is away, slow, full, closed, wrong or crooked: what is said of it, and what is counted."""

import socket
import threading
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from jobs.judge import failures
from jobs.judge.asking import Asker, key_for
from jobs.judge.cache import Answer
from jobs.judge.endpoint import Client, Request
from jobs.judge.failures import EndpointError
from jobs.spec_evaluate import Judge
from tests.jobs.judge.asked import asker_of, judge_of, served
from tests.judge_server import Model, echoing

HELLO = Request(messages=(("user", "hello there"),), max_tokens=50)
SECRET = "sk-swordfish"


def answer_of(asker: Asker, request: Request = HELLO) -> Answer:
    return asker.ask(request, key_for(asker.to, request))


def failure_of(model: Model, tmp_path: Path, *, environ: dict[str, str] | None = None, **said: Any) -> EndpointError:
    """How asking it fails."""
    asker = asker_of(judge_of(model, **said), tmp_path / "calls.jsonl", environ, seconds=0.4)
    with pytest.raises(EndpointError) as caught:
        answer_of(asker)
    return caught.value


def test_an_answer_costs_what_its_tokens_cost(tmp_path: Path) -> None:
    with served(answer=echoing, usage={"prompt_tokens": 1000, "completion_tokens": 500}) as model:
        asker = asker_of(judge_of(model), tmp_path / "calls.jsonl")
        found = answer_of(asker)
    assert (found.text, found.ended, found.counted_by) == ("hello there", True, "endpoint")
    assert found.cost_usd == asker.purse.spent_usd == Decimal("0.006")
    assert model.asked == [
        {
            "model": "judge-1", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 50,
            "stream": False, "temperature": 0,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "kind", "calls"),
    [
        ("silent", failures.TimedOut, 2),
        ("drip", failures.TimedOut, 2),
        ("429", failures.Overloaded, 4),
        ("503", failures.Overloaded, 4),
        ("500", failures.Broken, 3),
        ("cut", failures.Broken, 3),
        ("html", failures.Garbage, 2),
        ("half", failures.Garbage, 2),
        ("null", failures.Garbage, 2),
        ("no choices", failures.Garbage, 2),
        ("no message", failures.Garbage, 2),
        ("wrong types", failures.Garbage, 2),
        ("empty", failures.Garbage, 2),
        ("nested", failures.Garbage, 2),
        ("endless", failures.Garbage, 2),
        ("elsewhere", failures.Misplaced, 1),
        ("absent", failures.Misplaced, 1),
        ("too long", failures.Refused, 1),
        ("no credit", failures.NoCredit, 1),
        ("402", failures.NoCredit, 1),
    ],
)
def test_what_goes_wrong_has_a_name_and_is_tried_again_only_where_that_is_safe(
    tmp_path: Path, fault: str, kind: type[EndpointError], calls: int
) -> None:
    with served(always=fault) as model:
        failure = failure_of(model, tmp_path)
        assert type(failure) is kind
        assert len(model.asked) == calls
        assert "<" not in failure.message


def test_nobody_listens_and_that_is_said_with_the_address(tmp_path: Path) -> None:
    with served() as model:
        pass
    failure = failure_of(model, tmp_path)
    assert isinstance(failure, failures.Unreachable)
    assert f"curl {model.url}/chat/completions" in failure.hint


def test_a_model_that_is_not_there_is_told_apart_from_an_address_that_is_wrong(tmp_path: Path) -> None:
    with served(name="judge-2") as model:
        failure = failure_of(Model(url=model.url), tmp_path)
    assert isinstance(failure, failures.UnknownModel)
    assert "The model `judge-1` does not exist." in failure.message


def test_a_key_is_sent_and_stands_neither_in_an_error_nor_in_a_file(tmp_path: Path) -> None:
    with served(key="sk-other") as model:
        failure = failure_of(model, tmp_path, environ={"JUDGE_KEY": SECRET}, key="JUDGE_KEY")
        assert isinstance(failure, failures.KeyRefused)
        assert model.keys == {f"Bearer {SECRET}"}
    assert "Incorrect API key provided: ***." in failure.message
    assert "export JUDGE_KEY=..." in failure.hint
    assert SECRET not in f"{failure!r}{failure.hint}"
    assert SECRET not in (tmp_path / "calls.jsonl").read_text()


def test_a_key_that_is_asked_for_and_not_there_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with served() as model:
        with pytest.raises(failures.NoKey, match="JUDGE_KEY is not set"):
            asker_of(judge_of(model, key="JUDGE_KEY"), tmp_path / "calls.jsonl")
        with pytest.raises(failures.NoKey, match="holds what no key is"):
            asker_of(judge_of(model, key="JUDGE_KEY"), tmp_path / "calls.jsonl", {"JUDGE_KEY": "two\nlines"})
    assert not model.asked


@pytest.mark.parametrize("host", ["judge.example.com", "8.8.8.8"])
def test_a_key_does_not_travel_in_the_clear(host: str) -> None:
    to = Judge.model_validate({"endpoint": f"http://{host}/v1", "model": "m", "key": "JUDGE_KEY"})
    with pytest.raises(failures.OpenKey, match="is not encrypted"):
        Client(to, {"JUDGE_KEY": SECRET})


def test_a_key_follows_no_redirect(tmp_path: Path) -> None:
    with served(always="elsewhere") as model:
        failure = failure_of(model, tmp_path, environ={"JUDGE_KEY": SECRET}, key="JUDGE_KEY")
        assert isinstance(failure, failures.Misplaced)
        assert model.strayed == []


def test_a_server_that_says_when_to_come_back_is_waited_for_but_not_for_an_hour(tmp_path: Path) -> None:
    pauses: list[float] = []
    with served(answer=echoing) as model:
        model.next_faults("429 after 7", "429")
        asker = asker_of(judge_of(model), tmp_path / "calls.jsonl", sleep=pauses.append)
        assert answer_of(asker).text == "hello there"
        assert pauses == [7.0, 4.0]
        model.next_faults("429 after 3600")
        with pytest.raises(failures.Overloaded):
            asker.ask(HELLO, "another key")
        assert pauses == [7.0, 4.0]


@pytest.mark.parametrize(
    "usage",
    [
        None, [], {}, {"prompt_tokens": -5, "completion_tokens": 3}, {"prompt_tokens": 5, "completion_tokens": 0},
        {"prompt_tokens": "5", "completion_tokens": 3}, {"prompt_tokens": True, "completion_tokens": 3},
        {"prompt_tokens": 5, "completion_tokens": 1e300}, {"prompt_tokens": 10**12, "completion_tokens": 1},
    ],
    ids=str,
)  # fmt: skip
def test_tokens_that_cannot_be_true_are_counted_at_the_worst_case(tmp_path: Path, usage: Any) -> None:
    with served(answer=echoing, usage=usage) as model:
        asker = asker_of(judge_of(model), tmp_path / "calls.jsonl")
        found = answer_of(asker)
    assert found.counted_by == "us"
    assert asker.purse.spent_usd == HELLO.worst_usd(asker.to) > 0


@pytest.mark.parametrize(
    ("refused", "sent"),
    [
        ("max_tokens", {"max_completion_tokens": 50, "temperature": 0, "response_format": {"type": "json_object"}}),
        ("temperature", {"max_tokens": 50, "response_format": {"type": "json_object"}}),
        ("response_format", {"max_tokens": 50, "temperature": 0}),
    ],
)
def test_a_parameter_that_a_server_does_not_take_is_left_out_from_then_on(
    tmp_path: Path, refused: str, sent: dict[str, Any]
) -> None:
    request = Request(messages=HELLO.messages, max_tokens=50, as_json=True)
    with served(answer=echoing, refuses={refused}) as model:
        asker = asker_of(judge_of(model), tmp_path / "calls.jsonl")
        answer_of(asker, request)
        asker.ask(request, "another key")
    assert len(model.asked) == 3
    assert {key: model.asked[-1][key] for key in model.asked[-1] if key not in ("model", "messages", "stream")} == sent


def test_halves_of_characters_come_and_go_as_question_marks(tmp_path: Path) -> None:
    with served(answer=echoing) as model:
        asker = asker_of(judge_of(model), tmp_path / "calls.jsonl")
        assert answer_of(asker, Request(messages=(("user", "a\ud800b"),), max_tokens=9)).text == "a?b"
        model.next_faults("half a character")
        assert answer_of(asker, Request(messages=(("user", "d"),), max_tokens=9)).text == "c?"


def test_a_server_that_drips_its_headers_holds_no_call_beyond_its_time(tmp_path: Path) -> None:
    """Each read comes in time, and their sum never ends."""
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        with suppress(OSError), listening.accept()[0] as one:
            one.recv(65536)
            one.sendall(b"HTTP/1.1 200 OK\r\n")
            while not over.wait(0.05):
                one.sendall(b"x-still: here\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, args=(listening,), daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        client = Client(Judge(endpoint=address, model="m", rubric="?", cap_usd=Decimal(1)), {}, seconds=0.3)
        began = monotonic()
        with pytest.raises(failures.TimedOut):
            client.ask(HELLO)
        assert monotonic() - began < 5
        over.set()
