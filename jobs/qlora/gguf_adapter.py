"""The adapter as a GGUF file that llama.cpp lays over a GGUF of the same base, of any quantisation.

Facts (llama.cpp, convert_lora_to_gguf.py and the converters it calls, 2026-11): an adapter file has `general.type`
"adapter", `adapter.type` "lora" and `adapter.lora.alpha`; each pair is named after the weight it belongs to, with
`.lora_a` (rank x in) and `.lora_b` (out x rank) behind; what is added is B A x alpha / rank. For the "llama"
architecture llama.cpp rotates neighbours where transformers rotates halves, so the rows of q and k stand in another
order.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2"}
"""llama.cpp's name of the architecture by transformers' model type."""
ROTATES_NEIGHBOURS = frozenset({"llama"})
PAIR = re.compile(r"base_model\.model\.(?P<of>.+)\.lora_(?P<which>[AB])\.weight")


class NoGgufError(Exception):
    """This adapter has no form in GGUF; the text says why."""


def write_gguf(adapter: Path, config: dict[str, Any], file: Path, *, name: str) -> None:
    """Write the adapter of this folder over a base of this config (config.json); raises `NoGgufError`."""
    from gguf import GGUFType, GGUFWriter, Keys  # late: only who asks for it needs it
    from safetensors.numpy import load_file

    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    architecture = architecture_of(config, settings)
    tensors = gguf_tensors(load_file(adapter / "adapter_model.safetensors"), config, architecture)
    writer = GGUFWriter(file, architecture)
    writer.add_type(GGUFType.ADAPTER)
    writer.add_name(name)
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, alpha_of(settings))
    for of, tensor in tensors.items():
        writer.add_tensor(of, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def architecture_of(config: dict[str, Any], settings: dict[str, Any]) -> str:
    """llama.cpp's name of the architecture; raises `NoGgufError` where there is no faithful form."""
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise NoGgufError(f"models of the type {kind!r} are not written as GGUF here ({', '.join(ARCHITECTURES)} are)")
    if settings.get("use_dora"):
        raise NoGgufError("a DoRA adapter scales whole weights, which GGUF has no words for: export.merged has it")
    return ARCHITECTURES[kind]


def alpha_of(settings: dict[str, Any]) -> float:
    """llama.cpp divides by the rank; an rsLoRA adapter was trained with its square root, so alpha takes up the rest."""
    alpha, rank = float(settings["lora_alpha"]), int(settings["r"])
    return alpha * math.sqrt(rank) if settings.get("use_rslora") else alpha


def gguf_tensors(weights: dict[str, Any], config: dict[str, Any], architecture: str) -> dict[str, Any]:
    """Pairs by llama.cpp's names, in float32, rows in its order."""
    import numpy as np  # late, as above

    found: dict[str, Any] = {}
    names = tensor_names(config, architecture)
    for key, tensor in sorted(weights.items()):
        pair = PAIR.fullmatch(key)
        name = names.get_name(pair["of"], try_suffixes=()) if pair else None
        if pair is None or name is None:
            raise NoGgufError(f"{key} has no name in GGUF")
        value = np.ascontiguousarray(tensor, dtype=np.float32)
        if pair["which"] == "B" and architecture in ROTATES_NEIGHBOURS:
            value = rotary_order(value, pair["of"], config)
        found[f"{name}.weight.lora_{pair['which'].lower()}"] = value
    return found


def tensor_names(config: dict[str, Any], architecture: str) -> Any:
    """The gguf package's own table of names."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map  # late, as above

    arch = next(one for one in MODEL_ARCH if MODEL_ARCH_NAMES[one] == architecture)
    return get_tensor_name_map(arch, int(config["num_hidden_layers"]))


def rotary_order(rows: Any, of: str, config: dict[str, Any]) -> Any:
    """Rows of a q or k projection with the two halves of each head interleaved; others as they are."""
    import numpy as np  # late, as above

    heads = int(config["num_attention_heads"])
    if of.endswith(".k_proj"):
        heads = int(config.get("num_key_value_heads") or heads)
    elif not of.endswith(".q_proj"):
        return rows
    order = np.arange(len(rows)).reshape(heads, 2, -1).transpose(0, 2, 1).ravel()
    return np.ascontiguousarray(rows[order])
