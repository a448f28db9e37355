"""Values as JSON in the ledger: what is known already is not written out again, and reads back the same."""

import json
from dataclasses import replace

from launcher.codec import dump, dump_beside, load
from launcher.run import Ending, Outcome

ENDING = Ending(outcome=Outcome.LOST, why='it said "so"', exit_code=3)


def test_a_value_beside_known_text_is_the_value() -> None:
    text = dump_beside(ENDING, {"why": json.dumps(ENDING.why), "exit_code": "3"})
    assert load(Ending, text) == ENDING
    assert json.loads(text) == json.loads(dump(ENDING))


def test_what_is_said_to_be_known_is_what_is_written() -> None:
    assert load(Ending, dump_beside(ENDING, {"why": '"else"'})) == replace(ENDING, why="else")


def test_a_value_may_be_known_whole() -> None:
    known = {name: json.dumps(value) for name, value in json.loads(dump(ENDING)).items()}
    assert load(Ending, dump_beside(ENDING, known)) == ENDING
