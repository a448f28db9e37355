"""What every part of `launch.yaml` is made of: strict, frozen, no unknown key, and the kinds of values in it."""

from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Part(BaseModel):
    """A block of keys of the job file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Text = Annotated[str, Field(min_length=1, max_length=1000)]
LongText = Annotated[str, Field(min_length=1, max_length=8000)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
"""Of what becomes a file's name."""
Variable = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]{0,79}$")]
"""Of the environment."""


def _money(value: object) -> object:
    """YAML reads 0.1 as a float; its shortest decimal is what was written."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value


Usd = Annotated[Decimal, BeforeValidator(_money), Field(ge=0, le=1_000_000)]
