"""The real runpod SDK on both ends, in as little time as its imports take; tests/emulator/test_runpod_sdk.py has all of it."""

import sys

import pytest

from tests.support.emulators import emulator, limit
from tests.support.transcribers import DEADLINE_S, ROOT

ECHO = f"{sys.executable} {ROOT / 'tests/support/handlers/echo.py'}"


@pytest.mark.slow
def test_a_job_goes_from_the_sdks_client_to_the_sdks_worker_and_back(monkeypatch):
    words = ("--worker", "command", "--command", ECHO, "--start", "0", "--workers-min", "1", "--workers-max", "1")
    with limit(2 * DEADLINE_S), emulator(*words) as running:
        import runpod  # while the worker does the same

        monkeypatch.setattr(runpod, "endpoint_url_base", f"{running.url}/v2")
        demo = runpod.Endpoint("demo", api_key="any")
        try:
            assert demo.run_sync({"input": {"a": [1, None]}}) == {"a": [1, None]}
        finally:
            demo.rp_client.rp_session.close()
        (row,) = running.truth("job")
        assert (row["state"], row["worker_id"] != "") == ("COMPLETED", True)


@pytest.mark.slow
def test_a_result_that_holds_nan_is_refused_and_its_job_has_no_output():
    command = f"{sys.executable} {ROOT / 'tests/support/handlers/not_a_number.py'}"
    words = ("--worker", "command", "--command", command, "--start", "0", "--workers-min", "1", "--workers-max", "1")
    with limit(2 * DEADLINE_S), emulator(*words) as running:
        job = running.ended("demo", running.submit("demo"))
        told = [line for line in running.errors() if "got a 400" in line and job["id"] in line]
    assert (job["status"], "output" in job, "error" in job) == ("COMPLETED", False, False)
    assert told[0].endswith("the job has no output: the result contains NaN, which is not valid JSON: send null instead")
