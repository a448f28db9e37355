"""What is exported says what base and adapter say: merged weights, and the adapter as GGUF read back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.qlora import export
from jobs.qlora.base import find_base
from jobs.qlora.gguf_adapter import NoGgufError, alpha_of, architecture_of, gguf_tensors, rotary_order
from jobs.qlora.job import Export, Job
from tests.jobs.qlora.trained import events, job_in, train
from tests.jobs.qlora.workplace import BASE, Workplace

pytestmark = pytest.mark.xdist_group("train")

CONFIG = {"model_type": "mistral", "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run whose adapter is saved: every attention projection, with rank-stabilised scale."""
    from jobs.qlora.train import finish

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "down_proj"]
    found = train(job_in(tmp_path_factory.mktemp("export"), target_modules=targets, use_rslora=True, r=4))
    finish(found.trainer, found.told, find_base(found.job))
    return found.job


def peft_deltas(job: Job) -> dict[str, Any]:
    """What the adapter adds to each weight, by peft's own account."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), job.out / "adapter")
    layers = {name: part for name, part in model.named_modules() if hasattr(part, "get_delta_weight")}
    return {
        name.removeprefix("base_model.model."): part.get_delta_weight("default").detach().numpy()
        for name, part in layers.items()
    }


def in_their_order(delta: Any, heads: int) -> Any:
    """Undoes the order of rows, head by head."""
    width = len(delta) // heads
    back = np.empty_like(delta)
    for head in range(heads):
        block = delta[head * width : (head + 1) * width]
        back[head * width : (head + 1) * width] = np.concatenate([block[0::2], block[1::2]])
    return back


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
def test_the_gguf_read_back_adds_to_each_weight_what_peft_adds(trained: Job) -> None:
    from gguf import GGUFReader

    job = replace(trained, export=Export(gguf_adapter=True))
    export.export_gguf(job, find_base(job), job.out / "adapter")
    reader = GGUFReader(job.out / "adapter.gguf")
    said = {name: field.contents() for name, field in reader.fields.items()}
    assert (said["general.architecture"], said["general.type"], said["adapter.type"]) == ("llama", "adapter", "lora")
    tensors = {one.name: one.data for one in reader.tensors}
    config, deltas = json.loads((BASE / "config.json").read_text()), peft_deltas(job)
    assert len(tensors) == 2 * len(deltas) == 2 * 5 * config["num_hidden_layers"]
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.down_proj": "ffn_down"}  # fmt: skip
    for of, wanted in deltas.items():
        _, _, layer, part = of.split(".", 3)
        a, b = (tensors[f"blk.{layer}.{names[part]}.weight.lora_{one}"] for one in "ab")
        found = b @ a * (said["adapter.lora.alpha"] / a.shape[0])
        if part.endswith(("q_proj", "k_proj")):
            heads = config["num_attention_heads" if part.endswith("q_proj") else "num_key_value_heads"]
            found = in_their_order(found, heads)
        assert np.abs(found - wanted).max() <= 1e-6 * max(1.0, float(np.abs(wanted).max()))
        assert np.abs(wanted).max() > 1e-4


def halves(vector: Any, angles: Any) -> Any:
    """How transformers rotates a head: the first half with the second."""
    half = len(vector) // 2
    one, other = vector[:half], vector[half:]
    return np.concatenate(
        [one * np.cos(angles) - other * np.sin(angles), other * np.cos(angles) + one * np.sin(angles)]
    )


def neighbours(vector: Any, angles: Any) -> Any:
    """How llama.cpp rotates a head of its llama architecture: each even element with the next."""
    one, other = vector[0::2], vector[1::2]
    turned = [one * np.cos(angles) - other * np.sin(angles), other * np.cos(angles) + one * np.sin(angles)]
    return np.stack(turned, axis=1).ravel()


def test_rows_in_llama_cpps_order_are_rotated_to_the_same_scores() -> None:
    drawn = np.random.default_rng(1)
    width, angles = 8, np.array([0.3, 1.1, 0.02, 2.5])
    q, k = drawn.normal(size=(4 * width, 1)), drawn.normal(size=(2 * width, 1))
    theirs_q = rotary_order(q, "model.layers.0.self_attn.q_proj", CONFIG)
    theirs_k = rotary_order(k, "model.layers.0.self_attn.k_proj", CONFIG)
    for head in range(4):
        at, of = slice(head * width, (head + 1) * width), slice(head // 2 * width, (head // 2 + 1) * width)
        ours = halves(q[at, 0], angles) @ halves(k[of, 0], 2 * angles)
        assert neighbours(theirs_q[at, 0], angles) @ neighbours(theirs_k[of, 0], 2 * angles) == pytest.approx(ours)
        assert neighbours(q[at, 0], angles) @ neighbours(k[of, 0], 2 * angles) != pytest.approx(ours)


def test_other_rows_and_other_architectures_keep_their_order() -> None:
    rows = np.arange(16.0).reshape(16, 1)
    assert (rotary_order(rows, "model.layers.0.self_attn.v_proj", CONFIG) == rows).all()
    weights = {"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": rows}
    (kept,) = gguf_tensors(weights, {**CONFIG, "model_type": "qwen2"}, "qwen2").values()
    assert (kept == rows).all()


def test_a_rank_stabilised_adapter_keeps_its_scale() -> None:
    assert alpha_of({"lora_alpha": 32, "r": 16}) == 32
    assert alpha_of({"lora_alpha": 32, "r": 16, "use_rslora": True}) / 16 == pytest.approx(32 / math.sqrt(16))


@pytest.mark.parametrize(
    ("config", "settings", "why"),
    [
        ({"model_type": "mamba"}, {}, "models of the type 'mamba'"),
        (CONFIG, {"use_dora": True}, "a DoRA adapter"),
    ],
)
def test_what_has_no_faithful_form_in_gguf_is_refused(
    config: dict[str, Any], settings: dict[str, Any], why: str
) -> None:
    with pytest.raises(NoGgufError, match=why):
        architecture_of(config, settings)


def test_a_weight_without_a_name_in_gguf_is_refused() -> None:
    with pytest.raises(NoGgufError, match="has no name in GGUF"):
        gguf_tensors({"base_model.model.odd.lora_A.weight": np.zeros((1, 1))}, CONFIG, "llama")


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
def test_the_merged_model_is_in_16_bits_and_scores_what_base_and_adapter_score(trained: Job) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from jobs.qlora.parity import answer_loss, some_rows

    job = replace(trained, export=Export(merged=True))
    export.export_merged(job, find_base(job), job.out / "adapter")
    folder = job.out / "merged"
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        path.name for path in folder.iterdir()
    }
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    tokenizer, rows = AutoTokenizer.from_pretrained(folder), some_rows(job)
    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert merged.dtype == torch.bfloat16
    whole = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.bfloat16)
    bare = answer_loss(whole.eval(), tokenizer, rows)
    both = answer_loss(PeftModel.from_pretrained(whole, job.out / "adapter").eval(), tokenizer, rows)
    assert answer_loss(merged.eval(), tokenizer, rows) == pytest.approx(both, abs=export.TOLERANCE)
    assert abs(bare - both) > 4 * export.TOLERANCE
    assert not (job.run / "merged.tmp").exists()


def test_without_room_nothing_is_written_and_it_is_said(tmp_path: Path) -> None:
    job = replace(job_in(tmp_path), export=Export(merged=True))
    why = export.no_room(10**18, tmp_path)
    assert "GiB of disk" in why
    assert export.no_room(0, tmp_path) == ""
    assert not (job.out / "merged").exists()


def test_what_linux_can_free_counts_as_free_and_a_containers_limit_as_the_end(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable:    8000 kB\n")
    assert export.free_memory(tmp_path) == 8000 * 1024
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.stat").write_text("anon 1000\nfile 70000000\n")
    for limit, free in (("max", 8000 * 1024), ("5000", 4000)):
        (group / "memory.max").write_text(f"{limit}\n")
        assert export.free_memory(tmp_path) == free


@pytest.mark.train
@pytest.mark.filterwarnings("ignore")
def test_a_merge_that_fails_costs_the_merged_model_and_not_the_run(trained: Job) -> None:
    job = replace(trained, run=trained.run / "again", out=trained.run / "again" / "out", export=Export(merged=True))
    job.out.mkdir(parents=True)
    for name in ("prepared", "model.json"):
        (job.run / name).symlink_to(trained.run / name)
    export.export_merged(job, find_base(job), trained.out / "adapter", tolerance=-1.0)
    warned = events(job, "warning")[-1]
    assert (warned["code"], "nats per answer token" in warned["text"]) == ("no-merged", True)
    assert not (job.out / "merged").exists()
    assert not (job.run / "merged.tmp").exists()


def test_a_job_that_asks_for_nothing_exports_nothing_without_waiting_for_torch(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    work = Workplace(run=tmp_path / "run").lay_out(data=tmp_path / "data", base=None)
    said = work.step("export", PYTHONPROFILEIMPORTTIME="1")
    assert "import time" in said
    assert "torch" not in said
    assert not work.out.exists()


def test_an_adapter_that_cannot_be_gguf_comes_home_all_the_same(tmp_path: Path) -> None:
    job = job_in(tmp_path)
    folder = job.out / "adapter"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"use_dora": True, "r": 4, "lora_alpha": 8}))
    export.export_gguf(job, find_base(job), folder)
    assert [event["code"] for event in events(job, "warning")] == ["no-gguf"]
    assert not (job.out / "adapter.gguf").exists()
