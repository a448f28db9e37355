"""What a fine-tuning run asks of a machine: what the estimator needs, and nothing else."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

HAIR = 1e-6
"""What floating point adds to a whole number of steps that was divided and multiplied again."""


class Method(StrEnum):
    """How the model is tuned: `qlora` holds the base in 4-bit NF4, `lora` in 16 bits."""

    QLORA = "qlora"
    LORA = "lora"


class Quantisation(StrEnum):
    """How the frozen linear matrices lie in memory; embeddings, head and norms are never quantised."""

    NF4_DOUBLE = "nf4-double"
    """4 bits, the scales quantised once more: what our job does for QLoRA."""
    NF4 = "nf4"
    INT4 = "int4"
    """4-bit integers in groups (GPTQ)."""
    INT8 = "int8"
    NONE = "none"
    """16 bits."""


class Optimizer(StrEnum):
    """Where the moments of the trainable parameters lie, and how wide they are."""

    ADAMW = "adamw"
    ADAMW_8BIT = "adamw-8bit"
    PAGED_ADAMW_8BIT = "paged-adamw-8bit"
    """What our job does on CUDA."""


class Attention(StrEnum):
    """Whether the matrix of sequence x sequence scores exists in memory."""

    FUSED = "fused"
    """Flash attention, or torch's SDPA: it does not."""
    EAGER = "eager"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the training program works, as far as memory and speed depend on it; the defaults are what our job does."""

    quantisation: Quantisation = Quantisation.NF4_DOUBLE
    """Of a QLoRA run; a LoRA run has none."""
    optimizer: Optimizer = Optimizer.PAGED_ADAMW_8BIT
    attention: Attention = Attention.FUSED
    checkpointing: bool = True
    """Activations are made again in the backward pass instead of kept."""
    fused_loss: bool = True
    """The logits of a row never exist all at once."""
    fused_loss_is_sure: bool = True
    """It was read in the program's own source (our job's is: TRL patches every model); else somebody only says so."""
    packed: bool = False
    """Rows are joined to full sequences instead of padded."""
    steady_memory: bool = True
    """The allocator's segments can grow (`expandable_segments`), so that rows of many lengths leave no holes."""
    precise_embeddings: bool = False
    """Embedding, head and norms are held in 32 bits, as peft's `prepare_model_for_kbit_training` does."""
    dora: bool = False
    """The adapter's magnitude is learned apart from its direction."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A decoder's dimensions, from its config; `source` says where they were read (a fallback says so).

    `parameters` are all that lie in memory; `active_parameters` those that a token passes through, which are fewer in
    a mixture of experts (None: all). `positions`: the longest sequence that the model was made for, where it says so.
    """

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
    gated: bool = True
    """The MLP has three matrices (gate, up, down) instead of two."""
    active_parameters: int | None = None
    positions: int | None = None
    linear_parameters: int | None = None
    """Those in linear layers other than the head, which are all that a quantised load makes smaller. Beside embedding,
    head and norms it leaves out a mixture's experts, which are no linear layers in transformers 5. None: all but
    embedding and head."""

    @property
    def active(self) -> int:
        """Parameters that one token passes through."""
        return self.parameters if self.active_parameters is None else self.active_parameters

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding, and of the head where it is not tied: never quantised."""
        return self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)

    @property
    def quantisable(self) -> int:
        """Parameters that a quantised load makes smaller; all others stay in 16 bits."""
        if self.linear_parameters is not None:
            return self.linear_parameters
        return max(self.parameters - self.embedding_parameters, 0)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Questions that the evaluation puts to the model in one go: how many, tokens of each with its answer, new tokens.

    `arm` is the one that they are asked for: "base" or "tuned" (adjacent tasks with it), or "prompted", with what is
    tried to choose the prompt. Base and prompted are one load of the model.
    """

    arm: str
    rows: int
    row_tokens: float
    new_tokens: int


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
    """How tokens were counted: "counted", "counted on a sample of 1,809 rows", or "guessed from characters (why)"."""
    token_spread: float = 1.0
    """The factor up and down within which the true number of tokens lies in about 80 % of cases; 1: it was counted."""
    recipe: Recipe = Recipe()
    padded_tokens_per_epoch: int | None = None
    """With what rows are filled up to the longest of their batch, for batches drawn at random; None: nobody counted."""
    repeated_examples: int = 0
    """Conversations of the data that stood there before, and are left out."""
    save_steps: int = 50
    """A checkpoint is written after so many optimiser steps."""
    packed_examples: int | None = None
    """Full sequences that the examples are packed into; None: each example is a row of its own."""
    asked: tuple[Asked, ...] = ()
    """All that the evaluation asks; (): each of `arms` is asked the test rows, in a load of its own."""
    validation_tokens: int = 0
    """Of the rows that training looks at each `validation_steps`, and at its end."""
    validation_steps: int = 0
    merged_gib: float = 0.0
    """The merged model, where one is asked for: it is written, hashed, and brought home."""

    @property
    def quantisation(self) -> Quantisation:
        """Of the frozen weights."""
        return self.recipe.quantisation if self.method is Method.QLORA else Quantisation.NONE

    @property
    def rows(self) -> int:
        """Rows of an epoch as they are trained: the examples, or the sequences that they are packed into."""
        return self.examples if self.packed_examples is None else self.packed_examples

    @property
    def looks(self) -> int:
        """How often training looks at the validation rows."""
        if not self.validation_tokens or not self.validation_steps:
            return 0
        return max(1, -(-self.steps // self.validation_steps))

    @property
    def evaluation(self) -> tuple[Asked, ...]:
        """All that is asked, arm by arm."""
        if self.asked or not self.evaluated_examples:
            return self.asked
        row_tokens = self.tokens_per_epoch / max(self.examples, 1)
        rows, new_tokens = self.evaluated_examples, self.evaluated_new_tokens
        names = ("base", "tuned", "prompted", *(f"arm {number}" for number in range(4, self.arms + 1)))
        return tuple(
            Asked(arm=name, rows=rows, row_tokens=row_tokens, new_tokens=new_tokens) for name in names[: self.arms]
        )

    @property
    def loads(self) -> int:
        """How often the evaluation loads the model."""
        return len({one.arm for one in self.asked} - {"prompted"}) if self.asked else self.arms

    @property
    def training_tokens(self) -> int:
        """Tokens that pass through training, over all epochs."""
        return round(self.tokens_per_epoch * self.epochs)

    @property
    def steps(self) -> int:
        """Optimiser steps: examples over the batch, rounded up an epoch and up at the end, as transformers."""
        per_epoch = -(-self.rows // (self.micro_batch * self.accumulation))
        return max(1, ceil(per_epoch * self.epochs - HAIR))
