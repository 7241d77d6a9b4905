"""Locust's own words for how long a test lasts, and for one that starts and ends by itself."""

import json

import pytest

from tests.support.locusts import PLAIN, REPORTED, locust
from tests.support.transcribers import transcriber
from tests.support.web import WebUi

SLOW = ("--engine", "fixed", "--service-time", "0.5", "--max-concurrent", "50")


@pytest.mark.slow
def test_a_run_ends_with_a_drain_when_its_run_time_is_over_and_is_a_success(tmp_path):
    objectives = tmp_path / "objectives.toml"
    objectives.write_text('[[objective]]\nthat = "success == 100%"\n', encoding="utf-8")
    words = ("--schedule", "steady 600s 5/s", "--run-time", "3s", "--objectives", str(objectives))
    with (
        transcriber(*SLOW) as service,
        locust("--host", service.url, *words, *PLAIN, **REPORTED) as run,
    ):
        assert run.wait() == 0, run.output
        counts = run.ledger.counts
        assert set(counts) == {"ok", "not_sent"}
        assert counts["ok"] == len(service.log()) > 0
        assert counts.total() == 3000
        assert (run.about["ended_by"], run.about["run_time_s"]) == ("--run-time", 3)
        verdict = json.loads((run.folder / "report" / "metrics.json").read_text(encoding="utf-8"))["verdict"]
        assert f"--run-time ended the run, as asked: {counts['not_sent']:,} planned requests were not sent." in verdict["notes"]
        assert not any("--run-time" in reason or "not sent" in reason for reason in verdict["reasons"])  # others are the machine's
        assert "will be ignored" not in run.output


@pytest.mark.nightly
def test_what_the_cap_shed_before_its_time_was_over_is_a_failure():
    words = ("--schedule", "steady 600s 20/s", "--max-in-flight", "1", "--when-full", "shed", "--run-time", "3s")
    with transcriber(*SLOW) as service, locust("--host", service.url, *words, *PLAIN) as run:
        assert run.wait() == 1, run.output
        assert run.about["ended_by"] == "--run-time"


@pytest.mark.slow
def test_ctrl_c_in_its_drain_cuts_and_takes_nothing_from_the_reason():
    endless = ("--engine", "fixed", "--service-time", "600", "--max-concurrent", "50")
    with (
        transcriber(*endless) as service,
        locust("--host", service.url, "--schedule", "steady 600s 5/s", "--run-time", "2s", *PLAIN) as run,
    ):
        run.until(lambda run: "Ending the run (--run-time)" in run.output)
        run.interrupt()
        assert run.wait() == 1
        service.process.kill()  # it would wait for its 600 s
        assert run.about["ended_by"] == "--run-time"
        assert set(run.ledger.counts) == {"unfinished", "not_sent"}
        assert run.ledger.balanced


@pytest.mark.nightly
def test_a_schedule_that_is_shorter_ends_by_itself():
    with (
        transcriber(*SLOW) as service,
        locust("--host", service.url, "--schedule", "steady 1s 5/s", "--run-time", "60s", *PLAIN) as run,
    ):
        assert run.wait() == 0, run.output
        assert run.about["ended_by"] == "schedule"


@pytest.mark.nightly
def test_it_holds_for_a_run_from_the_form_which_asks_for_no_users():
    with transcriber(*SLOW) as service, WebUi("--run-time", "3s", *PLAIN) as ui:
        assert '"shape_use_common_options": false' in ui.get("/").decode().lower()
        assert ui.post("/swarm", host=service.url, schedule="steady 600s 5/s")["success"]
        ui.locust.until(lambda run: run.about["state"] == "ended")
        assert ui.locust.about["ended_by"] == "--run-time"
        assert set(ui.locust.ledger.counts) == {"ok", "not_sent"}


@pytest.mark.slow
def test_a_run_that_starts_and_ends_by_itself_has_pages_meanwhile():
    with (
        transcriber(*SLOW) as service,
        WebUi("--autostart", "--autoquit", "1", "--host", service.url, "--schedule", "steady 8s 2/s", *PLAIN) as ui,
    ):
        assert b"coldburst_" in ui.get("/metrics")
        assert ui.locust.wait() == 0, ui.locust.output
        assert str(ui.locust.ledger) == "16 planned = 16 ok"
        assert (ui.locust.folder / "report" / "index.html").is_file()
