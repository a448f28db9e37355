"""The verbs of docs/guest.md: arguments in, one JSON document (or raw bytes) out."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Callable, Sequence

from .guard import Guard
from .places import GuestError, Run, newest_checkpoint, note_seen, read_json

RUN = ".launch/run"
"""The run's folder where a verb names only the guard's."""
MOST_STEPS = 10**11
"""What the job reads as a step (`jobs/qlora/pace.py`)."""


def main(argv: Sequence[str]) -> int:
    """Run one verb; 0, or 1 with `{"error": ...}` on standard output."""
    os.umask(0o077)
    arguments = _parser().parse_args(argv)
    try:
        if "run" in _OPTIONS[arguments.verb] and arguments.verb != "supervise" and os.path.isdir(arguments.run):
            note_seen(Run(arguments.run))
        _must_carry(arguments)
        answer = _VERBS[arguments.verb](arguments)
    except BrokenPipeError:
        # Nobody listens any more. Python would complain once more when it flushes at exit: give it another place.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (GuestError, OSError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    if answer is not None:
        print(json.dumps(answer))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="guest", description="The machine's side of launch (docs/guest.md).")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, options in _OPTIONS.items():
        one = verbs.add_parser(verb)
        for option in options:
            _add(one, option)
    return parser


def _add(parser: argparse.ArgumentParser, option: str) -> None:
    if option == "follow":
        parser.add_argument("--follow", action="store_true")
    elif option == "paths":
        parser.add_argument("--path", dest="paths", action="append", required=True)
    elif option in ("offset", "seconds", "steps"):
        parser.add_argument("--" + option, type=int, default=0)
    elif option == "take":
        parser.add_argument("--take", action="store_true")
    elif option == "as":
        parser.add_argument("--as", dest="carrier", default="")
    else:
        parser.add_argument("--" + option, required=option != "under", default="out" if option == "under" else None)


_OPTIONS = {
    "carry": ("run", "place", "host", "take", "as"),
    "probe": ("guard",),
    "prove": (),
    "received": ("path", "sha256"),
    "receive": ("path", "sha256", "offset"),
    "unpack": ("run", "sha256", "as"),
    "secrets": ("run", "as"),
    "grant": ("run", "as"),
    "start": ("run", "guard", "as"),
    "supervise": ("run", "guard"),
    "status": ("run", "guard"),
    "follow": ("run", "offset"),
    "log": ("run", "offset", "follow"),
    "stop": ("run", "as"),
    "shorten": ("run", "steps", "as"),
    "lease": ("guard", "seconds", "as"),
    "manifest": ("run", "under"),
    "send": ("run", "under", "paths", "offset"),
}


def _must_carry(arguments: argparse.Namespace) -> None:
    """A verb that changes something says who asks, and is refused where another computer carries the run by now."""
    if arguments.verb != "carry" and getattr(arguments, "carrier", ""):
        from .carrier import must_carry  # as below

        must_carry(Run(getattr(arguments, "run", RUN)), arguments.carrier)


# What a verb needs is imported inside the functions: a verb is a process of its own, and most are asked often.


def _carry(arguments: argparse.Namespace) -> dict[str, Any]:
    from .carrier import carry

    run = Run(arguments.run)
    return carry(run, arguments.place, arguments.host, take=arguments.take, carrier=arguments.carrier)


def _probe(arguments: argparse.Namespace) -> dict[str, Any]:
    from .probe import probe

    return probe(Guard(arguments.guard))


def _prove(arguments: argparse.Namespace) -> dict[str, Any]:
    from .prove import prove

    del arguments
    return prove()


def _received(arguments: argparse.Namespace) -> dict[str, Any]:
    from .transfer import received

    return received(arguments.path, arguments.sha256)


def _receive(arguments: argparse.Namespace) -> dict[str, Any]:
    from .transfer import receive

    return receive(arguments.path, arguments.sha256, arguments.offset, sys.stdin.buffer)


def _unpack(arguments: argparse.Namespace) -> dict[str, Any]:
    from .unpack import unpack

    return unpack(Run(arguments.run), arguments.sha256)


def _secrets(arguments: argparse.Namespace) -> dict[str, Any]:
    from .keep import store

    return {"names": store(Run(arguments.run), sys.stdin.buffer.read(1 << 20))}


def _grant(arguments: argparse.Namespace) -> dict[str, Any]:
    from .store import MOST_GRANT_BYTES, accept

    return accept(Run(arguments.run), sys.stdin.buffer.read(MOST_GRANT_BYTES + 1))


def _start(arguments: argparse.Namespace) -> dict[str, Any]:
    from .start import start

    return start(Run(arguments.run), os.path.abspath(arguments.guard))


def _supervise(arguments: argparse.Namespace) -> None:
    from .supervise import supervise

    supervise(Run(arguments.run), Guard(arguments.guard))


def _status(arguments: argparse.Namespace) -> dict[str, Any]:
    from .start import alive

    run, guard = Run(arguments.run), Guard(arguments.guard)
    lives = alive(run)  # before the file: a supervisor that is gone has written its last word
    return {
        **read_json(run.status),
        "supervisor_alive": lives,
        "life_seconds": guard.life_seconds(),
        "lease_seconds": guard.lease_seconds(),
        **newest_checkpoint(run),
    }


def _follow(arguments: argparse.Namespace) -> None:
    from .follow import follow

    follow(Run(arguments.run), arguments.offset, sys.stdout.buffer)


def _log(arguments: argparse.Namespace) -> None:
    from .follow import log

    log(Run(arguments.run), arguments.offset, sys.stdout.buffer, on=arguments.follow)


def _stop(arguments: argparse.Namespace) -> dict[str, Any]:
    from .places import append_line
    from .start import alive

    run = Run(arguments.run)
    append_line(run.stop, b"stop")
    return {"asked": True, "supervisor_alive": alive(run)}


def _shorten(arguments: argparse.Namespace) -> dict[str, Any]:
    from .places import write_whole
    from .start import alive

    run = Run(arguments.run)
    if not 1 <= arguments.steps <= MOST_STEPS:
        raise GuestError(f"a training ends at a step between 1 and {MOST_STEPS}, not {arguments.steps}")
    write_whole(run.max_steps, f"{arguments.steps}\n".encode())
    return {"max_steps": arguments.steps, "supervisor_alive": alive(run)}


def _lease(arguments: argparse.Namespace) -> dict[str, Any]:
    guard = Guard(arguments.guard)
    guard.allow(arguments.seconds)
    return {"life_seconds": guard.life_seconds(), "lease_seconds": guard.lease_seconds()}


def _manifest(arguments: argparse.Namespace) -> dict[str, Any]:
    from .transfer import manifest

    return manifest(Run(arguments.run), arguments.under)


def _send(arguments: argparse.Namespace) -> None:
    from .transfer import send

    run, out = Run(arguments.run), sys.stdout.buffer
    for number, path in enumerate(arguments.paths):
        send(run, arguments.under, path, arguments.offset if number == 0 else 0, out)
    sys.stdout.buffer.flush()


_VERBS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "carry": _carry,
    "probe": _probe,
    "prove": _prove,
    "received": _received,
    "receive": _receive,
    "unpack": _unpack,
    "secrets": _secrets,
    "grant": _grant,
    "start": _start,
    "supervise": _supervise,
    "status": _status,
    "follow": _follow,
    "log": _log,
    "stop": _stop,
    "shorten": _shorten,
    "lease": _lease,
    "manifest": _manifest,
    "send": _send,
}
