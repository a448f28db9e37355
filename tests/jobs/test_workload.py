"""What a job asks of a machine, measured from its files."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import trl

from jobs.qlora import train as training
from jobs.shapes import Decoder, from_config, known
from jobs.spec import load
from jobs.workload import JOB_RECIPE, WorkloadError, measure, measure_spec, remarks
from pricing.memory import EVALUATION_ROWS
from pricing.workload import Method, Quantisation, Recipe, Workload

MISTRAL = "mistralai/Mistral-7B-Instruct-v0.3"
NOWHERE = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": "/nonexistent"}
CONFIG = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 352,
    "vocab_size": 768,
    "tie_word_embeddings": True,
}


def chat(*turns: str) -> str:
    roles = ["user", "assistant"] * len(turns)
    messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
    return json.dumps({"messages": messages}) + "\n"


def chats(user: str, assistant: str, count: int = 10) -> str:
    """So many conversations of the same length; no two are alike, since repeated ones are dropped."""
    return "".join(chat(f"{at:02d}{user[2:]}", assistant) for at in range(count))


TEN = chats("u" * 32, "a" * 16)


def data(folder: Path, name: str = "train", lines: str = TEN) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text(lines)
    return path


def job(folder: Path, environ: dict[str, str] | None = None, cache: Path | None = None, **settings: Any) -> Workload:
    files = {path.stem: path for path in folder.glob("*.jsonl")} or {"train": data(folder)}
    return measure({"model": MISTRAL} | settings, folder, files, environ=environ or NOWHERE, cache=cache)


def model_folder(folder: Path, **changes: Any) -> str:
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text(json.dumps(CONFIG | changes))
    return "base"


def words(path: Path) -> None:
    """A tokenizer that knows three words, and takes white space apart."""
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"one": 0, "two": 1, "?": 2}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(path))


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (MISTRAL, 7_248_023_552),
        ("meta-llama/Llama-2-7b-hf", 6_738_415_616),
        ("meta-llama/Meta-Llama-3-8B", 8_030_261_248),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("Qwen/Qwen2.5-7B", 7_615_616_512),
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("google/gemma-7b", 8_537_680_896),
        ("google/gemma-2-2b", 2_614_341_888),
        ("microsoft/phi-2", 2_779_683_840),
        ("microsoft/Phi-3-mini-4k-instruct", 3_821_079_552),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1_100_048_384),
        ("HuggingFaceTB/SmolLM2-135M", 134_515_008),
    ],
)
def test_parameters_are_counted_to_the_last_one(model: str, parameters: int) -> None:
    """The published counts of the safetensors files."""
    assert known()[model].parameters == parameters


def test_adapters_are_counted_for_each_matrix_that_they_sit_on() -> None:
    mistral = known()[MISTRAL]
    assert mistral.lora_parameters(16, ("q_proj", "v_proj")) == 32 * 16 * ((4096 + 4096) + (4096 + 1024))
    assert mistral.lora_parameters(16, ("all-linear",)) == 41_943_040
    assert "qkv_proj" in {one.name for one in known()["microsoft/phi-4"].matrices}


def test_a_target_that_the_model_lacks_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="c_attn") as caught:
        job(tmp_path, train={"target_modules": ["c_attn"]})
    assert "q_proj, k_proj" in caught.value.hint


def test_settings_decide_how_much_work_there_is(tmp_path: Path) -> None:
    train = {"method": "lora", "r": 8, "epochs": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 5}
    measured = job(tmp_path, train=train, evaluate={"max_new_tokens": 77, "prompted": {"shots": 3}})
    assert measured.method is Method.LORA
    assert (measured.lora_rank, measured.epochs, measured.micro_batch, measured.accumulation) == (8, 2.0, 2, 5)
    assert (measured.evaluated_new_tokens, measured.arms) == (77, 3)
    assert measured.steps == 2


def test_max_steps_wins_over_epochs(tmp_path: Path) -> None:
    train = {"max_steps": 30, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "epochs": 9}
    assert job(tmp_path, train=train).steps == 30


def test_tokens_are_guessed_from_characters_where_there_is_no_tokenizer_and_it_says_so(tmp_path: Path) -> None:
    measured = job(tmp_path)
    assert measured.tokens_are.startswith("guessed from characters (the Hub could not be reached")
    assert measured.token_spread == 1.3
    assert measured.tokens_per_epoch == 10 * ((10 + 5) + (5 + 5))


def test_tokens_are_counted_with_the_models_own_tokenizer(tmp_path: Path) -> None:
    name = model_folder(tmp_path)
    words(tmp_path / "base" / "tokenizer.json")
    data(tmp_path, lines=chat("one two one", "two"))
    measured = job(tmp_path, model=name)
    assert (measured.tokens_are, measured.token_spread) == ("counted", 1.0)
    assert measured.tokens_per_epoch == (3 + 5) + (1 + 5)


def test_each_answer_is_a_row_with_everything_before_it_as_its_prompt(tmp_path: Path) -> None:
    data(tmp_path, lines=chat("u" * 32, "a" * 16, "u" * 32, "a" * 16))
    measured = job(tmp_path)
    assert measured.examples == 2
    assert measured.tokens_per_epoch == 25 + 50
    assert measured.longest_tokens == 50


def test_rows_that_the_job_would_drop_do_not_count(tmp_path: Path) -> None:
    data(tmp_path, lines=chats("u" * 32, "a" * 16, 60) + chat("u" * 320, "a" * 16))
    measured = job(tmp_path, train={"max_length": 30})
    assert (measured.examples, measured.longest_tokens) == (60, 25)


def test_more_long_rows_than_the_job_tolerates_are_refused_before_anything_is_rented(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="100% of the training rows are longer than max_length 16") as caught:
        job(tmp_path, train={"max_length": 16})
    assert "train.max_length=25" in caught.value.hint
    assert caught.value.code == "data"
    data(tmp_path, lines=chats("u" * 32, "a" * 16, 18) + chats("u" * 320, "a" * 16, 2))
    with pytest.raises(WorkloadError, match="10% of the training rows are longer than max_length 30"):
        job(tmp_path, train={"max_length": 30})
    # Guessed at 115 tokens, which may be 88: nobody knows that they are too long.
    assert job(tmp_path, train={"max_length": 100}).examples == 18


def test_repeated_conversations_are_counted_as_often_as_they_are_trained_on(tmp_path: Path) -> None:
    data(tmp_path, lines=TEN + TEN)
    measured = job(tmp_path)
    assert (measured.examples, measured.repeated_examples) == (20, 10)
    assert "data: 10 conversations are repeats, and are trained on all the same" in remarks(measured)


def test_packing_makes_fewer_and_longer_rows_and_leaves_the_examples_as_they_are(tmp_path: Path) -> None:
    data(tmp_path, lines=chats("u" * 32, "a" * 16, 40))
    train = {"max_length": 110, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
    plain, packed = job(tmp_path, train=train), job(tmp_path, train={**train, "packing": True})
    assert (plain.examples, packed.examples, packed.packed_examples) == (40, 40, 10)
    assert (plain.longest_tokens, packed.longest_tokens) == (25, 100)
    assert packed.tokens_per_epoch == plain.tokens_per_epoch == packed.padded_tokens_per_epoch
    assert packed.steps * 4 == plain.steps
    assert packed.recipe.packed


def test_looks_at_validation_rows_a_merged_model_and_dora_are_work_too(tmp_path: Path) -> None:
    data(tmp_path, "train", TEN)
    data(tmp_path, "validation", chats("uu", "a" * 64, 3))
    more = job(tmp_path, train={"use_dora": True, "eval_steps": 2, "max_steps": 5}, export={"merged": True})
    assert (more.validation_tokens, more.validation_steps, more.looks) == (3 * (1 + 5 + 20 + 5), 2, 3)
    assert more.merged_gib == pytest.approx(more.shape.parameters * 2 / 1024**3)
    assert more.recipe.dora
    plain = job(tmp_path)
    assert (plain.merged_gib, plain.recipe.dora, plain.validation_steps) == (0.0, False, plain.save_steps)


def test_test_rows_come_from_their_file_or_from_a_share_of_the_training_file(tmp_path: Path) -> None:
    shares = job(tmp_path, data={"split": {"validation": 0.1, "test": 0.2}})
    assert (shares.examples, shares.evaluated_examples) == (7, 2)
    tiny = job(tmp_path, data={"split": {"validation": 0.01, "test": 0.24}})
    assert (tiny.examples, tiny.evaluated_examples) == (7, 2)
    data(tmp_path, "test", chats("uu", "a" * 64, 3))
    given = job(tmp_path)
    assert (given.examples, given.evaluated_examples, given.evaluated_new_tokens) == (10, 3, 20 + 5 + 16)


@pytest.mark.parametrize("longest_at", ["the beginning", "the end"])
def test_a_split_is_drawn_by_lot_so_a_long_row_counts_wherever_in_the_file_it_stands(
    tmp_path: Path, longest_at: str
) -> None:
    """The job draws by hash: the first rows of a sorted file would be the shortest, and would fit where it does not."""
    lines = [chat(f"{at:02d} " + "u" * (20 * at), "a" * (4 + at)) for at in range(40)]
    data(tmp_path, lines="".join(lines if longest_at == "the end" else reversed(lines)))
    whole, split = job(tmp_path), job(tmp_path, data={"split": {"test": 0.25}})
    assert split.longest_tokens == whole.longest_tokens
    assert split.tokens_per_epoch == pytest.approx(0.75 * whole.tokens_per_epoch, rel=0.03)
    assert (split.examples, split.evaluated_examples) == (30, 10)
    assert 5 + 16 < split.evaluated_new_tokens < 43 + 5 + 16


def test_a_local_model_is_shipped_and_one_of_the_hub_downloaded(tmp_path: Path) -> None:
    local = job(tmp_path, model=model_folder(tmp_path))
    assert local.shape.source == "config.json here"
    assert local.download_gib == 0
    remote = job(tmp_path)
    assert remote.download_gib == pytest.approx(13.5, abs=0.1)
    assert remote.shape.source.startswith("built-in table (the Hub could not be reached")


def test_a_name_that_is_neither_a_folder_nor_an_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no model folder"):
        job(tmp_path, model="../base")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "not a causal language model"),
        ({"is_encoder_decoder": True}, "not a causal language model"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, "encoder-decoder"),
        ({"model_type": "bert", "architectures": None}, "not a causal language model"),
        ({"vision_config": {}}, "sees or hears"),
        ({"model_type": "siglip_vision_model", "architectures": None}, "cannot be counted"),
        ({"quantization_config": {"quant_method": "gptq"}}, "already quantised .gptq."),
        ({"model_type": "made_up"}, "cannot be counted"),
        ({"hidden_size": None}, "hidden_size"),
        ({"vocab_size": "many"}, "vocab_size"),
    ],
)
def test_a_config_that_is_no_plain_decoder_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(WorkloadError, match=said):
        job(tmp_path, model=model_folder(tmp_path, **changes))


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_config_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    name = model_folder(tmp_path)
    (tmp_path / name / "config.json").write_text(text)
    with pytest.raises(WorkloadError, match=r"config\.json is not"):
        job(tmp_path, model=name)


@pytest.mark.parametrize("line", ["{", '{"messages": 3}', '{"messages": [{"role": "user"}]}', "[]"])
def test_a_line_that_is_no_chat_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    data(tmp_path, lines=chat("u", "a") + line + "\n")
    with pytest.raises(WorkloadError, match=r"train\.jsonl:2") as caught:
        job(tmp_path)
    assert "messages" in caught.value.hint


def test_no_rows_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    data(tmp_path, lines="\n")
    with pytest.raises(WorkloadError, match="no training rows"):
        job(tmp_path)
    with pytest.raises(WorkloadError, match="cannot read"):
        measure({"model": MISTRAL}, tmp_path, {"train": tmp_path / "none.jsonl"}, environ=NOWHERE, cache=None)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for train in ({"r": 0}, {"method": "magic"}, {"epochs": "three"}):
        with pytest.raises(WorkloadError, match=r"launch\.yaml"):
            job(tmp_path, train=train)


def test_heads_that_a_config_leaves_out_follow_from_the_others() -> None:
    bare = {key: value for key, value in CONFIG.items() if key != "num_key_value_heads"}
    decoder = from_config(bare | {"model_type": "llama"}, "here")
    assert isinstance(decoder, Decoder)
    assert (decoder.kv_heads, decoder.head_dim) == (4, 32)


def test_a_launch_yaml_is_measured_as_its_spec_spells_it_out(tmp_path: Path) -> None:
    data(tmp_path)
    name = model_folder(tmp_path)
    (tmp_path / "launch.yaml").write_text(
        f"model: {name}\ndata: {{train: train.jsonl}}\ntrain: {{r: 4, max_steps: 7}}\n"
    )
    measured = measure_spec(load(tmp_path), environ=NOWHERE, cache=None)
    assert (measured.lora_rank, measured.steps, measured.examples, measured.evaluated_examples) == (4, 7, 8, 1)


MIXTURE = CONFIG | {
    "model_type": "mixtral",
    "architectures": ["MixtralForCausalLM"],
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 4096,
}


@pytest.mark.parametrize(
    ("model", "train", "said", "hint"),
    [
        ({}, {"r": 65}, "r 65: k_proj has 128 x 64", "train.r=64"),
        ({"max_position_embeddings": 512}, {"max_length": 513}, "sequences of at most 512", "train.max_length=512"),
        (MIXTURE, {"target_modules": "all-linear"}, "only without dropout", "train.lora_dropout=0.0"),
        (MIXTURE, {"target_modules": ["w1"], "lora_dropout": 0.0}, "w3 must be named too", "w1, w3"),
        ({"model_type": "gpt_oss", "num_experts_per_tok": 2}, {}, "does not offer for this type", "another model"),
        ({}, {"epochs": "inf"}, "must be positive", ""),
    ],
    ids=["rank", "positions", "dropout", "half of a pair", "no SDPA", "epochs"],
)
def test_settings_that_the_model_cannot_follow_are_refused(
    tmp_path: Path, model: dict[str, Any], train: dict[str, Any], said: str, hint: str
) -> None:
    with pytest.raises(WorkloadError, match=said) as caught:
        job(tmp_path, model=model_folder(tmp_path, **model), train={"target_modules": ["k_proj"]} | train)
    assert hint in caught.value.hint


def test_a_length_that_nobody_chose_is_no_mistake_for_a_model_of_fewer_positions(tmp_path: Path) -> None:
    measured = job(tmp_path, model=model_folder(tmp_path, max_position_embeddings=512))
    assert (measured.max_length, measured.shape.positions) == (512, 512)


def test_a_mixture_is_measured_with_what_a_token_passes_and_what_stays_in_16_bits(tmp_path: Path) -> None:
    mixture = job(tmp_path, model=model_folder(tmp_path, **MIXTURE))
    shape, experts = mixture.shape, 2 * 4 * 3 * 128 * 352
    assert shape.active == shape.parameters - experts // 2
    assert shape.quantisable == 2 * (2 * 128 * 128 + 2 * 128 * 64)
    assert any("experts, which stay in 16 bits" in line for line in remarks(mixture))


def test_an_estimate_from_a_fallback_says_so_in_a_line_of_its_own(tmp_path: Path) -> None:
    model, counted = remarks(job(tmp_path))
    assert model.startswith("model: dimensions from the built-in table (the Hub could not be reached")
    assert counted.startswith("tokens: guessed from characters (the Hub could not be reached")
    assert "within a factor of 1.3" in counted
    name = model_folder(tmp_path)
    words(tmp_path / "base" / "tokenizer.json")
    assert remarks(job(tmp_path, model=name)) == ()


def test_the_recipe_is_what_our_job_does(tmp_path: Path) -> None:
    """Read from the job's own source and from the installed TRL, so that a change of either is noticed."""
    root = Path(training.__file__).parent
    trains, loads = (root / "recipe.py").read_text(), (root / "base.py").read_text()
    assert '"optim": "paged_adamw_8bit" if cuda' in trains
    assert '"gradient_checkpointing": cuda' in trains
    assert 'packing_strategy="bfd"' in trains
    assert 'bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True' in loads
    assert "attn_implementation=best_attention()" in loads
    assert '"sdpa"' in (root / "attention.py").read_text()
    sft = inspect.getsource(trl.SFTTrainer.__init__)
    head = "add_fused_lm_head(\n            self.model.get_base_model() if is_peft_model(self.model) else self.model"
    assert head in sft
    assert job(tmp_path).recipe == JOB_RECIPE == Recipe()
    assert job(tmp_path).quantisation is Quantisation.NF4_DOUBLE
    assert job(tmp_path, train={"method": "lora"}).quantisation is Quantisation.NONE


def test_the_evaluation_answers_as_many_rows_at_once_as_the_estimate_counts_on() -> None:
    source = (Path(__file__).parents[2] / "jobs" / "qlora" / "asking.py").read_text(encoding="utf-8")
    assert f"\nBATCH = {EVALUATION_ROWS}\n" in source
