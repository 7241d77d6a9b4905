"""Waits of cold requests at a load balancer, and scale-up delay, against known answers: starts take 3 s, a model loads in 7.7 s."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.report.cold_sheets import cold_sheets
from analysis.runs.load import load
from analysis.tables.cold_starts import cold_starts
from analysis.tables.run_tables import Tables
from analysis.tables.scale_up import scale_up
from tests.analysis.test_cold_start_rule import RUNS
from tests.support import virtual
from tests.support.listed_runs import Balanced, attempts, events, run_polled

START_S, LOAD_S, WORK_S = 3.0, 7.7, 1.2
# The wait of whoever met a cold start of a burst at an endpoint without workers: the known answer.
COLD_S = START_S + LOAD_S


def tables(due_s, *, lazy=False, work_s=WORK_S, listed=True, **policy):
    """The tables of requests due at these times; ``lazy``: the model loads in the first request of each worker."""
    known = {"workers_max": 3, "workers_min": 0, "idle_timeout_s": 60.0, "scaler_value": 1, "kind": "LOAD_BALANCER"} | policy
    core = virtual.endpoint(platform={**virtual.PROMPT, "start_s": START_S, "step": 0, "check_s": 0.01}, scaler="REQUEST_COUNT", **known)
    served = set()

    def service(job, rng):
        first = id(rng) not in served
        served.add(id(rng))
        return work_s + (LOAD_S if lazy and first else 0.0)

    run = Balanced(core, 0.0, service=service, load_s=0.0 if lazy else LOAD_S)
    sampler = run_polled(run, due_s, 0.0, max(due_s) + 120.0)
    rows, truth = run.answered()
    assert len(rows) == len(due_s)
    about = sampler.about() if listed else {}
    base = load(RUNS / "queue")
    told = {"events": events(sampler.told) if listed else None, "endpoint": sampler.polls() if listed else None}
    return Tables(replace(base, about=about, attempts=attempts(*rows), **told)), truth


def shown(of):
    """The tables' rows by their first cell."""
    return {row[0]: row[1:] for sheet in cold_sheets(of) for row in sheet.rows}


def test_where_all_waited_the_wait_has_bounds_and_is_never_said_to_be_short():
    """Three requests on three workers: no answer shows how long one takes alone."""
    of, truth = tables([0.5, 0.5, 0.5])
    assert {round(one["waited_s"], 1) for one in truth} == {COLD_S}
    found = cold_starts(of)
    least, most = found.bounds
    assert (found.cold, found.whole.n, found.parts, most.n) == (3, 0, {}, 3)
    assert COLD_S - 2.0 <= least.at(50).value <= COLD_S <= most.at(50).value == pytest.approx(COLD_S + WORK_S, abs=0.02)
    assert " to 11.9 s" in shown(of)["queue + cold start"][1]


def test_behind_a_burst_the_wait_is_what_the_first_ones_took_longer():
    """Twelve at once on three workers: the later ones of each worker show how long one takes, though all waited."""
    of, _ = tables([0.5] * 12)
    found = cold_starts(of)
    assert found.cold == 3
    waits = of.requests.loc[of.requests["cold"].fillna(False), "wait_s"]
    assert waits.to_list() == pytest.approx([COLD_S] * 3, abs=0.02)
    assert sum(times.at(50).value for times in found.parts.values()) == pytest.approx(COLD_S, abs=0.02)
    assert found.bounds[1].n == 0


def test_requests_of_a_burst_may_arrive_in_another_order_than_they_were_sent():
    """Twelve within 2 ms on three workers: whoever was answered first on its worker met the cold start."""
    of, _ = tables([0.5] * 12)
    rows = of.run.attempts
    cold = of.requests["cold"].fillna(False).to_list()
    assert sum(cold) == 3
    swapped = rows.assign(sent_s=rows["sent_s"] - np.arange(len(rows)) * 2e-4)
    assert Tables(replace(of.run, attempts=swapped)).requests["cold"].fillna(False).to_list() == cold


@pytest.mark.parametrize("lazy", [False, True])
def test_with_warm_answers_too_and_a_model_that_loads_in_the_first_request(lazy):
    of, _ = tables([0.5, *(20.0 + 3 * k for k in range(10))], lazy=lazy)
    (wait_s,) = of.requests.loc[of.requests["cold"].fillna(False), "wait_s"]
    assert wait_s == pytest.approx(COLD_S, abs=0.02)
    parts = {name: times.maximum for name, times in cold_starts(of).parts.items()}
    assert sum(parts.values()) == pytest.approx(COLD_S, abs=0.02)
    assert parts.get("load_s", 0.0) == pytest.approx(LOAD_S if lazy else 0.0, abs=2.0)


def test_a_worker_that_was_ready_before_loads_its_model_in_the_first_request():
    of, _ = tables([30.0 + 10 * k for k in range(12)], lazy=True, workers_min=1, workers_max=1)
    (row,) = of.requests[of.requests["cold"].fillna(False)].to_dict("records")
    assert (row["cold_by"], row["load_s"]) == ("execution", pytest.approx(LOAD_S, abs=0.01))
    assert cold_starts(of).parts["load_s"].maximum == pytest.approx(LOAD_S, abs=0.01)


def test_without_the_list_a_single_long_answer_is_uncertain():
    of, _ = tables([0.5], listed=False)
    assert (cold_starts(of).known, cold_starts(of).uncertain) == (0, 1)
    assert "uncertain" in shown(of)


def test_scale_up_delay_counts_everyone_who_found_no_worker_ready():
    """Ten at 0.5 s, on one worker that is ready at 11.2 s; five more at 6 s: fifteen waited, one was first. Then ten find it ready."""
    of, _ = tables([0.5] * 10 + [6.0] * 5 + [60.0 + 2 * k for k in range(10)], workers_max=1)
    found = scale_up(of)
    assert (cold_starts(of).cold, found.waited, found.of) == (1, 15, 25)
    assert found.most_s.at(50).value == pytest.approx(COLD_S, abs=0.02)
    assert found.most_s.mean == pytest.approx((10 * COLD_S + 5 * (COLD_S - 5.5)) / 15, abs=0.02)
    assert shown(of)["waited because no worker was ready"][0] == "15 of 25"
    assert "10.7 s" in shown(of)["scale-up delay"][0]


def test_scale_up_delay_has_bounds_where_the_time_of_readiness_has():
    found = scale_up(tables([0.5, 0.5, 0.5])[0])
    assert found.waited == 3
    assert COLD_S - 2.0 <= found.least_s.at(50).value <= COLD_S <= found.most_s.at(50).value <= COLD_S + 2.0


def test_a_request_behind_busy_workers_has_no_scale_up_delay():
    of, _ = tables([30.0] * 8, workers_min=2, workers_max=2)
    assert (scale_up(of).waited, scale_up(of).least_s.n) == (0, 0)


def test_without_a_worker_list_scale_up_delay_is_unknown():
    of, _ = tables([0.5] * 4, listed=False)
    assert scale_up(of) is None
    assert "scale-up delay" not in shown(of)


def test_a_request_that_no_worker_took_waited_to_its_end():
    of, _ = tables([0.5] * 4)
    rows = of.run.attempts.assign(seq=of.run.attempts["seq"] + 1)
    gave_up = attempts({"sent_s": -110.0, "done_s": 10.0, "outcome": "queue_timeout"})
    found = scale_up(Tables(replace(of.run, attempts=pd.concat([gave_up, rows], ignore_index=True))))
    assert found.waited == 5
    assert found.most_s.maximum == pytest.approx(120.0)
    assert not np.isnan(found.least_s.mean)
