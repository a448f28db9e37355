"""Canonical GPU names, the memory that a program really gets, and what each card can do, from `gpus.csv`."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MIB_PER_GIB = 1024

LEAST_OF_NOMINAL, MOST_OF_NOMINAL = 0.88, 1.06
"""What is reported as memory lies within this share of the nominal size; a slice of a card lies far below."""

NOISE = frozenset({"nvidia", "geforce", "tesla", "quadro", "amd", "instinct", "gpu", "oam"})
FORMS = {
    "pcie": "pcie",
    "sxm": "sxm",
    "sxm2": "sxm",
    "sxm4": "sxm",
    "sxm5": "sxm",
    "sxm6": "sxm",
    "hbm3": "sxm",
    "nvl": "nvl",
}
"""Form factors; NVIDIA calls its H100 for the SXM socket "H100 80GB HBM3"."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One model of card. Rates are dense bf16 without sparsity.

    `efficiency`: its rate in training over what `pricing.throughput` predicts from peak and bandwidth, by published
    runs; 1 where there is none.
    `usable_mib` is what a program may allocate, below the size on the box: the A10G's 22,515 MiB is what torch reports;
    other GDDR6 cards with ECC are taken in the same proportion (ECC holds 1/16, the driver the rest), cards with HBM or
    without ECC at 97 % of nominal (the driver's part). `efficiency_spread`: the factor up and down within which
    about 80 % of measured rates lie. Sources stand beside each row of `gpus.csv`.
    """

    name: str
    architecture: str
    usable_mib: int
    bandwidth_gb_s: float
    bf16_tflops: float
    efficiency: float
    bf16: bool
    efficiency_spread: float = 1.6

    def __post_init__(self) -> None:
        rates = (self.usable_mib, self.bandwidth_gb_s, self.bf16_tflops, self.efficiency)
        if min(rates) <= 0 or self.efficiency_spread < 1:
            raise ValueError(f"{self.name}: memory and rates must be positive, spread at least 1")

    @property
    def usable_gib(self) -> float:
        """Memory that a program may allocate."""
        return self.usable_mib / MIB_PER_GIB

    @property
    def cuda(self) -> bool:
        """The job's programs run on it as they are shipped: they are built for CUDA."""
        return not self.architecture.startswith("CDNA")


class UnknownGpu(LookupError):
    """No card of that name; `nearest` are names that are close to it, best first."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        super().__init__(f"no GPU is called {name!r}")
        self.name, self.nearest = name, nearest


@dataclass(frozen=True, kw_only=True)
class _Row:
    gpu: Gpu
    families: tuple[str, ...]
    form: str
    nominal_gib: int


@dataclass(frozen=True, kw_only=True)
class _Label:
    family: str
    form: str
    gib: int | None


def all_gpus() -> tuple[Gpu, ...]:
    """Every card that we know, in the table's order."""
    return tuple(row.gpu for row in _rows())


def by_name(canonical_name: str) -> Gpu:
    """The card of exactly that canonical name; raises `UnknownGpu`."""
    for row in _rows():
        if row.gpu.name == canonical_name:
            return row.gpu
    raise UnknownGpu(canonical_name, _nearest(canonical_name))


def match(name: str) -> tuple[Gpu, ...]:
    """The cards that a person means by `name`: all sizes and forms unless it says which; raises `UnknownGpu`."""
    label = _parse(name)
    rows = [row for row in _of_family(label) if label.gib is None or row.nominal_gib == label.gib]
    if not rows:
        raise UnknownGpu(name, _nearest(name))
    return tuple(row.gpu for row in rows)


def canonical(label: str, memory_mib: int | None) -> Gpu | None:
    """The card that a cloud or nvidia-smi reports as `label` with `memory_mib`; None where we do not know it (a slice).

    A label without a form factor means the SXM board where there are several: PCIe and NVL cards name themselves so.
    """
    parsed = _parse(label)
    rows = _of_family(parsed)
    if memory_mib is not None:
        rows = [row for row in rows if _is_size(memory_mib, row.nominal_gib)]
    elif len(rows) > 1 and parsed.gib is not None:
        rows = [row for row in rows if row.nominal_gib == parsed.gib]
    chosen = [row for row in rows if row.form == "sxm"] if len(rows) > 1 else rows
    return chosen[0].gpu if len(chosen) == 1 else None


def _of_family(label: _Label) -> list[_Row]:
    rows = [row for row in _rows() if label.family in row.families]
    return [row for row in rows if not label.form or row.form in {"", label.form}]


def _is_size(memory_mib: int, nominal_gib: int) -> bool:
    share = memory_mib / (nominal_gib * MIB_PER_GIB)
    return LEAST_OF_NOMINAL <= share <= MOST_OF_NOMINAL


def _parse(name: str) -> _Label:
    family, form, gib = "", "", None
    for token in re.findall(r"[a-z0-9]+", name.lower()):
        size = re.fullmatch(r"(\d{2,3})(gb|gib)?", token)
        if size and family not in {"", "rtx"}:
            gib = int(size[1])
        elif token in FORMS:
            form = form or FORMS[token]
        elif token not in NOISE | {"gb", "gib"}:
            family += token
    return _Label(family=family, form=form, gib=gib)


def _nearest(name: str) -> tuple[str, ...]:
    import difflib  # start-up time: needed only for a wrong name

    known = {family: row.gpu.name for row in _rows() for family in row.families}
    known |= {row.gpu.name.lower(): row.gpu.name for row in _rows()}
    close = difflib.get_close_matches(_parse(name).family or name.lower(), list(known), n=6, cutoff=0.4)
    return tuple(dict.fromkeys(known[one] for one in close))[:3]


@cache
def _rows() -> tuple[_Row, ...]:
    text = Path(__file__).with_name("gpus.csv").read_text(encoding="utf-8")
    return tuple(_row(fields) for fields in csv.DictReader(text.splitlines()))


def _row(fields: dict[str, str]) -> _Row:
    gpu = Gpu(
        name=fields["name"],
        architecture=fields["architecture"],
        usable_mib=int(fields["usable_mib"]),
        bandwidth_gb_s=float(fields["bandwidth_gb_s"]),
        bf16_tflops=float(fields["bf16_tflops"]),
        efficiency=float(fields["efficiency"]),
        bf16=fields["bf16"] == "yes",
        efficiency_spread=float(fields["spread"]),
    )
    return _Row(
        gpu=gpu,
        families=tuple(fields["family"].split()),
        form=fields["form"],
        nominal_gib=int(fields["nominal_gib"]),
    )
