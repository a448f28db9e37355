"""Whom we speak with when a machine does not show the host key that we gave it: vouched for, pinned, or refused."""

import base64
import hashlib
import re
from collections.abc import Iterable

from launcher.events import Warned
from launcher.remote import HostKeyMismatch, Remote
from launcher.run import Attempt, Ending, Outcome, Run
from launcher.steps import Ended
from launcher.world import World
from providers.base import Instance, ProviderError

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def accept(run: Run, attempt: Attempt, remote: Remote, mismatch: HostKeyMismatch, world: World) -> None:
    """Decide about the key that a fresh machine shows, before anything was said to it; written down where accepted.

    It is accepted where the provider itself vouches for it, by what the machine printed at boot. Where the image may
    keep a key of its own that nobody vouches for (`Traits.first_use`), the first one is pinned for this machine, and
    said; with secrets to hand over such a machine goes back instead. All else is a stranger. Raises `Ended`.
    """
    if attempt.host_key or attempt.instance is None:
        raise Ended(stranger(mismatch)) from mismatch  # it has shown a key before: a change is never accepted
    shown = remote.shown_host_key()
    if is_vouched_for(shown, _console(attempt.instance, world)):
        text = "the machine keeps a host key of its own; the provider's log of its boot shows the same one"
        _keep(run, attempt, shown, Warned(run=run.id, at=world.now(), code="host-key-vouched", text=text), world)
    elif not world.provider(attempt.offer.provider).traits.first_use:
        raise Ended(stranger(mismatch)) from mismatch
    elif _has_secrets(run, world):
        why = "it keeps a host key of its own that nobody vouches for, and secrets are not sent to such a machine"
        raise Ended(Ending(outcome=Outcome.FAILED, why=why, code="host-key-unknown", again=True)) from mismatch
    else:
        text = (
            "the machine keeps a host key of its own, and nobody vouches for it: the first one is pinned "
            f"({fingerprint(shown)}); a man in the middle at this very moment would not be noticed"
        )
        _keep(run, attempt, shown, Warned(run=run.id, at=world.now(), code="host-key-first-use", text=text), world)


def stranger(error: HostKeyMismatch) -> Ending:
    """A security stop, wherever it shows: nothing more is said to that address, and no other machine is tried."""
    why = f"somebody else answers at the machine's address: {error}"
    return Ending(outcome=Outcome.FAILED, why=why, code="host-key-mismatch", pull=False)


def fingerprint(line: str) -> str:
    """`SHA256:...` of a public key, as OpenSSH writes it. Raises `ValueError` for what is no key."""
    _, blob, *_ = line.split()
    digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def is_vouched_for(line: str, console: Iterable[str]) -> bool:
    """Whether a machine's own words at boot name this key, by its fingerprint or as a whole."""
    try:
        mine = fingerprint(line)
    except ValueError:
        return False
    blob = line.split()[1]
    return any(blob in text.split() or mine in _FINGERPRINT.findall(text) for text in console)


def _keep(run: Run, attempt: Attempt, line: str, told: Warned, world: World) -> None:
    attempt.host_key = line
    world.ledger.save_attempt(run, attempt)
    world.console.tell(told)


def _console(instance: Instance, world: World) -> tuple[str, ...]:
    try:
        return world.provider(instance.provider).console(instance)
    except ProviderError:
        return ()


def _has_secrets(run: Run, world: World) -> bool:
    from launcher.codec import load  # pydantic: for start-up time
    from launcher.request import Request

    return bool(load(Request, world.ledger.request(run.id)).secrets)
