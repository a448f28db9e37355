"""A decoder's dimensions and its matrices, from a config.json or the built-in table of common models."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pricing.workload import ModelShape

STYLES = {"qwen2": "qwen2", "qwen3": "qwen3", "gemma2": "gemma2", "phi": "phi", "phi3": "phi3"}
"""config.json's `model_type` to how layers are built; every other type is counted as Llama's and Mistral's."""
FLOAT32 = "float32"


class WorkloadError(Exception):
    """The job cannot be measured: what is wrong, and in `hint` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """What a config says: dimensions, and the style that decides which matrices a layer has."""

    style: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    bytes_per_parameter: int = 2

    def __post_init__(self) -> None:
        sizes = (self.hidden, self.layers, self.heads, self.kv_heads, self.head_dim, self.intermediate, self.vocabulary)
        if min(sizes) < 1:
            raise WorkloadError(f"config.json holds a size below 1: {sizes}")

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """The linear matrices of one layer, by the name that `target_modules` uses: (inputs, outputs)."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        hidden, inner = self.hidden, self.intermediate
        if self.style == "phi3":
            attention = {"qkv_proj": (hidden, queries + 2 * keys), "o_proj": (queries, hidden)}
            return attention | {"gate_up_proj": (hidden, 2 * inner), "down_proj": (inner, hidden)}
        attention = {"q_proj": (hidden, queries), "k_proj": (hidden, keys), "v_proj": (hidden, keys)}
        if self.style == "phi":
            return attention | {"dense": (queries, hidden), "fc1": (hidden, inner), "fc2": (inner, hidden)}
        gated = {"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)}
        return attention | {"o_proj": (queries, hidden)} | gated

    @property
    def parameters(self) -> int:
        """All of them, to the last norm and bias."""
        layer = sum(inputs * outputs for inputs, outputs in self.matrices.values()) + self._small_in_layer()
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * layer + embeddings + self._small_at_end()

    def lora_parameters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Trainable parameters of adapters of `rank` on `targets` ("all-linear": on every matrix of the layers)."""
        matrices = self.matrices
        names = tuple(matrices) if targets == ("all-linear",) else targets
        unknown = sorted(set(names) - set(matrices))
        if unknown:
            raise WorkloadError(
                f"target_modules: this model has no matrix called {', '.join(unknown)}",
                hint=f"it has {', '.join(matrices)}; or all-linear",
            )
        return self.layers * sum(rank * sum(matrices[name]) for name in names)

    def shape(self, name: str, source: str) -> ModelShape:
        """As the estimator wants it."""
        return ModelShape(
            name=name,
            parameters=self.parameters,
            hidden=self.hidden,
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            intermediate=self.intermediate,
            vocabulary=self.vocabulary,
            tied_embeddings=self.tied,
            source=source,
        )

    def _small_in_layer(self) -> int:
        """Norms and biases of one layer."""
        outputs = {name: size[1] for name, size in self.matrices.items()}
        return {
            "qwen2": 2 * self.hidden + sum(outputs[name] for name in ("q_proj", "k_proj", "v_proj") if name in outputs),
            "qwen3": 2 * self.hidden + 2 * self.head_dim,
            "gemma2": 4 * self.hidden,
            "phi": 2 * self.hidden + sum(outputs.values()),
        }.get(self.style, 2 * self.hidden)

    def _small_at_end(self) -> int:
        """The last norm; Phi-2's has a bias, and so has its head."""
        return 2 * self.hidden + self.vocabulary if self.style == "phi" else self.hidden


def from_config(config: Mapping[str, object], where: str) -> Decoder:
    """What a parsed config.json says; raises `WorkloadError` for what is no causal language model, or lacks a size."""
    _check_causal(config, where)
    hidden, heads = _size(config, "hidden_size", where), _size(config, "num_attention_heads", where)
    model_type = str(config.get("model_type", ""))
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "")
    return Decoder(
        style=STYLES.get(model_type, "llama"),
        hidden=hidden,
        layers=_size(config, "num_hidden_layers", where),
        heads=heads,
        kv_heads=_size(config, "num_key_value_heads", where, default=heads),
        head_dim=_size(config, "head_dim", where, default=max(hidden // max(heads, 1), 1)),
        intermediate=_size(config, "intermediate_size", where),
        vocabulary=_size(config, "vocab_size", where),
        tied=bool(config.get("tie_word_embeddings", model_type.startswith("gemma"))),
        bytes_per_parameter=4 if dtype == FLOAT32 else 2,
    )


def known() -> dict[str, Decoder]:
    """The built-in table: hub id to dimensions, as their published configs have them."""
    text = Path(__file__).with_name("shapes.csv").read_text(encoding="utf-8")
    return {row["model"]: _from_row(row) for row in csv.DictReader(text.splitlines())}


def _from_row(row: dict[str, str]) -> Decoder:
    return Decoder(
        style=row["style"],
        hidden=int(row["hidden"]),
        layers=int(row["layers"]),
        heads=int(row["heads"]),
        kv_heads=int(row["kv_heads"]),
        head_dim=int(row["head_dim"]),
        intermediate=int(row["intermediate"]),
        vocabulary=int(row["vocabulary"]),
        tied=row["tied"] == "yes",
    )


def _check_causal(config: Mapping[str, object], where: str) -> None:
    named = config.get("architectures")
    names = [str(one) for one in named] if isinstance(named, list) else []
    hint = "choose a text-only decoder, such as mistralai/Mistral-7B-Instruct-v0.3"
    if config.get("is_encoder_decoder") or (names and not any(one.endswith("ForCausalLM") for one in names)):
        kind = ", ".join(names) or "an encoder-decoder"
        raise WorkloadError(f"{where} is not a causal language model ({kind})", hint=hint)
    if any(key in config for key in ("num_local_experts", "num_experts", "n_routed_experts")):
        raise WorkloadError(f"{where} is a mixture of experts, which cannot be measured yet", hint=hint)


def _size(config: Mapping[str, object], key: str, where: str, *, default: int | None = None) -> int:
    value = config.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise WorkloadError(
            f"{where}: config.json has no usable {key} (found {value!r})",
            hint="a decoder's config.json in the layout of transformers is needed",
        )
    return value
