"""Runs of the platform model in virtual time as a generator records them: rows, and a worker list polled every two seconds."""

from datetime import UTC, datetime

import pandas as pd

from analysis.runs.load import ATTEMPTS, ENDPOINT, EVENTS
from coldburst.serverless.actions import Forward
from coldburst.serverless.simulation.driver import WorkerResult
from coldburst.targets.worker_spans import SERVING, WorkerSpans
from tests.support import virtual

POLL_S = 2.0


def frame(dtypes, rows):
    columns = {name: [row.get(name, "" if dtype == "str" else None) for row in rows] for name, dtype in dtypes.items()}
    return pd.DataFrame({name: pd.array(columns[name], dtype=dtype) for name, dtype in dtypes.items()})


def attempts(*rows):
    """Rows of attempts.csv; ``seq`` is the place, and ok, sent at 0, where nothing else is said."""
    given = [{"seq": k, "attempt": 1, "scheduled_s": 0.0, "sent_s": 0.0, "outcome": "ok"} | row for k, row in enumerate(rows)]
    return frame(ATTEMPTS, given)


def events(rows):
    return frame(EVENTS, rows)


def polls(*at_s):
    """Rows of endpoint.csv: when the list of workers was polled."""
    return frame(ENDPOINT, [{"at_s": float(at), "view": "workers", "error": ""} for at in at_s])


def ready(worker, at_s, seconds=None, generator="local"):
    return {"kind": "worker_ready", "worker_id": worker, "at_s": at_s, "seconds": seconds, "generator": generator}


class Sampler:
    """Polls the list of workers as the generator does, and keeps what it records; second 0 is at ``begin_s`` of the model's clock."""

    def __init__(self, core, begin_s):
        self._core, self._begin_s, self._serving, self._now = core, begin_s, None, begin_s
        self._spans = WorkerSpans(lambda: self._now)
        self.told, self._asked_s = [], []

    def look(self, now):
        at_s, listed, self._now = now - self._begin_s, self._core.workers(now), now
        self._asked_s.append(at_s)
        answer = [{**worker, "uptimeSeconds": int(worker["uptime_s"]), "startedAt": _instant(worker["startedAt_s"])} for worker in listed]
        self._spans.see(answer, at_s)
        ready_now = {w["id"]: w["startedAt"] for w in answer if w["status"] in SERVING and w["startedAt"] is not None}
        for worker in answer:
            if worker["id"] not in ready_now:
                continue
            if self._serving is None:
                self.told.append(ready(worker["id"], min(at_s - worker["uptimeSeconds"], -0.001)))
            elif self._serving.get(worker["id"]) != ready_now[worker["id"]]:
                self.told.append(ready(worker["id"], at_s, float(worker["uptimeSeconds"])))
        self._serving = ready_now

    def polls(self):
        """endpoint.csv."""
        return polls(*self._asked_s)

    def about(self):
        """run.json."""
        policy = self._core.policy
        settings = {"type": policy.kind, "scaler": policy.scaler, "scaler_value": policy.scaler_value, "workers_min": policy.workers_min}
        settings |= {"idle_timeout_s": policy.idle_timeout_s, "flashboot": policy.flashboot}
        return {"platform": {"settings": settings, "workers": self._spans.rows()}}


def _instant(started_s):
    return None if started_s is None else datetime.fromtimestamp(started_s, UTC).isoformat(timespec="milliseconds")


class Balanced:
    """Requests of a load balancer, each with what became of it; its client gets a worker's name and no times."""

    def __init__(self, core, begin_s, **workers):
        self.core, self._begin_s = core, begin_s
        self._driver = virtual.simulation(core, **workers)
        self._found: dict[str, dict] = {}

    def to(self, now):
        while (wake_s := self._driver.wake_s()) is not None and wake_s < now:
            self._pump(wake_s)
        self._pump(now)

    def arrive(self, now):
        name = str(len(self._found))
        self._found[name] = {"sent_s": now - self._begin_s}
        self.core.arrive(name, now)
        self._pump(now)

    def _pump(self, now):
        for action in self._driver.pump(now):
            if isinstance(action, Forward):
                truth = {"cold": action.cold, "waited_s": action.waited_s}
                self._found[action.request_id] |= {"worker_id": action.worker_id, "truth": truth}
            elif isinstance(action, WorkerResult):
                self._found[action.request_id] |= {"done_s": now - self._begin_s}

    def waiting(self):
        """Requests without an answer."""
        return sum("done_s" not in found for found in self._found.values())

    def answered(self):
        """Rows, and the truth of each: whether it was cold, and how long it was held."""
        ok = [dict(found) for found in self._found.values() if "done_s" in found]
        return ok, [row.pop("truth") for row in ok]


class Queued:
    """Jobs of a queue endpoint, each with its own times."""

    def __init__(self, core, begin_s, **workers):
        self.core, self._begin_s = core, begin_s
        self._driver = virtual.simulation(core, **workers)
        self._jobs = []

    def to(self, now):
        while (wake_s := self._driver.wake_s()) is not None and wake_s < now:
            self._driver.pump(wake_s)
        self._driver.pump(now)

    def arrive(self, now):
        self._jobs.append(self.core.submit(virtual.BODY, now))
        self._driver.pump(now)

    def waiting(self):
        """Jobs that have not ended."""
        return sum(job.finished_s is None for job in self._jobs)

    def answered(self):
        """Rows, and the truth of each: whether it was cold."""
        assert all(job.state == "COMPLETED" for job in self._jobs)
        return [self._row(job) for job in self._jobs], [{"cold": job.cold} for job in self._jobs]

    def _row(self, job):
        times = {"sent_s": job.submitted_s - self._begin_s, "done_s": job.finished_s - self._begin_s}
        return times | {"worker_id": job.worker_id, "queue_s": job.taken_s - job.submitted_s, "execution_s": job.finished_s - job.taken_s}


def run_polled(run, due_s, begin_s, until_s):
    """Let requests arrive at ``due_s`` and poll the list from ``begin_s`` to ``until_s``; the sampler."""
    sampler = Sampler(run.core, begin_s)
    asked_s = [begin_s + POLL_S * k for k in range(int((until_s - begin_s) / POLL_S))]
    for at_s, look in sorted([(at_s, False) for at_s in due_s] + [(at_s, True) for at_s in asked_s]):
        run.to(at_s)
        (sampler.look if look else run.arrive)(at_s)
    run.to(until_s)
    return sampler
