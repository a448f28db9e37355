"""The model card: the Hub reads its head, nothing foreign is a tag or a row of a table, nothing unknown is said."""

import re
from pathlib import Path

import pytest

from jobs.report import Base, Notes, write
from tests.jobs.report import runs
from tests.jobs.report.runs import EVIL, Lying


def card_of(run: Lying) -> str:
    write(run.folder, run.receipt, run.base, run.notes)
    return (run.folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_hub_s_own_library_reads_the_head(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(card_of(runs.rich(tmp_path))).data
    assert (data.base_model, data.library_name, data.license) == (runs.BASE.model, "peft", "unknown")
    assert data.pipeline_tag == "text-generation"
    assert data.tags == ["lora", "qlora"]


def test_a_base_that_only_lies_here_is_no_name_of_the_hub(tmp_path: Path) -> None:
    run = runs.rich(tmp_path)
    card = card_of(Lying(run.folder, run.receipt, Base(model="/home/me/models/tiny", revision=None), run.notes))
    assert "base_model:" not in card
    assert "a local model (`tiny`)" in card
    assert "/home/me" not in card


def test_the_card_says_what_is_known_with_intervals(tmp_path: Path) -> None:
    card = card_of(runs.rich(tmp_path))
    for part in (
        "| exact match | 0.020 (0.00–0.04) | 0.610 (0.54–0.66) | 0.930 (0.89–0.96) | 0.840 (0.79–0.88) |",
        "| exact match | tuned − prompted | +0.320 | +0.250 to +0.390 | \\< 0.001 | 200 | yes |",
        "| lora\\_alpha | 32 |",
        "| train | 3,977 | 4,120 | 3a7bd3e2360a3d29 |", "0.092 in 4 of 5 cases", "translation dropped: −0.091",
        "NVIDIA A10G", "transformers 5.23.0", 'revision="c170c708c41dac9275d15a8fff4eca08d52bab71"',
    ):  # fmt: skip
        assert part in card, part


def test_no_heading_stands_without_content_and_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    for made in (runs.poor, runs.rich):
        folder = tmp_path / made.__name__
        run = made(folder)
        runs.put(folder / "adapter" / "adapter_config.json", "{}")
        card = card_of(run)
        assert not re.search(r"^## .*\n+(?=## |\Z)", card, re.MULTILINE)
        assert not re.search(r"more information needed|\[.*needed.*\]|unknown(?!\n)|None", card, re.IGNORECASE)


@pytest.mark.parametrize("privacy", ["private", "any"])
def test_no_row_of_the_data_stands_in_a_card(tmp_path: Path, privacy: str) -> None:
    run = runs.rich(tmp_path)
    card = card_of(Lying(run.folder, run.receipt, run.base, Notes(settings=runs.SETTINGS | {"privacy": privacy})))
    texts = [sample.prompt for sample in runs.summary().samples]
    texts += [example.text for fault in runs.data_report().faults for example in fault.examples]
    texts += [pair.kept_text for pair in runs.data_report().pairs] + [runs.SHOTS]
    assert len(texts) > 10
    assert not [text for text in texts if text in card]
    assert ("The data is private" in card) == (privacy == "private")


def test_a_hostile_run_makes_no_tag_no_link_and_no_table_of_its_own(tmp_path: Path) -> None:
    card = card_of(runs.hostile(tmp_path))
    bare = re.sub(r"\\.", "", card)  # what was escaped is text
    assert EVIL not in bare
    assert not re.search(r"<\w|\]\(|!\[", bare.partition("## How to use")[0])
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08]", card)
    rows = [line.count("|") for line in bare.splitlines() if line.startswith("| ")]
    heads = [line.count("|") for line in bare.splitlines() if line.startswith("| metric")]
    assert set(heads) <= set(rows)
    assert len(card) < 200_000
