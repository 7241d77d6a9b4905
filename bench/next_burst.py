"""How often the prediction interval of a burst covers the next burst, in simulated cases.

    python -m bench.next_burst            # a minute

Bursts of 30 lognormal services on 1 to 30 slots, which begin at once or after a cold start. Exits with 1 if a percentile is covered less
often than in LEAST of a case's tries.
"""

from __future__ import annotations

import math
import sys
from itertools import product

import numpy as np

from analysis.statistics.autocorrelation import Floats
from analysis.statistics.next_burst import Slots, next_burst, slots
from analysis.statistics.percentiles import nearest_rank

SIZE, TRIES, SEED, LEAST = 30, 500, 5, 0.88
PLACES, VARIATIONS, COLD_S = (1, 3, 5, 15, 30), (0.3, 1.0), (0.0, 4.0)
COLD_VARIES, OVERHEAD_S, GAP_S = 0.2, 0.05, 0.02
PERCENTS = (50, 95, 99)


def burst(draw: np.random.Generator, places: int, variation: float, cold_s: float) -> tuple[Slots, Floats]:
    """The slots of a simulated burst, and its response times in ascending order."""
    sigma = math.sqrt(math.log(1 + variation**2))
    free = cold_s * np.exp(COLD_VARIES * draw.standard_normal(places))
    workers, begun, ended, done = [], np.empty(SIZE), np.empty(SIZE), np.empty(SIZE)
    for at in range(SIZE):
        place = int(np.argmin(free))
        service_s = math.exp(sigma * draw.standard_normal() - sigma**2 / 2)
        workers.append(place)
        begun[at], ended[at] = free[place], free[place] + service_s
        done[at] = ended[at] + OVERHEAD_S * draw.exponential()
        free[place] += service_s + GAP_S
    return slots(workers, begun, ended, done), np.sort(done)


def covered(places: int, variation: float, cold_s: float) -> list[float]:
    """For each of PERCENTS, the share of tries in which the interval covered the next burst."""
    draw, hits = np.random.default_rng(SEED), np.zeros(len(PERCENTS))
    for seed in range(TRIES):
        found, after = next_burst(burst(draw, places, variation, cold_s)[0], seed), burst(draw, places, variation, cold_s)[1]
        hits += [found[percent][0] <= after[nearest_rank(SIZE, percent) - 1] <= found[percent][1] for percent in PERCENTS]
    return [float(hit) / TRIES for hit in hits]


def main() -> int:
    print("slots  variation  cold start   " + "  ".join(f"P{percent:<4}" for percent in PERCENTS))
    least = 1.0
    for places, variation, cold_s in product(PLACES, VARIATIONS, COLD_S):
        shares = covered(places, variation, cold_s)
        least = min(least, *shares)
        print(f"{places:5}  {variation:9}  {cold_s:8} s   " + "  ".join(f"{share:.2f} " for share in shares), flush=True)
    print(f"lowest share: {least:.2f} (limit {LEAST})")
    return 0 if least >= LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
