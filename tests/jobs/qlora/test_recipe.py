"""Every key of `train` reaches the trainer; packed rows stay apart; what was saved scores what was trained."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jobs.qlora.job import Train
from jobs.spec_train import Train as Asked
from tests.jobs.qlora.trained import SMALL, Trained, events, job_in, train

pytestmark = [pytest.mark.train, pytest.mark.xdist_group("train"), pytest.mark.filterwarnings("ignore")]


def test_the_job_knows_every_key_that_a_person_may_set_with_the_same_default() -> None:
    job = {one.name: one.default for one in fields(Train)}
    asked = json.loads(Asked().model_dump_json())
    assert {**asked, "target_modules": tuple(asked["target_modules"])} == {
        **job, "max_steps": None if job["max_steps"] == -1 else job["max_steps"],
    }  # fmt: skip


@pytest.fixture(scope="module")
def unusual(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Every setting unlike its default, packing too, and a few steps with them."""
    job = job_in(
        tmp_path_factory.mktemp("unusual"), r=4, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear",
        use_dora=True, use_rslora=True, lr_scheduler_type="linear", warmup_ratio=0.5, weight_decay=0.01,
        max_grad_norm=0.5, neftune_noise_alpha=5.0, packing=True, max_steps=2, seed=3, per_device_train_batch_size=2,
        max_length=400,
    )  # fmt: skip
    return train(job)


def test_the_settings_reach_peft_and_the_trainer(unusual: Trained) -> None:
    args = unusual.trainer.args
    (lora,) = unusual.trainer.model.peft_config.values()
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.use_dora, lora.use_rslora) == (4, 8, 0.1, True, True)
    assert {"q_proj", "down_proj"} <= {name.rpartition(".")[2] for name in lora.target_modules}
    assert args.lr_scheduler_type == "linear"
    assert args.get_warmup_steps(10) == 5
    assert (args.weight_decay, args.max_grad_norm, args.neftune_noise_alpha, args.seed) == (0.01, 0.5, 5.0, 3)
    assert args.packing
    assert args.packing_strategy == "bfd"


def test_without_flash_attention_packed_rows_go_one_at_a_time_and_it_is_said(unusual: Trained) -> None:
    args = unusual.trainer.args
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (1, 2)
    assert [event["code"] for event in events(unusual.job, "warning")] == ["packing-dense-attention"]


def test_the_loss_of_packed_rows_is_that_of_each_alone(unusual: Trained) -> None:
    import torch  # late: only the tests that train need it

    trainer, model = unusual.trainer, unusual.trainer.model
    packed = next(row for row in trainer.train_dataset if len(row["seq_lengths"]) > 2)
    starts = [sum(packed["seq_lengths"][:at]) for at in range(len(packed["seq_lengths"]) + 1)]
    alone = [
        {key: packed[key][first:last] for key in ("input_ids", "labels")} | {"seq_lengths": [last - first]}
        for first, last in pairwise(starts)
    ]
    model.eval()

    def summed(row: Any) -> float:
        batch = trainer.data_collator([row])
        learned = int((batch["labels"][:, 1:] != -100).sum())
        with torch.no_grad():
            return float(trainer.compute_loss(model, batch)) * learned

    assert summed(packed) == pytest.approx(sum(map(summed, alone)), rel=1e-5)


def test_a_model_that_lets_packed_rows_see_each_other_is_not_packed(tmp_path: Path, unusual: Trained) -> None:
    import torch  # late, as above

    from jobs.qlora.attention import LEAKS_ABOVE, leak, with_packing

    class Leaky(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.config = inner, inner.config

        def get_input_embeddings(self) -> Any:
            return self.inner.get_input_embeddings()

        def forward(self, input_ids: Any, position_ids: Any, use_cache: bool) -> Any:
            seen = torch.ones_like(input_ids)  # a mask that says: all of this is one row
            return self.inner(input_ids, position_ids=position_ids, attention_mask=seen, use_cache=use_cache)

    model = unusual.trainer.model.get_base_model()
    assert leak(model) < LEAKS_ABOVE / 10
    assert leak(Leaky(model)) > LEAKS_ABOVE
    job = job_in(tmp_path, packing=True)
    assert not with_packing(job, Leaky(model)).train.packing
    assert [event["code"] for event in events(job, "warning")] == ["packing-leaks"]


def test_what_was_saved_scores_in_a_fresh_model_what_was_trained(
    unusual: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    from peft import PeftModel  # late: torch
    from safetensors.torch import load_file, save_file

    from jobs.qlora.base import find_base, load_base, load_tokenizer
    from jobs.qlora.parity import check
    from jobs.qlora.train import finish

    job, base = unusual.job, find_base(unusual.job)
    finish(unusual.trainer, unusual.told, base)

    def reloaded() -> Any:
        return PeftModel.from_pretrained(load_base(base, quantise=True), job.out / "adapter").eval()

    check(job, reloaded(), load_tokenizer(base))
    noted = json.loads((job.run / "parity.json").read_text())
    assert noted["loss"] == pytest.approx(unusual.told.looks.best_loss, abs=1e-4), "DoRA over repacked weights is noise"
    scores = [line for line in capsys.readouterr().out.splitlines() if "scores" in line or "scored" in line]
    assert len(scores) == 2

    file = job.out / "adapter" / "adapter_model.safetensors"
    save_file({name: weight * 3 + 0.05 for name, weight in load_file(file).items()}, file)
    with pytest.raises(SystemExit):
        check(job, reloaded(), load_tokenizer(base))
    assert "what was saved is not what was trained" in capsys.readouterr().err


def test_a_job_without_a_note_of_its_training_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    from jobs.qlora.parity import check  # late: torch

    job = replace(job_in(tmp_path), train=Train(**SMALL))
    check(job, model=None, tokenizer=None)
    assert [event["code"] for event in events(job, "warning")] == ["no-parity"]
