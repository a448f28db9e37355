"""The host key that travelled in a machine's boot data gives way, in the first session, to one that nobody else saw."""

from collections.abc import Callable

from launcher import keys
from launcher.events import Warned
from launcher.remote import HostKeyMismatch, Remote, RemoteError
from launcher.run import Attempt, Run
from launcher.world import World
from providers.base import Ssh

PLACE = "/etc/ssh/ssh_host_ed25519_key"
SECONDS = 30.0
_SCRIPT = """
umask 077
cat >"$1.new" && ssh-keygen -y -f "$1.new" >"$1.pub.new" && chmod 644 "$1.pub.new" || exit 1
mv -f "$1.pub.new" "$1.pub" && mv -f "$1.new" "$1" || exit 1
systemctl reload ssh 2>/dev/null || systemctl reload sshd 2>/dev/null || kill -HUP "$(cat /run/sshd.pid)"
"""
"""Laid beside, renamed, and read anew: Ubuntu calls its server ssh, others sshd. Who is logged in stays so."""


def rotate(run: Run, attempt: Attempt, connect: Callable[[], Remote], world: World) -> None:
    """Give the machine a host key over the line that its first one pinned, and from then on believe that one alone.

    `connect` makes a new line, that believes what the attempt says by then.

    Written down before it is sent: who comes after a crash believes either. Where the machine does not take it both
    stay believed, and it is said; it is no reason to give a machine back that was paid for.
    """
    instance = attempt.instance
    seen = world.provider(attempt.offer.provider).traits.boot_data_is_seen
    if not seen or instance is None or not isinstance(instance.access, Ssh):
        return
    own = keys.make(world.run_folder(run.id) / "keys")
    private, public = keys.another_host_key(own)
    _believe(run, attempt, f"{attempt.host_key or own.host_public}\n{public}", world)
    why = _handed_over(connect(), private)
    if not why:
        both = attempt.host_key
        _believe(run, attempt, public, world)
        why = _shown(connect())
        if why:
            _believe(run, attempt, both, world)
    if why:
        text = f"the machine did not take a new host key ({why}); the one of its boot data counts on"
        world.console.tell(Warned(run=run.id, at=world.now(), code="host-key-kept", text=text))


def _believe(run: Run, attempt: Attempt, lines: str, world: World) -> None:
    attempt.host_key = lines
    world.ledger.save_attempt(run, attempt)


def _handed_over(remote: Remote, private: str) -> str:
    """On standard input, to root; what stood in the way, "" where nothing did. Raises `HostKeyMismatch`."""
    try:
        argv = ["sudo", "-n", "sh", "-c", _SCRIPT, "rekey", PLACE]
        done = remote.run(argv, stdin=private.encode("ascii"), timeout_seconds=SECONDS)
    except HostKeyMismatch:
        raise
    except RemoteError as error:
        return str(error)
    finally:
        remote.close()
    return "" if done.exit_code == 0 else f"exit {done.exit_code}"


def _shown(remote: Remote) -> str:
    """Whether the machine now shows it, on a line of its own; what it says otherwise."""
    try:
        remote.run(["true"], timeout_seconds=SECONDS)
    except RemoteError as error:
        return str(error)
    finally:
        remote.close()
    return ""
