"""A key comes from the environment, opens the service, and is found nowhere afterwards."""

import urllib.request

import pytest

from tests.locusts import PLAIN, locust
from tests.transcribers import transcriber
from tests.web import WebUi

KEY = "sesame-7c1f0e"
FIXED = ("--engine", "fixed", "--service-time", "0.01", "--max-concurrent", "5", "--queue", "100")


@pytest.mark.slow
def test_the_key_can_travel_as_x_api_key_too():  # as Bearer: test_runs, the untroubled run
    with (
        transcriber(*FIXED, API_TOKEN=KEY) as service,
        locust("--host", service.url, "--schedule", "burst 3", "--auth", "x-api-key", *PLAIN, TRANSCRIPTION_API_KEY=KEY) as run,
    ):
        assert run.wait() == 0, run.output
        assert KEY.encode() not in run.everything()


@pytest.mark.slow
def test_without_the_key_each_request_is_refused_in_the_services_words():
    with transcriber(*FIXED, API_TOKEN=KEY) as service, locust("--host", service.url, "--schedule", "burst 3", *PLAIN) as run:
        assert run.wait() == 1
        assert str(run.ledger) == "3 planned = 3 refused"
        assert {row.error for row in run.rows} == {"401: Invalid or missing API token"}


@pytest.mark.slow
def test_the_key_is_not_in_the_web_ui():
    with transcriber(*FIXED, API_TOKEN=KEY) as service, WebUi("--host", service.url, *PLAIN, TRANSCRIPTION_API_KEY=KEY) as ui:
        assert ui.post("/swarm", schedule="burst 3")["success"]
        ui.locust.until(lambda run: run.ledger.counts["ok"] == 3)
        for page in ("/", "/stats/requests", "/logs"):
            with urllib.request.urlopen(ui.url + page, timeout=10) as answer:
                assert KEY.encode() not in answer.read()
