"""One process that ranks, or queries, as `ranking.py` starts it: what it took of the processor and of memory."""

import json
import resource
import sys
import time
from pathlib import Path

MIB = 1024
"""`ru_maxrss` is in KiB on Linux (on macOS in bytes, see `_peak_mib`)."""
SMALLEST_GIB = 16
"""What the workload needs of a card: all that gpuhunt can be asked of it."""


def prepared(count: int, folder: Path) -> dict[str, float]:
    """The rows in a ledger of ours, and in a folder of gpuhunt's; nothing is timed."""
    from launcher.ledger import Ledger  # here: the others must not pay for it
    from tests.bench.catalogue import CLOUDS, offers, write_gpuhunt

    found = tuple(offers(count))
    write_gpuhunt(found, folder / "gpuhunt")
    ledger = Ledger(folder / "ledger.sqlite")
    for name in CLOUDS:
        ledger.sightings.keep_offers(name, tuple(one for one in found if one.provider == name), whole=True)
    ledger.close()
    return {"rows": len(found)}


def ranked(count: int) -> dict[str, float]:
    """Our plan for one workload from so many offers, which are values in memory by then; only the plan is timed."""
    from pricing.plan import make_plan  # here, as above
    from tests.bench.catalogue import NOW, offers
    from tests.pricing.samples import terms, workload

    found = tuple(offers(count))
    limits, job = terms("5", now=NOW, interactive=True), workload()
    began, at = time.process_time(), time.perf_counter()
    plan = make_plan(found, job, limits)
    taken = {"cpu_seconds": time.process_time() - began, "seconds": time.perf_counter() - at}
    assert plan.choices, "something must be worth renting"
    return {**taken, "rows": len(found), "answers": len(plan.choices) + plan.outranked}


def read(count: int, folder: Path) -> dict[str, float]:
    """The same with the offers read from a ledger before, in which they were kept: both are timed."""
    from launcher.ledger import Ledger  # here, as above
    from pricing.plan import make_plan
    from tests.bench.catalogue import CLOUDS, NOW
    from tests.pricing.samples import terms, workload

    ledger = Ledger(folder / "ledger.sqlite")
    limits, job = terms("5", now=NOW, interactive=True), workload()
    began, at = time.process_time(), time.perf_counter()
    found = tuple(offer for name in CLOUDS for offer in ledger.sightings.offers(name))
    plan = make_plan(found, job, limits)
    taken = {"cpu_seconds": time.process_time() - began, "seconds": time.perf_counter() - at}
    ledger.close()
    assert len(found) == count, f"{len(found)} of {count} were kept"
    return {**taken, "rows": len(found), "answers": len(plan.choices) + plan.outranked}


def queried(count: int) -> dict[str, float]:
    """gpuhunt's query of its local catalogue: it reads the folder at every query, and sorts by price."""
    from gpuhunt import Catalog  # here, as above

    catalogue = Catalog(balance_resources=False, auto_reload=False)
    names = ["aws", "lambdalabs", "runpod"]
    began, at = time.process_time(), time.perf_counter()
    found = catalogue.query(provider=names, min_gpu_memory=SMALLEST_GIB, gpu_vendor="nvidia")
    taken = {"cpu_seconds": time.process_time() - began, "seconds": time.perf_counter() - at}
    assert found, "something must be for rent"
    return {**taken, "rows": count, "answers": len(found)}


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB / (MIB if sys.platform == "darwin" else 1)


def main() -> int:
    """`prepared`, `ranked`, `read` or `queried`, a number of rows, a folder; the figures as JSON."""
    what, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    sides = {
        "prepared": lambda: prepared(count, folder),
        "ranked": lambda: ranked(count),
        "read": lambda: read(count, folder),
        "queried": lambda: queried(count),
    }
    print(json.dumps({**sides[what](), "peak_mib": _peak_mib()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
