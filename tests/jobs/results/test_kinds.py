"""Our figures are the job's own; with what they are made of, field by field and label by label."""

import json
import math

import numpy as np
import pytest

from jobs.qlora import score
from jobs.results.health import confused, json_health
from jobs.results.items import ArmItems
from jobs.results.kinds import KINDS, asked_kinds, measure
from tests.jobs.results.home import arm, measured

RECORDS = [{"id": at, "kind": "late" if at % 2 else "lost", "tags": ["a", "b"]} for at in range(6)]
WANTED = [json.dumps(record) for record in RECORDS]
SAID = [
    WANTED[0],
    json.dumps({"id": 1, "kind": "lost", "tags": ["b", "a"]}),
    json.dumps({"id": 2, "kind": "lost"}),
    json.dumps(RECORDS[3] | {"note": "?"}),
    "I cannot say.",
    "[1, 2]",
]
LABELS, ANSWERED = ["cat", "cat", "dog", "dog", "emu"], ["Cat", '"cat".', "cat", "dog", "a bird"]


def structured() -> ArmItems:
    return arm("tuned", SAID, WANTED, losses=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


@pytest.mark.parametrize("name", ["exact", "partial", "json_valid", "field_f1", "rouge_l", "loss"])
def test_a_figure_is_the_one_that_the_job_tells(name: str) -> None:
    lines = [item.as_line() for item in structured().items]
    assert measured(name, structured()).figure.value == pytest.approx(score.figure_of(lines, name))


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "exact"])
def test_a_figure_of_labels_is_the_one_that_the_job_tells(name: str) -> None:
    items = arm("tuned", ANSWERED, LABELS)
    lines = [item.as_line() for item in items.items]
    assert measured(name, items).figure.value == pytest.approx(score.figure_of(lines, name))


def test_macro_f1_of_a_resample_leaves_out_labels_that_it_does_not_hold() -> None:
    figure = measured("macro_f1", arm("tuned", ANSWERED, LABELS)).figure
    only_cats = figure.parts[:2].sum(axis=0)
    assert float(figure.of(only_cats)) == 1.0
    assert figure.of(np.stack([only_cats, only_cats])).shape == (2,)


def test_perplexity_is_e_to_the_loss() -> None:
    assert measured("perplexity", structured()).figure.value == pytest.approx(math.exp(0.35))


def test_a_figure_without_items_that_have_a_share_in_it_is_none() -> None:
    assert measure(KINDS["json_valid"], arm("tuned", ["a"], ["b"])) is None
    assert measure(KINDS["loss"], arm("tuned", ["a"], ["b"])) is None


def test_the_first_metric_of_the_job_comes_first_and_loss_is_never_left_out() -> None:
    assert [kind.name for kind in asked_kinds(["json_fields", "exact"])] == [
        "field_f1", "partial", "json_valid", "exact", "loss", "perplexity",
    ]  # fmt: skip
    assert [kind.better for kind in asked_kinds(["exact"])] == ["higher", "lower", "lower"]


def test_the_health_of_json_says_which_fields_fail() -> None:
    found = json_health(structured().items)
    assert found is not None
    assert found.valid == pytest.approx(5 / 6)
    assert found.missing == pytest.approx(3 / 6)
    assert found.invented == pytest.approx(2 / 6)
    assert found.same_shape == pytest.approx(2 / 6)
    fields = {one.field: one for one in found.fields}
    assert fields["kind"].wanted == 6
    assert fields["kind"].recall == pytest.approx(3 / 6)
    assert fields["kind"].precision == pytest.approx(3 / 4)
    assert list(fields) == sorted(fields)
    assert all(len(one.field) <= 120 for one in found.fields)


def test_a_thousand_invented_fields_do_not_fill_the_page() -> None:
    wanted = json.dumps({f"field {at}": at for at in range(1000)})
    found = json_health(arm("tuned", [wanted], [wanted]).items)
    assert found is not None
    assert len(found.fields) == 60


def test_plain_text_has_no_health_of_json() -> None:
    assert json_health(arm("tuned", ["a"], ["b"]).items) is None


def test_the_confusion_counts_labels_and_what_is_none() -> None:
    found = confused(arm("tuned", ANSWERED, LABELS).items)
    assert found is not None
    assert found.labels == ("cat", "dog", "emu")
    assert found.counts == ((2, 0, 0, 0), (1, 1, 0, 0), (0, 0, 0, 1))
    assert found.accuracy == pytest.approx(3 / 5)


def test_labels_that_nobody_could_read_as_a_table_are_left_out() -> None:
    texts = [f"label {at}" for at in range(51)]
    assert confused(arm("tuned", texts, texts).items) is None
    assert confused(()) is None


def test_texts_are_no_labels_and_fill_no_memory() -> None:
    texts = [f"text {at}" for at in range(5000)]
    assert measure(KINDS["macro_f1"], arm("tuned", texts, texts)) is None
    assert measured("accuracy", arm("tuned", texts, texts)).figure.value == 1.0
    assert confused(arm("tuned", texts, texts).items) is None
