"""Counts of parameters and adapters against the real modelling code: the models are built on torch's "meta" device."""

import csv
from pathlib import Path
from typing import Any

import pytest

from jobs.family_table import FAMILIES
from jobs.matrices import Kind
from jobs.shapes import Decoder, WorkloadError, from_config, known, table

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    # peft looks for the fused tensors by a second name as well
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys did not match:RuntimeWarning"),
]

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = {
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 12,
    "v_head_dim": 10,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 2,
    "n_group": 1,
    "topk_group": 1,
    "num_key_value_heads": 4,
    "first_k_dense_replace": 1,
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in FAMILIES),
    *((kind, {"tie_word_embeddings": True}) for kind in ("llama", "qwen2", "phi3", "mixtral")),
    *((kind, {"tie_word_embeddings": False}) for kind in ("gemma2", "starcoder2", "smollm3")),
    ("llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 24}),
    ("qwen3", {"attention_bias": True, "head_dim": 40}),
    ("gemma3_text", {"head_dim": 32}),
    ("phi", {"qk_layernorm": True}),
    ("starcoder2", {"use_bias": False}),
    ("qwen2_moe", EXPERTS | {"shared_expert_intermediate_size": 40, "mlp_only_layers": [0], "qkv_bias": False}),
    ("qwen2_moe", EXPERTS | {"shared_expert_intermediate_size": 40, "decoder_sparse_step": 2}),
    ("qwen3_moe", EXPERTS | {"mlp_only_layers": [1]}),
    ("olmoe", {"num_experts": 6, "num_experts_per_tok": 3}),
    ("gpt_oss", {"num_local_experts": 6, "num_experts_per_tok": 3}),
    ("deepseek_v2", LATENT | {"q_lora_rank": None, "first_k_dense_replace": 0}),
    ("deepseek_v3", LATENT | {"q_lora_rank": 20, "first_k_dense_replace": 2, "attention_bias": True}),
]
NEEDED = {
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "ministral": {"head_dim": 16},
    "hunyuan_v1_dense": {"head_dim": 16},
}
"""What transformers' class cannot do without beside the sizes of `SMALL`."""


def small(kind: str, changes: dict[str, Any]) -> dict[str, Any]:
    return SMALL | {"model_type": kind} | NEEDED.get(kind, {}) | changes


def built(config: dict[str, Any]) -> Any:
    """The model of such a config.json, without memory."""
    values = dict(config)
    parsed = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(parsed)


def quantised(model: Any) -> int:
    """Weights of all that transformers' own loading would put in 4 bits: linear layers, but not the head."""
    head = model.get_output_embeddings()
    return sum(m.weight.numel() for m in model.modules() if type(m) is torch.nn.Linear and m is not head)


