"""When two texts agree."""

import pytest

from jobs.qlora.dataset.agreement import Said, canonical, known_names, normalised, same_facts, same_words, slip


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("  Hello,\n World! ", "hello world"),
        ("Ｆｕｌｌ width", "full width"),
        ("STRASSE", "straße"),
        ("1,200 euros", "1200 euros."),
        ("well-known", "well known"),
        ("你好，世界。", "你好 世界"),
    ],
)
def test_case_width_space_and_punctuation_make_no_other_text(one: str, two: str) -> None:
    assert normalised(one) == normalised(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [("1.5", "15"), ("-3", "3"), ("C++", "C"), ("a < b", "a > b"), ("?", "!"), ("5 %", "5 €"), ("", "?")],
)
def test_signs_that_carry_a_value_make_another_text(one: str, two: str) -> None:
    assert normalised(one) != normalised(two)


def test_json_is_compared_by_its_values_and_broken_json_as_text() -> None:
    assert canonical('{"b": 1, "a": [2]}') == canonical(' {"a":[2],\n"b":1}')
    assert canonical('{"a": "X"}') != canonical('{"a": "x"}'), "a value's case is the value"
    assert canonical('{"a": 1') == canonical('{"a" 1')


def test_numbers_are_read_in_their_many_ways() -> None:
    assert Said("the 3rd of 1,200 at 6pm, 0042, XJ-40 and call_7").numbers == {"3", "1200", "6", "42", "40", "call_7"}
    assert Said("b4 2nite u2").numbers == frozenset()


def test_a_name_is_known_in_lower_case_and_at_the_beginning_too() -> None:
    known = known_names(
        [
            "Who founded Nordex?",
            "Ask Nordex for 935 EUR",
            "It is 20 degrees Celsius",
            "see the Order",
            "an order, an order",
        ]
    )
    assert known == {"nordex"}
    assert not same_facts(Said("nordex was founded when", known), Said("when was it founded", known))
    assert same_facts(Said("Nordex's founder?", known), Said("who founded nordx", known)), (
        "a slip of the pen is no fact"
    )


def test_a_headline_names_nobody() -> None:
    assert known_names(["EVERYTHING MUST GO BEFORE SUNDAY"]) == frozenset()


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("Please, can I return my tent?", "hello, I would like to return the tent", False),
        ("Please return my tent", "return the tent, thanks", True),
        ("return my tent", "retrun my tent", True),
        ("return my tent", "return my kettle", False),
        ("is it on", "is it not on", False),
        ("Did Ann pay Bob?", "Did Bob pay Ann?", False),
        ("pay 12 then 30", "pay 30 then 12", False),
    ],
)
def test_the_same_words_are_the_same_question_names_and_numbers_in_order(one: str, two: str, same: bool) -> None:
    known = known_names([one, two, "saw Ann", "saw Bob"])
    assert same_words(Said(one, known), Said(two, known)) is same


@pytest.mark.parametrize(
    ("one", "two", "is_slip"),
    [
        ("broken", "borken", True),
        ("broken", "brken", True),
        ("broken", "brokken", True),
        ("hansen", "jansen", False),
        ("hansen", "hanson", False),
        ("form", "from", False),
        ("a1234", "a1243", False),
        ("abc", "abc", True),
    ],
)
def test_a_slip_is_a_letter_lost_doubled_or_turned_in_a_long_word(one: str, two: str, is_slip: bool) -> None:
    assert slip(one, two) is is_slip
