"""The job that is asked for, with its rows read, parted and checked: all that can be known before the market is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jobs
from launcher.errors import Exit, LaunchError
from launcher.request import Request
from launcher.world import World

if TYPE_CHECKING:  # for start-up time: pydantic comes with it
    from jobs.checked_data import Checked
    from jobs.qlora.dataset.report import DataReport
    from jobs.spec import LoadedSpec, SpecError

EXAMPLE = "examples/support-json"
PRIVATE = "private: no private hosts, no outside judge, no tracker"


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A job file that was read, and what its data came to."""

    loaded: "LoadedSpec"
    data: "Checked"
    notes: tuple[str, ...]
    misfit: "SpecError | None" = None
    """Why the job would be refused for what it wants to measure."""


def read_job(request: Request, world: World) -> Ready:
    """The job, checked to the last data row. Raises `LaunchError` and what the jobs room raises for people."""
    from jobs import checked_data  # pydantic: here for start-up time

    ready = looked_at(request, world)
    checked_data.refuse(ready.data)
    if ready.misfit is not None:
        raise ready.misfit
    return ready


def looked_at(request: Request, world: World) -> Ready:
    """The same where rows that the model's template cannot take, and unfit metrics, are told instead of refused."""
    from jobs import checked_data, metric_fit  # pydantic: here for start-up time

    loaded, notes = _load(request)
    loaded = _kept_private(loaded, request, world)
    found = checked_data.checked(loaded, environ=world.environ, home=world.home)
    fit = metric_fit.fit(found.loaded)
    return Ready(loaded=fit.loaded, data=found, notes=(*notes, *found.notes, *fit.notes), misfit=fit.misfit)


def _load(request: Request) -> "tuple[LoadedSpec, tuple[str, ...]]":
    """The job file of the request; the example where there is none, said aloud."""
    from jobs import spec  # pydantic: here for start-up time

    if _is_without_file(request):
        model, data = _flags(request)
        return spec.load_flags(model, data, sets=request.sets), (
            "no ./launch.yaml here: every setting is the default; `launch init` writes a file with all of them",
        )
    path, notes = _job_path(request)
    return spec.load(path, sets=request.sets, model=request.model, data=request.data), notes


def _is_without_file(request: Request) -> bool:
    """The data of a job that has no file: the built-in example's settings are made for its own data."""
    return request.job is None and request.data is not None and not Path("launch.yaml").exists()


def _flags(request: Request) -> tuple[str, str]:
    """Model and data; without a file both must be said."""
    if request.model is None or request.data is None:
        raise LaunchError(
            "there is no launch.yaml here, and --data alone does not say which model to tune",
            code="no-model",
            exit_code=Exit.USAGE,
            hint=f"launch estimate --model mistralai/Mistral-7B-Instruct-v0.3 --data {request.data}",
        )
    return request.model, request.data


def _job_path(request: Request) -> tuple[Path, tuple[str, ...]]:
    if request.job is not None:
        return request.job, ()
    if Path("launch.yaml").exists():
        return Path("launch.yaml"), ()

    root = Path(jobs.__file__).parent
    for folder in (root.parent / EXAMPLE, root / EXAMPLE):
        if (folder / "launch.yaml").exists():
            return folder, (
                f"no ./launch.yaml here: this is the built-in example ({folder.name}); `launch init` makes yours",
            )
    raise LaunchError("there is no launch.yaml here", code="no-job", exit_code=Exit.USAGE, hint="launch init")


# Private data


def _kept_private(loaded: "LoadedSpec", request: Request, world: World) -> "LoadedSpec":
    """Private where the job file says so; where it says nothing, as `private` in config.yaml does."""
    from jobs import spec  # pydantic: here for start-up time

    if world.config.private and "privacy" not in loaded.spec.model_fields_set:
        try:
            loaded = spec.made_private(loaded)
        except spec.SpecError as error:
            raise LaunchError(
                f"{error.message}\n`private: true` stands in config.yaml, and the job file says nothing else",
                code="job-file",
                exit_code=Exit.USAGE,
                hint="`privacy: public` in launch.yaml says that this job's data may be seen",
            ) from error
    if loaded.spec.privacy == "private" and request.community:
        raise LaunchError(
            "this job's data is private, and --community would show it to private hosts",
            code="private-data",
            exit_code=Exit.USAGE,
            hint="the same command without --community",
        )
    return loaded


# In a line


def line(report: "DataReport") -> str:
    """What the plan says of the data: what was left out, how many doubts there are, where to read of them."""
    counts: dict[str, int] = {}
    for one in report.removed:
        counts[one.stage] = counts.get(one.stage, 0) + one.count
    repeats = counts.get("exact", 0) + counts.get("near", 0)
    out = [
        _many(counts.get("bad", 0), "broken row"),
        _many(repeats, "repeat"),
        _many(counts.get("leak", 0), "leak"),
        _many(counts.get("select", 0), "row not selected", "rows not selected"),
    ]
    left_out = [one for one in out if one]
    facts = [", ".join(left_out) + " left out" if left_out else ""]
    facts += [_many(report.conflict_count, "conflict"), _many(sum(one.count > 0 for one in report.faults), "warning")]
    told = ", ".join(fact for fact in facts if fact) or "nothing left out, no warnings"
    private = f"; {PRIVATE}" if report.private else ""
    checked = "" if report.tokens or not report.template else "; chat template not checked"
    return f"data: {told}{checked}{private} (launch data)"


def _many(count: int, one: str, several: str = "") -> str:
    return "" if not count else f"{count:,} {one if count == 1 else several or one + 's'}"
