"""What is typed wrong at `launch estimate`, and what stands in where the network is gone: message, hint, exit code."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.config_values import WorkloadError
from jobs.spec import load_flags
from launcher.price import must_be_downloadable
from launcher.request import Request
from providers.base import NoCredentials
from tests.fake_world import Stage
from tests.hub import Hub, Repository, open_hub
from tests.launcher.typed import Capture, Launch, document, typing, words

ROOT = Path(__file__).parents[2]
MISTRAL = "mistralai/Mistral-7B-Instruct-v0.3"
CONFIG: dict[str, Any] = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 352,
    "vocab_size": 768,
    "max_position_embeddings": 512,
}
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
NOT_CAUSAL = {
    "t5": {"model_type": "t5", "is_encoder_decoder": True, "architectures": ["T5ForConditionalGeneration"]},
    "bert": {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
    "vit": {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
    "llava": {"model_type": "llava", "vision_config": {}, "architectures": ["LlavaForConditionalGeneration"]},
}


def row(question: str, answer: str = "yes") -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"


@pytest.fixture
def launch(stage: Stage) -> Launch:
    return typing(stage)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a launch.yaml, with good rows, empty ones and broken ones, to work in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(row(f"question {at}") for at in range(20)))
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "broken.jsonl").write_text(row("good") + '{"messages": [\n')
    return tmp_path


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub with a decoder (open, and gated), and models that are none."""
    repositories = {}
    for name, config in {"decoder": CONFIG, "gated": CONFIG, **NOT_CAUSAL}.items():
        folder = tmp_path / "hub" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE, "eos_token": "</s>"}))
        repositories[f"me__{name}"] = Repository(folder=folder, token="hf_right" if name == "gated" else None)
    with open_hub(**repositories) as opened:
        yield opened


def no_account(*_: object) -> None:
    """In place of any call to the provider."""
    raise NoCredentials("no key")


