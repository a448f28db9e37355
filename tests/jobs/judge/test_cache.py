"""What is kept of calls: nothing is paid twice, and the cap holds whatever dies."""

from decimal import Decimal
from pathlib import Path

import pytest

from jobs.judge import failures
from jobs.judge.cache import Asked, Book, Failed
from jobs.judge.endpoint import Request
from jobs.judge.purse import Purse
from tests.jobs.judge.asked import asker_of, judge_of, served
from tests.judge_server import echoing

HELLO = Request(messages=(("user", "hello there"),), max_tokens=50)
WORST_USD = Decimal("0.000486")
"""43 bytes and templates for the prompt at 2 dollars a million, 50 tokens at 8."""


def test_a_second_call_is_answered_from_the_file_and_costs_nothing(tmp_path: Path) -> None:
    with served(answer=echoing) as model:
        asker_of(judge_of(model), tmp_path / "calls.jsonl").ask(HELLO, "k")
        again = asker_of(judge_of(model), tmp_path / "calls.jsonl")
        before = again.purse.spent_usd
        assert again.ask(HELLO, "k").text == "hello there"
        assert again.purse.spent_usd == before > 0
        assert len(model.asked) == 1


def test_a_torn_last_line_is_cut_off_and_its_call_counts_at_its_worst(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    with served(answer=echoing) as model:
        asker_of(judge_of(model), path).ask(HELLO, "k")
        path.write_bytes(path.read_bytes()[:-20])
        asker = asker_of(judge_of(model), path)
        assert asker.purse.spent_usd == HELLO.worst_usd(asker.to) == WORST_USD
        asker.ask(HELLO, "k")
        assert len(model.asked) == 2
    assert Book(path).find("k") is not None


def test_a_call_whose_process_died_counts_at_its_worst(tmp_path: Path) -> None:
    book = Book(tmp_path / "calls.jsonl")
    book.note(Asked(call="1", key="k", worst_usd=Decimal("0.25")))
    book.note(Asked(call="2", key="l", worst_usd=Decimal("0.25")))
    book.note(Failed(call="2", key="l", why="turned away", cost_usd=Decimal(0)))
    assert Book(book.path).spent_usd == Decimal("0.25")


@pytest.mark.parametrize("damage", [b"{}\n", b"[1]\n", b"nonsense\n", b'{"event": "answer", "cost_usd": "-1"}\n'])
def test_a_file_that_is_damaged_is_not_guessed_at(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_bytes(damage)
    with pytest.raises(failures.BookDamaged, match=r"calls.jsonl, line 1: .* what was spent is not known") as caught:
        Book(path)
    assert caught.value.hint.startswith(f"mv {path} {path}.damaged")


@pytest.mark.parametrize("fault", ["silent", "500", "html"])
def test_what_may_have_been_billed_is_counted_at_its_worst(tmp_path: Path, fault: str) -> None:
    with served(answer=echoing) as model:
        model.next_faults(fault)
        asker = asker_of(judge_of(model), tmp_path / "calls.jsonl", seconds=0.3)
        answer = asker.ask(HELLO, "k")
    assert asker.purse.spent_usd == WORST_USD + answer.cost_usd
    assert Book(tmp_path / "calls.jsonl").spent_usd == asker.purse.spent_usd


@pytest.mark.parametrize("fault", ["429", "503"])
def test_what_was_turned_away_cost_nothing(tmp_path: Path, fault: str) -> None:
    with served(answer=echoing) as model:
        model.next_faults(fault)
        asker = asker_of(judge_of(model), tmp_path / "calls.jsonl")
        answer = asker.ask(HELLO, "k")
    assert asker.purse.spent_usd == answer.cost_usd


def test_a_call_that_could_pass_the_cap_is_not_sent(tmp_path: Path) -> None:
    with served(answer=echoing) as model:
        asker = asker_of(judge_of(model, cap_usd="0.000485"), tmp_path / "calls.jsonl")
        with pytest.raises(failures.CapReached, match=r"cap of \$0.000485 \(spent so far: \$0.0000\)"):
            asker.ask(HELLO, "k")
        assert not model.asked
        asker_of(judge_of(model, cap_usd="0.000486"), tmp_path / "calls.jsonl").ask(HELLO, "k")
        assert len(model.asked) == 1


def test_what_is_set_aside_for_calls_on_their_way_counts_against_the_cap() -> None:
    purse = Purse(Decimal(1), Decimal("0.2"))
    purse.reserve(Decimal("0.8"))
    purse.settle(Decimal("0.8"), Decimal("0.1"))
    purse.reserve(Decimal("0.7"))
    with pytest.raises(failures.CapReached):
        purse.reserve(Decimal("0.71"))
    assert purse.spent_usd == Decimal("0.3")


def test_a_server_that_adds_a_prompt_of_its_own_is_set_aside_more_for(tmp_path: Path) -> None:
    """It bills for it, too: after the first time the cap holds again."""
    with served(answer=echoing, usage={"prompt_tokens": 10_000, "completion_tokens": 10}) as model:
        asker = asker_of(judge_of(model, cap_usd="0.05"), tmp_path / "calls.jsonl")
        asker.ask(HELLO, "1")
        asker.ask(HELLO, "2")
        with pytest.raises(failures.CapReached):
            asker.ask(HELLO, "3")
        assert asker.purse.spent_usd == Decimal("0.04016")
