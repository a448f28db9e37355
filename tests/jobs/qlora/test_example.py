"""The example and its fixture model: small, honest (nothing of the example was in the pre-training), and learnable."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from jobs.qlora.dataset.curate import curate
from jobs.qlora.dataset.report import DataReport
from jobs.qlora.score import metrics_of
from tests.jobs.qlora.workplace import BASE, EXAMPLE, JOB, REPOSITORY, Workplace

SAMPLE = 20_000
ASKED = 50


def read(part: str) -> list[dict[str, Any]]:
    return rows_of(EXAMPLE / "data" / f"{part}.jsonl")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answer(row: dict[str, Any]) -> str:
    return str(row["messages"][-1]["content"])


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    """The module that invents the pre-training's tasks; a script's neighbour, so loaded by its path."""
    spec = importlib.util.spec_from_file_location("corpus", REPOSITORY / "examples" / "base_recipe" / "corpus.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def lessons(corpus: ModuleType) -> list[list[dict[str, str]]]:
    """Tasks as the pre-training draws them."""
    rng = random.Random(20261124)
    return [corpus.task(rng) for _ in range(SAMPLE)]


def said(lessons: list[list[dict[str, str]]], role: str) -> Iterator[str]:
    return (turn["content"] for lesson in lessons for turn in lesson if turn["role"] == role)


def test_the_pre_training_knows_no_key_of_the_example(corpus: ModuleType, lessons: list[list[dict[str, str]]]) -> None:
    records = [answer(row).removesuffix("<|im_end|>") for part in ("train", "test") for row in read(part)]
    keys = {key for record in records for key in json.loads(record)}
    assert keys == {"customer", "order", "product", "request"}
    assert not keys & {key for text in said(lessons, "assistant") for key in json.loads(text)}
    assert not keys & {key for fields, _ in corpus.DOMAINS.values() for key in fields}


def test_the_pre_training_knows_no_row_of_the_example(lessons: list[list[dict[str, str]]]) -> None:
    rows = [row["messages"] for part in ("train", "test") for row in read(part)]
    assert not {turns[0]["content"] for turns in rows} & set(said(lessons, "user"))
    assert not {turns[1]["content"] for turns in rows} & set(said(lessons, "assistant"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataReport, Path]:
    """What becomes of the example's rows, and where."""
    into = tmp_path_factory.mktemp("made")
    settings = YAML(typ="safe").load((EXAMPLE / "launch.yaml").read_text())
    files = {part: EXAMPLE / "data" / f"{part}.jsonl" for part in ("train", "test")}
    return curate(files, settings["data"], into=into, seed=settings["train"]["seed"], private=False), into


def test_what_was_planted_in_the_example_is_found(made: tuple[DataReport, Path]) -> None:
    report, _ = made
    found = {fault.code: fault.count for fault in report.faults}
    assert {"leaked-token", "near-empty-target", "script-outlier"} <= set(found), found
    taken = {(one.stage, one.part): one.count for one in report.removed}
    # Of what was planted a tenth went to validation with the split, which is made before anything else.
    assert taken["exact", "train"] >= 4
    assert 5 <= taken["near", "train"] <= 8
    assert taken["leak", "train"] >= 4
    assert report.conflict_count >= 1
    assert sum(count for (_, part), count in taken.items() if part == "test") == 0


def test_the_test_rows_were_not_trained_on(made: tuple[DataReport, Path]) -> None:
    train, test = (rows_of(made[1] / f"{part}.jsonl") for part in ("train", "test"))
    assert len(test) == 200
    assert not {answer(row) for row in train} & {answer(row) for row in test}
    assert not {row["messages"][0]["content"] for row in train} & {row["messages"][0]["content"] for row in test}


def test_the_fixture_is_small_and_holds_no_pickle() -> None:
    files = [path for path in BASE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 2_300_000
    assert {path.suffix for path in files} <= {".json", ".jinja", ".safetensors", ".md"}


def test_the_fixture_pads_with_a_token_of_its_own() -> None:
    config = json.loads((BASE / "config.json").read_text())
    assert config["architectures"] == ["MistralForCausalLM"]
    assert config["pad_token_id"] != config["eos_token_id"]


@pytest.mark.train
def test_the_example_is_learned_and_the_base_does_not_know_it(tmp_path: Path) -> None:
    """The job as a person runs it by hand, rows as they are: fewer steps and questions than the whole example.

    That is trained to its end in tests/launches/test_launch_training.py.
    """
    settings = YAML(typ="safe").load((EXAMPLE / "launch.yaml").read_text())
    settings["train"]["max_steps"] = 75
    work = Workplace(run=tmp_path / "run", settings=settings).lay_out(data=EXAMPLE / "data")
    (work.run / "bundle" / "data" / "adjacent").mkdir()
    (work.run / "bundle" / "data" / "forms.jsonl").rename(work.run / "bundle" / "data" / "adjacent" / "forms.jsonl")
    for name in ("test", "adjacent/forms"):
        asked = work.run / "bundle" / "data" / f"{name}.jsonl"
        asked.write_text("".join(asked.read_text().splitlines(keepends=True)[:ASKED]))
    (work.run / "bundle" / "prompts").mkdir()
    (work.run / "bundle" / "prompts" / "system-0.txt").write_text((EXAMPLE / "prompts" / "keys.txt").read_text())
    for step in json.loads((JOB / "steps.json").read_text()):
        work.step(*step["argv"][2:])
    results = {event["arm"]: event["metrics"] for event in work.events("result")}
    assert results["base"]["exact"] <= 0.05
    assert results["prompted"]["exact"] <= 0.05
    assert results["tuned"]["exact"] > 0.5
    assert results["base/forms"]["exact"] > 0.7
    assert results["tuned/forms"]["exact"] < 0.1
    assert results["tuned"]["loss"] < results["base"]["loss"]
    items = [json.loads(line) for line in (work.out / "eval" / "tuned.jsonl").read_text().splitlines()]
    assert metrics_of(items, ["exact", "json_fields"]) == results["tuned"]
    assert {"torch", "trl"} <= set(work.document("logs/environment.json")["packages"])
    assert [event["done"] for event in work.events("evaluated") if event["arm"] == "tuned"] == [0, 50]


def test_the_data_is_what_its_generator_makes(tmp_path: Path) -> None:
    script = tmp_path / "support-json" / "make_data.py"
    script.parent.mkdir()
    script.write_bytes((EXAMPLE / "make_data.py").read_bytes())
    shutil.copytree(EXAMPLE.parent / "base_recipe", tmp_path / "base_recipe")
    subprocess.run([sys.executable, script], check=True, timeout=60)
    for name in ("train.jsonl", "test.jsonl", "forms.jsonl"):
        assert (script.parent / "data" / name).read_bytes() == (EXAMPLE / "data" / name).read_bytes()
