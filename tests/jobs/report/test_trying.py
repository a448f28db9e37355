"""try.py as a person runs it: in a folder of its own, with a tiny adapter; its tokens are those of the training."""

import io
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from jobs import try_adapter
from jobs.qlora import template
from jobs.report import Base, Notes, write
from jobs.report.read import Found
from jobs.report.writing import longest_answer
from tests.jobs.report import runs
from tests.source import REPOSITORY

BASE_FOLDER = REPOSITORY / "examples" / "base"
QUESTIONS = ("where is my order?", "  spaces  and\nlines ", "</s> <|user|> [INST]", "Grüße, 你好 🙂", "")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(BASE_FOLDER)


@pytest.mark.parametrize("system", [None, "Answer in JSON.\nBe brief."])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_becomes_the_tokens_of_training_and_evaluation(
    tokenizer: Any, question: str, system: str | None
) -> None:
    said = ([("system", system)] if system else []) + [("user", question), ("assistant", "an answer")]
    (pair,) = template.pairs(said)
    asked = try_adapter.prompt_ids(tokenizer, question, system)
    assert asked == template.prompt_ids(tokenizer, pair["prompt"])
    prompt, whole = template.ids_of(tokenizer, pair)
    assert asked == prompt == whole[: len(prompt)]
    assert try_adapter.end_ids(tokenizer) == template.end_ids(tokenizer, [template.answer_ids(tokenizer, pair)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with an adapter that peft made, untrained, and what `write` puts beside it."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("run")
    model = transformers.AutoModelForCausalLM.from_pretrained(BASE_FOLDER)
    config = peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peft, about names in transformers
        peft.get_peft_model(model, config).save_pretrained(folder / "adapter", safe_serialization=True)
    transformers.AutoTokenizer.from_pretrained(BASE_FOLDER).save_pretrained(folder / "adapter")
    write(
        folder,
        runs.RECEIPT,
        Base(model=str(BASE_FOLDER), revision=None),
        Notes(settings={"evaluate": {"max_new_tokens": 12}}),
    )
    return folder


def asked(run: Path, *words: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(run / "try.py"), *words], input=stdin, capture_output=True, text=True, timeout=300,
        check=False, cwd=cwd or run,
    )  # fmt: skip


@pytest.mark.train
def test_it_answers_with_base_and_adapter(run: Path, tmp_path: Path) -> None:
    said = asked(run, "where is my order 4471?", "--system", "Answer in JSON.", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip()
    assert "Traceback" not in said.stderr


def test_without_an_argument_standard_input_is_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("two lines\nof a question\n"))
    assert try_adapter.read_question() == "two lines\nof a question"


def test_what_it_is_told_comes_from_this_computer(run: Path) -> None:
    assert json.loads((run / "try.json").read_text()) == {
        "model": str(BASE_FOLDER), "revision": None, "four_bit": True, "max_new_tokens": 12, "system": None,
    }  # fmt: skip


def told(run: Path, tmp_path: Path, **settings: Any) -> Path:
    """Another folder with the script, without an adapter, told something else."""
    (tmp_path / "try.py").write_bytes((run / "try.py").read_bytes())
    (tmp_path / "try.json").write_text(json.dumps({"model": str(BASE_FOLDER)} | settings))
    runs.put(tmp_path / "adapter" / "adapter_model.safetensors", "")
    return tmp_path


def test_a_base_that_moved_away_is_said_with_the_way_out(run: Path, tmp_path: Path) -> None:
    for gone in ("/nowhere/base", "../base", "C:\\models\\base"):
        said = asked(told(run, tmp_path, model=gone), "hello")
        assert said.returncode == 2
        assert f"the base model was in {gone}" in said.stderr
        assert "hint: python try.py --base FOLDER" in said.stderr


def test_an_adapter_that_is_no_safetensors_is_not_opened(run: Path, tmp_path: Path) -> None:
    folder = told(run, tmp_path)
    (folder / "adapter" / "adapter_model.safetensors").rename(folder / "adapter" / "adapter_model.bin")
    said = asked(folder, "hello")
    assert (said.returncode, "holds no adapter_model.safetensors" in said.stderr) == (2, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model'])
def test_a_damaged_try_json_is_said(run: Path, tmp_path: Path, text: str) -> None:
    folder = told(run, tmp_path)
    (folder / "try.json").write_text(text)
    said = asked(folder, "hello")
    assert (said.returncode, "launch report" in said.stderr) == (2, True)


def test_no_question_is_no_question(run: Path, tmp_path: Path) -> None:
    said = asked(told(run, tmp_path), stdin=" \n")
    assert (said.returncode, "there is no question" in said.stderr) == (2, True)


def test_missing_libraries_are_named_with_the_command_that_installs_them(run: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-S", str(told(run, tmp_path) / "try.py"), "hello"]  # -S: no site-packages
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin"})
    assert said.returncode == 2
    assert "torch, transformers, peft not installed" in said.stderr
    assert "-m pip install torch transformers peft" in said.stderr


@pytest.mark.parametrize(
    ("asked_for", "found", "tokens"),
    [(64, None, 64), (None, 74, 90), (None, None, 256), (True, None, 256), (64, 74, 64)],
)
def test_the_longest_answer_is_the_run_s_own(asked_for: object, found: int | None, tokens: int) -> None:
    notes = Notes(settings={"evaluate": {"max_new_tokens": asked_for}})
    assert longest_answer(Found(longest_answer=found), notes) == tokens
