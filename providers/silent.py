"""The answers of a provider that has nothing to say to the rarer questions: a class to derive from."""

from decimal import Decimal

from pricing.offer import Offer
from providers.base import Finding, Instance
from providers.carried import Carried
from providers.funds import Funds


class Silent:
    """The answers of a provider that has nothing to say to the rarer questions."""

    def account(self) -> str:
        """There is one."""
        return ""

    def funds(self) -> Funds | None:
        """Nothing is paid in advance."""
        return None

    def console(self, instance: Instance) -> tuple[str, ...]:
        """It tells nothing."""
        del instance
        return ()

    def still_there(self, instance: Instance) -> bool | None:
        """There is one door."""
        del instance
        return None

    def let_in(self, instance: Instance) -> str:
        """Nothing of ours stands in front of it."""
        del instance
        return ""

    def billed_usd(self, instance: Instance) -> Decimal | None:
        """It does not say."""
        del instance
        return None

    def mark(self, instance: Instance, carried: Carried) -> None:
        """It keeps none: what a machine is called cannot be changed, or is how it is found again."""
        del instance, carried

    def trial(self) -> Offer | None:
        """There is nothing to prove."""
        return None

    def policy(self) -> str:
        """What a key may do there is not set by a document."""
        return ""

    def note_trial(self, instance: Instance, lines: tuple[str, ...]) -> Finding:
        """Nobody asks: there was no trial."""
        raise NotImplementedError(f"no trial of {instance.id}, {len(lines)} lines")
