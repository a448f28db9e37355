"""Repeats: exactly, and by what is asked and answered."""

import pytest

from jobs.qlora.dataset.duplicates import label_like, without_exact, without_near
from jobs.qlora.dataset.report import Place
from tests.dedup.judge import rows_of
from tests.dedup.made import labelled, templated
from tests.jobs.qlora.dataset.asked import Placed, lines, row, rows, static

ORDER = '{"order": "4711", "product": "tent", "request": "refund"}'


def test_an_exact_repeat_goes_and_the_first_stays() -> None:
    found = without_exact(rows(("Hi, you!", "Yes."), ("hi you", "yes"), ("hi you", "no")), "train")
    assert lines(found.kept) == [1, 3]
    (gone,) = found.dropped
    assert (gone.stage, gone.part, gone.kept_part) == ("exact", "train", "train")
    assert (gone.dropped, gone.kept) == (Place("train.jsonl", 2), Place("train.jsonl", 1))
    assert (gone.similarity, gone.dropped_text, gone.kept_text) == (1.0, "hi you", "Hi, you!")


def test_another_system_text_or_another_turn_before_is_another_question() -> None:
    same = [row("hi", "yes", 1, system="Be kind."), row("hi", "yes", 2, system="Be rude."), row("hi", "yes", 3)]
    assert lines(without_exact(same, "train").kept) == [1, 2, 3]
    assert lines(without_near(same, "train", static()).kept) == [1, 2, 3]


def test_a_paraphrase_with_the_same_record_goes_whatever_the_order_of_its_keys() -> None:
    found = without_near(
        rows(
            ("The tent of order 4711 came broken and I want a refund.", ORDER),
            (
                "I need my money back, order 4711: the tent is damaged.",
                '{"request":"refund","product":"tent","order":"4711"}',
            ),
        ),
        "train",
        static(),
    )
    assert lines(found.kept) == [1]
    assert 0.3 <= found.dropped[0].similarity < 1
    assert found.dropped[0].stage == "near"


def test_close_questions_with_other_answers_stay() -> None:
    same = rows(
        ("Is the tent of order 4711 broken?", "It is."), ("Is the tent of order 4711 broken, please?", "It is not.")
    )
    assert lines(without_near(same, "train", static()).kept) == [1, 2]


def test_equal_answers_to_questions_with_another_number_or_name_stay() -> None:
    asked = rows(
        ("What does order 4711 cost in total?", "It costs 35 euros."),
        ("What does order 4712 cost in total?", "It costs 35 euros."),
        ("Where does Velsoft have its seat?", "In Graz, near 7th."),
        ("Where does Nordex have its seat?", "In Graz, near 7th."),
    )
    assert lines(without_near(asked, "train", static()).kept) == [1, 2, 3, 4]


ALIKE = {
    "a negation": (
        ("Summarise: the Supplier shall assign this Agreement.", "The supplier must assign this Agreement."),
        ("Summarise: the Supplier shall not assign this Agreement.", "The supplier must not assign this Agreement."),
    ),
    "a comparison in a query": (
        ("Show all orders whose total is more than 10.", "SELECT * FROM orders WHERE total > 10;"),
        ("Show all orders whose total is less than 10.", "SELECT * FROM orders WHERE total < 10;"),
    ),
    "a column that only the question names": (
        ("Show the price of all orders.", "SELECT price FROM orders;"),
        ("Show the total of all orders.", "SELECT total FROM orders;"),
    ),
    "an operator in code": (
        ("Write a function that multiplies a and b.", "def both(a, b): return a * b"),
        ("Write a function that divides a and b.", "def both(a, b): return a / b"),
    ),
    "a translation": (
        ("Translate to German: the cat sleeps", "die Katze schläft"),
        ("Translate to German: the cat eats", "die Katze frisst"),
    ),
    "a small word that is the point": (
        ("Translate to English: sie sind müde", "they are tired"),
        ("Translate to English: wir sind müde", "we are tired"),
    ),
    "numbers in words that change places": (
        ("A train goes two hours at three miles per hour, how far?", "It goes 6 miles."),
        ("A train goes three hours at two miles per hour, how far?", "It goes 6 miles."),
    ),
    "what is asked in Chinese": (
        ("如何更改邮箱？", "打开设置，选择账户，然后修改邮箱。"),
        ("如何更改手机号？", "打开设置，选择账户，然后修改手机号。"),
    ),
    "a complaint with a stock answer": (
        ("My parcel is broken.", "I'm sorry to hear that. Could you give me your order number?"),
        ("My parcel got lost somewhere.", "I'm sorry to hear that. Could you give me your order number?"),
    ),
    "code that is explained": (
        ("Explain the code:\nif y >= 3:\n    return x + 1", "It compares y and then returns one of the values."),
        ("Explain the code:\nif y > 3:\n    return x - 1", "It compares y and then returns one of the values."),
    ),
}


