"""Ask `ftuneai` about the published runs, in an environment of its own: it is no dependency of this project.

    python3.11 -m venv /tmp/ftune && /tmp/ftune/bin/pip install ftuneai==0.4.1 && \\
        /tmp/ftune/bin/python -m tests.accuracy.ask_ftune

writes its answers into `rivals.csv`. It is asked through its public `Estimator`, with everything that it can be told:
method, bits, rank, targets, batch, sequence, checkpointing, flash attention, optimizer, card, tokens of a row.

A model that its database lacks it reads from the Hub's config.json and counts by a formula of its own (the head left
out; the first Qwen, whose config gives both halves of an MLP matrix together, as half as big again). That is its answer
as a person gets it; here the config comes from `models.csv` instead of the Hub. Beside it stands what it says when told
the true dimensions and parameters, which its interface has no way to do, because that is fairer to its formulas.
"""

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from math import log
from unittest import mock

from ftuneai import Estimator, hub, loader  # type: ignore[import-not-found]  # it has an environment of its own
from ftuneai.core.models import ModelSpec  # type: ignore[import-not-found]  # as above

from pricing.workload import Attention, Method, ModelShape, Optimizer, Workload
from tests.accuracy.points import Point, points
from tests.accuracy.rivals import FTUNE, FTUNE_TOLD, Answer, record

ITS_MODELS = {
    "Llama-3.1-8B": "meta-llama/Llama-3.1-8B", "gemma-2-9b": "google/gemma-2-9b", "Qwen2.5-7B": "Qwen/Qwen2.5-7B",
    "Phi-3-mini": "microsoft/phi-3-mini-4k-instruct", "falcon-7b": "tiiuae/falcon-7b",
    "Mixtral-8x7B": "mistralai/Mixtral-8x7B-v0.1",
}  # fmt: skip
ITS_CARDS = {
    "A10G": "A10G-24GB", "L4": "L4-24GB", "RTX3090": "RTX-3090-24GB", "RTX4080": "RTX-4080-16GB",
    "RTX4090": "RTX-4090-24GB", "A100-40": "A100-40GB", "A100-80": "A100-80GB", "H100-SXM": "H100-80GB",
}  # fmt: skip
"""It knows neither an A40 nor an A6000."""
TARGETS = ("attention", "attention_all", "all_linear")
VERSION = version("ftuneai")
"""Of the package; what it says of itself (`__version__`) is 0.2.0."""
POSITIONS = 1 << 17
"""It refuses a sequence beyond a model's positions; some runs went beyond."""
MICRO_STEPS = 100_000
"""Its hours are rounded to two digits: so many micro-steps make that nothing."""


def estimator(workload: Workload, target: str, *, told: bool) -> Estimator:
    """Its question, as a user would put it; `told`: with the true size of the model."""
    recipe, quantised = workload.recipe, workload.method is Method.QLORA
    return Estimator(
        model=_model(workload.shape, told=told),
        method="qlora" if quantised else "lora",
        quantization="4bit" if quantised else "none",
        batch_size=workload.micro_batch,
        seq_length=workload.longest_tokens,
        gradient_checkpointing=recipe.checkpointing,
        optimizer="adamw" if recipe.optimizer is Optimizer.ADAMW else "adam_8bit",
        lora_rank=workload.lora_rank,
        lora_target=target,
        flash_attention=recipe.attention is Attention.FUSED,
    )


def answer(point: Point, *, told: bool) -> Answer:
    """Peak memory in GiB (it divides by 1024 cubed) and seconds of a micro-step."""
    questions = (estimator(point.workload, target, told=told) for target in TARGETS)
    asked = min(questions, key=partial(_distance, point=point))
    card = ITS_CARDS.get(point.gpu_name)
    seconds = None
    if card is not None:
        rows = MICRO_STEPS * point.workload.micro_batch
        tokens_per_row = round(point.tokens / point.workload.micro_batch)
        hours = asked.estimate_time(gpu=card, dataset_size=rows, epochs=1, avg_seq_length=tokens_per_row).total_hours
        seconds = hours * 3600 / MICRO_STEPS
    return Answer(version=VERSION, gib=asked.estimate_memory().total_gb, seconds=seconds)


def answers(*, told: bool) -> Iterator[tuple[str, Answer]]:
    """For all runs."""
    for point in points():
        yield point.id, answer(point, told=told)


def _distance(asked: Estimator, point: Point) -> float:
    """How far the adapters that it counts lie from the true ones: it knows three sets of targets."""
    return abs(log(asked.estimate_memory().trainable_params / point.workload.lora_parameters))


def _model(shape: ModelShape, *, told: bool) -> str:
    """The name by which it knows the model from now on."""
    if shape.name in ITS_MODELS:
        return ITS_MODELS[shape.name]
    name = f"{'told' if told else 'hub'}/{shape.name}"
    if name not in loader.load_models():
        loader.load_models()[name] = _true_spec(shape, name) if told else _its_spec(shape, name)
    return name


def _true_spec(shape: ModelShape, name: str) -> ModelSpec:
    return ModelSpec(
        name=name, parameters=shape.parameters, hidden_size=shape.hidden, num_layers=shape.layers,
        num_attention_heads=shape.heads, num_kv_heads=shape.kv_heads, intermediate_size=shape.intermediate,
        vocab_size=shape.vocabulary, max_seq_length=POSITIONS,
    )  # fmt: skip


def _its_spec(shape: ModelShape, name: str) -> ModelSpec:
    config = {
        "hidden_size": shape.hidden, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "vocab_size": shape.vocabulary, "max_position_embeddings": POSITIONS,
        "intermediate_size": shape.intermediate * (2 if "halved" in shape.source else 1),
        "hidden_act": "silu" if shape.gated else "gelu", "torch_dtype": "bfloat16",
    }  # fmt: skip
    with mock.patch.object(hub, "fetch_model_config", return_value=config):
        return hub.resolve_model_from_hub(name)


if __name__ == "__main__":
    record(FTUNE, answers(told=False))
    record(FTUNE_TOLD, answers(told=True))
