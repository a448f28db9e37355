"""Faults that a test plants at the outermost edge of the cloud's API; each counts how often it fired."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

When = Literal["before", "after", "hang", "reset", "html", "empty", "badjson", "throttle"]


@dataclass(kw_only=True)
class Fault:
    """What befalls the next `times` calls of `operation` ("*": any).

    `before`: refused with `code`, nothing done. `after`: done, then answered with `code`. `hang`: no answer for
    `seconds` real seconds, then the line is cut. `reset`: the line is cut at once. `html`: a proxy's error page with
    200. `empty`: 200 and no body. `badjson`: half a document. `throttle`: refused for asking too often. `applied` says
    whether hang, reset, html and empty come after the call was carried out.

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
    fired: int = 0

    def __post_init__(self) -> None:
        if self.when not in get_args(When):
            raise ValueError(f"no such fault: {self.when!r}; one of {', '.join(get_args(When))}")
        if self.when in {"after", "badjson"}:
            self.applied = True

    def meets(self, operation: str, region: str) -> bool:
        """Whether this call is one that it befalls."""
        return self.fired < self.times and self.operation in {"*", operation} and self.region in {"", region}


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
            found = next((one for one in self._planted if one.meets(operation, region)), None)
            if found is not None:
                found.fired += 1
            return found

    def all(self) -> Iterable[Fault]:
        """Every fault ever planted since the last `clear`."""
        with self._lock:
            return tuple(self._planted)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._planted.clear()
