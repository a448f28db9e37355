"""The fourth arm: asked like the others, scored like the others, priced by request, and never past its cap."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs.judge import failures
from jobs.judge.exchanges import Exchange
from jobs.judge.larger import FourthArm, ask_all, results
from jobs.results.items import read_arm
from jobs.spec_evaluate import Larger
from tests.jobs.judge.asked import PRICES, asker_of, no_tick, served
from tests.judge_server import Messages, Model


def items(*wanted: str) -> list[Exchange]:
    return [
        Exchange(number=at, turns=(("user", f"say {one}"),), wanted=one, answers={"tuned": ""}, cluster=at)
        for at, one in enumerate(wanted)
    ]


def last_word(messages: Messages) -> str:
    return messages[-1]["content"].split()[-1]


def arm_of(model: Model, found: list[Exchange], system: str = "", **said: Any) -> FourthArm:
    to = Larger.model_validate({"endpoint": model.url, "model": model.name, **PRICES, **said})
    return FourthArm(model=to, system=system, items=found)


def test_its_items_are_read_and_scored_like_those_of_the_other_arms(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 500, "completion_tokens": 250}
    with served(answer=last_word, usage=usage) as model:
        arm = arm_of(model, items("yes", "no", "perhaps"))
        asker = asker_of(arm.model, tmp_path / "calls.jsonl")
        assert ask_all(arm, asker, no_tick) == 0
        figures, lines = results(arm, asker, ["exact"])
    assert figures["metrics"] == {"exact": 1.0}
    assert (figures["arm"], figures["n"], figures["model"], figures["unfinished"]) == ("larger", 3, "judge-1", "")
    assert (figures["usd_per_request"], figures["cost_usd"], figures["new_tokens"]) == ("0.003", "0.009", 750)
    assert figures["seconds"] > 0
    (tmp_path / "larger.json").write_text(json.dumps(figures))
    (tmp_path / "larger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    read = read_arm(tmp_path, "larger", "larger", None)
    assert read is not None
    assert read.warnings == ()
    assert [(one.number, one.answer, one.loss) for one in read.items] == [
        (0, "yes", None),
        (1, "no", None),
        (2, "perhaps", None),
    ]
    assert (read.told.model, read.told.cost_usd) == ("judge-1", "0.009")


def test_its_system_text_stands_in_place_of_the_row_s_own_and_only_in_what_is_sent(tmp_path: Path) -> None:
    turns = (("system", "be brief"), ("user", "say yes"))
    found = [Exchange(number=0, turns=turns, wanted="yes", answers={"tuned": ""}, cluster=0)]
    with served(answer=last_word) as model:
        arm = arm_of(model, found, system="be exact")
        asker = asker_of(arm.model, tmp_path / "calls.jsonl")
        ask_all(arm, asker, no_tick)
        _, (line,) = results(arm, asker, ["exact"])
    assert [one["content"] for one in model.asked[0]["messages"]] == ["be exact", "say yes"]
    assert model.asked[0]["temperature"] == 0
    assert [one["content"] for one in line["prompt"]] == ["be brief", "say yes"]


def test_an_item_that_it_refuses_is_left_out_and_told(tmp_path: Path) -> None:
    with served(answer=last_word) as model:
        model.next_faults("too long")
        arm = arm_of(model, items("yes", "no"))
        asker = asker_of(arm.model, tmp_path / "calls.jsonl")
        assert ask_all(arm, asker, no_tick) == 1
        figures, lines = results(arm, asker, ["exact"])
    assert (figures["n"], len(lines), figures["unfinished"]) == (1, 1, "1 of 2 items got no answer")


def test_a_model_that_refuses_everything_is_given_up_soon(tmp_path: Path) -> None:
    with served(always="too long") as model:
        arm = arm_of(model, items(*["yes"] * 50))
        with pytest.raises(failures.Refused, match="maximum context length"):
            ask_all(arm, asker_of(arm.model, tmp_path / "calls.jsonl"), no_tick)
        assert len(model.asked) < 20


def test_a_refused_key_ends_it_at_once(tmp_path: Path) -> None:
    with served(key="sk-right") as model:
        arm = arm_of(model, items(*["yes"] * 50), key="LARGER_KEY")
        with pytest.raises(failures.KeyRefused):
            ask_all(arm, asker_of(arm.model, tmp_path / "calls.jsonl", {"LARGER_KEY": "sk-wrong"}), no_tick)
        assert len(model.asked) <= 4


def test_whoever_stops_it_leaves_what_was_answered_and_the_next_call_goes_on(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done >= 3:
            raise Enough(of)

    with served(answer=last_word) as model:
        arm = arm_of(model, items(*[f"word{at}" for at in range(30)]))
        asker = asker_of(arm.model, tmp_path / "calls.jsonl")
        with pytest.raises(Enough):
            ask_all(arm, asker, stop)
        figures, _ = results(arm, asker, ["exact"])
        assert 3 <= figures["n"] < 30
        assert ask_all(arm, asker_of(arm.model, tmp_path / "calls.jsonl"), no_tick) == 0
        assert len(model.asked) <= 30 + 4
        figures, _ = results(arm, asker_of(arm.model, tmp_path / "calls.jsonl"), ["exact"])
    assert figures["n"] == 30
    assert Decimal(figures["cost_usd"]) > 0


def test_thinking_in_front_of_an_answer_is_not_scored(tmp_path: Path) -> None:
    def thinking(messages: Messages) -> str:
        return f"<think>\nhm, {{no}}\n</think>\n\n{last_word(messages)}"

    with served(answer=thinking) as model:
        arm = arm_of(model, items("yes"))
        asker = asker_of(arm.model, tmp_path / "calls.jsonl")
        ask_all(arm, asker, no_tick)
        figures, (line,) = results(arm, asker, ["exact"])
    assert (line["answer"], figures["metrics"]["exact"]) == ("yes", 1.0)
