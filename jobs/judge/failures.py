"""How asking an endpoint fails, each way with a sentence, what to do, and whether it may have cost something."""

from decimal import Decimal

from jobs.spec_evaluate import Endpoint


class EndpointError(Exception):
    """No answer. `message` says what happened, `hint` what to do."""

    tries = 1
    """How often a call is sent that ends so."""
    may_have_cost = False
    """Whether somebody may be billed for it: then the worst case is counted."""
    is_of_the_question = False
    """Whether the next question may fare better."""
    retry_after_seconds: float | None = None

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class NoKey(EndpointError):
    """The environment variable is not set, or holds what no key is."""


class OpenKey(EndpointError):
    """The key would travel in the clear."""


class Unreachable(EndpointError):
    """Nothing was sent: no such host, nobody listens, no trusted certificate."""

    tries = 2


class TimedOut(EndpointError):
    """It was sent, and no whole answer came in time."""

    tries = 2
    may_have_cost = True


class Overloaded(EndpointError):
    """Asked too often (429), or out of order for now (503, 529): turned away before any work."""

    tries = 4


class Broken(EndpointError):
    """A failure of the server's own (other 5xx): what was done before it is unknown."""

    tries = 3
    may_have_cost = True


class KeyRefused(EndpointError):
    """The key is missing, wrong, or may not use this model."""


class NoCredit(EndpointError):
    """The account has no money left there."""


class UnknownModel(EndpointError):
    """The endpoint has no model of that name."""


class Misplaced(EndpointError):
    """There is no chat completion at that address."""


class Refused(EndpointError):
    """This one request was refused: too long, or against a policy."""

    is_of_the_question = True


class Garbage(EndpointError):
    """What came back is no chat completion, or an empty one."""

    tries = 2
    may_have_cost = True
    is_of_the_question = True


class CapReached(EndpointError):
    """The next call could cost more than is left of the cap."""

    def __init__(self, spent_usd: Decimal, cap_usd: Decimal) -> None:
        super().__init__(
            f"the next call could pass the cap of ${cap_usd:f} (spent so far: ${spent_usd:.4f})",
            "a higher cap_usd in launch.yaml",
        )


class Stopped(EndpointError):
    """Nothing more is asked: another question ended it."""


class BookDamaged(EndpointError):
    """The kept answers cannot be read, and what they cost is not known."""


def address(of: Endpoint) -> str:
    """Where its chat completions are."""
    return f"{of.endpoint.rstrip('/')}/chat/completions"
