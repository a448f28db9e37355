"""All that is known of a job's data before money is spent: curated, and checked against the model's own template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jobs import spec
from jobs.config_values import WorkloadError
from jobs.curated import PAPERS, REPORT, Curate, Curated, curated, papers
from jobs.hub import HubError
from jobs.model_config import Model, find
from jobs.qlora.dataset.report import DataReport, Fault, Tokens
from jobs.template_check import STOPPING, TEMPLATE_CODE, Examined, examiner
from jobs.tokens import MOST_TOO_LONG

NOT_CHECKED = "not checked with the model's chat template"
TOO_LONG = "too-long"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The job with its rows as they are shipped, and the whole report; `papers` are the files that belong to it."""

    loaded: spec.LoadedSpec
    report: DataReport
    notes: tuple[str, ...]
    papers: Mapping[str, bytes]

    @property
    def stopping(self) -> tuple[Fault, ...]:
        """Faults with which the job would fail on the machine."""
        return tuple(fault for fault in self.report.faults if fault.effect == "stops")


def checked(
    loaded: spec.LoadedSpec, *, environ: Mapping[str, str], home: Path | None, curate: Curate | None = None
) -> Checked:
    """Read, part and check the rows; what was done before is kept below `home`.

    Raises `DataError` (rows that cannot be used), `WorkloadError` (a model without a template, a data set that cannot
    be read). Where the Hub does not answer, the template is not checked, and that is said.
    """
    made = curated(loaded, cache=home and home / "data", environ=environ, curate=curate)
    report = _examined(made, environ, home and home / "models")
    ours = {**papers(made.folder), REPORT: report.text().encode()}
    return Checked(
        loaded=made.loaded,
        report=report,
        notes=made.notes,
        papers={name: ours[name] for name in PAPERS if name in ours},
    )


def refuse(found: Checked) -> None:
    """Raise `WorkloadError` for rows that the model's template cannot take; too long ones are told by the estimator."""
    stopping = [fault for fault in found.stopping if fault.code in STOPPING]
    if not stopping:
        return
    first = stopping[0]
    rows = [f"{one.place.file}:{one.place.line}: {one.detail}" for one in first.examples]
    more = first.count - len(rows)
    message = f"{first.part}: {first.reason} ({first.count:,} rows)\n" + "\n".join(rows)
    raise WorkloadError(
        message + (f"\n... and {more:,} more" if more > 0 else ""),
        hint="launch data     # all that was found; then mend the rows, or name another model",
        code=TEMPLATE_CODE,
    )


def _examined(made: Curated, environ: Mapping[str, str], cache: Path | None) -> DataReport:
    report, loaded = made.report, made.loaded
    try:
        model = _model(loaded, environ, cache)
        own = examiner(model, environ=environ, cache=cache)
    except HubError as missing:
        return replace(report, template=f"{NOT_CHECKED}: {missing.why}")
    parts = {part: own.examine(path, part) for part, path in spec.data_files(loaded).items()}
    longest = min(loaded.spec.train.max_length, model.decoder.positions or loaded.spec.train.max_length)
    faults = [fault for one in parts.values() for fault in one.faults]
    if own.tokenizer_json is not None and "train" in parts:
        faults += _too_long(parts["train"], longest)
    return replace(
        report,
        faults=(*report.faults, *faults),
        template=f"checked with {model.name}'s {own.template.source}: {_looked_at(list(parts.values()))}",
        tokens=tuple(_tokens(part, one) for part, one in parts.items() if one.longest and one.tally.lengths),
    )


def _model(loaded: spec.LoadedSpec, environ: Mapping[str, str], cache: Path | None) -> Model:
    """Raises `HubError` for a model that could not be found: whoever measures the job says that in full."""
    try:
        return find(loaded.spec.model, loaded.spec.revision or "", loaded.folder, environ=environ, cache=cache)
    except WorkloadError as unknown:
        raise HubError(unknown.message) from unknown


def _looked_at(parts: Sequence[Examined]) -> str:
    chats, looked_at = sum(one.chats for one in parts), sum(one.looked_at for one in parts)
    if chats == looked_at:
        return f"all {chats:,} conversations"
    return f"{looked_at:,} of {chats:,} conversations, drawn by lot, with the longest and one of each order of roles"


def _too_long(train: Examined, longest: int) -> list[Fault]:
    lengths = train.tally.lengths
    count = sum(length > longest for length in lengths)
    if not count:
        return []
    stops = count > MOST_TOO_LONG * len(lengths)
    share = f"{count / len(lengths):.1%}"
    return [
        Fault(
            code=TOO_LONG,
            severity="error" if stops else "warning",
            part="train",
            count=count,
            reason=f"longer than max_length {longest:,} tokens ({share} of the answers; above 5 % the job is refused)",
            effect="stops" if stops else "left out",
            examples=tuple(one for one in train.longest if int(one.detail.split()[0].replace(",", "")) > longest),
        )
    ]


def _tokens(part: str, one: Examined) -> Tokens:
    lengths = sorted(one.tally.lengths)
    return Tokens(
        part=part,
        rows=len(lengths),
        tokens=sum(lengths),
        supervised=sum(one.tally.answers),
        median=lengths[len(lengths) // 2],
        p95=lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))],
        longest=lengths[-1],
        are=one.tally.are,
    )
