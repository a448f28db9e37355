"""The `evaluate` and `gate` blocks of `launch.yaml`: what is measured, against whom, and what must be reached."""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.spec_parts import Count, LongText, Name, Part, Text, Usd, Variable

Metric = Literal["exact", "json_fields", "classification", "rouge_l", "loss"]
GATED = ("exact", "partial", "json_valid", "field_f1", "accuracy", "macro_f1", "rouge_l", "loss")
"""Figures that a gate can set a bar for."""
_ENDPOINT = re.compile(r"https?://[\w.-]+(:\d+)?(/[\w./-]*)?", re.ASCII)


class Prompted(Part):
    """The untuned model with a written prompt and examples: what tuning has to beat.

    Each system text is tried with and without `shots` examples of *train*; which of them is used, validation decides.
    """

    system: Text | Annotated[list[Text], Field(min_length=1, max_length=8)]
    shots: Annotated[int, Field(ge=0, le=64)] = 0

    @property
    def files(self) -> list[str]:
        """The system texts' files."""
        return [self.system] if isinstance(self.system, str) else list(self.system)


class Adjacent(Part):
    """A task that the model was not tuned for, and by how much it may get worse there.

    `data`: rows as for training; or `harness`: a task of lm-evaluation-harness (its metric by its own name).
    """

    name: Name
    data: Text | None = None
    harness: Text | None = None
    limit: Count | None = None
    metric: Text = "exact"
    allow_drop: Annotated[float, Field(ge=0, lt=1)] = 0.02

    @model_validator(mode="after")
    def _one_source(self) -> "Adjacent":
        if (self.data is None) == (self.harness is None):
            raise ValueError("name `data` (a file of rows) or `harness` (a task of lm-evaluation-harness)")
        if self.data is not None and self.metric not in ("exact", "field_f1", "accuracy", "rouge_l", "loss"):
            raise ValueError("`metric` is one of exact, field_f1, accuracy, rouge_l, loss")
        return self


class Endpoint(Part):
    """A model behind an OpenAI-compatible endpoint, asked from this computer; its key never leaves it."""

    endpoint: Text
    model: Text
    key: Variable | None = None
    """The environment variable that holds the key."""
    input_usd_per_million: Usd = Decimal(0)
    output_usd_per_million: Usd = Decimal(0)
    cap_usd: Usd = Decimal(1)
    """The most that its calls may cost in one run, besides the run's budget."""

    @model_validator(mode="after")
    def _is_a_url(self) -> "Endpoint":
        if not _ENDPOINT.fullmatch(self.endpoint):
            raise ValueError("`endpoint` is a URL, as https://host/v1")
        return self


class Judge(Endpoint):
    """Who compares two answers to the same question, in both orders, by a written rubric."""

    rubric: LongText = "Which answer does better what the request asks for: right, complete, nothing invented?"
    items: Count = 100
    """At most so many test rows, the same for every pair of arms."""


class Larger(Endpoint):
    """A larger general model as a fourth arm."""

    system: Text | None = None
    """The file of its system text; None: the one that the prompted arm was given, if any."""


class Evaluate(Part):
    """What is measured on the test rows, before and after."""

    metrics: Annotated[list[Metric], Field(min_length=1)] = Field(default=["exact", "json_fields"])
    max_new_tokens: Count | None = None
    prompted: Prompted | None = None
    adjacent: list[Adjacent] = Field(default=[])
    judge: Judge | None = None
    larger: Larger | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> "Evaluate":
        names = [one.name.casefold() for one in self.adjacent]
        if len(set(names)) != len(names):
            raise ValueError("two adjacent tasks have the same name")
        return self


class Rule(Part):
    """What a metric of the tuned model must reach for the run to count as a success."""

    at_least: float | None = None
    at_most: float | None = None
    better_than: Literal["base", "prompted", "larger"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Rule":
        if self.at_least is None and self.at_most is None and self.better_than is None:
            raise ValueError("a gate says `at_least`, `at_most` or `better_than`")
        return self


class Gate(Part):
    """What makes a run fail although it came to its end. With any rule, an adjacent task that got worse counts too."""

    exact: Rule | None = None
    partial: Rule | None = None
    json_valid: Rule | None = None
    field_f1: Rule | None = None
    accuracy: Rule | None = None
    macro_f1: Rule | None = None
    rouge_l: Rule | None = None
    loss: Rule | None = None
    adjacent: bool | None = None
    """Whether a drop beyond `allow_drop` fails the run; None: it does where there is any rule."""

    def rules(self) -> dict[str, Rule]:
        """The rules that there are, by metric."""
        return {name: rule for name in GATED if (rule := getattr(self, name)) is not None}
