"""What the user's own runs say of a micro-batch that a card's memory did not hold. Pure."""

import json
from collections.abc import Iterable

from launcher.attempt_records import AttemptRecord
from pricing.plan import Plan


def remarks(plan: Plan, records: Iterable[AttemptRecord]) -> tuple[str, ...]:
    """A line where the first choice's card ran out of memory with this model at the micro-batch that is planned."""
    if not plan.choices or plan.choices[0].offer.gpu is None:
        return ()
    load, gpu = plan.workload, plan.choices[0].offer.gpu.name
    held = [
        ran
        for one in records
        if (one.gpu, one.model, one.method) == (gpu, load.shape.name, str(load.method))
        and one.max_length <= load.max_length
        if (ran := ran_rows(one)) is not None and ran < load.micro_batch
    ]
    if not held:
        return ()
    rows, step = min(held), load.micro_batch * load.accumulation
    line = (
        f"an earlier run of this model on {gpu} ran out of memory and went on with a micro-batch of {rows}; "
        f"to start with it: --set train.per_device_train_batch_size={rows} "
        f"--set train.gradient_accumulation_steps={-(-step // rows)}"
    )
    return (line,)


def ran_rows(record: AttemptRecord) -> int | None:
    """The micro-batch that ran, where the memory did not hold the planned one."""
    ran = int(json.loads(record.workload)["micro_batch"])
    return ran if ran < record.micro_batch else None
