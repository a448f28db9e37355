"""Ask `accelerate estimate-memory` about the models of the published runs, without a network.

    .venv/bin/python -m tests.accuracy.ask_accelerate

writes its answers into `rivals.csv`. Its own code runs from the config to the table; only the question to the Hub,
whether the model exists and brings code of its own, is answered here. Configs are written from `models.csv`.
"""

import csv
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import accelerate
import transformers
from accelerate.commands import estimate

from pricing.workload import ModelShape, Quantisation
from tests.accuracy.points import GIB, Point, points
from tests.accuracy.rivals import ACCELERATE, Answer, record

CLASSES = {
    "phi-1.5": "PhiConfig", "stablelm-alpha-3b": "GPTNeoXConfig", "falcon-7b": "FalconConfig",
    "gemma-7b": "GemmaConfig", "gemma-2-9b": "Gemma2Config", "Phi-3-mini": "Phi3Config",
    "Qwen-1.8B": "Qwen2Config", "Qwen-7B": "Qwen2Config", "Qwen-14B": "Qwen2Config", "Qwen-72B": "Qwen2Config",
    "Qwen2.5-0.5B": "Qwen2Config", "Qwen2.5-7B": "Qwen2Config", "MiMo-7B": "Qwen2Config",
    "Apertus-8B": "ApertusConfig", "AFM-4.5B": "ArceeConfig", "Seed-OSS-36B": "SeedOssConfig",
    "Olmo3-7B": "Olmo3Config", "Mistral-7B-v0.1": "MistralConfig", "Mistral-7B-v0.2": "MistralConfig",
    "Mistral-7B (zephyr)": "MistralConfig", "Devstral-Small-24B": "MistralConfig", "Ministral-8B": "MistralConfig",
}  # fmt: skip
"""The class of each model's config; Llama's where none stands here. The first Qwen has Qwen2's matrices and biases."""
BRING_CODE = frozenset({"Qwen-1.8B", "Qwen-7B", "Qwen-14B", "Qwen-72B", "Baichuan2-13B", "Phi-3-mini", "MiMo-7B"})
"""Models whose config on the Hub names code of its own (`auto_map`): accelerate builds those with their head, and all
others without."""
DTYPES = {Quantisation.NONE: "float16", Quantisation.INT8: "int8"}
"""What a person asks for; 4 bits of any kind are int4."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What accelerate says of a model, in bytes by dtype, and whether the head is in it."""

    total_bytes: dict[str, float]
    with_head: bool


@cache
def sizes(shape: ModelShape) -> Sizes:
    """All that `accelerate estimate-memory` says of a model of that shape."""
    with_head = shape.name in BRING_CODE
    on_the_hub = SimpleNamespace(config={"auto_map": {"AutoModelForCausalLM": ""}} if with_head else {})
    with tempfile.TemporaryDirectory() as folder:
        config(shape).save_pretrained(folder)
        asked = Namespace(
            model_name=folder, library_name="transformers", trust_remote_code=False,
            dtypes=["float32", "float16", "int8", "int4"],
        )  # fmt: skip
        with mock.patch.object(estimate, "verify_on_hub", return_value=on_the_hub), redirect_stdout(StringIO()):
            rows = estimate.gather_data(asked)
    return Sizes(total_bytes={dtype: total for dtype, _, total, _ in rows}, with_head=with_head)


def config(shape: ModelShape) -> transformers.PretrainedConfig:
    """A config of the model's own class with the dimensions of `models.csv`."""
    name = CLASSES.get(shape.name, "LlamaConfig")
    values = {
        "hidden_size": shape.hidden, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocabulary, "tie_word_embeddings": shape.tied_embeddings,
    }  # fmt: skip
    if (width := head_dim(shape.name)) != shape.hidden // shape.heads:
        values["head_dim"] = width
    if name == "FalconConfig":
        values |= {"multi_query": True, "ffn_hidden_size": shape.intermediate, "bias": False}
    return getattr(transformers, name)(**values, pad_token_id=None)


def head_dim(model: str) -> int:
    """From `models.csv`: it is not always hidden size over heads."""
    with (Path(__file__).parent / "models.csv").open(encoding="utf-8", newline="") as file:
        return next(int(row["head_dim"]) for row in csv.DictReader(file) if row["model"] == model)


def gib(point: Point) -> float:
    """Its column "Total Size" for the width of the point's weights."""
    dtype = DTYPES.get(point.workload.quantisation, "int4")
    return sizes(point.workload.shape).total_bytes[dtype] / GIB


def answers() -> Iterator[tuple[str, Answer]]:
    """For all runs; it says nothing of time."""
    for point in points():
        yield point.id, Answer(version=accelerate.__version__, gib=gib(point), seconds=None)


if __name__ == "__main__":
    record(ACCELERATE, answers())
