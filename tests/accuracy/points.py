"""Published runs as workloads: what each row of `measured.csv` says, and why some rows say too little."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pricing.gpus import Gpu, by_name
from pricing.workload import Attention, Method, ModelShape, Optimizer, Quantisation, Recipe, Workload

HERE = Path(__file__).parent
GIB, GB = 1024**3, 1e9
CARDS = {
    "A10G": "A10G", "L4": "L4", "A40": "A40", "RTX3090": "RTX3090", "RTX4080": "RTX4080", "RTX4090": "RTX4090",
    "A100-40-SXM": "A100-40", "A100-80": "A100-80", "A100-80-SXM": "A100-80", "H100": "H100-SXM",
    "H100-SXM": "H100-SXM", "RTX-A6000": "RTX-A6000",
}  # fmt: skip
QUANTISATIONS = {
    "none": Quantisation.NONE, "nf4": Quantisation.NF4, "nf4-dq": Quantisation.NF4_DOUBLE,
    "nf4(bnb)": Quantisation.NF4, "gptq-int4": Quantisation.INT4,
}  # fmt: skip
MLP = ("up", "gate", "down")
ROWS = 1000
"""Rows that stand for a data set: only ratios matter here."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What is known of a source's software and data, from its own pages, beside what `measured.csv` says row by row."""

    short: str
    optimizer: Optimizer = Optimizer.ADAMW
    double_quant: bool = False
    precise_embeddings: bool = False
    allocated: bool = False
    """It reports what torch had allocated, not what it reserved beside the context."""
    mean_tokens: int | None = None
    longest_tokens: int | None = None
    """Of its data, where the rows are padded and not cut: Alpaca's lengths after tokenisation."""


SOURCES = {
    "QwenLM/Qwen": Source(short="Qwen README"),
    "modelscope/ms-swift": Source(short="ms-swift"),
    "Lightning-AI/litgpt tutorials": Source(
        short="litgpt tables", allocated=True, mean_tokens=110, longest_tokens=1304
    ),
    "Lightning-AI/litgpt config_hub": Source(
        short="litgpt config hub", allocated=True, mean_tokens=120, longest_tokens=512
    ),
    "LLaMA-Factory": Source(short="LLaMA-Factory"),
    "AnswerDotAI": Source(short="fsdp_qlora"),
    "DaoyuanLi2816": Source(short="can-i-finetune", precise_embeddings=True, allocated=True),
    "philschmid/deep": Source(short="philschmid"),
    "philschmid blog": Source(short="philschmid 2023"),
    "axolotl": Source(short="axolotl", optimizer=Optimizer.ADAMW_8BIT, double_quant=True),
    "NVIDIA-NeMo": Source(short="NeMo Automodel"),
    "unslothai": Source(short="unsloth README"),
    "stsxxx": Source(short="IISWC 2024 artifact"),
    "hf.co/juliensimon": Source(short="model cards"),
    "hf.co/monsterapi": Source(short="model cards"),
}
ALIBI = ("Baichuan2-13B",)
"""Models with a position bias that the attention kernels of their day could not fuse: eager, whatever was asked."""
PADDING = {1: 1.0, 2: 1.28, 4: 1.56, 8: 1.85}
"""How much longer the longest of so many Alpaca rows is than one of them: a log-normal with sigma 0.5 (assumed)."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One published run. Memory in GiB; `micro_step_seconds` is one forward and backward of `tokens` (padded)."""

    id: str
    source: str
    model: str
    gpu_name: str
    gpu: Gpu | None
    fit_use: str
    workload: Workload
    tokens: float
    allocated: bool
    memory_gib: float | None
    micro_step_seconds: float | None
    is_hours: bool
    """The time comes from a whole run's hours, validation included."""
    memory_says: str
    time_says: str
    """"" where the row counts; else why it does not."""


@cache
def points() -> tuple[Point, ...]:
    """All rows of `measured.csv`, in its order."""
    return tuple(_point(row) for row in _csv("measured.csv"))


