"""A job object read: which word its end has, what its times are worth, and where an error hides in a success."""

import json

import pytest

from coldburst.targets.answer import ended_at, failure
from coldburst.targets.checks import Checks
from coldburst.targets.expression import several
from coldburst.targets.job_object import columns, verdict
from coldburst.targets.outcome import decide

SDK_ERROR = json.dumps({"error_type": "<class 'ValueError'>", "error_message": "no speech", "worker_id": "w1"})
DEFAULT = "error, output.error"


def looking(places):
    """Checks that look for errors at these places alone."""
    return Checks(error_at=several(places, "--error-at"), search=False)


@pytest.mark.parametrize(
    ("asked", "seen", "queue_s", "execution_s", "end"),
    [
        (100.0, 109.0, 2.0, 3.0, 105.0),  # accepted at 100: the interval until the poll is no part of its time
        (106.0, 109.0, 2.0, 3.0, 106.0),  # it was seen unfinished later than the platform's times would have it
        (100.0, 104.0, 2.0, 3.0, 104.0),  # it was seen ended before
        (100.0, 109.0, None, 3.0, 109.0),  # nothing but the polls to go by
        (100.0, 109.0, 2.0, None, 109.0),
        (100.0, 109.0, 0.0, 0.0, 100.0),
    ],
)
def test_the_end_of_a_job_is_the_platforms_held_within_what_was_seen(asked, seen, queue_s, execution_s, end):
    assert ended_at(100.0, asked, seen, queue_s, execution_s) == end


@pytest.mark.parametrize(
    ("job", "last_seen", "outcome", "words"),
    [
        ({"status": "COMPLETED", "output": {"text": "hi"}}, "IN_PROGRESS", "ok", ""),
        ({"status": "COMPLETED", "output": False}, "IN_PROGRESS", "ok", ""),
        ({"status": "COMPLETED", "output": 0}, "IN_PROGRESS", "ok", ""),
        ({"status": "COMPLETED", "output": [[]]}, "IN_PROGRESS", "ok", ""),
        ({"status": "COMPLETED", "output": []}, "IN_PROGRESS", "wrong", "an empty output ([]): the handler returned nothing, or is a"),
        ({"status": "COMPLETED", "output": {}}, "IN_PROGRESS", "wrong", "a generator without return_aggregate_stream, whose parts are at"),
        ({"status": "COMPLETED", "output": ""}, "IN_PROGRESS", "wrong", 'COMPLETED with an empty output ("")'),
        ({"status": "COMPLETED", "output": {"error": None, "code": 500}}, "IN_PROGRESS", "ok", ""),
        ({"status": "COMPLETED"}, "IN_PROGRESS", "wrong", "COMPLETED without output"),
        ({"status": "COMPLETED", "output": None}, "IN_PROGRESS", "wrong", "COMPLETED without output"),
        ({"status": "COMPLETED", "output": {"error": {"message": "bad"}}}, "IN_PROGRESS", "failed", "an error inside COMPLETED: bad"),
        ({"status": "COMPLETED", "output": 1, "error": "late"}, "IN_PROGRESS", "failed", "an error inside COMPLETED: late"),
        ({"status": "FAILED", "error": SDK_ERROR}, "IN_PROGRESS", "failed", "ValueError: no speech"),
        ({"status": "FAILED", "output": {"error": "no GPU"}}, "IN_PROGRESS", "failed", "no GPU"),
        ({"status": "FAILED"}, "IN_QUEUE", "failed", "FAILED without a reason"),
        ({"status": "CANCELLED", "error": "by hand"}, "IN_QUEUE", "failed", "CANCELLED, and not by this run: by hand"),
        ({"status": "TIMED_OUT"}, "IN_QUEUE", "queue_timeout", "TIMED_OUT before any endpoint worker had it"),
        ({"status": "TIMED_OUT", "delayTime": 120_000}, "IN_QUEUE", "queue_timeout", "before any endpoint worker had it"),
        ({"status": "TIMED_OUT", "error": "ttl"}, "IN_PROGRESS", "timed_out", "TIMED_OUT while an endpoint worker had it: ttl"),
        ({"status": "TIMED_OUT"}, "RUNNING", "timed_out", "while an endpoint worker had it"),
        ({"status": "TIMED_OUT", "workerId": "w1"}, "IN_QUEUE", "timed_out", "while an endpoint worker had it"),
        ({"status": "TIMED_OUT", "executionTime": 5000}, "IN_QUEUE", "timed_out", "while an endpoint worker had it"),
        (
            {"status": "GONE", "error": "job not found"},
            "IN_QUEUE",
            "queue_timeout",
            "GONE before any endpoint worker had it: job not found",
        ),
    ],
)
def test_each_end_has_one_outcome(job, last_seen, outcome, words):
    says, error = verdict(job, last_seen, looking(DEFAULT))
    assert decide(status=200, says=says) == outcome
    assert words in error
    assert bool(error) == (outcome != "ok")


@pytest.mark.parametrize(
    ("output", "places", "words"),
    [
        ({"error": "x"}, DEFAULT, "x"),
        ({"output": {"error": "x"}}, DEFAULT, "x"),
        ({"code": 500}, "code", "code 500"),
        ({"code": -1}, "output.code", "output.code -1"),
        ({"a": {"b": "x"}}, "error; a.b", "x"),
        ({"error": True}, DEFAULT, "error is true"),
        ({"error": ["x"]}, DEFAULT, '["x"]'),
        ({"code": 200}, "code", ""),
        ({"code": 0}, "code", ""),
        ({"error": {}}, DEFAULT, ""),
        ({"error": False}, DEFAULT, ""),
        ({"error": "x"}, "", ""),
        ([{"text": "a"}, {"error": "x"}], DEFAULT, "x"),
        ({"parts": [{"detail": "x"}]}, "output.parts.detail", "x"),
        ({"error": {"code": 17}}, DEFAULT, '{"code": 17}'),
        ({"n": 3}, "output.n > 2", "output.n > 2 is true"),
        ("error", DEFAULT, ""),
        (None, DEFAULT, ""),
    ],
)
def test_an_error_in_an_output_is_found_where_it_is_said_to_stand(output, places, words):
    assert looking(places).error({"status": "COMPLETED", "output": output}, output) == words


def test_the_times_are_seconds_and_what_is_no_time_is_left_out():
    job = {"status": "COMPLETED", "delayTime": 1500, "executionTime": 250.5, "workerId": "w1", "retries": 1}
    assert columns(job) == {"queue_s": 1.5, "execution_s": 0.2505, "worker_id": "w1", "platform_retries": 1}
    assert columns({"status": "COMPLETED"}) == {"platform_retries": 0}
    for hostile in (None, True, -1, "1500", float("nan"), float("inf"), [1]):
        assert columns({"status": "IN_QUEUE", "delayTime": hostile, "workerId": 5, "retries": "1"}) == {}


def test_an_error_is_told_in_words_whatever_its_form():
    assert failure("boom") == "boom"
    assert failure(SDK_ERROR) == "ValueError: no speech"
    assert failure(json.dumps({"error_type": "<class 'my.Error'>", "error_message": "x"})) == "my.Error: x"
    assert failure('{"a": 1}') == '{"a": 1}'
    assert failure({"message": "boom", "code": 5}) == "boom"
    assert failure({"code": 5}) == '{"code": 5}'
    assert failure(["x"]) == '["x"]'
