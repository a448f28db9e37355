"""The `data` block of `launch.yaml`: where rows come from, how they are read, parted, freed of repeats, and chosen."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.spec_parts import Count, Part, Share, Text

PARTS = ("train", "validation", "test")
SHARE = 0.1
"""Of the rows, for validation and test each, where a job file names neither a test file nor a split (a habit)."""


class Split(Part):
    """Shares of the training file that are held out before anything else; rows with the same `group` stay together."""

    validation: Share = 0.0
    test: Share = 0.0
    group: Text | None = None

    @model_validator(mode="after")
    def _leaves_rows(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to train on")
        return self


class Columns(Part):
    """Which keys of a row are what, where its shape is none of the known ones: `messages`, or prompt and completion."""

    messages: Text | None = None
    system: Text | None = None
    prompt: Text | None = None
    completion: Text | None = None

    @model_validator(mode="after")
    def _makes_a_row(self) -> "Columns":
        pair = self.prompt is not None and self.completion is not None
        if self.messages is not None and (self.prompt or self.completion or self.system):
            raise ValueError("name `messages`, or `prompt` and `completion` (and `system`), not both")
        if self.messages is None and not pair:
            raise ValueError("name `messages`, or both `prompt` and `completion`")
        return self


class Deduplicate(Part):
    """What counts as the same row.

    `exact`: the same after normalising; `near`: also close by embedding, with targets that agree; `off`: nothing.
    """

    by: Literal["near", "exact", "off"] = "near"
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The cosine from which inputs are close; None: the embedder's own, measured in docs/data.md."""
    embedder: Text = "static"
    """`static` ships with us; else a model of sentence-transformers: a folder, or a name of the Hub."""


class Data(Part):
    """Where the rows come from (JSONL, CSV, Parquet: a file, or a data set of the Hub), and what becomes of them."""

    train: Text
    validation: Text | None = None
    test: Text | None = None
    revision: Text | None = None
    """Of a data set of the Hub."""
    split: Split | None = None
    shape: Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion"] = "auto"
    columns: Columns | None = None
    on_bad_row: Literal["stop", "drop"] = "stop"
    """A row whose structure is broken ends the launch before it costs anything, or is left out and reported."""
    deduplicate: Deduplicate = Deduplicate()
    select: Count | None = None
    """So many training rows, chosen to differ from each other as much as they can; None: all."""

    @model_validator(mode="before")
    @classmethod
    def _held_out(cls, raw: object) -> object:
        if isinstance(raw, dict) and raw.get("test") is None and raw.get("split") is None:
            return {**raw, "split": {"test": SHARE, "validation": 0.0 if raw.get("validation") else SHARE}}
        return raw

    @model_validator(mode="after")
    def _each_once(self) -> "Data":
        shares = self.split or Split()
        if (self.test is None) != (shares.test > 0):
            raise ValueError("test rows come from a `test` file or from `split.test`: name one of the two")
        if self.validation is not None and shares.validation > 0:
            raise ValueError("validation rows come from a `validation` file or from `split.validation`, not from both")
        return self
