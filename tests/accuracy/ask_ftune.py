"""Ask `ftuneai` about the published runs, in an environment of its own: it is no dependency of this project.

    python3.11 -m venv /tmp/ftune && /tmp/ftune/bin/pip install ftuneai==0.4.1 && \\
        /tmp/ftune/bin/python -m tests.accuracy.ask_ftune

writes its answers into `rivals.csv`. It is asked through its public `Estimator`, with everything that it can be told:
method, bits, rank, targets, batch, sequence, checkpointing, flash attention, optimizer, card, tokens of a row. A model
that its database lacks is given to it with true dimensions and the true number of parameters, which is better than what
it would make of the Hub's config.
"""

from collections.abc import Iterator
from math import log

import ftuneai  # type: ignore[import-not-found]  # it has an environment of its own
from ftuneai import Estimator, loader
from ftuneai.core.models import ModelSpec  # type: ignore[import-not-found]  # as above

from pricing.workload import Attention, Method, ModelShape, Optimizer, Workload
from tests.accuracy.points import Point, points
from tests.accuracy.rivals import FTUNE, Answer, record

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
MICRO_STEPS = 100_000
"""Its hours are rounded to two digits: so many micro-steps make that nothing."""


def estimator(workload: Workload, target: str) -> Estimator:
    """Its question, as a user would put it."""
    recipe, quantised = workload.recipe, workload.method is Method.QLORA
    return Estimator(
        model=_model(workload.shape),
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


def answer(point: Point) -> Answer:
    """Peak memory in GiB (it divides by 1024 cubed) and seconds of a micro-step."""
    asked = min((estimator(point.workload, target) for target in TARGETS), key=lambda one: _distance(one, point))
    card = ITS_CARDS.get(point.gpu_name)
    seconds = None
    if card is not None:
        rows = MICRO_STEPS * point.workload.micro_batch
        tokens_per_row = round(point.tokens / point.workload.micro_batch)
        hours = asked.estimate_time(gpu=card, dataset_size=rows, epochs=1, avg_seq_length=tokens_per_row).total_hours
        seconds = hours * 3600 / MICRO_STEPS
    return Answer(version=ftuneai.__version__, gib=asked.estimate_memory().total_gb, seconds=seconds)


def answers() -> Iterator[tuple[str, Answer]]:
    """For all runs that tell their memory or their time."""
    for point in points():
        if point.memory_gib is not None or point.micro_step_seconds is not None:
            yield point.id, answer(point)


def _distance(asked: Estimator, point: Point) -> float:
    """How far the adapters that it counts lie from the true ones: it knows three sets of targets."""
    return abs(log(asked.estimate_memory().trainable_params / point.workload.lora_parameters))


def _model(shape: ModelShape) -> str:
    name = ITS_MODELS.get(shape.name, shape.name)
    loader.load_models().setdefault(
        name,
        ModelSpec(
            name=name, parameters=shape.parameters, hidden_size=shape.hidden, num_layers=shape.layers,
            num_attention_heads=shape.heads, num_kv_heads=shape.kv_heads, intermediate_size=shape.intermediate,
            vocab_size=shape.vocabulary, max_seq_length=1 << 17,
        ),
    )  # fmt: skip
    return str(name)


if __name__ == "__main__":
    record(FTUNE, answers())
