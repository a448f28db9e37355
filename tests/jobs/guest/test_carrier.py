"""Who carries a run, by the machine's own word: compare and set, a number that only grows, old numbers refused."""

import json

from tests.jobs.guest.box import RUN, Box


def carry(box: Box, place: str, *more: str) -> dict[str, object]:
    found: dict[str, object] = box.ask("carry", "--run", RUN, "--place", place, "--host", f"host-{place}", *more)
    return found


def test_the_first_computer_that_asks_carries_it_and_the_second_is_told_who_does(box: Box) -> None:
    assert carry(box, "a1") | {"since_seconds": 0, "heard_seconds": 0} == {
        "granted": True, "epoch": 1, "place": "a1", "host": "host-a1", "since_seconds": 0, "heard_seconds": 0,
    }  # fmt: skip
    second = carry(box, "b2")
    assert (second["granted"], second["epoch"], second["host"]) == (False, 1, "host-a1")


def test_the_next_process_of_the_same_computer_gets_the_next_number(box: Box) -> None:
    carry(box, "a1")
    assert carry(box, "a1")["epoch"] == 2
    assert carry(box, "a1", "--as", "2.a1")["epoch"] == 2, "heard again"
    assert carry(box, "a1", "--as", "1.a1")["granted"] is False, "the one before it"


def test_who_was_followed_is_refused_with_every_verb_that_changes_something(box: Box) -> None:
    carry(box, "a1")
    assert carry(box, "b2", "--take")["epoch"] == 2
    guard = ["--guard", str(box.guard)]
    for words in (
        ["lease", *guard, "--seconds", "60"],
        ["stop", "--run", RUN],
        ["shorten", "--run", RUN, "--steps", "5"],
        ["secrets", "--run", RUN],
        ["unpack", "--run", RUN, "--sha256", "0" * 64],
        ["start", "--run", RUN, *guard],
    ):
        assert "fenced: host-b2 carries this run now" in box.refusal(*words, "--as", "1.a1")
    assert not (box.run / "stop").exists()
    assert box.ask("stop", "--run", RUN, "--as", "2.b2")["asked"] is True


def test_a_computer_that_is_not_heard_for_a_quarter_of_an_hour_may_be_followed(box: Box) -> None:
    carry(box, "a1")
    file = box.run / "carrier.json"
    held = json.loads(file.read_text())
    file.write_text(json.dumps({**held, "heard": held["heard"] - 899}))
    assert carry(box, "b2")["granted"] is False
    file.write_text(json.dumps({**held, "heard": held["heard"] - 901}))
    assert carry(box, "b2")["epoch"] == 2


def test_after_a_restart_of_the_machine_nobody_is_known_to_be_heard(box: Box) -> None:
    carry(box, "a1")
    file = box.run / "carrier.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "heard": 1e12}))
    assert carry(box, "b2")["granted"] is True


def test_what_is_no_name_of_a_computer_carries_nothing(box: Box) -> None:
    for place in ("", "a/b", "a.b", "x" * 65):
        assert "no name" in box.refusal("carry", "--run", RUN, "--place", place, "--host", "h")
