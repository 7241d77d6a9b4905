"""How many jobs the platform's model does in a CPU-second of virtual time, beside SimPy and Ciw, which know no platform.

    python -m bench.core             # two minutes
    python -m bench.core --quick

All simulate Poisson arrivals at log-normal service times, and take turns in the same rounds. SimPy and Ciw do no more than a queue and
its servers; here each job also passes scaler, worker states, bill, deadlines, the SDK's polls and pick-ups, and becomes a row of a run.
They run in a Python of their own: that of BENCH_PEERS if it is set, else one that is made for this run (pip installs them).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.rows import Row, main
from coldburst.planner.model.distributions import parse
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.model.simulate import simulate
from coldburst.schedule import stages
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy

PEERS = ("simpy==4.1.2", "ciw==3.2.7")
JOBS, ROUNDS, WORKERS = 10_000, 5, (5, 50)
# Least speed relative to SimPy in the same rounds: two thirds of what was measured.
LEAST = {"queue": 0.4, "balancer": 0.45}
# A job of 50 workers may cost so many times that of 5, and one of a run ten times as long.
GROWTH, LENGTH_GROWTH = 1.35, 1.25
SERVICE = "lognormal:2:0.3"
# Requests per second and worker. The SDK asks for work once a second, so a worker of a queue takes about 3 s for a job of 2 s.
RATES = {"queue": 0.2, "balancer": 0.3}
PEER = """
import random, sys, time

def simpy_(jobs, servers, rate):
    import simpy
    rng, done = random.Random(1), []
    env = simpy.Environment()
    station = simpy.Resource(env, servers)

    def job():
        begun = env.now
        with station.request() as place:
            yield place
            yield env.timeout(rng.lognormvariate(0.693, 0.3))
        done.append(env.now - begun)

    def source():
        for _ in range(jobs):
            yield env.timeout(rng.expovariate(rate))
            env.process(job())

    env.process(source())
    env.run()
    return len(done)

def ciw_(jobs, servers, rate):
    import ciw
    arrive, serve = ciw.dists.Exponential(rate), ciw.dists.Lognormal(0.693, 0.3)
    network = ciw.create_network(arrival_distributions=[arrive], service_distributions=[serve], number_of_servers=[servers])
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(jobs)
    return len(simulation.get_all_records())

run = {"simpy": simpy_, "ciw": ciw_}[sys.argv[1]]
run(10, 1, 0.1)
begun = time.process_time()
done = run(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
print(done / (time.process_time() - begun))
"""


def plan(kind: str, workers: int) -> Scenario:
    """Workers that are always on."""
    common = {"workers_min": workers, "workers_max": workers}
    policy = Policy(**common) if kind == "queue" else Policy("LOAD_BALANCER", scaler="REQUEST_COUNT", scaler_value=1, **common)
    return Scenario(policy, Platform(), parse(SERVICE), parse("2"), parse("6"))


def jobs_per_cpu_s(kind: str, workers: int, jobs: int) -> float:
    """Of one simulated run."""
    rate = RATES[kind] * workers
    schedule = stages.parse(f"steady {jobs / rate:g}s {rate:g}/s poisson")
    begun = time.process_time()
    run = simulate(plan(kind, workers), schedule, 1)
    assert len(run.rows) == jobs
    return jobs / (time.process_time() - begun)


def peer(python: str, name: str, jobs: int) -> float:
    """The same of a peer, with five servers."""
    words = [python, "-c", PEER, name, str(jobs), str(WORKERS[0]), str(RATES["balancer"] * WORKERS[0])]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def peers_python(folder: Path) -> str | None:
    """A Python that has the peers; None where they cannot be installed."""
    if given := os.environ.get("BENCH_PEERS"):
        return given
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    installed = subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=False, capture_output=True)
    return None if installed.returncode else python


def rows(quick: bool) -> Iterator[Row]:
    """What ``python -m bench.core`` prints."""
    jobs, rounds = (JOBS // 4, 3) if quick else (JOBS, ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        python = peers_python(Path(folder))
        contenders: dict[str, Callable[[], float]] = {
            f"{kind}, {workers} workers": lambda kind=kind, workers=workers: jobs_per_cpu_s(kind, workers, jobs)
            for kind in RATES
            for workers in WORKERS
        }
        contenders["queue, 5 workers, ten times as long"] = lambda: jobs_per_cpu_s("queue", WORKERS[0], 10 * jobs)
        if python:
            contenders |= {name: lambda name=name: peer(python, name.lower(), 2 * jobs) for name in ("SimPy", "Ciw")}
        found: dict[str, list[float]] = {name: [] for name in contenders}
        for kind in RATES:  # the first run of a process is slower
            jobs_per_cpu_s(kind, WORKERS[0], jobs)
        for _ in range(rounds):
            for name, run in contenders.items():
                found[name].append(run())
    yield from (Row(name, tuple(values), "jobs/CPU-s") for name, values in found.items())
    yield from _ratios(found)


def _ratios(found: dict[str, list[float]]) -> Iterator[Row]:
    few, many = WORKERS
    for kind, least in LEAST.items():
        for name in ("SimPy", "Ciw"):
            values = tuple(map(float.__truediv__, found[f"{kind}, {few} workers"], found[name])) if name in found else ()
            missing = "" if values else "pip could not install it"
            yield Row(f"{kind} beside {name}", values, f"× {name}", least if name == "SimPy" else None, at_least=True, not_judged=missing)
        grown = tuple(map(float.__truediv__, found[f"{kind}, {few} workers"], found[f"{kind}, {many} workers"]))
        yield Row(f"{kind}: a job of {many} workers", grown, f"× of {few}", GROWTH)
    longer = tuple(map(float.__truediv__, found["queue, 5 workers"], found["queue, 5 workers, ten times as long"]))
    yield Row("queue: a job of a run ten times as long", longer, "× a job", LENGTH_GROWTH)


if __name__ == "__main__":
    sys.exit(main(rows, __doc__))
