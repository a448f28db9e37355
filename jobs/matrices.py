"""One kind of matrix of a decoder: its size, how often it occurs, whether it is quantised, and what adapts it."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a matrix is to bitsandbytes and peft."""

    LINEAR = "linear"
    """A linear layer: quantised in a quantised load, adapted under its own name."""
    EXPERTS = "experts"
    """A share of the tensor that holds all experts of a layer; stays in 16 bits, since it is no linear layer."""
    ROUTER = "router"
    """Chooses the experts; stays in 16 bits as well."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One kind of matrix: `inputs` x `outputs`, with a bias of `outputs` where `is_biased`.

    `copies`: how many the whole model has, over layers and experts. `active`: through how many of them one token
    passes. `targets`: the names in `target_modules` that put an adapter on it, all of which must be said; where two
    are fused in one tensor (gate and up of an expert) peft gives it twice the rank.
    """

    name: str
    inputs: int
    outputs: int
    copies: int
    active: int
    targets: tuple[str, ...]
    is_biased: bool = False
    kind: Kind = Kind.LINEAR

    @property
    def weights(self) -> int:
        """Of all copies, without biases."""
        return self.copies * self.inputs * self.outputs

    @property
    def biases(self) -> int:
        """Of all copies."""
        return self.copies * self.outputs if self.is_biased else 0

    @property
    def idle(self) -> int:
        """Parameters that one token does not pass through."""
        return (self.copies - self.active) * (self.inputs * self.outputs + self.outputs * self.is_biased)

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA adapter of `rank` on every copy: two thin matrices each."""
        return self.copies * rank * len(self.targets) * (self.inputs + self.outputs)


def linear(name: str, size: tuple[int, int], copies: int, *, biased: bool = False, adaptable: bool = True) -> Matrix:
    """A linear layer, which every token passes in each of its copies."""
    inputs, outputs = size
    targets = (name,) if adaptable else ()
    return Matrix(
        name=name, inputs=inputs, outputs=outputs, copies=copies, active=copies, targets=targets, is_biased=biased
    )
