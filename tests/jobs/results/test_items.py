"""Per-item files as a hostile or broken machine may write them: nothing raises, nothing counts that we did not ask."""

import json
from pathlib import Path

import pytest

from jobs.results import items
from jobs.results.items import ArmItems, Asked, asked, read_arm
from tests.jobs.results.home import Home, line

WANTED = [f"answer {at}" for at in range(4)]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.sent(WANTED)
    return made


def read(home: Home, stem: str = "tuned") -> ArmItems:
    found = read_arm(home.out / "eval", stem, stem, ours(home))
    assert found is not None
    return found


def ours(home: Home) -> tuple[Asked, ...]:
    found = asked(home.data / "test.jsonl")
    assert found is not None
    return found


def test_sound_items_are_read_under_our_numbers(home: Home) -> None:
    home.brought("tuned", WANTED, WANTED, {"seconds": 3.5, "new_tokens": 12, "batch": 8})
    found = read(home)
    assert [(one.number, one.answer, one.loss) for one in found.items] == [(at, WANTED[at], 0.5) for at in range(4)]
    assert (found.told.seconds, found.of, found.warnings) == (3.5, 4, ())


def test_an_arm_of_which_nothing_came_home_is_none(home: Home) -> None:
    assert read_arm(home.out / "eval", "prompted", "prompted", None) is None


def test_an_item_that_we_did_not_ask_counts_for_nothing_and_is_told(home: Home) -> None:
    easy = line(1, "2", "2", prompt=[{"role": "user", "content": "what is 1 + 1?"}])
    other = line(2, "answer 2", "another answer")
    home.lines("tuned", [line(0, "x", WANTED[0]), easy, other, line(3, "x", WANTED[3])])
    home.figures("tuned", {})
    found = read(home)
    assert [one.number for one in found.items] == [0, 3]
    assert "the machine was asked something else: 2 of 4 items" in found.warnings[0]
    assert "of 4 items that we sent 2 came home" in found.warnings[1]


def test_an_easy_item_cannot_be_answered_again_and_again(home: Home) -> None:
    home.lines("tuned", [line(at, WANTED[0], WANTED[0], prompt=line(0, "", "")["prompt"]) for at in range(4)])
    home.figures("tuned", {})
    found = read(home)
    assert [one.number for one in found.items] == [0]
    assert "something else: 3 of 4" in found.warnings[0]


def test_items_are_ours_by_what_they_ask_whatever_their_number(home: Home) -> None:
    home.lines("tuned", [line(at, "x", WANTED[at], item=at + 7) for at in range(4)])
    home.figures("tuned", {})
    assert [(one.number, one.wanted) for one in read(home).items] == list(enumerate(WANTED))


def test_a_number_that_comes_twice_counts_once(home: Home) -> None:
    home.lines("tuned", [line(0, "first", WANTED[0]), line(0, "second", WANTED[0])])
    home.figures("tuned", {})
    found = read(home)
    assert [one.answer for one in found.items] == ["first"]
    assert any("1 items came twice" in text for text in found.warnings)


@pytest.mark.parametrize(
    "bad",
    [
        "", "{", "[]", "null", "\x1b[2J", '{"item": 0}', '"text"', "[" * 100_000,
        json.dumps(line(0, "x", "y")).replace("0.5", "NaN"),
        json.dumps(line(0, "x", "y")).replace("0.5", "-1"),
        json.dumps(line(0, "x", "y")).replace("0.5", "1e999"),
        json.dumps(line(-1, "x", "y")),
        json.dumps(line(0, "x", "y", tokens=10**12)),
        json.dumps(line(0, "x", "y", prompt="a text")),
        json.dumps(line(0, "x", "y")).replace('"x"', "null"),
        json.dumps(line(0, "x", "y")).replace('"x"', "{}"),
        json.dumps(line(0, "x" * (items.MOST_SIGNS + 1), "y")),
        '{"item": 0, "prompt": [], "wanted": "\\ud800", "answer": "x"}',
    ],
    ids=range(18),
)  # fmt: skip
def test_a_line_that_is_not_sound_is_left_out_and_told_on_one_line(home: Home, bad: str) -> None:
    home.lines("tuned", [line(1, "x", WANTED[1]), bad])
    home.figures("tuned", {})
    found = read(home)
    assert [one.number for one in found.items] == [1]
    assert "1 lines of the per-item results are not sound (line 2: " in found.warnings[0]
    assert all(text.isprintable() for text in found.warnings)


def test_an_endless_line_is_not_parsed(home: Home) -> None:
    home.lines("tuned", ["x" * (items.MOST_LINE_BYTES + 1)])
    home.figures("tuned", {})
    assert "longer than" in read(home).warnings[0]


def test_a_link_is_not_followed(home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text(json.dumps(line(0, "x", WANTED[0])) + "\n")
    (home.out / "eval" / "tuned.jsonl").symlink_to(secret)
    home.figures("tuned", {})
    assert read(home).items == ()


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"n": -1}', '{"metrics": {"exact": "high"}}', '{"seconds": -3}', '{"metrics": {"exact": NaN}}', "[]"],
)
def test_figures_that_are_not_sound_leave_the_items(home: Home, text: str) -> None:
    home.brought("tuned", WANTED, WANTED)
    (home.out / "eval" / "tuned.json").write_text(text)
    found = read(home)
    assert len(found.items) == 4
    assert "own figures cannot be read" in found.warnings[0]


def test_rows_of_a_group_and_turns_of_a_conversation_belong_together(tmp_path: Path) -> None:
    turns = [{"role": role, "content": f"{role} {at}"} for at in range(2) for role in ("user", "assistant")]
    rows = [{"messages": turns}, {"messages": turns[:2], "group": "a"}, {"messages": turns[:2], "group": None},
            {"messages": turns[:2], "group": "a"}]  # fmt: skip
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = asked(tmp_path / "test.jsonl")
    assert found is not None
    assert [one.cluster for one in found] == [0, 0, 1, 2, 1]
    assert found[1].prompt == "user 0\n\nassistant 0\n\nuser 1"


def test_a_system_text_is_part_of_the_question_wherever_it_stands(home: Home) -> None:
    turns = [("system", "Be brief."), ("user", "hi"), ("assistant", "hello")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    (home.data / "test.jsonl").write_text(json.dumps(row) + "\n")
    unfolded = line(0, "hello", "hello", prompt=row["messages"][:2])
    folded = line(0, "hello", "hello", prompt=[{"role": "user", "content": "Be brief.\n\nhi"}])
    for asked_as in (unfolded, folded):
        home.lines("tuned", [asked_as])
        home.figures("tuned", {})
        assert len(read(home).items) == 1


@pytest.mark.parametrize(
    "text", ["{", '{"prompt": "a", "completion": "b"}', '{"messages": []}x', "[1]", '{"messages": 3}']
)
def test_rows_that_are_not_ready_made_are_not_held_against(tmp_path: Path, text: str) -> None:
    (tmp_path / "test.jsonl").write_text(text + "\n")
    assert asked(tmp_path / "test.jsonl") is None
