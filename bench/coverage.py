"""How often intervals cover, and how often equal systems fail a gate, in simulated runs.

    nice python -m bench.coverage              # 100 runs a case: some minutes
    nice python -m bench.coverage --runs 2000  # some hours, most of them for the long queue

Independent values (lognormal), a queue of five slots with Poisson arrivals, and bursts of 30. Queues and bursts are predicted by replay of
one run, and bursts by Student's t from three. A gate with the limit +10 % fails an equal system by mistake, a slower one rightly (power).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

import numpy as np

from analysis.statistics.autocorrelation import Floats
from analysis.statistics.intervals import Interval, ratio_to_predicted, relative_difference
from analysis.statistics.next_run import next_of, next_queue, served_queue
from analysis.statistics.percentiles import nearest_rank, percentiles
from bench.next_burst import burst, next_burst

SLOTS, LIMIT, SLOWER = 5, 0.10, 1.3
Draw = np.random.Generator
Ends = tuple[float, float]


def p95(values: Floats) -> float:
    """The nearest-rank P95."""
    return float(np.sort(values)[nearest_rank(len(values), 95) - 1])


def queue(draw: Draw, load: float, n: int, factor: float = 1.0) -> tuple[Floats, Callable[[int], Ends]]:
    """The response times of a run, and its prediction of the next P95."""
    span_s = n / (load * SLOTS)
    due, busy = np.sort(draw.uniform(0, span_s, n)), draw.exponential(size=n) * factor
    free, workers, begun = np.zeros(SLOTS), np.empty(n, dtype=int), np.empty(n)
    for at in range(n):
        slot = int(free.argmin())
        workers[at], begun[at] = slot, max(due[at], free[slot])
        free[slot] = begun[at] + busy[at]
    ended = begun + busy

    def ahead(seed: int) -> Ends:
        served = served_queue(workers.tolist(), due, begun, ended, ended, np.zeros(n))
        return next_queue(served, [np.sort(draw.uniform(0, span_s, n)) for _ in range(200)], seed)[95]

    return ended - due, ahead


def independent(draw: Draw, n: int, factor: float = 1.0) -> Floats:
    """Lognormal response times."""
    return np.exp(0.5 * draw.standard_normal(n)) * factor


def cases(runs: int) -> Iterator[tuple[str, list[float]]]:
    """Each case with its shares: shown, covered, false alarms, power."""
    truth = float(np.exp(0.5 * 1.6448536269514722))
    for n in (30, 100, 300, 1000, 3000):
        yield f"independent, n = {n:,}", _independent(n, runs, truth)
    for load, n in ((0.5, 1000), (0.8, 300), (0.8, 1000), (0.8, 3000), (0.8, 10_000), (0.9, 1000)):
        yield f"queue at {load}, n = {n:,}", _queue(load, n, runs)
    yield "bursts of 30 on 5 slots, one", _bursts(runs, 1)
    yield "bursts of 30 on 5 slots, three", _bursts(runs, 3)


def _independent(n: int, runs: int, truth: float) -> list[float]:
    draw, counts = np.random.default_rng(n), np.zeros(4)
    for _ in range(runs):
        base, same, slower = (percentiles(independent(draw, n, factor))[2] for factor in (1.0, 1.0, SLOWER))
        if base.lower is None or base.upper is None:
            continue
        ends = [Interval(of.value, of.lower, of.upper, "") for of in (base, same, slower)]
        counts += [1, base.lower <= truth <= base.upper, *(_fails(relative_difference(of, ends[0])) for of in ends[1:])]
    return _shares(counts, runs)


def _queue(load: float, n: int, runs: int) -> list[float]:
    draw, counts = np.random.default_rng(n), np.zeros(4)
    for seed in range(runs):
        (base, ahead), (same, _), (slower, _) = queue(draw, load, n), queue(draw, load, n), queue(draw, load, n, SLOWER)
        counts += _against(p95(base), ahead(seed), p95(same), p95(slower))
    return _shares(counts, runs)


def _bursts(runs: int, many: int) -> list[float]:
    draw, counts = np.random.default_rng(many), np.zeros(4)
    for seed in range(runs):
        measured = [burst(draw, SLOTS, 0.3, 0.0) for _ in range(many)]
        ends = next_burst(measured[0][0], seed)[95] if many == 1 else next_of([times for _, times in measured])[95]
        same = p95(burst(draw, SLOTS, 0.3, 0.0)[1])
        counts += _against(p95(measured[0][1]), ends, same, same * SLOWER)
    return _shares(counts, runs)


def _against(base: float, ends: Ends, same: float, slower: float) -> list[float]:
    return [1, ends[0] <= same <= ends[1], *(_fails(ratio_to_predicted(value, base, ends)) for value in (same, slower))]


def _fails(change: Interval) -> bool:
    """Whether the gate fails: the whole interval is above the limit."""
    return change.lower is not None and change.lower > LIMIT


def _shares(counts: Floats, runs: int) -> list[float]:
    shown = max(float(counts[0]), 1.0)
    return [float(counts[0]) / runs, *(float(count) / shown for count in counts[1:])]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, metavar="N", help="simulated runs a case (default 100)")
    runs = parser.parse_args().runs
    print(f"| {runs} runs a case | shown | covered | false alarms | power at +30 % |\n|---|---|---|---|---|")
    for name, shares in cases(runs):
        print(f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
