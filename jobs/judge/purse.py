"""What an endpoint's calls cost, and that they never cost more than the cap: the worst is set aside before each."""

import threading
from decimal import Decimal

from jobs.judge.failures import CapReached
from jobs.spec_evaluate import Endpoint

MILLION = 1_000_000
LOOK_SECONDS = 0.1
"""Between looks at what calls on the way turned out to cost."""


def cost_usd(of: Endpoint, prompt_tokens: int, new_tokens: int) -> Decimal:
    """Dollars for so many tokens by the prices that the job file gives; exact."""
    return (of.input_usd_per_million * prompt_tokens + of.output_usd_per_million * new_tokens) / MILLION


class Purse:
    """What may be spent on one endpoint in one run. Shared by threads; `spent_usd` is never above `cap_usd`.

    It holds as long as no call costs more than was set aside for it: the caller's bound must be one.
    """

    def __init__(self, cap_usd: Decimal, spent_usd: Decimal) -> None:
        self.cap_usd, self.spent_usd = cap_usd, spent_usd
        self._aside_usd = Decimal(0)
        self._changed = threading.Condition()

    def reserve(self, worst_usd: Decimal) -> None:
        """Set aside what a call may cost at worst; waits for calls on the way where they hold what is missing.

        Raises `CapReached` where it would not fit even if they cost nothing.
        """
        with self._changed:
            while self.spent_usd + self._aside_usd + worst_usd > self.cap_usd:
                if self.spent_usd + worst_usd > self.cap_usd or not self._aside_usd:
                    raise CapReached(self.spent_usd, self.cap_usd)
                self._changed.wait(LOOK_SECONDS)
            self._aside_usd += worst_usd

    def settle(self, worst_usd: Decimal, really_usd: Decimal) -> None:
        """The call is over: what was set aside for it comes back, what it cost goes."""
        with self._changed:
            self._aside_usd -= worst_usd
            self.spent_usd += really_usd
            self._changed.notify_all()
