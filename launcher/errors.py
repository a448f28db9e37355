"""What a person sees when something is wrong: what happened, what to do about it, and an exit code of its own."""

from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of the contract."""

    SUCCEEDED = 0
    JOB_FAILED = 1
    USAGE = 2
    REFUSED = 3
    PROVIDER = 4
    STOPPED = 5
    INTERRUPTED = 6
    MAY_BE_RUNNING = 7
    OUR_BUG = 70


class LaunchError(Exception):
    """An ending with a message, a hint and an exit code. `code` is from the documented list (docs/errors.md)."""

    def __init__(self, message: str, *, code: str, exit_code: Exit, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.exit_code, self.hint, self.detail = message, code, exit_code, hint, detail
