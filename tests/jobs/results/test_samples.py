"""Samples for a reader: the same ones every time, few, and unlike each other."""

from jobs.results.kinds import KINDS
from jobs.results.samples import samples
from jobs.results.summary import Sample
from tests.jobs.results.home import arm, right

N = 40
ARMS = {
    "base": arm("base", right(0, N), ["yes"] * N),
    "prompted": arm("prompted", right(20, N), ["yes"] * N),
    "tuned": arm("tuned", right(30, N, start=4), ["yes"] * N),
}


def of(kind: str) -> list[Sample]:
    return [one for one in samples(KINDS["exact"], ARMS, "prompted") if one.kind == kind]


def test_won_and_lost_are_those_that_tuning_changed() -> None:
    assert {one.item for one in of("lost")} == {0, 1, 2, 3}
    assert len(of("won")) == 6
    assert all(20 <= one.item < 34 for one in of("won"))
    assert of("won")[0].answers == {"base": "no", "prompted": "no", "tuned": "yes"}


def test_best_and_worst_are_six_each_and_none_is_shown_twice() -> None:
    found = samples(KINDS["exact"], ARMS, "prompted")
    assert [one.score for one in found if one.kind == "best"] == [1.0] * 6
    assert {one.score for one in found if one.kind == "worst"} == {0.0}
    assert len({one.item for one in found}) == len(found)


def test_they_are_the_same_every_time() -> None:
    assert samples(KINDS["exact"], ARMS, "prompted") == samples(KINDS["exact"], ARMS, "prompted")


def test_those_that_are_shown_are_unlike_each_other() -> None:
    wanted = ["yes"] * N
    items = arm("tuned", wanted, wanted).items
    prompts = ["the parcel is late"] * 34 + ["refund", "invoice copy", "change address", "cancel it", "where", "hello"]
    varied = [one.__class__(**{**vars(one), "prompt": prompt}) for one, prompt in zip(items, prompts, strict=True)]
    tuned = arm("tuned", wanted, wanted)
    found = samples(KINDS["exact"], {"tuned": tuned.__class__(**{**vars(tuned), "items": tuple(varied)})}, "")
    best = [one.prompt for one in found if one.kind == "best"]
    assert len(set(best)) == 6


def test_a_long_answer_is_cut() -> None:
    tuned = arm("tuned", ["x" * 10_000], ["y"])
    (one,) = samples(KINDS["exact"], {"tuned": tuned}, "")
    assert len(one.answers["tuned"]) == 2000
    assert one.answers["tuned"].endswith("…")


def test_without_a_tuned_arm_there_is_nothing_to_show() -> None:
    assert samples(KINDS["exact"], {"base": ARMS["base"]}, "") == ()
