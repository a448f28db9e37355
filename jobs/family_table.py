"""The decoder families that can be counted, by config.json's `model_type`."""

from collections.abc import Mapping

from jobs.families import ALWAYS, Family, fused_gated, gated, joined, latent, mixture, plain, separate

TIED: dict[str, object] = {"tie_word_embeddings": True}
_ATTENTION, _MLP = "attention_bias", "mlp_bias"
_GEMMA: dict[str, object] = TIED | {"head_dim": 256}
_QWEN_MIXTURE: dict[str, object] = {"decoder_sparse_step": 1, "mlp_only_layers": []}
_LATENT: dict[str, object] = {
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
}  # fmt: skip
NO_SDPA = "this version's job computes attention with torch's SDPA, which transformers does not offer for this type"

_LLAMA = Family(attention=separate, mlp=gated, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION, bias_of_mlp=_MLP)
_PLAIN_LLAMA = Family(attention=separate, mlp=gated, defaults={"num_key_value_heads": 8})

FAMILIES: Mapping[str, Family] = {
    "llama": _LLAMA,
    "granite": _LLAMA,
    "mistral": _PLAIN_LLAMA,
    "ministral": _PLAIN_LLAMA,
    "smollm3": Family(
        attention=separate, mlp=gated, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION, bias_of_mlp=_MLP,
        defaults=TIED | {"num_key_value_heads": 4},
    ),
    "qwen2": Family(attention=separate, mlp=gated, bias_of_qkv=ALWAYS, defaults={"num_key_value_heads": 32}),
    "qwen3": Family(
        attention=separate, mlp=gated, query_norms="head", bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION,
        defaults={"num_key_value_heads": 32, "head_dim": 128},
    ),
    "gemma": Family(
        attention=separate, mlp=gated, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION,
        defaults=_GEMMA | {"num_key_value_heads": 16},
    ),
    "gemma2": Family(
        attention=separate, mlp=gated, norms=4, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION,
        defaults=_GEMMA | {"num_key_value_heads": 4},
    ),
    "gemma3_text": Family(
        attention=separate, mlp=gated, norms=4, query_norms="head", bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION,
        defaults=_GEMMA | {"num_key_value_heads": 4},
    ),
    "phi": Family(
        attention=separate, mlp=plain, final_norms=2, query_norms="phi", bias_of_qkv=ALWAYS, bias_of_output=ALWAYS,
        bias_of_mlp=ALWAYS, head_bias=True, names=("dense", "fc1", "fc2"),
    ),
    "phi3": Family(attention=joined("qkv_proj"), mlp=fused_gated),
    "olmo2": Family(
        attention=separate, mlp=gated, query_norms="all", bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION
    ),
    "olmo3": Family(
        attention=separate, mlp=gated, query_norms="all", bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION
    ),
    "glm4": Family(
        attention=separate, mlp=fused_gated, norms=4, bias_of_qkv=_ATTENTION,
        defaults={"num_key_value_heads": 2, "head_dim": 128, "attention_bias": True},
    ),
    "gpt_neox": Family(
        attention=joined("query_key_value"), mlp=plain, norms=4, final_norms=2, bias_of_qkv=_ATTENTION,
        bias_of_output=_ATTENTION, bias_of_mlp=ALWAYS, names=("dense", "dense_h_to_4h", "dense_4h_to_h"), grouped=False,
        defaults={"attention_bias": True},
    ),
    "starcoder2": Family(
        attention=separate, mlp=plain, norms=4, final_norms=2, bias_of_qkv="use_bias", bias_of_output="use_bias",
        bias_of_mlp="use_bias", names=("o_proj", "c_fc", "c_proj"),
        defaults=TIED | {"num_key_value_heads": 2, "use_bias": True},
    ),
    "ministral3": Family(attention=separate, mlp=gated, defaults={"num_key_value_heads": 8, "head_dim": 128}),
    "arcee": Family(
        attention=separate, mlp=plain, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION, bias_of_mlp=_MLP
    ),
    "apertus": Family(
        attention=separate, mlp=plain, query_norms="head", scalars=2, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION
    ),
    "ernie4_5": Family(
        attention=separate, mlp=gated, bias_of_qkv="use_bias", bias_of_output="use_bias", bias_of_mlp="use_bias",
        defaults=TIED | {"num_key_value_heads": 2, "head_dim": 128},
    ),
    "exaone4": Family(attention=separate, mlp=gated, query_norms="head", defaults={"num_key_value_heads": 32}),
    "hunyuan_v1_dense": Family(
        attention=separate, mlp=gated, query_norms="head", bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION
    ),
    "olmo": Family(
        attention=separate, mlp=gated, norms=0, final_norms=0, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION
    ),
    "glm": Family(
        attention=separate, mlp=fused_gated, bias_of_qkv=_ATTENTION,
        defaults={"num_key_value_heads": 2, "head_dim": 128, "attention_bias": True},
    ),
    "cohere2": Family(
        attention=separate, mlp=gated, norms=1, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION,
        defaults=TIED,
    ),
    "seed_oss": Family(
        attention=separate, mlp=gated, bias_of_qkv=_ATTENTION, bias_of_output="attention_out_bias", bias_of_mlp=_MLP,
        defaults={"num_key_value_heads": 8, "head_dim": 128, "attention_bias": True},
    ),
    "mixtral": Family(
        attention=separate, mlp=mixture, expert_names=("w1", "w3", "w2"),
        defaults={"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    ),
    "qwen2_moe": Family(
        attention=separate, mlp=mixture, bias_of_qkv="qkv_bias", expert_names=("", "", ""),
        defaults=_QWEN_MIXTURE | {
            "num_key_value_heads": 16, "qkv_bias": True, "num_experts": 60, "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632,
        },
    ),
    "qwen3_moe": Family(
        attention=separate, mlp=mixture, query_norms="head", bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION,
        defaults=_QWEN_MIXTURE | {
            "num_key_value_heads": 4, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
        },
    ),
    "olmoe": Family(
        attention=separate, mlp=mixture, query_norms="all", bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION,
        defaults={"num_experts": 64, "num_experts_per_tok": 8},
    ),
    "gpt_oss": Family(
        attention=separate, mlp=mixture, bias_of_qkv=_ATTENTION, bias_of_output=_ATTENTION, sinks=True,
        expert_names=("", "", ""), refused=NO_SDPA,
        defaults={
            "num_key_value_heads": 8, "head_dim": 64, "attention_bias": True, "num_local_experts": 128,
            "num_experts_per_tok": 4,
        },
    ),
    "deepseek_v2": Family(
        attention=latent, mlp=mixture, query_norms="latent", bias_of_qkv=_ATTENTION, bias_of_mlp=_MLP,
        defaults=_LATENT | {
            "num_key_value_heads": 32, "n_routed_experts": 64, "moe_intermediate_size": 1407, "n_shared_experts": 2,
            "first_k_dense_replace": 0,
        },
    ),
    "deepseek_v3": Family(
        attention=latent, mlp=mixture, query_norms="latent", bias_of_qkv=_ATTENTION,
        defaults=_LATENT | {
            "num_key_value_heads": 128, "n_routed_experts": 256, "num_experts_per_tok": 8,
            "moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 3,
        },
    ),
}  # fmt: skip
"""Words as in transformers' modelling code; what a config leaves out counts as its class in transformers has it."""
