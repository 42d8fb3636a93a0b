"""One contender in a process of its own: it prepares a case, and does a round whenever it is told to.

Peak memory is a process's, and threads that spin after their work disturb nobody who waits for a line of input.
Started by `benchmarks.race`; lines on its standard output are JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from importlib.metadata import version

from benchmarks.cases import CASES, CONTENDERS, PACKAGES, Case


def main(case: Case, who: str) -> None:
    """Prepare, then answer each line "round" with seconds, until the input ends."""
    if who == "pytorch":
        import torch

        from minissd.parallel import thread_count

        torch.set_num_threads(thread_count())
    run = CONTENDERS[case.kind][who](case)
    begun = time.perf_counter()
    run()  # the first round fills caches and does not count
    first = time.perf_counter() - begun
    package = PACKAGES.get(who, "numpy")
    answer({"ready": f"{package} {version(package)}", "first": first})
    for line in sys.stdin:
        if line.strip() != "round":
            break
        begun = time.perf_counter()
        run()
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
        answer({"seconds": seconds, "peak_mb": peak})


def answer(content: dict) -> None:
    """Write one line."""
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    chosen = CASES[given] if isinstance(given, str) else Case(**given)
    main(chosen, sys.argv[2])
