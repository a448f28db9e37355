"""What an account holds, where it is paid in advance."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Funds:
    """What a prepaid account holds, and the most that it may spend by the hour (None: it does not say)."""

    balance_usd: Decimal
    spending_usd_per_hour: Decimal = Decimal(0)
    limit_usd_per_hour: Decimal | None = None
