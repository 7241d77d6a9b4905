"""The same locustfile from the web UI: fields for its options, a run a click, a report a run."""

import signal

import pytest

from tests.locusts import PLAIN
from tests.transcribers import transcriber
from tests.web import WebUi

FIXED = ("--engine", "fixed", "--service-time", "0.2", "--max-concurrent", "5", "--queue", "100")


def reported(run) -> int:
    return len(list(run.runs.glob("*/report/index.html")))


@pytest.mark.slow
def test_runs_are_started_with_the_forms_values_and_each_is_reported():
    with transcriber(*FIXED) as service, WebUi(*PLAIN) as ui:
        assert all(ui.field(name) for name in ("schedule", "max_in_flight", "clips", "max_wer"))
        for count, number in ((4, 1), (6, 2)):
            assert ui.post("/swarm", host=service.url, schedule=f"burst {count}", max_in_flight="3")["success"]
            ui.locust.until(lambda run, number=number: reported(run) == number)
            assert ui.state() == "stopped"
        assert len(service.log()) == 10
        totals = [path.read_text().count("\n") - 1 for path in sorted(ui.locust.runs.glob("*/attempts.csv"))]
        assert totals == [4, 6]


@pytest.mark.slow
def test_the_stop_button_drains_and_the_ledger_balances():
    with transcriber(*FIXED) as service, WebUi("--host", service.url, *PLAIN) as ui:
        assert ui.post("/swarm", schedule="steady 60s 10/s")["success"]
        ui.locust.until(lambda run: len(run.rows) >= 5)
        again = ui.post("/swarm", schedule="burst 3")
        assert (again["success"], "stop it first" in again["message"]) == (False, True)
        ui.post("/stop")
        ui.locust.until(lambda run: reported(run) == 1)
        assert ui.locust.ledger.balanced
        assert set(ui.locust.ledger.counts) == {"ok", "not_sent"}
        assert ui.locust.about["ended_by"] == "stop"


def test_a_bad_field_is_told_in_the_form_and_starts_nothing():
    with WebUi(*PLAIN) as ui:
        for form, word in (({"schedule": "burst quickly"}, "'quickly'"), ({"host": "nowhere"}, "'nowhere'"), ({"seed": "x"}, "'x'")):
            answer = ui.post("/swarm", **form)
            assert not answer["success"]
            assert word in answer["message"]
        assert list(ui.locust.runs.iterdir()) == []
        assert ui.state() == "ready"


@pytest.mark.slow
def test_ctrl_c_ends_the_web_ui_too():
    with WebUi(*PLAIN) as ui:
        ui.locust.interrupt(signal.SIGINT)
        assert ui.locust.wait() == 0
        assert "Traceback" not in ui.locust.output
