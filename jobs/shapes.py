"""A decoder's dimensions and its matrices, from a config.json or the built-in table of common models."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.config_values import ConfigValues, WorkloadError
from jobs.families import Family, Heads, passed_width
from jobs.family_table import FAMILIES
from jobs.matrices import Kind, Matrix
from pricing.workload import ModelShape

__all__ = ["ALL_LINEAR", "Decoder", "WorkloadError", "from_config", "known"]

ALL_LINEAR = "all-linear"
"""peft's word for every linear layer but the head, and for a mixture's experts and router."""
FLOAT32 = "float32"
ENCODERS = frozenset({"bert", "roberta", "xlm-roberta", "deberta-v2", "modernbert", "electra", "distilbert"})
ENCODER_DECODERS = frozenset({"t5", "mt5", "umt5", "bart", "mbart", "pegasus", "whisper", "marian", "m2m_100"})
SEEING = ("vision_config", "audio_config", "image_token_index", "image_token_id")
"""Keys of configs whose model sees or hears too."""
QUANTISED_BY = "bitsandbytes"
"""The one method of a quantised checkpoint that our job can train on."""
A_DECODER = "choose a text-only decoder, such as mistralai/Mistral-7B-Instruct-v0.3"


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """What a config says: dimensions, all matrices, and the parameters that are in none of them.

    `intermediate`: the inner width that one token passes through in a layer; in a mixture, of its experts and the
    shared ones together. `positions`: the longest sequence that the model was made for; None where it is not said.
    """

    style: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool
    matrices: tuple[Matrix, ...]
    vectors: int
    positions: int | None = None
    bytes_per_parameter: int = 2
    refused: str = ""
    """Why our job cannot train it; empty: it can."""

    @property
    def parameters(self) -> int:
        """All of them, to the last norm and bias, as transformers holds them."""
        return self.embeddings + self.vectors + sum(one.weights + one.biases for one in self.matrices)

    @property
    def active_parameters(self) -> int:
        """Those that one token passes through: all but the experts that were not chosen."""
        return self.parameters - sum(one.idle for one in self.matrices)

    @property
    def linear_parameters(self) -> int:
        """Weights of linear layers other than the head: all that a quantised load makes smaller."""
        return sum(one.weights for one in self.matrices if one.kind is Kind.LINEAR)

    @property
    def embeddings(self) -> int:
        """The embedding, and the head where it is not tied."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    def targeted(self, targets: tuple[str, ...]) -> tuple[Matrix, ...]:
        """The matrices that peft adapts for these `target_modules`. Raises `WorkloadError`."""
        known = tuple(dict.fromkeys(name for one in self.matrices for name in one.targets))
        names = set(known) if targets == (ALL_LINEAR,) else set(targets)
        unknown = sorted(names - set(known))
        if unknown:
            raise WorkloadError(
                f"target_modules: this model has no matrix called {', '.join(unknown)}",
                hint=f"it has {', '.join(known)}; or {ALL_LINEAR}",
                code="settings",
            )
        hit = tuple(one for one in self.matrices if names & set(one.targets))
        for one in hit:
            missing = sorted(set(one.targets) - names)
            if missing:
                raise WorkloadError(
                    f"target_modules: {', '.join(missing)} must be named too: peft adapts the fused {one.name} as one",
                    hint=f"name all of {', '.join(one.targets)}, or none of them",
                    code="settings",
                )
        return hit

    def lora_parameters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Trainable parameters of adapters of `rank` on `targets` ("all-linear": on everything that peft can adapt)."""
        return sum(one.adapter(rank) for one in self.targeted(targets))

    def shape(self, name: str, source: str) -> ModelShape:
        """As the estimator wants it."""
        active = self.active_parameters
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
            active_parameters=None if active == self.parameters else active,
            positions=self.positions,
            linear_parameters=self.linear_parameters,
            gated=any("gate" in matrix.name for matrix in self.matrices),
        )


def from_config(raw: Mapping[str, object], where: str) -> Decoder:
    """What a parsed config.json says; raises `WorkloadError` for what is no causal language model, or lacks a size."""
    family = _family(raw, where)
    config = ConfigValues(raw=raw, where=where, defaults=family.defaults)
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    counted = Heads(
        queries=heads,
        keys=config.size("num_key_value_heads", default=heads) if family.grouped else heads,
        width=config.size("head_dim", default=max(hidden // heads, 1)),
    )
    dtype = str(raw.get("dtype") or raw.get("torch_dtype") or "")
    return Decoder(
        style=str(raw.get("model_type")),
        hidden=hidden,
        layers=config.size("num_hidden_layers"),
        heads=heads,
        kv_heads=counted.keys,
        head_dim=counted.width,
        intermediate=passed_width(family, config),
        vocabulary=config.size("vocab_size"),
        tied=config.flag("tie_word_embeddings"),
        matrices=family.matrices(config, counted),
        vectors=family.vectors(config, counted),
        positions=config.size("max_position_embeddings") if config.has("max_position_embeddings") else None,
        bytes_per_parameter=4 if dtype == FLOAT32 else 2,
        refused=family.refused,
    )


def _family(raw: Mapping[str, object], where: str) -> Family:
    """How this type is built; refuses what is no plain causal decoder, or comes quantised in another way than ours."""
    kind, named = str(raw.get("model_type", "")), raw.get("architectures")
    names = [str(one) for one in named] if isinstance(named, list) else []
    said = ", ".join(names) or kind or "no model_type"
    if raw.get("is_encoder_decoder") or kind in ENCODER_DECODERS:
        raise _no_decoder(f"{where} is not a causal language model: it is an encoder-decoder ({said})")
    if any(key in raw for key in SEEING):
        raise _no_decoder(f"{where} sees or hears as well ({said}), and this version tunes text-only models")
    if kind in ENCODERS or (names and not any(one.endswith("ForCausalLM") for one in names)):
        raise _no_decoder(f"{where} is not a causal language model ({said})")
    quantised = raw.get("quantization_config")
    method = str(quantised.get("quant_method", "")) if isinstance(quantised, Mapping) else ""
    if method and not method.startswith(QUANTISED_BY):
        raise _no_decoder(
            f"{where} is already quantised ({method}), and this job quantises by itself",
            hint="name the model in 16 bits that it was made from",
        )
    if kind not in FAMILIES:
        raise _no_decoder(
            f"{where} is of a type that cannot be counted yet ({said})",
            hint=f"counted are: {', '.join(FAMILIES)}",
        )
    return FAMILIES[kind]


def _no_decoder(message: str, hint: str = A_DECODER) -> WorkloadError:
    return WorkloadError(message, hint=hint, code="model-kind")


COLUMNS: Mapping[str, str] = {
    "hidden": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate": "intermediate_size",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
}
"""Columns of shapes.csv, and the keys of config.json that they stand for; `more` holds further keys."""


def known() -> dict[str, Decoder]:
    """The built-in table: hub id to dimensions, as their published configs have them."""
    return {name: from_config(config, name) for name, config in table().items()}


def table() -> dict[str, dict[str, object]]:
    """The built-in table as configs, by hub id."""
    text = Path(__file__).with_name("shapes.csv").read_text(encoding="utf-8")
    return {row["model"]: _config(row) for row in csv.DictReader(text.splitlines())}


def _config(row: dict[str, str]) -> dict[str, object]:
    """One row as a config.json; an empty cell is a key that is left out."""
    config: dict[str, object] = {key: int(row[column]) for column, key in COLUMNS.items() if row[column]}
    more = dict(one.split("=") for one in row["more"].split())
    return (
        config
        | {"model_type": row["type"], "tie_word_embeddings": row["tied"] == "yes"}
        | {key: None if value == "none" else int(value) for key, value in more.items()}
    )
