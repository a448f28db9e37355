"""The example and its fixture model: small, honest (nothing of the example was in the pre-training), and learnable."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from jobs.qlora.score import metrics_of
from tests.jobs.qlora.workplace import BASE, EXAMPLE, JOB, REPOSITORY, Workplace

SAMPLE = 20_000


def read(part: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLE / "data" / f"{part}.jsonl").read_text().splitlines()]


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
    keys = {key for part in ("train", "test") for row in read(part) for key in json.loads(answer(row))}
    assert keys == {"customer", "order", "product", "request"}
    assert not keys & {key for text in said(lessons, "assistant") for key in json.loads(text)}
    assert not keys & {key for fields, _ in corpus.DOMAINS.values() for key in fields}


def test_the_pre_training_knows_no_row_of_the_example(lessons: list[list[dict[str, str]]]) -> None:
    rows = [row["messages"] for part in ("train", "test") for row in read(part)]
    assert not {turns[0]["content"] for turns in rows} & set(said(lessons, "user"))
    assert not {turns[1]["content"] for turns in rows} & set(said(lessons, "assistant"))


def test_the_test_rows_were_not_trained_on() -> None:
    train, test = read("train"), read("test")
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
    """The whole job as `launch` runs it by default: about two minutes on two cores."""
    settings = YAML(typ="safe").load((EXAMPLE / "launch.yaml").read_text())
    work = Workplace(run=tmp_path / "run", settings=settings).lay_out(data=EXAMPLE / "data")
    for step in json.loads((JOB / "steps.json").read_text()):
        work.step(*step["argv"][2:])
    results = {event["arm"]: event["metrics"] for event in work.events("result")}
    assert results["base"]["exact"] <= 0.05
    assert results["tuned"]["exact"] > 0.85
    assert results["tuned"]["loss"] < results["base"]["loss"]
    items = [json.loads(line) for line in (work.out / "eval" / "tuned.jsonl").read_text().splitlines()]
    assert metrics_of(items, ["exact", "json_fields"]) == results["tuned"]
    assert {"torch", "trl"} <= set(work.document("logs/environment.json")["packages"])
    assert [event["done"] for event in work.events("evaluated") if event["arm"] == "tuned"] == [0, 50, 100, 150, 200]


def test_the_data_is_what_its_generator_makes(tmp_path: Path) -> None:
    script = tmp_path / "make_data.py"
    script.write_bytes((EXAMPLE / "make_data.py").read_bytes())
    subprocess.run([sys.executable, script], check=True, timeout=60)
    for name in ("train.jsonl", "test.jsonl"):
        assert (tmp_path / "data" / name).read_bytes() == (EXAMPLE / "data" / name).read_bytes()
