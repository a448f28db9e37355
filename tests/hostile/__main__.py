"""Plays every hostile artifact and prints one table: families, cases, breaches."""

import resource
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from tests.hostile.cases import all_cases
from tests.hostile.ground import Ground
from tests.hostile.play import judged, warm_up


def main(words: list[str]) -> int:
    """Exit 1 where there is a breach. A word: only families or names that hold it."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=memory if memory.is_dir() else None))
    cases = [case for case in all_cases() if not words or any(word in str(case) for word in words)]
    counted, broken, seconds = Counter[str](), Counter[str](), defaultdict[str, float](float)
    try:
        ground = Ground(folder)
        warm_up(ground)
        for case in cases:
            began = time.process_time()
            found = judged(case, ground)
            seconds[case.family] += time.process_time() - began
            counted[case.family] += 1
            broken[case.family] += bool(found)
            for one in found:
                print(f"{case}: {one}", file=sys.stderr)
    finally:
        shutil.rmtree(folder)
    for family, number in counted.items():
        print(f"{family:32} {number:6,} cases {broken[family]:4} breaches {seconds[family]:7.2f} s")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'all':32} {counted.total():6,} cases {broken.total():4} breaches {sum(seconds.values()):7.2f} s")
    print(f"{most:.0f} MiB of memory at most")
    return int(broken.total() > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