def adapted(config: dict[str, Any], targets: Any, rank: int = 4) -> int:
    """Trainable parameters after peft went over the model."""
    lora = peft.LoraConfig(r=rank, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")
    model = peft.get_peft_model(built(config), lora)
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


@pytest.mark.parametrize(("kind", "changes"), VARIANTS, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_every_parameter_is_counted_as_transformers_builds_it(kind: str, changes: dict[str, Any]) -> None:
    config = small(kind, changes)
    decoder, model = from_config(config, kind), built(config)
    assert decoder.parameters == sum(weight.numel() for weight in model.parameters())
    assert decoder.linear_parameters == quantised(model)
    assert decoder.positions == model.config.max_position_embeddings
    assert decoder.tied == (model.get_input_embeddings().weight is model.get_output_embeddings().weight)


@pytest.mark.parametrize(
    "name",
    [
        "mistralai/Mistral-7B-v0.3",
        "Qwen/Qwen2.5-7B",
        "google/gemma-3-1b-pt",
        "microsoft/phi-2",
        "mistralai/Mixtral-8x7B-v0.1",
        "Qwen/Qwen3-30B-A3B",
        "allenai/OLMoE-1B-7B-0924",
        "deepseek-ai/DeepSeek-V2-Lite",
        "openai/gpt-oss-20b",
    ],
)
def test_models_of_the_table_are_counted_as_transformers_builds_them(name: str) -> None:
    config = table()[name]
    model = built(config)
    assert known()[name].parameters == sum(weight.numel() for weight in model.parameters())
    assert known()[name].linear_parameters == quantised(model)


@pytest.mark.parametrize(("kind", "changes"), VARIANTS, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_adapters_on_all_linear_are_counted_as_peft_puts_them(kind: str, changes: dict[str, Any]) -> None:
    config = small(kind, changes)
    assert from_config(config, kind).lora_parameters(4, ("all-linear",)) == adapted(config, "all-linear")


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("llama", ["q_proj", "v_proj"]),
        ("phi3", ["qkv_proj", "down_proj"]),
        ("phi", ["dense", "fc2"]),
        ("gpt_neox", ["query_key_value"]),
        ("mixtral", ["q_proj", "w1", "w3", "w2"]),
        ("mixtral", ["gate"]),
        ("qwen2_moe", ["q_proj", "gate_proj", "shared_expert_gate"]),
        ("qwen3_moe", ["o_proj", "down_proj"]),
        ("olmoe", ["gate_proj", "up_proj", "down_proj"]),
        ("deepseek_v3", ["kv_b_proj", "down_proj"]),
    ],
    ids=lambda one: one if isinstance(one, str) else "-".join(one),
)
def test_adapters_on_named_matrices_are_counted_as_peft_puts_them(kind: str, targets: list[str]) -> None:
    config = small(kind, {})
    assert from_config(config, kind).lora_parameters(4, tuple(targets)) == adapted(config, targets)


def test_half_of_a_fused_matrix_cannot_be_adapted_which_peft_says_too() -> None:
    config = small("olmoe", {})
    with pytest.raises(WorkloadError, match="up_proj must be named too"):
        from_config(config, "olmoe").lora_parameters(4, ("gate_proj",))
    with pytest.raises(ValueError, match="without also targeting up_proj"):
        adapted(config, ["gate_proj"])


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_a_config_leaves_out_is_as_the_class_in_transformers_has_it(kind: str) -> None:
    parsed = transformers.AutoConfig.for_model(kind)
    bare = {key: getattr(parsed, key) for key in SIZES if hasattr(parsed, key)} | {"model_type": kind}
    bare |= {
        "deepseek_v2": {"num_experts_per_tok": 6},
        "ministral": {"head_dim": 128},
        "hunyuan_v1_dense": {"head_dim": 128},
    }.get(kind, {})
    decoder = from_config(bare, kind)
    assert decoder.tied == parsed.tie_word_embeddings
    assert decoder.kv_heads == (getattr(parsed, "num_key_value_heads", None) or parsed.num_attention_heads)
    assert decoder.parameters == sum(weight.numel() for weight in built(bare).parameters())


SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")


def rows() -> list[dict[str, str]]:
    path = Path(from_config.__code__.co_filename).with_name("shapes.csv")
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def rounded(published: str) -> tuple[float, float]:
    """A published count as the range that it stands for: "7.25B" is 7.245 to 7.255 billion."""
    number, unit = published[:-1], {"B": 1e9, "M": 1e6}[published[-1]]
    digits = len(number.partition(".")[2])
    half = 0.5 * 10**-digits
    return (float(number) - half) * unit, (float(number) + half) * unit


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["model"])
def test_every_row_of_the_table_adds_up_to_the_count_that_its_makers_publish(row: dict[str, str]) -> None:
    decoder = known()[row["model"]]
    low, high = rounded(row["published"])
    assert low <= decoder.parameters <= high
    if row["published_active"]:
        low, high = rounded(row["published_active"])
        embedding = decoder.vocabulary * decoder.hidden
        # Makers count the embedding in (Mistral, Qwen) or not (DeepSeek, OpenAI): it is looked up, not multiplied.
        # 2 % more: Qwen rounds 3.35 down to 3.3, OLMoE 1.28 up.
        assert low * 0.98 <= decoder.active_parameters <= (high + embedding) * 1.02


def test_a_token_passes_the_router_its_experts_and_the_shared_ones() -> None:
    mixtral = known()["mistralai/Mixtral-8x7B-v0.1"]
    experts = 32 * 8 * 3 * 4096 * 14336
    assert mixtral.active_parameters == mixtral.parameters - experts * 6 // 8
    assert mixtral.shape("m", "t").active == 12_879_925_248
    assert mixtral.intermediate == 2 * 14336
    assert known()["Qwen/Qwen1.5-MoE-A2.7B"].intermediate == 4 * 1408 + 5632
    assert known()["mistralai/Mistral-7B-v0.3"].shape("m", "t").active_parameters is None


def test_experts_and_routers_are_never_quantised() -> None:
    mixtral: Decoder = known()["mistralai/Mixtral-8x7B-v0.1"]
    kinds = {one.name: one.kind for one in mixtral.matrices}
    assert kinds["experts.down_proj"] is Kind.EXPERTS
    assert kinds["gate"] is Kind.ROUTER
    assert mixtral.shape("m", "t").quantisable == 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024)


def test_an_mlp_with_two_matrices_is_told_from_one_with_a_gate() -> None:
    shapes = {name: decoder.shape(name, "t").gated for name, decoder in known().items()}
    assert not shapes["microsoft/phi-2"]
    assert shapes["mistralai/Mistral-7B-v0.1"]
    assert shapes["microsoft/Phi-3-mini-4k-instruct"]