MISTAKES = {
    "an unknown model": (("--model", "me/decodr"), 2, "unknown-model", "the Hub has no such model"),
    "a name like one that is known": (("--model", "Mistral-7B-Instruct-v0.3"), 2, "unknown-model", MISTRAL),
    "a gated model without a token": (("--model", "me/gated"), 4, "gated-model", "export HF_TOKEN"),
    "an encoder-decoder": (("--model", "me/t5"), 2, "model-kind", "encoder-decoder (T5ForConditionalGeneration)"),
    "an encoder": (("--model", "me/bert"), 2, "model-kind", "not a causal language model (BertForMaskedLM)"),
    "a model of images": (("--model", "me/vit"), 2, "model-kind", "not a causal language model"),
    "a model that also sees": (("--model", "me/llava"), 2, "model-kind", "text-only"),
    "no such folder": (("--model", "./nothing"), 2, "job-file", "nothing"),
    "no such data": (("--data", "none.jsonl"), 2, "job-file", "there is no file"),
    "empty data": (("--data", "empty.jsonl"), 2, "data", "empty.jsonl: the file holds no rows"),
    "broken data": (("--data", "broken.jsonl"), 2, "data", "broken.jsonl:2: Expecting value"),
    "rank 0": (("--set", "train.r=0"), 2, "job-file", "1 or more, not 0"),
    "rank above the smallest matrix": (("--set", "train.r=65"), 2, "settings", "--set train.r=64"),
    "batch 0": (("--set", "train.per_device_train_batch_size=0"), 2, "job-file", "1 or more, not 0"),
    "no epochs": (("--set", "train.epochs=0"), 2, "job-file", "more than 0, not 0"),
    "epochs that are no number": (("--set", "train.epochs=.nan"), 2, "job-file", "a finite number, not nan"),
    "a sequence beyond the positions": (("--set", "train.max_length=513"), 2, "settings", "at most 512 tokens"),
    "a matrix that there is not": (("--set", "train.target_modules=[c_attn]"), 2, "settings", "it has q_proj, k_proj"),
    "budget 0": (("--budget", "0"), 2, "usage", "above 0"),
    "a negative budget": (("--budget", "-5"), 2, "usage", "not an amount of dollars"),
    "a budget that is no number": (("--budget", "nan"), 2, "usage", "not an amount of dollars"),
    "a deadline of nothing": (("--deadline", "0h"), 2, "usage", "above 0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_a_hint_and_an_exit_code_and_nothing_is_rented(
    stage: Stage, launch: Launch, here: Path, hub: Hub, capsys: Capture, mistake: str
) -> None:
    argv, exit_code, code, said = MISTAKES[mistake]
    given = ("--model", "me/decoder", "--data", "rows.jsonl", *argv)
    around = {"HF_ENDPOINT": hub.url, "HF_HOME": str(here)}
    assert launch("estimate", *given, **around) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error:")
    assert said in words(err)
    assert "\n\nhint: " in err
    assert launch("estimate", *given, "--json", **around) == exit_code
    assert document(capsys)["code"] == code
    assert stage.cloud.alive() == ()


def test_model_and_data_alone_are_enough(launch: Launch, here: Path, hub: Hub, capsys: Capture) -> None:
    argv = ("estimate", "--model", "me/decoder", "--data", "rows.jsonl", "--budget", "5")
    assert launch(*argv, HF_ENDPOINT=hub.url, HF_HOME=str(here)) == 0
    out, err = capsys.readouterr()
    assert out.startswith("rows · me/decoder · qlora r16")
    assert "no ./launch.yaml here: every setting is the default" in err


def test_tokens_are_counted_with_a_tokenizer_that_is_fetched_once(
    stage: Stage, launch: Launch, here: Path, hub: Hub, capsys: Capture
) -> None:
    tokenizer = (ROOT / "examples" / "base" / "tokenizer.json").read_bytes()
    (hub.repositories["me/decoder"].folder / "tokenizer.json").write_bytes(tokenizer)
    argv = ("estimate", "--model", "me/decoder", "--data", "rows.jsonl", "--budget", "5")
    for _ in range(2):
        assert launch(*argv, HF_ENDPOINT=hub.url, HF_HOME=str(here)) == 0
        out, err = capsys.readouterr()
        assert re.search(r"· 16 examples, \d{3}\s+tokens x 3", out)
        assert "tokens:" not in err
    names = ["chat_template.jinja", "config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]
    assert sorted(path.rpartition("/")[2] for _, path in hub.asked) == names


def test_data_without_a_model_is_no_job(launch: Launch, here: Path, capsys: Capture) -> None:
    assert launch("estimate", "--data", "rows.jsonl") == 2
    assert "launch estimate --model" in words(capsys.readouterr().err)
    assert launch("estimate", "--data", "rows.jsonl", "--json") == 2
    assert document(capsys)["code"] == "no-model"


def test_the_token_opens_a_gated_model(launch: Launch, here: Path, hub: Hub, capsys: Capture) -> None:
    argv = ("estimate", "--model", "me/gated", "--data", "rows.jsonl", "--budget", "5")
    assert launch(*argv, HF_ENDPOINT=hub.url, HF_HOME=str(here), HF_TOKEN="hf_wrong") == 4
    assert "your HF_TOKEN has no access" in words(capsys.readouterr().err)
    assert launch(*argv, HF_ENDPOINT=hub.url, HF_HOME=str(here), HF_TOKEN="hf_right") == 0


def test_a_launch_whose_machine_could_not_read_the_model_is_refused_before_it_costs_anything(
    stage: Stage, launch: Launch, here: Path, hub: Hub, capsys: Capture
) -> None:
    argv = ("--model", "me/gated", "--data", "rows.jsonl", "--budget", "5", "--yes")
    assert launch(*argv, HF_ENDPOINT=hub.url, HF_HOME=str(here), HF_TOKEN="hf_right") == 4
    told = words(capsys.readouterr().err)
    assert "was not handed HF_TOKEN" in told
    assert "launch --secret HF_TOKEN" in told
    assert stage.cloud.alive() == ()


def test_what_bills_nothing_is_not_asked_whether_it_may_read_the_model(stage: Stage, here: Path, hub: Hub) -> None:
    around = {"HF_ENDPOINT": hub.url, "HF_HOME": str(here)}
    loaded, world = load_flags("me/gated", "rows.jsonl"), replace(stage.laptop(), environ=around)
    with pytest.raises(WorkloadError, match="was not handed HF_TOKEN"):
        must_be_downloadable(loaded, Request(), world)
    stage.provider.traits = replace(stage.provider.traits, bills=False)
    must_be_downloadable(loaded, Request(), world)


def test_without_a_network_the_estimate_is_made_from_the_table_and_says_so_in_a_line_of_its_own(
    launch: Launch, here: Path, capsys: Capture
) -> None:
    argv = ("estimate", "--model", MISTRAL, "--data", "rows.jsonl", "--budget", "5")
    assert launch(*argv, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(here)) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("model: dimensions from the built-in table (the Hub could not be") for line in lines)
    assert any(line.startswith("tokens: guessed from characters (the Hub could not be") for line in lines)


def test_without_a_network_an_unknown_model_is_refused_with_the_nearest(
    launch: Launch, here: Path, capsys: Capture
) -> None:
    argv = ("estimate", "--model", "Qwen/Qwen3-9B", "--data", "rows.jsonl", "--budget", "5")
    assert launch(*argv, HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(here)) == 2
    told = words(capsys.readouterr().err)
    assert "the Hub could not be reached" in told
    assert "did you mean Qwen/Qwen3-" in told


def test_a_mixture_of_which_no_card_holds_the_experts_is_refused_for_its_size_not_for_want_of_an_account(
    stage: Stage, launch: Launch, here: Path, capsys: Capture
) -> None:
    argv = ("estimate", "--model", "mistralai/Mixtral-8x7B-v0.1", "--data", "rows.jsonl", "--gpu", "a10g")
    assert launch("offers") == 0
    for before_call in (stage.cloud.before_call, no_account):
        stage.cloud.before_call = before_call
        capsys.readouterr()
        assert launch(*argv, "--json", HF_HUB_OFFLINE="1", HF_HOME=str(here)) == 3
        assert document(capsys)["code"] == "does-not-fit"


# Prices


def aged(stage: Stage, gone_by: timedelta) -> None:
    """The provider tells prices that were seen so long ago."""
    stage.provider.price_age = lambda offer: gone_by


JOB = ("--job", str(ROOT / "examples" / "support-json"))


@pytest.mark.parametrize("argv", [("estimate", "--budget", "5", *JOB), ("offers",)])
def test_old_prices_are_warned_of_and_left_out_with_fresh(
    stage: Stage, launch: Launch, capsys: Capture, argv: tuple[str, ...]
) -> None:
    aged(stage, timedelta(days=3))
    assert launch(*argv) == 0
    assert "old prices: fake 3 d (more than a day, or shipped with us); --fresh" in words(capsys.readouterr().err)
    assert launch(*argv, "--fresh") == 3
    assert "no price is as new as --fresh wants it" in words(capsys.readouterr().err)
    assert launch(*argv, "--fresh", "--json") == 3
    assert document(capsys)["code"] == "stale-prices"


@pytest.mark.parametrize("argv", [("estimate", "--budget", "5", *JOB), ("offers",)])
def test_new_prices_are_no_matter(stage: Stage, launch: Launch, capsys: Capture, argv: tuple[str, ...]) -> None:
    aged(stage, timedelta(hours=23))
    assert launch(*argv, "--fresh") == 0
    assert "old prices" not in capsys.readouterr().err


def test_a_launch_takes_no_old_price_with_fresh(stage: Stage, launch: Launch, capsys: Capture) -> None:
    aged(stage, timedelta(days=3))
    assert launch("--budget", "5", *JOB, "--yes", "--fresh") == 3
    assert "no price is as new as --fresh wants it" in words(capsys.readouterr().err)
    assert stage.cloud.alive() == ()


def test_only_the_new_ones_of_several_prices_are_taken_with_fresh(
    stage: Stage, launch: Launch, capsys: Capture
) -> None:
    old, new = stage.provider.catalogue
    stage.provider.price_age = lambda offer: timedelta(days=2 if offer.instance_type == old.instance_type else 0)
    assert launch("offers", "--fresh", "--json") == 0
    assert [one["instance_type"] for one in document(capsys)["offers"]] == [new.instance_type]


def test_shipped_prices_are_never_fresh(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.provider.catalogue = tuple(
        replace(one, source="shipped snapshot of today") for one in stage.provider.catalogue
    )
    assert launch("offers", "--fresh") == 3


def test_without_credentials_there_are_no_fresh_prices(stage: Stage, launch: Launch, capsys: Capture) -> None:
    stage.cloud.before_call = no_account
    assert launch("offers", "--fresh") == 4
    assert "there are no credentials for fake" in words(capsys.readouterr().err)


# The real program


def test_the_real_program_estimates_from_two_flags_without_a_network_or_an_account(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "launcher", "estimate", "--model", MISTRAL, "--data", "rows.jsonl", "--gpu", "a10g"],
        env={
            "PATH": os.environ["PATH"], "HOME": str(here), "LAUNCH_HOME": str(here / "home"), "HF_HOME": str(here),
            "HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true",
        },
        cwd=here, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert MISTRAL in done.stdout
    assert "built-in table" in done.stderr
    assert "old prices: " in done.stderr
