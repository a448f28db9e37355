"""The next sizes of a model's family, from the built-in table, as workloads: the same job on a larger model."""

import re
from collections.abc import Sequence
from dataclasses import replace

from jobs.shapes import from_config, table
from jobs.workload import ADAPTER_BYTES, GIB
from pricing.workload import Workload

SIZE = re.compile(r"(?<![\w.])\d+(\.\d+)?b(?![a-z])", re.IGNORECASE)
"""How names write a size: 7B, 1.5b; what differs between models of one family."""
BUILT_IN = "the built-in table of models"


def larger(workload: Workload, targets: Sequence[str] | str) -> tuple[Workload, ...]:
    """The same job on each larger model of the family, smallest first; empty where the table knows none.

    Only the model differs: its download, adapter and results. The tokens are taken as they are, since models of a
    family share their tokenizer.
    """
    family, name = _family(workload.shape.name), workload.shape.name
    names = (targets,) if isinstance(targets, str) else tuple(targets)
    decoders = {
        other: from_config(config, other)
        for other, config in table().items()
        if other != name and SIZE.search(other) and _family(other) == family
    }
    found = []
    for other, decoder in decoders.items():
        if decoder.parameters > workload.shape.parameters and not decoder.refused:
            adapter = decoder.lora_parameters(workload.lora_rank, names)
            found.append(
                replace(
                    workload,
                    shape=decoder.shape(other, BUILT_IN),
                    lora_parameters=adapter,
                    download_gib=decoder.parameters * decoder.bytes_per_parameter / GIB,
                    result_gib=workload.result_gib + (adapter - workload.lora_parameters) * ADAPTER_BYTES / GIB,
                )
            )
    return tuple(sorted(found, key=lambda one: one.shape.parameters))


def _family(name: str) -> str:
    return SIZE.sub("*", name).lower()
