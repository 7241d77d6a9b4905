"""Runs with --max-spend against the emulator: they stop in time, leave no worker, and say so; the meter is the emulator's bill."""

import json

import pytest

from tests.support.emulators import emulator
from tests.support.generators import distributed
from tests.support.locusts import REPORTED, locust
from tests.support.transcribers import until
from tests.support.web import WebUi

PRICE = 0.02
MODELLED = ("--worker", "modelled", "--start", "0.2", "--load", "0.2", "--service-time", "0.5", "--idle-timeout", "2")
START = (*MODELLED, "--management-per-minute", "10000", "--price", str(PRICE))
LOAD = ("--schedule", "steady 10m 4/s", "--max-spend", "0.2", "--price", "4090", "--drain-timeout", "2", "--deadline", "60")
LIES = {"idle": 0, "initializing": 0, "ready": 0, "running": 0, "throttled": 0, "unhealthy": 0}


@pytest.fixture
def body(tmp_path):
    """The options that send a body of JSON."""
    path = tmp_path / "input.json"
    path.write_text(json.dumps({"input": {"seq": "{{seq}}"}}))
    return ("--input", str(path))


def check_end(run, platform, before):
    """What holds after a run that reached its limit, at any pace of the machine."""
    spending, ended_by = run.about["spending"], run.about["ended_by"]
    assert ended_by == "--max-spend 0.2 USD reached"
    assert run.ledger.balanced and run.ledger.counts["not_sent"] > 0
    assert spending["reached_usd"] >= spending["limit_usd"] == 0.2
    assert spending["shutdown"]["workers"] == 0 and spending["left_to_do"] == ""
    until(lambda: set(platform.states("demo")) <= {"CACHED"}, "the stop of all workers")
    assert platform.inside("demo")["policy"] == before
    # Each container's stop is known to the time between two polls, and its seconds are whole.
    spans = run.about["platform"]["workers"]
    unknown_s = sum((span["gone_s"] or span["seen_s"] + 2.0) - span["seen_s"] + 1.0 for span in spans)
    assert spending["spent_usd"] == pytest.approx(platform.inside("demo")["bill"]["usd"], abs=unknown_s * PRICE)


@pytest.mark.slow
def test_hung_jobs_a_lying_health_and_409s_are_no_way_around_the_limit(body):
    with emulator(*START) as platform:
        before = platform.inside("demo")["policy"]
        # The workers take jobs and never end them; /health says that nothing runs.
        platform.fault("demo", never_ack="all")
        platform.fault("demo", health=LIES)
        with locust("--host", f"{platform.url}/v2/demo", *body, *LOAD, "--max-in-flight", "20", **REPORTED) as run:
            run.until(lambda run: "nothing more is sent" in run.output)
            # Every change of the settings is refused from here on, longer than it is needed.
            platform.fault("demo", reconfigure=8)
            assert run.wait() == 6, run.output
            check_end(run, platform, before)
            page, said = (run.folder / "report" / "report.md").read_text(encoding="utf-8"), run.output
    assert "The run was cut short (--max-spend 0.2 USD reached)" in page
    assert "--max-spend 0.2 USD was reached" in page
    assert "of 0.2 USD" in said


@pytest.mark.slow
def test_a_run_below_its_limit_is_metered_and_left_alone(body):
    with emulator(*START) as platform:
        words = ("--schedule", "burst 3", "--max-spend", "50", "--price", "4090")
        with locust("--host", f"{platform.url}/v2/demo", *body, *words) as run:
            assert run.wait() == 0, run.output
            spending, estimate, said = run.about["spending"], run.about["estimate"], run.output
    assert (spending["limit_usd"], spending["reached_s"], spending["shutdown"]) == (50.0, None, None)
    assert 0 < spending["spent_usd"] < 50
    assert 0 < estimate["low"]["usd"] <= estimate["likely"]["usd"] <= estimate["high"]["usd"]
    assert said.index("Estimate: ") < said.index("sent 3 of 3")
    # The price that the emulator's catalogue has, which comes before the table's for --price 4090.
    assert list(spending["usd_per_s"].values()) == [pytest.approx(PRICE)]


@pytest.mark.slow
def test_what_cannot_be_limited_is_refused(body):
    with emulator(*START) as platform:
        with locust("--host", f"{platform.url}/v2/demo", *body, "--schedule", "burst 3", "--max-spend", "2") as run:
            assert run.wait() == 2
            assert "--max-spend needs the price of a worker" in run.output
            assert list(run.runs.iterdir()) == []
        assert platform.truth("job") == []


@pytest.mark.nightly
def test_the_master_meters_and_stops_a_distributed_run(body):
    with emulator(*START) as platform:
        before = platform.inside("demo")["policy"]
        with distributed("--host", f"{platform.url}/v2/demo", *body, *LOAD, "--max-in-flight", "20", **REPORTED) as crew:
            assert crew.master.wait() == 6, crew.master.output
            check_end(crew.master, platform, before)


@pytest.mark.nightly
def test_the_web_form_takes_the_limit(body):
    with emulator(*START) as platform:
        before = platform.inside("demo")["policy"]
        with WebUi("--host", f"{platform.url}/v2/demo", *body, "--max-in-flight", "20", "--drain-timeout", "2", "--price", "4090") as ui:
            assert ui.field("max_spend")
            form = {"user_count": "1", "spawn_rate": "1", "host": f"{platform.url}/v2/demo", "schedule": "steady 10m 4/s"}
            refused = ui.post("/swarm", **form, max_spend="-1")
            assert (refused["success"], "above 0" in refused["message"]) == (False, True)
            assert ui.post("/swarm", **form, max_spend="0.2")["success"]
            until(lambda: ui.live()["run"] and ui.live()["run"]["usd"], "a metered cost")
            assert ui.live()["run"]["limit_usd"] == 0.2
            ui.locust.until(lambda run: (run.folder / "report" / "index.html").is_file())
            check_end(ui.locust, platform, before)
