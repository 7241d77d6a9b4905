"""Why nobody took a request: tables of what an endpoint said of itself, and the one reading that they allow."""

import pytest

from analysis.tables.attempt_tables import CAUSES as REPORTED
from coldburst.record.attempt import ENDPOINT, OUTCOMES
from coldburst.targets.cause import CAUSES, cause

COUNTS = ("in_queue", "in_progress", "completed", "idle", "initializing", "ready", "running", "throttled", "unhealthy")


def said(*rows, retried=None):
    """Samples of /health, one a row, in the order of COUNTS; ``retried`` is a column of its own."""
    samples = [dict(zip(COUNTS, row, strict=True)) | {"view": "health", "error": "", "failed": 0, "retried": 0} for row in rows]
    for sample, count in zip(samples, retried or (), strict=False):
        sample["retried"] = count
    return samples


#     queue busy done idle init ready run throttled unhealthy
BUSY = [(20, 3, 100, 0, 0, 0, 3, 0, 0), (19, 3, 101, 0, 0, 0, 3, 0, 0), (25, 3, 103, 0, 0, 0, 3, 0, 0)]
LONG_JOBS = [(20, 3, 100, 0, 0, 0, 3, 0, 0)] * 3
MIN_WORKER = [(4, 1, 7, 0, 0, 0, 1, 0, 0)] * 3
PHANTOM = [(20, 0, 100, 0, 1, 0, 3, 0, 0), (20, 0, 100, 0, 0, 0, 3, 0, 0), (25, 0, 100, 0, 0, 0, 3, 0, 0)]
UNHEALTHY = [(5, 0, 0, 0, 1, 0, 1, 0, 0), (5, 0, 0, 0, 1, 0, 1, 0, 1), (5, 0, 0, 0, 1, 0, 1, 0, 1)]
FLAPPING = [(5, 0, 0, 0, 2, 0, 2, 0, 0), *[(5, 0, 0, 0, 1, 0, 2, 0, 0), (5, 0, 0, 0, 2, 0, 2, 0, 0)] * 3]
CACHED = [(5, 0, 9, 1, 0, 1, 1, 0, 0), *[(5, 0, 9, 1, 0, 1, 1, 0, 1)] * 2]
STARTING = [(5, 0, 0, 0, 1, 0, 1, 0, 0)] * 3
SCALING = [(9, 1, 3, 0, 0, 0, 1, 0, 0), (9, 1, 4, 0, 1, 0, 2, 0, 0), (9, 1, 5, 0, 1, 0, 2, 0, 0)]
THROTTLED = [(9, 2, 3, 0, 0, 0, 2, 3, 0), (9, 2, 5, 0, 0, 0, 2, 3, 0)]
THROTTLED_ONLY = [(9, 0, 3, 0, 0, 0, 0, 3, 0)] * 2
NOTHING = [(9, 0, 3, 0, 0, 0, 0, 0, 0)] * 3
DYING_AT_WORK = [(9, 1, 3, 0, 0, 0, 1, 0, 0), (9, 1, 3, 0, 0, 0, 1, 0, 0)]
IDLE = [(1, 0, 3, 1, 0, 1, 1, 0, 0), (1, 0, 4, 1, 0, 1, 1, 0, 0)]
POLLS = "its job may still run, but 5 of 5 polls in 31 s were answered, and none showed its state (last seen IN_QUEUE; last try: {})"


@pytest.mark.parametrize(
    ("rows", "retried", "expected"),
    [
        (BUSY, None, "no_capacity"),
        (LONG_JOBS, None, "no_capacity"),  # nothing completes, but work is in progress
        (MIN_WORKER, None, "no_capacity"),  # never in `ready`, and at work
        (PHANTOM, None, "crash_loop"),  # three "running", a queue, none to spare: it looks like a lack of capacity
        (UNHEALTHY, None, "crash_loop"),
        (FLAPPING, None, "crash_loop"),
        (CACHED, None, "crash_loop"),  # `ready` is a cached worker whose resume fails
        (DYING_AT_WORK, (0, 1), "crash_loop"),
        (DYING_AT_WORK, (1, 1), "no_capacity"),
        (STARTING, None, "slow_start"),
        (SCALING, None, "slow_start"),
        (THROTTLED, None, "throttled_hosts"),
        (THROTTLED_ONLY, None, "throttled_hosts"),
        (NOTHING, None, "no_workers"),
        (IDLE, None, "unknown"),
        ([], None, "unknown"),
    ],
)  # fmt: skip
def test_a_wait_in_vain_is_explained_by_what_the_endpoint_said(rows, retried, expected):
    samples = said(*rows, retried=retried)
    assert cause("queue_timeout", 120.0, 400, "no workers available", samples) == expected
    assert cause("refused", 120.0, 400, "400: whatever", samples) == expected
    assert cause("refused", 0.1, 400, "400: no workers available", samples) == expected
    abandoned = "own_deadline" if expected == "unknown" else expected
    assert cause("abandoned", 300.0, 200, "still IN_QUEUE after 300 s", samples) == abandoned
    assert cause("abandoned", 300.0, 200, "still IN_PROGRESS after 300 s", samples) == "own_deadline"
    assert cause("abandoned", 300.0, 200, "COMPLETED, but later than 300 s", samples) == "own_deadline"


