"""A key comes from the environment, opens the service, and is found nowhere afterwards; in the web UI: test_web_ui."""

import pytest

from tests.support.locusts import PLAIN, REPORTED, locust
from tests.support.transcribers import transcriber

KEY = "sesame-7c1f0e"
FIXED = ("--engine", "fixed", "--service-time", "0.01", "--max-concurrent", "5", "--queue", "100")


@pytest.mark.slow
def test_the_key_can_travel_as_x_api_key_too():  # as Bearer: test_runs, the untroubled run
    with (
        transcriber(*FIXED, API_TOKEN=KEY) as service,
        locust("--host", service.url, "--schedule", "burst 3", "--auth", "x-api-key", *PLAIN, TRANSCRIPTION_API_KEY=KEY, **REPORTED) as run,
    ):
        assert run.wait() == 0, run.output
        assert KEY.encode() not in run.everything()


@pytest.mark.slow
def test_without_the_key_each_request_is_refused_in_the_services_words():
    with transcriber(*FIXED, API_TOKEN=KEY) as service, locust("--host", service.url, "--schedule", "burst 3", *PLAIN) as run:
        assert run.wait() == 1
        assert str(run.ledger) == "3 planned = 3 refused"
        sentence = "401: Invalid or missing API token (no key was sent: set TRANSCRIPTION_API_KEY in the environment)"
        assert {row.error for row in run.rows} == {sentence}
