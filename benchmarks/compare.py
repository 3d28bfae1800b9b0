"""Time and memory of `segbench.compare`: 2 models x 5 seeds x 500 images x 19 classes.

    OMP_NUM_THREADS=1 python -m benchmarks.compare

The limit is 10 s on one core and 1 GB for 10,000 replicates.
"""

import resource
import time

import numpy as np

from segbench.comparison.entrants import Entrant
from segbench.comparison.statistics import resample
from segbench.comparison.verdicts import pairs, ranks


def main() -> None:
    """Prints seconds and the peak memory of the whole process."""
    rng = np.random.default_rng(0)
    hits = rng.integers(0, 20_000, (2, 5, 500, 1, 19))
    labeled = np.broadcast_to(hits[:1, :1] + 5_000, hits.shape)
    right = np.minimum(hits, labeled)
    counts = np.concatenate([right, labeled + hits + 3_000 - right, labeled], axis=3)
    entrants = [Entrant(f"model{m}", tuple(range(5)), counts[m]) for m in range(2)]
    groups = [f"city{i // 167}" for i in range(500)]
    start = time.perf_counter()
    drawn = resample(entrants, groups, replicates=10_000)
    pairs(drawn)
    ranks(drawn)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{drawn.plan.note} {seconds:.2f} s, peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
