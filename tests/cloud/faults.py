"""Faults that a test plants at the outermost edge of the cloud's API; each counts how often it fired."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

When = Literal["before", "after", "hang", "reset", "html", "empty", "badjson", "throttle", "signal"]

SSH = "ssh."


@dataclass(kw_only=True)
class Fault:
    """What befalls the next `times` calls of `operation` ("*": any).

    `before`: refused with `code`, nothing done. `after`: done, then answered with `code`. `hang`: no answer for
    `seconds` real seconds, then the line is cut. `reset`: the line is cut at once. `html`: a proxy's error page with
    200. `empty`: 200 and no body. `badjson`: half a document. `throttle`: refused for asking too often. `applied` says
    whether hang, reset, html and empty come after the call was carried out.

    `signal`: the process (a negative number: the group) of that id gets that signal, before the call is carried out or
    after it (`applied`), and no answer. Of SSH there are "ssh.command", "ssh.answer" and "ssh.bytes": a command begins,
    has ended and is not told yet, a piece of output is on its way. They know only `signal`; "*" does not mean them.

    `skip`: so many such calls pass first.

    AWS's operations have their own names, those of the other clouds begin with the cloud's: "lambda.launch".
    """

    operation: str
    when: When
    times: int = 1
    code: str = "InternalError"
    message: str = "An internal error has occurred"
    status: int = 500
    applied: bool = False
    seconds: float = 120.0
    region: str = ""
    skip: int = 0
    process: int = 0
    signal: int = signal.SIGKILL
    fired: int = 0

    def __post_init__(self) -> None:
        if self.when not in get_args(When):
            raise ValueError(f"no such fault: {self.when!r}; one of {', '.join(get_args(When))}")
        if self.when in {"after", "badjson"}:
            self.applied = True

    def meets(self, operation: str, region: str) -> bool:
        """Whether this call is one that it befalls."""
        means = self.operation == operation or (self.operation == "*" and not operation.startswith(SSH))
        return self.fired < self.times and means and self.region in {"", region}

    def strike(self) -> None:
        """Send the signal; a process that is gone already feels nothing."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, self.signal)


class Faults:
    """The planted faults, oldest first; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: list[Fault] = []

    def plant(self, fault: Fault) -> None:
        """Add one."""
        with self._lock:
            self._planted.append(fault)

    def take(self, operation: str, region: str) -> Fault | None:
        """The fault that befalls this call, already counted as fired."""
        with self._lock:
            for one in self._planted:
                if not one.meets(operation, region):
                    continue
                if one.skip > 0:
                    one.skip -= 1
                    continue
                one.fired += 1
                return one
            return None

    def all(self) -> Iterable[Fault]:
        """Every fault ever planted since the last `clear`."""
        with self._lock:
            return tuple(self._planted)

    def clear(self, when: str | None = None) -> None:
        """Forget all of them, or all of one kind."""
        with self._lock:
            self._planted = [one for one in self._planted if when is not None and one.when != when]