@pytest.mark.parametrize("what", ALIKE)
def test_rows_that_look_alike_and_say_different_things_stay(what: str) -> None:
    # In company: names are words that the other rows write with a capital too.
    others = rows(("Who wrote the Agreement?", "It was the Supplier."), ("Wie heißt die Katze?", "Sie heißt Mia."))
    assert len(without_near([*others, *rows(*ALIKE[what])], "train", static()).kept) == 4


def test_the_same_query_asked_twice_goes() -> None:
    same = rows(
        ("What is the mean price of all orders?", "SELECT AVG(price) FROM orders;"),
        ("What is the average price of all orders?", "SELECT AVG(price) FROM orders;"),
    )
    assert lines(without_near(same, "train", static()).kept) == [1]


def test_two_lists_of_tips_on_two_subjects_stay() -> None:
    tips = rows(
        (
            "What keeps one healthy?",
            "1. Eat many vegetables and cook at home. 2. Move every day. 3. Sleep long enough, and do so regularly.",
        ),
        (
            "Give tips for staying wealthy.",
            "1. Eat many meals and cook at home. 2. Save every day. 3. Wait long enough, and do so regularly.",
        ),
    )
    close = static().vectors([one.target for one in tips])
    assert float(close[0] @ close[1]) > 0.7, "the answers are alike"
    assert lines(without_near(tips, "train", static()).kept) == [1, 2]


def test_a_shared_passage_does_not_make_two_questions_one() -> None:
    passage = "The bridge was opened in 1901. It is 300 metres long and made of steel. Cars may not cross it. " * 3
    asked = rows(
        (passage + "Who may not go over it?", "It is the drivers of cars who may not."),
        (passage + "Whom would a toll hardly earn money from?", "It is the drivers of cars who may not."),
    )
    assert lines(without_near(asked, "train", static()).kept) == [1, 2]


def test_a_chain_keeps_what_is_not_close_to_a_kept_row() -> None:
    target = "The very same long answer to all of them, under 4711."
    texts = ("first way", "second way", "third way")
    along = Placed({"first way": (1, 0), "second way": (0.94, 0.34), "third way": (0.77, 0.64), target: (1, 0)})
    found = without_near(rows(*((text, target) for text in texts)), "train", along)
    assert lines(found.kept) == [1, 3], "the third is close to the second, which is gone, and not to the first"


def test_distinct_facts_of_one_template_all_stay() -> None:
    for made in (templated(300), labelled(300)):
        assert len(without_near(rows_of(made), "train", static()).kept) == 300


def test_rows_with_a_label_go_only_where_the_words_are_the_same() -> None:
    systems = ["wiki", "portal", "mail", "shop", "drive", "tracker"]
    asked = [(f"I cannot log in to the {name} since Monday", "access") for name in systems]
    found = without_near(
        rows(*asked, ("please, I canont log in to the wiki since Monday, thanks", "access")), "train", static()
    )
    assert lines(found.kept) == [1, 2, 3, 4, 5, 6]


def test_what_counts_as_a_label() -> None:
    many = ["yes"] * 20 + [f"answer {at}" for at in range(3000)]
    assert label_like(many) == {"yes"}
    assert label_like(["yes"] * 19 + many[20:]) == frozenset()
    assert label_like(["a"] * 5 + ["b"] * 5 + ["rare"]) == {"a", "b", "rare"}, (
        "in a classification a rare target is a label"
    )
    assert label_like([]) == frozenset()


def test_other_scripts_are_compared_too() -> None:
    asked = rows(
        ("订单4711的帐篷坏了，我要退款。", ORDER),
        ("我要退款，订单4711的帐篷坏了。", ORDER),
        ("订单4712的帐篷坏了，我要退款。", ORDER),
    )
    assert lines(without_near(asked, "train", static()).kept) == [1, 3]


def test_no_rows_and_one_row_are_no_matter() -> None:
    assert without_near([], "train", static()).kept == ()
    assert lines(without_near(rows(("?", "!")), "train", static()).kept) == [1]


def test_a_threshold_of_ones_own_is_obeyed() -> None:
    same = rows(
        ("The tent of order 4711 came broken and I want a refund.", ORDER),
        ("I need my money back, order 4711: the tent is damaged.", ORDER),
    )
    assert len(without_near(same, "train", static(), 0.95).kept) == 2
