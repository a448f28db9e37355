"""Every typed error of the rooms, as what a person sees: a message, a hint that is a command, an exit code, a code."""

import errno
from dataclasses import dataclass
from types import TracebackType

from launcher.errors import Exit, LaunchError
from launcher.remote import (
    CommandFailed,
    CommandTimeout,
    HostKeyMismatch,
    LoginRefused,
    RemoteError,
    RemoteUnreachable,
)
from pricing.gpus import UnknownGpu
from providers.base import (
    Ambiguous,
    AuthFailed,
    Busy,
    ContractBroken,
    NoCapacity,
    NoCredentials,
    NoFunds,
    NotFound,
    NotSetUp,
    PriceTooLow,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
    Unreachable,
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """How one kind of error is told. `{name}` in the texts is the provider, or the run."""

    code: str
    exit_code: Exit
    saying: str
    hint: str


PROVIDER_ROWS: dict[type[ProviderError], Row] = {
    NoCapacity: Row(
        code="no-capacity",
        exit_code=Exit.REFUSED,
        saying="{name} has no such machine free now",
        hint="launch --wait-capacity 1h     # with the same options; or more places with --region",
    ),
    QuotaExceeded: Row(
        code="quota",
        exit_code=Exit.PROVIDER,
        saying="the quota of your account at {name} does not allow this machine",
        hint="launch doctor --provider {name}     # shows the quota, and where to ask for more",
    ),
    NoFunds: Row(
        code="balance",
        exit_code=Exit.PROVIDER,
        saying="your account at {name} does not hold enough for this machine",
        hint="launch doctor --provider {name}     # shows the balance and the limits",
    ),
    PriceTooLow: Row(
        code="price",
        exit_code=Exit.REFUSED,
        saying="the price at {name} is above what was allowed",
        hint="launch --on-demand     # or a higher --max-price, with the same options",
    ),
    AuthFailed: Row(
        code="credentials",
        exit_code=Exit.PROVIDER,
        saying="{name} did not accept your credentials",
        hint="launch doctor --provider {name}     # says which credentials are looked for, and where",
    ),
    NoCredentials: Row(
        code="credentials",
        exit_code=Exit.PROVIDER,
        saying="there are no credentials for {name}",
        hint="launch doctor --provider {name}     # says which credentials are looked for, and where",
    ),
    NotSetUp: Row(
        code="not-set-up",
        exit_code=Exit.PROVIDER,
        saying="your account at {name} is not ready for this",
        hint="launch doctor --provider {name}",
    ),
    Throttled: Row(
        code="throttled",
        exit_code=Exit.PROVIDER,
        saying="{name} asks to be asked less often",
        hint="launch doctor --provider {name}     # in a minute; nothing was done",
    ),
    Unavailable: Row(
        code="provider-unavailable",
        exit_code=Exit.PROVIDER,
        saying="{name} gave no usable answer",
        hint="launch doctor --provider {name}     # checks the way there",
    ),
    Unreachable: Row(
        code="provider-unavailable",
        exit_code=Exit.PROVIDER,
        saying="{name} cannot be reached from here",
        hint="launch doctor --provider {name}     # checks the way there",
    ),
    Ambiguous: Row(
        code="may-be-running",
        exit_code=Exit.MAY_BE_RUNNING,
        saying="an answer of {name} got lost: a machine may be running",
        hint="launch reap     # looks, and ends what should not run",
    ),
    NotFound: Row(
        code="not-found",
        exit_code=Exit.PROVIDER,
        saying="{name} does not know that machine",
        hint="launch reap     # looks at what there is",
    ),
    Busy: Row(
        code="busy",
        exit_code=Exit.PROVIDER,
        saying="{name} cannot remove it yet",
        hint="launch reap     # in some minutes",
    ),
    ContractBroken: Row(
        code="contract-broken",
        exit_code=Exit.PROVIDER,
        saying="{name} answered something that its interface does not allow",
        hint="launch doctor --provider {name} -v     # the raw answer, to be reported",
    ),
    ProviderError: Row(
        code="provider",
        exit_code=Exit.PROVIDER,
        saying="{name} refused",
        hint="launch doctor --provider {name}",
    ),
}

REMOTE_ROWS: dict[type[RemoteError], Row] = {
    RemoteUnreachable: Row(
        code="unreachable",
        exit_code=Exit.PROVIDER,
        saying="the machine of {name} cannot be reached",
        hint="launch show {name}",
    ),
    HostKeyMismatch: Row(
        code="host-key-mismatch",
        exit_code=Exit.PROVIDER,
        saying="somebody else answers at the address of {name}: nothing was sent there",
        hint="launch stop {name} --now",
    ),
    LoginRefused: Row(
        code="login-refused",
        exit_code=Exit.PROVIDER,
        saying="the machine of {name} does not take our key",
        hint="launch stop {name} --now",
    ),
    CommandTimeout: Row(
        code="command-timeout",
        exit_code=Exit.PROVIDER,
        saying="a command on the machine of {name} did not end in time",
        hint="launch logs {name}",
    ),
    CommandFailed: Row(
        code="command-failed",
        exit_code=Exit.PROVIDER,
        saying="a command on the machine of {name} could not be run",
        hint="launch logs {name}",
    ),
    RemoteError: Row(
        code="remote",
        exit_code=Exit.PROVIDER,
        saying="speaking with the machine of {name} failed",
        hint="launch show {name}",
    ),
}


def from_provider(error: ProviderError, provider: str) -> LaunchError:
    """What a provider raised. Its own `fix` is the better hint where it has one; the raw code goes behind `-v`."""
    row = next(PROVIDER_ROWS[kind] for kind in type(error).__mro__ if kind in PROVIDER_ROWS)
    return LaunchError(
        f"{row.saying.format(name=provider)}\n{error.text}".rstrip(),
        code=row.code,
        exit_code=row.exit_code,
        hint=error.fix or row.hint.format(name=provider),
        detail=f"{provider}: {error.code}" if error.code else "",
    )


def from_remote(error: RemoteError, run: str) -> LaunchError:
    """What went wrong between us and the machine of `run`."""
    row = next(REMOTE_ROWS[kind] for kind in type(error).__mro__ if kind in REMOTE_ROWS)
    return LaunchError(
        f"{row.saying.format(name=run or 'the run')}\n{error}".rstrip(),
        code=row.code,
        exit_code=row.exit_code,
        hint=" ".join(row.hint.format(name=run).split()),
    )


def from_gpu(error: UnknownGpu) -> LaunchError:
    """A name that no card has, with those that are close."""
    near = error.nearest
    return LaunchError(
        f"no GPU is called {error.name!r}" + (f"; the nearest: {', '.join(near)}" if near else ""),
        code="unknown-gpu",
        exit_code=Exit.USAGE,
        hint=f"launch --gpu {near[0]}" if near else "launch offers     # shows what is sold",
    )


def from_os(error: OSError) -> LaunchError | None:
    """This computer's own troubles, as far as a person can do something about them."""
    place = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LaunchError(
            f"the disk of this computer is full{place}",
            code="disk-full",
            exit_code=Exit.USAGE,
            hint="launch pull     # once there is room; the machine keeps the results until its deadline",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return LaunchError(
            f"this computer does not let us write or read{place}",
            code="no-permission",
            exit_code=Exit.USAGE,
            hint="set LAUNCH_HOME to a folder of your own, or --out for the results",
        )
    return None


class mistaken:  # noqa: N801 - it reads as a word of the story: `with mistaken():`
    """Around work of other rooms: what they raise leaves as `LaunchError`; what nobody foresaw passes as it is."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: TracebackType | None) -> None:
        """Say it in our words, with the original as the cause."""
        told = None if error is None else explain(error)
        if told is not None and told is not error:
            raise told from error


def explain(error: BaseException, run: str = "") -> LaunchError | None:
    """Any typed error as a `LaunchError`; None for what nobody foresaw (our bug)."""
    match error:
        case LaunchError():
            return error
        case UnknownGpu():
            return from_gpu(error)
        case ProviderError():
            return from_provider(error, "the provider")
        case RemoteError():
            return from_remote(error, run)
        case OSError():
            return from_os(error)
        case _:
            return _from_jobs(error)


JOB_CODES = {
    "SpecError": "job-file",
    "DataError": "data",
    "WorkloadError": "workload",
    "PackageError": "package",
    "ReportError": "results",
}
"""By name, so that telling an error loads nothing of the jobs room; any other of its errors is "job". An error that
carries a code of its own keeps it."""


ELSEWHERE = ("gated-model", "gated-data", "hub-unreachable")
"""Codes of the jobs room that are about access and reach, not about how the job was written."""


def _from_jobs(error: BaseException) -> LaunchError | None:
    """An error of the jobs room: those that are meant for people stand above, or carry `message` and `hint`."""
    kind = type(error)
    named = kind.__name__ in JOB_CODES
    if not kind.__module__.startswith("jobs.") or not (named or hasattr(error, "hint")):
        return None
    code = str(getattr(error, "code", "")) or JOB_CODES.get(kind.__name__, "job")
    return LaunchError(
        str(getattr(error, "message", error)),
        code=code,
        exit_code=Exit.PROVIDER if code in ELSEWHERE else Exit.USAGE,
        hint=str(getattr(error, "hint", "")) or "launch estimate     # once that is mended",
    )
