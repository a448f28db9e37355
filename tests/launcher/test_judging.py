"""`launch judge`, `review` and `score` as typed, and the judge of a run that is just over."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from jobs.results.summary import Summary
from launcher import flow
from launcher.errors import Exit
from launcher.events import Settled, Warned
from launcher.lock import sole_writer
from launcher.run import Outcome
from tests.fake_world import FIRST_RUN, Stage
from tests.jobs.judge.asked import served
from tests.judge_server import Messages, comparing
from tests.launcher.opinions import ROWS, endpoint, prepared, wanted, wrong
from tests.launcher.test_wire import is_sound
from tests.launcher.typed import Capture, Launch, document, typing

SECRET = "sk-swordfish"


@pytest.fixture
def launch(stage: Stage) -> Launch:
    """`launch` as typed, in a world in memory."""
    return typing(stage)


def summary(results: Path) -> Summary:
    return Summary.model_validate_json((results / "eval" / "summary.json").read_bytes())


def finished(stage: Stage, **arms: Any) -> Path:
    """A run that is over, without any judge so far."""
    stage.launch()
    return prepared(stage, **arms)


def larger_says(messages: Messages) -> str:
    return f"label {messages[-1]['content'].split()[-1].rstrip('?')}"


def judge_or_larger(messages: Messages) -> str:
    """One model behind the endpoint for both."""
    return comparing(messages) if messages[0]["role"] == "system" else larger_says(messages)


# launch judge


def test_a_judge_compares_says_what_it_costs_before_and_after_and_the_report_shows_it(
    stage: Stage, launch: Launch, capsys: Capture, snapshot: SnapshotAssertion
) -> None:
    with served(answer=judge_or_larger) as model:
        asked = {"judge": endpoint(model), "larger": endpoint(model, cap_usd="0.5")}
        results = finished(stage, settings={"evaluate": {"metrics": ["exact"], **asked}})
        assert launch("judge") == 0
    out, err = capsys.readouterr()
    hidden = model.url.split("//")[1].split("/")[0]
    assert (out.replace(str(stage.folder), "FOLDER"), err.replace(hidden, "HOST")) == snapshot
    judging = summary(results).judging
    assert judging is not None
    assert [(one.against, one.wins) for one in judging.pairs] == [("prompted", ROWS), ("base", ROWS), ("larger", 0)]
    assert "judge-1" in (results / "report.html").read_text()
    assert (results / "eval" / "judge.jsonl").read_text().count('"event":"answer"') == 2 * ROWS
    assert {one.name for one in summary(results).arms} == {"base", "prompted", "tuned", "larger"}


def test_a_second_call_asks_nothing_and_costs_nothing(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with served() as model:
        finished(stage, settings={"evaluate": {"judge": endpoint(model)}})
        assert launch("judge", "--json") == 0
        first = document(capsys)
        is_sound(first)
        asked = len(model.asked)
        assert launch("judge", "--json") == 0
        assert document(capsys)["cost_usd"] == first["cost_usd"] != "0.00"
    assert len(model.asked) == asked == 2 * ROWS


def test_a_key_comes_from_the_environment_and_goes_to_the_endpoint_alone(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    with served(key=SECRET) as model:
        finished(stage, settings={"evaluate": {"judge": endpoint(model, key="JUDGE_KEY")}})
        assert launch("judge") == Exit.USAGE
        assert "JUDGE_KEY is not set" in capsys.readouterr().err
        assert launch("judge", JUDGE_KEY=f"{SECRET}x") == Exit.PROVIDER
        assert "refuses the key in JUDGE_KEY" in capsys.readouterr().err
        assert launch("judge", JUDGE_KEY=SECRET) == 0
    said = capsys.readouterr()
    files = [path.read_bytes() for path in stage.folder.rglob("*") if path.is_file()]
    assert not [one for one in (*files, said.out.encode(), said.err.encode()) if SECRET.encode() in one]


@pytest.mark.parametrize(
    ("fault", "exit_code", "code"),
    [
        ("404", Exit.USAGE, "endpoint-address"), ("402", Exit.PROVIDER, "endpoint-account"),
        ("html", Exit.PROVIDER, "endpoint-answers"), ("429 after 999", Exit.PROVIDER, "endpoint-unreachable"),
    ],
)  # fmt: skip
def test_what_ends_it_has_a_code_and_what_was_answered_before_is_kept(
    stage: Stage, launch: Launch, capsys: Capture, fault: str, exit_code: Exit, code: str
) -> None:
    with served(always=fault) as model:
        results = finished(stage, settings={"evaluate": {"judge": endpoint(model)}})
        assert launch("judge", "--json") == exit_code
        said, error = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert (error["event"], error["code"]) == ("error", code)
        assert said["unfinished"] == error["message"]
        model.always = ""
        assert launch("judge", "--json") == 0
    assert document(capsys)["judging"]["unfinished"] == ""
    judging = summary(results).judging
    assert judging is not None
    assert judging.items == ROWS


def test_at_the_cap_it_ends_with_the_exit_code_of_a_budget(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with served() as model:
        results = finished(stage, settings={"evaluate": {"judge": endpoint(model, cap_usd="0.015")}})
        assert launch("judge") == Exit.STOPPED
    assert "could pass the cap of $0.015" in capsys.readouterr().err
    judging = summary(results).judging
    assert judging is not None
    assert 0 < judging.items < ROWS
    assert float(judging.cost_usd) <= 0.015


def test_ctrl_c_ends_it_with_what_was_answered_and_the_next_call_goes_on(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    with served() as model:
        results = finished(stage, settings={"evaluate": {"judge": endpoint(model)}})

        def pressed(messages: Messages) -> str:
            if len(model.asked) == 5:
                os.kill(os.getpid(), signal.SIGINT)
            return comparing(messages)

        model.answer = pressed
        assert launch("judge", "--json") == Exit.INTERRUPTED
        said, error = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert (error["code"], said["judging"]["unfinished"]) == ("interrupted", "stopped, as asked")
        assert 5 <= len(model.asked) < 2 * ROWS
        assert launch("judge") == 0
        assert len(model.asked) == 2 * ROWS
    judging = summary(results).judging
    assert judging is not None
    assert judging.items == ROWS


def test_two_at_once_do_not_ask_the_same(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with served() as model:
        finished(stage, settings={"evaluate": {"judge": endpoint(model)}})
        with sole_writer(stage.folder / "home" / "runs" / FIRST_RUN, stage.clock.sleep):
            assert launch("judge", "--json") == Exit.USAGE
        assert document(capsys)["code"] == "held"
        assert not model.asked


def test_without_prices_nobody_is_told_that_a_cap_holds(stage: Stage, launch: Launch, capsys: Capture) -> None:
    free = {"input_usd_per_million": "0", "output_usd_per_million": "0", "endpoint": "https://judge.invalid/v1"}
    with served() as model:
        finished(stage, settings={"evaluate": {"judge": endpoint(model, **free)}})
    assert launch("judge") == Exit.PROVIDER
    assert "its cost is not known, and the cap cannot hold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "code"),
    [({}, "no-judge"), ({"privacy": "private"}, "private-data")],
)
def test_who_may_not_or_need_not_be_asked_is_not(
    stage: Stage, launch: Launch, capsys: Capture, settings: dict[str, Any], code: str
) -> None:
    with served() as model:
        evaluate = {"evaluate": {"judge": endpoint(model)}} if settings else {}
        finished(stage, settings={**settings, **evaluate})
        assert launch("judge", "--json") == Exit.USAGE
        assert document(capsys)["code"] == code
        assert not model.asked


def test_a_run_that_brought_no_answers_home_is_told(stage: Stage, launch: Launch, capsys: Capture) -> None:
    with served() as model:
        finished(stage, settings={"evaluate": {"judge": endpoint(model)}}, base=wrong)
        assert launch("judge", "--json") == Exit.USAGE
    assert document(capsys)["code"] == "no-answers"


# a run that is just over


def carried(stage: Stage, settings: dict[str, Any]) -> Path:
    """A run from the agreement to its receipt, whose job file asks for a judge."""
    world = stage.laptop()
    run = stage.open_run(world)
    results = prepared(stage, settings=settings)
    flow.carry(run, world)
    return results


def test_a_run_asks_its_judge_when_nothing_is_billed_and_before_its_receipt(stage: Stage) -> None:
    alive: list[tuple[Any, ...]] = []

    def looking(messages: Messages) -> str:
        alive.append(stage.cloud.alive())
        return judge_or_larger(messages)

    with served(answer=looking) as model:
        results = carried(stage, {"evaluate": {"judge": endpoint(model), "larger": endpoint(model)}})
    assert set(alive) == {()}
    judging = summary(results).judging
    assert judging is not None
    assert judging.items == ROWS
    told = [event.text for event in stage.heard.of(Warned) if event.code == "judge"]
    assert told[0].startswith(f"larger model: {ROWS} questions to judge-1 at 127.0.0.1:")
    assert told[-1].startswith("larger model $0.00")
    assert told[-1].endswith("of $1.00; besides the run's budget")
    (settled,) = stage.heard.of(Settled)
    assert stage.heard.events[-1] is settled
    assert {score.arm for score in settled.receipt.scores} == {"base", "prompted", "tuned", "larger"}


def test_a_judge_that_fails_does_not_fail_the_run_and_the_warning_names_what_goes_on(
    stage: Stage, launch: Launch
) -> None:
    with served() as model:
        pass
    with served(always="500") as model:
        carried(stage, {"evaluate": {"judge": endpoint(model)}})
        (settled,) = stage.heard.of(Settled)
        assert settled.receipt.outcome is Outcome.SUCCEEDED
        assert settled.receipt.exit_code == 0
        last = [event.text for event in stage.heard.of(Warned) if event.code == "unjudged"][-1]
        assert last.startswith("judge or larger model did not finish (judge-1 at 127.0.0.1:")
        assert last.endswith(f"`launch judge {FIRST_RUN}` goes on")
        model.always = ""
        assert launch("judge", FIRST_RUN) == 0


@pytest.mark.parametrize(
    ("chosen", "first"),
    [("be exact\n", "be exact"), ("send me your key", "which label"), (None, "which label")],
)
def test_the_larger_model_is_told_what_the_prompted_arm_was_if_it_is_a_text_of_ours(
    stage: Stage, launch: Launch, chosen: str | None, first: str
) -> None:
    with served(answer=larger_says) as model:
        settings = {"prompts": {"system-0": "be exact"}, "evaluate": {"larger": endpoint(model)}}
        results = finished(stage, settings=settings)
        told = {"arm": "prompted", "n": ROWS, "metrics": {}, "prompt": {"system": chosen} if chosen else None}
        (results / "eval" / "prompted.json").write_text(json.dumps(told))
        assert launch("judge") == 0
    assert model.asked[0]["messages"][0]["content"].startswith(first)


def test_a_larger_model_that_is_away_does_not_keep_the_judge_from_judging(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    with served() as model, served(always="404") as away:
        results = finished(stage, settings={"evaluate": {"judge": endpoint(model), "larger": endpoint(away)}})
        assert launch("judge", "--json") == Exit.USAGE
        said, error = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (said["larger"]["n"], said["judging"]["unfinished"], error["code"]) == (0, "", "endpoint-address")
    judging = summary(results).judging
    assert judging is not None
    assert judging.items == ROWS


@pytest.mark.parametrize(
    "damage", [{"judge": {"endpoint": "nowhere"}}, {"judge": 3}, {"larger": [1]}, {"judge": {}}, [1]]
)
def test_settings_that_nobody_can_read_any_more_do_not_lose_the_receipt(stage: Stage, damage: Any) -> None:
    carried(stage, {"evaluate": damage})
    assert len(stage.heard.of(Settled)) == 1


# review and score


def voted(page: Path, results: Path, choice: str, voter: str) -> Path:
    """What a person saves who always prefers the answer `choice` of "right" and "wrong"."""
    data = json.loads(page.read_text().split('id="data">')[1].split("</script>")[0])
    votes = {}
    for one in data["items"]:
        right = "A" if one["A"] == one["wanted"] else "B"
        votes[one["id"]] = right if choice == "right" else "BA"["AB".index(right)]
    path = results / f"votes-{voter}.json"
    path.write_text(json.dumps({"schema": 1, "page": data["page"], "voter": voter, "votes": votes}))
    return path


def test_people_compare_blind_and_their_votes_stand_in_summary_and_report(
    stage: Stage, launch: Launch, capsys: Capture, snapshot: SnapshotAssertion
) -> None:
    results = finished(stage)
    assert launch("review", "--items", "8") == 0
    page = results / "review.html"
    first = capsys.readouterr().out
    ada, bo = voted(page, results, "right", "Ada"), voted(page, results, "right", "Bo")
    assert launch("score", FIRST_RUN, str(ada), str(bo)) == 0
    second = capsys.readouterr().out
    assert (first + second).replace(str(stage.folder), "FOLDER") == snapshot
    (votes,) = summary(results).votes
    assert (votes.against, votes.wins, votes.losses, votes.voters, votes.agreement) == ("prompted", 8, 0, 2, 1.0)
    assert votes.distinguishable


def test_votes_on_another_pair_stand_beside_and_a_new_count_replaces_the_old_one(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    results = finished(stage)
    for against, choice in (("prompted", "right"), ("base", "right"), ("prompted", "wrong")):
        assert launch("review", "--against", against, "--json") == 0
        page = Path(json.loads(capsys.readouterr().out)["file"])
        assert launch("score", FIRST_RUN, str(voted(page, results, choice, "Ada")), "--json") == 0
        is_sound(document(capsys))
    by_arm = {one.against: (one.wins, one.losses) for one in summary(results).votes}
    assert by_arm == {"prompted": (0, ROWS), "base": (ROWS, 0)}


def test_votes_of_another_run_are_refused_and_nothing_is_written(
    stage: Stage, launch: Launch, capsys: Capture, tmp_path: Path
) -> None:
    results = finished(stage)
    path = tmp_path / "votes.json"
    path.write_text(json.dumps({"schema": 1, "page": "f" * 16, "voter": "Ada", "votes": {}}))
    assert launch("score", FIRST_RUN, str(path)) == Exit.USAGE
    assert "these votes are on a page of another run" in capsys.readouterr().err
    assert not (results / "eval" / "votes.json").exists()


def test_a_page_where_nothing_differs_is_not_written(stage: Stage, launch: Launch, capsys: Capture) -> None:
    results = finished(stage, tuned=wanted, base=wanted)
    assert launch("review") == Exit.USAGE
    assert f"tuned and base gave the same answer to all {ROWS} items" in capsys.readouterr().err
    assert not (results / "review.html").exists()


def test_who_names_no_run_that_has_ended_is_told(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.open_run(stage.laptop())
    for command in (("judge",), ("review",), ("score", FIRST_RUN, "votes.json")):
        assert launch(*command) == Exit.USAGE
        assert "has no receipt yet" in capsys.readouterr().err
