"""What a judge is shown of foreign texts, and what of its own words counts as a verdict."""

import pytest

from jobs.judge.question import MOST_SIGNS, Question, shown, verdict
from tests.jobs.judge.asked import item


@pytest.mark.parametrize(
    ("text", "better"),
    [
        ('{"better": "A", "why": "shorter"}', "A"),
        ('{"why": "", "better": "same"}\n', "same"),
        ('```json\n{"better": "B", "why": "right"}\n```', "B"),
        ('I think {"better": "A", "why": "no"} at first, but\n{"better": "B", "why": "has {braces}"}', "B"),
        ('<think>{"better": "A"}</think> {"better": "same", "why": "equal"}', "same"),
        ('{"better": "C", "why": "?"}', None),
        ('{"better": "a", "why": "?"}', None),
        ('{"better": "A"}', None),
        ('{"better": "A", "why": 3}', None),
        ('{"better": "A", "why": "x", "more": 1}', None),
        ('{"better": "A", "better": "B", "why": "both"}', None),
        ('{"better": "A", "why": "x"} and that is that', None),
        ('[{"better": "A", "why": "x"}]', None),
        ("A", None),
        ("", None),
        ("{" * 100_000, None),
    ],
)
def test_a_verdict_is_one_object_of_the_wanted_form_at_the_end(text: str, better: str | None) -> None:
    assert verdict(text) == better


def test_signs_that_nobody_sees_are_taken_out_and_words_stay_whole() -> None:
    assert shown("a\u202eb\u200bc\x1b[2Jd\x00e\ud800f\U000e0041g\th\ni") == "abc[2Jdefg\th\ni"
    assert (
        shown("\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645")
        == "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    )


def test_a_text_without_end_is_cut_and_the_cut_is_told() -> None:
    text = shown("x" * (MOST_SIGNS + 7))
    assert text.endswith("[... 7 more characters were cut off here]")
    assert len(text) < MOST_SIGNS + 60


def test_no_arm_is_named_to_the_judge() -> None:
    question = Question(exchange=item(1, tuned="one", prompted="two"), first="tuned", second="prompted")
    said = " ".join(text for _, text in question.request("Which is right?", "mark").messages)
    assert "Which is right?" in said
    assert not any(name in said for name in ("tuned", "prompted", "base", "larger"))
