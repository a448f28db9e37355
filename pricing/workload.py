"""What a fine-tuning run asks of a machine: what the estimator needs, and nothing else."""

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How the model is tuned: `qlora` holds the base in 4-bit NF4, `lora` in 16 bits."""

    QLORA = "qlora"
    LORA = "lora"


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A decoder's dimensions, from its config; `source` says where they were read (a fallback says so)."""

    name: str
    parameters: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied_embeddings: bool
    source: str

    @property
    def embedding_parameters(self) -> int:
        """Parameters that are never quantised: the embedding, and the head where it is not tied."""
        return self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One run: model, method, data, steps, evaluation. Tokens are counted after the chat template."""

    shape: ModelShape
    method: Method
    lora_rank: int
    lora_parameters: int
    examples: int
    tokens_per_epoch: int
    longest_tokens: int
    epochs: float
    max_length: int
    micro_batch: int
    accumulation: int
    evaluated_examples: int
    evaluated_new_tokens: int
    arms: int
    download_gib: float
    shipped_gib: float
    result_gib: float
    tokens_are: str
    """How tokens were counted: "counted", or "guessed from characters" (wider interval)."""

    @property
    def training_tokens(self) -> int:
        """Tokens that pass through training, over all epochs."""
        return round(self.tokens_per_epoch * self.epochs)

    @property
    def steps(self) -> int:
        """Optimiser steps: examples over the effective batch, rounded up an epoch, at least one."""
        per_epoch = -(-self.examples // (self.micro_batch * self.accumulation))
        return max(1, round(per_epoch * self.epochs))