@cache
def derived_points() -> tuple[Point, ...]:
    """Runs whose tokens were worked out from an assumption: good for a card's factor, never for judging."""
    return tuple(_point(row) for row in _csv("derived.csv"))


def memory_points() -> tuple[Point, ...]:
    """Those that say how much memory a known configuration took."""
    return tuple(one for one in points() if not one.memory_says)


def mixture_points() -> tuple[Point, ...]:
    """Those of mixtures of experts, which no constant is fitted on."""
    return tuple(one for one in points() if one.fit_use == "moe")


def time_points() -> tuple[Point, ...]:
    """Those that say how long a known configuration took."""
    return tuple(one for one in points() if not one.time_says)


def _csv(name: str) -> Iterator[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _point(row: dict[str, str]) -> Point:
    source = next(one for key, one in SOURCES.items() if row["source"].startswith(key))
    card = CARDS.get(row["gpu"].split(" ")[0])
    seconds, is_hours = _micro_step_seconds(row, source)
    return Point(
        id=row["id"],
        source=source.short,
        model=row["model"],
        gpu_name=card or row["gpu"],
        gpu=None if card is None else by_name(card),
        fit_use=row["fit_use"],
        workload=_workload(row, source),
        tokens=_micro_batch(row) * _mean_tokens(row, source) * _padding(row, source),
        allocated=source.allocated,
        memory_gib=_memory_gib(row),
        micro_step_seconds=seconds,
        is_hours=is_hours,
        memory_says=_no_memory(row),
        time_says=_no_time(row, source, card),
    )


def _workload(row: dict[str, str], source: Source) -> Workload:
    shape, matrices = _shape(row["model"], _working(row))
    quantisation = QUANTISATIONS.get(row["quant"], Quantisation.NF4)
    if quantisation is Quantisation.NF4 and source.double_quant:
        quantisation = Quantisation.NF4_DOUBLE
    targets, rank = _targets(row["lora_targets"], tuple(matrices)), _number(row["lora_r"]) or 16
    longest = _longest_tokens(row, source)
    mean = min(_mean_tokens(row, source), longest)
    kernels = row["kernels"].lower()
    return Workload(
        shape=shape,
        method=Method.LORA if row["quant"] == "none" else Method.QLORA,
        lora_rank=rank,
        lora_parameters=shape.layers * rank * sum(sum(matrices[name]) for name in targets),
        examples=ROWS,
        tokens_per_epoch=mean * ROWS,
        longest_tokens=longest,
        epochs=1.0,
        max_length=longest,
        micro_batch=_micro_batch(row),
        accumulation=_number(row["grad_accum"]) or 1,
        evaluated_examples=0,
        evaluated_new_tokens=0,
        arms=2,
        download_gib=0.0,
        shipped_gib=0.0,
        result_gib=0.0,
        tokens_are="counted",
        recipe=Recipe(
            quantisation=quantisation,
            optimizer=source.optimizer,
            attention=Attention.EAGER if row["attn"] == "eager" or row["model"] in ALIBI else Attention.FUSED,
            checkpointing=row["grad_ckpt"] != "no",
            fused_loss=any(word in kernels for word in ("cross entropy", "unsloth", "liger")),
            fused_loss_is_sure=False,
            packed=mean == longest,
            steady_memory=source.allocated,  # holes are in what is reserved, not in what is allocated
            precise_embeddings=source.precise_embeddings,
        ),
    )


def _working(row: dict[str, str]) -> int:
    """How many experts a token passes through, where there are some."""
    return _number(row["notes"]) or 1 if row["fit_use"] == "moe" else 1


@cache
def _shape(model: str, working: int) -> tuple[ModelShape, dict[str, tuple[int, int]]]:
    row = next(one for one in _csv("models.csv") if one["model"] == model)
    sizes = ("hidden", "layers", "heads", "kv_heads", "head_dim", "intermediate", "vocabulary")
    hidden, layers, heads, kv_heads, head_dim, inner, vocabulary = (int(row[name]) for name in sizes)
    queries, keys = heads * head_dim, kv_heads * head_dim
    matrices = {"q": (hidden, queries), "k": (hidden, keys), "v": (hidden, keys), "o": (queries, hidden)}
    matrices |= {"up": (hidden, inner), "down": (inner, hidden)}
    if row["gated"] == "yes":
        matrices["gate"] = (hidden, inner)
    tied, experts = row["tied"] == "yes", int(row["experts"])
    other, linear = vocabulary * hidden * (1 if tied else 2), layers * _weights(matrices, experts)
    shape = ModelShape(
        name=model, parameters=other + linear, active_parameters=other + layers * _weights(matrices, working),
        linear_parameters=linear, hidden=hidden, layers=layers, heads=heads, kv_heads=kv_heads, intermediate=inner,
        vocabulary=vocabulary, tied_embeddings=tied, source=row["source"], gated=row["gated"] == "yes",
    )  # fmt: skip
    return shape, matrices


def _weights(matrices: dict[str, tuple[int, int]], experts: int) -> int:
    """Of one layer; each expert has an MLP of its own."""
    return sum(a * b * (experts if name in MLP else 1) for name, (a, b) in matrices.items())


def _targets(text: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if text.startswith("all-linear"):
        return names
    if text.startswith("q,k,v,o"):
        return ("q", "k", "v", "o")
    return ("q", "k", "v") if text.startswith(("qkv", "c_attn")) else ("q", "v")


def _micro_batch(row: dict[str, str]) -> int:
    return _number(row["micro_batch"]) or 1


def _mean_tokens(row: dict[str, str], source: Source) -> int:
    """Of a row before padding; where data are cut to a length that most rows reach, that length."""
    median = re.search(r"median (\d+)", row["seq_len"])
    if median:
        return int(median.group(1))
    if source.mean_tokens is not None:
        return source.mean_tokens
    longest = _longest_tokens(row, source)
    return longest - 1 if "truncated" in row["seq_len"] or "<=" in row["seq_len"] else longest


def _longest_tokens(row: dict[str, str], source: Source) -> int:
    if "median" in row["seq_len"]:
        return 2 * (_number(row["seq_len"].split("median")[1]) or 1)  # a guess that attention alone would notice
    return source.longest_tokens or _number(row["seq_len"]) or 512


def _padding(row: dict[str, str], source: Source) -> float:
    return PADDING[_micro_batch(row)] if source.mean_tokens is not None else 1.0


def _number(text: str) -> int | None:
    found = re.search(r"\d+", text)
    return int(found.group()) if found else None


def _memory_gib(row: dict[str, str]) -> float | None:
    if not row["peak_vram_gb"]:
        return None
    binary = "GiB" in row["vram_kind"] or "1024" in row["vram_kind"]
    return float(row["peak_vram_gb"]) * (1.0 if binary else GB / GIB)


def _no_memory(row: dict[str, str]) -> str:
    if not row["peak_vram_gb"]:
        return "no memory told"
    if "emb" in row["lora_targets"] or "emb" in row["method"]:
        return "embeddings are trained too"
    return "micro-batch not told" if "notebook" in row["micro_batch"] else ""


def _micro_step_seconds(row: dict[str, str], source: Source) -> tuple[float | None, bool]:
    if row["tokens_per_s"]:
        return _micro_batch(row) * _longest_tokens(row, source) / float(row["tokens_per_s"]), False
    return (float(row["s_per_step"]), True) if row["s_per_step"] else (None, False)


def _no_time(row: dict[str, str], source: Source, card: str | None) -> str:
    """Why a row does not count for time."""
    kernels = {"unsloth": "another program's kernels", "tuned-stack": "a hand-tuned stack", "moe": "mixture of experts"}
    if row["fit_use"] in kernels:
        return kernels[row["fit_use"]]
    if row["fit_use"] == "ratio":
        return "number of steps not told"
    if row["fit_use"] == "no":
        return "embeddings are trained too, or misconfigured"
    if not row["tokens_per_s"] and source.mean_tokens is None:
        return "tokens not told" if row["s_per_step"] or row["total_hours"] else "no time told"
    return "" if card and (row["tokens_per_s"] or row["s_per_step"]) else "no time told"