SHOWN = {
    "no_capacity": BUSY, "crash_loop": PHANTOM, "slow_start": STARTING, "throttled_hosts": THROTTLED, "no_workers": NOTHING
}  # fmt: skip


@pytest.mark.parametrize("expected", SHOWN)
def test_one_sample_proves_nothing(expected):
    for row in SHOWN[expected]:
        assert cause("queue_timeout", 120.0, 400, "no workers available", said(row)) == "unknown"


#             queue busy done idle init ready run throttled unhealthy
FLICKERS = [
    (20, 0, 100, 0, 0, 0, 0, 0, 1),
    (20, 0, 100, 0, 0, 0, 0, 1, 0),
    (20, 0, 100, 0, 2, 0, 2, 0, 0),
    (20, 0, 100, 0, 0, 0, 3, 0, 0),
    (20, 1, 100, 0, 0, 0, 1, 0, 0),
    (20, 0, 100, 0, 0, 0, 0, 0, 0),
]


@pytest.mark.parametrize("flicker", FLICKERS)
@pytest.mark.parametrize("expected", SHOWN)
def test_one_odd_sample_never_makes_another_cause(expected, flicker):
    """Among four alike; at the end it may take the cause away."""
    steady = {"no_capacity": LONG_JOBS[0], "crash_loop": PHANTOM[-1], "slow_start": STARTING[0], "throttled_hosts": THROTTLED[0]}
    row = steady.get(expected, NOTHING[0])
    for place in range(5):
        rows = [row] * 4
        rows.insert(place, flicker)
        counts = [(*one[:2], 100, *one[3:]) for one in rows]
        assert cause("queue_timeout", 120.0, 400, "no workers available", said(*counts)) in (expected, "unknown"), place


@pytest.mark.parametrize(
    ("outcome", "elapsed_s", "status", "error", "expected"),
    [
        ("ok", 1.0, 200, "", ""),
        ("unfinished", None, None, "", ""),
        ("not_sent", None, None, "", ""),
        ("throttled", 0.1, 429, "429: slow down", "rate_limit"),
        ("busy", 0.1, 503, "503: busy", "busy"),
        ("timed_out", 330.0, 524, "524", "execution_limit"),
        ("unreachable", 0.1, None, "refused", "unreachable"),
        ("wrong", 1.0, 200, "COMPLETED without output", "wrong_answer"),
        ("refused", 0.1, 400, "400: no such voice", "bad_request"),
        ("refused", None, 413, "413", "bad_request"),
        ("refused", 0.1, 401, "401: invalid api key", "bad_key"),
        ("refused", 0.1, 403, "403", "bad_key"),
        ("refused", 120.0, 404, "404", "wrong_address"),
        ("failed", 1.0, 200, "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", "out_of_memory"),
        ("failed", 1.0, 200, "MemoryError", "out_of_memory"),
        ("failed", 82.0, 200, "job timed out after 1 retries", "worker_lost"),
        ("failed", 1.0, 200, "CANCELLED, and not by this run", "cancelled"),
        ("failed", 1.0, 200, "ValueError: no room", "service_error"),
        ("failed", 34.0, 200, POLLS.format("500: CUDA out of memory"), "polls_failed"),
        ("failed", 34.0, 200, POLLS.format("403: forbidden (is the key in RUNPOD_API_KEY the right one?)"), "bad_key"),
        ("queue_timeout", 120.0, 400, "no workers available", "unknown"),
        ("abandoned", 300.0, None, "no first byte within 300 s", "own_deadline"),
    ],
)
def test_without_samples_only_time_and_words_prove_anything(outcome, elapsed_s, status, error, expected):
    assert cause(outcome, elapsed_s, status, error) == expected


def test_samples_that_say_nothing_prove_nothing():
    failed = [{"view": "health", "error": "500: boom"}]
    records = [{"view": "workers", "error": "", "running": 3, "idle": 0, "initializing": 0, "throttled": 0, "unhealthy": 0}]
    jobs_only = [{"view": "health", "error": "", "in_queue": 5, "in_progress": 0}]
    for samples in (failed, records, jobs_only):
        assert cause("queue_timeout", 120.0, 400, "", samples) == "unknown"


def test_the_worker_list_counts_where_the_gauge_is_silent():
    health = said(*STARTING)
    records = [{"view": "workers", "error": "", "running": 0, "idle": 0, "initializing": 0, "throttled": 0, "unhealthy": 2}] * 2
    assert cause("queue_timeout", 120.0, 400, "", health) == "slow_start"
    assert cause("queue_timeout", 120.0, 400, "", [*health, *records]) == "crash_loop"


def test_causes_are_a_closed_set_and_samples_have_the_columns_of_the_endpoints_file():
    found = {cause(outcome, 1.0, 400, "") for outcome in OUTCOMES}
    assert found <= {*CAUSES, ""}
    assert set(said(BUSY[0])[0]) <= {column.name for column in ENDPOINT}
    assert all(meaning for meaning in CAUSES.values())


@pytest.mark.parametrize("words", [CAUSES["no_workers"], REPORTED["no_workers"]])
def test_an_endpoint_without_workers_is_not_said_to_want_none(words):
    assert "either" in words
    assert "workersMax is 0, which RunPod sets after a week without" in words
    assert "requests (raise workersMax), or no host has the GPU" in words
    assert words.endswith("(allow more GPU types or regions)")
