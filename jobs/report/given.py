"""What this computer knows of a run by itself: the receipt's document and the settings, as values that can be asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True, kw_only=True)
class Base:
    """The model that an adapter belongs to: a name of the Hub, or a folder of this computer."""

    model: str
    revision: str | None


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What was written down here before anything was rented.

    `settings`: the job with all defaults spelled out; `bundle_sha256`: of what was shipped; `command`: what a person
    typed, as it can be typed again; `system`: the system text that every row of the test has, "" where they differ.
    """

    settings: Mapping[str, object] = field(default_factory=dict)
    bundle_sha256: str = ""
    command: str = ""
    system: str = ""

    @property
    def is_private(self) -> bool:
        """Whether nobody else may see the data."""
        return self.settings.get("privacy") == "private"

    def of(self, *path: str) -> object:
        """The value at a path of nested settings; None where there is none."""
        return inside(self.settings, *path)


def inside(mapping: object, *path: str) -> object:
    """The value at a path of nested objects; None where there is none."""
    for key in path:
        mapping = mapping.get(key) if isinstance(mapping, Mapping) else None
    return mapping


def said(mapping: object, *path: str) -> str:
    """The text at a path of nested objects; "unknown" where there is none."""
    value = inside(mapping, *path)
    return "unknown" if value is None else str(value)


def rows(mapping: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    """The objects of a list; [] where there is no list."""
    value = mapping.get(key)
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def amount_usd(value: object) -> Decimal | None:
    """A decimal text of JSON as money; None where it is none."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def usd(value: object) -> str:
    """Money for people: cents, and four digits where there are less than ten of them; "unknown" where it is none."""
    amount = amount_usd(value)
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if abs(amount) >= Decimal("0.1") or amount == 0 else f"${amount:,.4f}"


def is_billed(receipt: Mapping[str, object]) -> bool:
    """Whether anybody wants money for the machine of a run: nothing was spent, and nothing was going to be."""
    return any(amount_usd(value) != 0 for value in (receipt.get("spent_usd"), inside(receipt, "planned_usd", "high")))


def seconds(value: object) -> str:
    """A duration for people: "47 s", "12:03" (minutes), "1:02:03" (hours); "–" where it is unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return "–"
    whole = round(value)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def instant(value: object) -> str:
    """An RFC 3339 instant as people write it, UTC; as it is where it is none."""
    text = str(value)
    day, t, clock = text.partition("T")
    return f"{day} {clock[:5]} UTC" if t and text.endswith(("Z", "+00:00")) else text
