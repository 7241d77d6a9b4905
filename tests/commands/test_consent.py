"""Runs that cost money begin only when someone has agreed: in a terminal, by --yes or --max-spend, or by Start in the form."""

import json
import os
import re
import signal
import subprocess
from contextlib import suppress

import pytest

from coldburst import consent
from coldburst.load.checked_run import CheckedRun
from coldburst.load.run_spec import RunKind, RunSpec
from coldburst.load.spend_limit import paid
from coldburst.option import OptionError
from coldburst.record.objectives import Objectives
from coldburst.targets.survey import Survey
from tests.support import preloaded
from tests.support.emulators import emulator
from tests.support.locusts import OF_TESTS, PLAIN, locust
from tests.support.run_views import plan_of
from tests.support.transcribers import until
from tests.support.web import WebUi

RUNPOD = "https://api.runpod.ai/v2/abc"
HERE = "http://127.0.0.1:9/v2/demo"
SETTINGS = {"type": "QUEUE", "workers_min": 0, "workers_max": 1, "idle_timeout_s": 5, "scaler": "QUEUE_DELAY", "scaler_value": 4.0}
MODELLED = ("--worker", "modelled", "--start", "0.2", "--load", "0.2", "--service-time", "0.3")
LOAD = (*PLAIN, "--schedule", "burst 3", "--price", "0.001")
CHECKED_FIRST = {"COLDBURST_NO_PREFLIGHT": "no"}


def checked(tmp_path, *, agrees=True, **options):
    """A checked run of three requests; ``agrees``: whether its kind of test has nothing to ask on its own."""

    def refuse(_):
        raise OptionError("changes")

    spec = RunSpec("Burst", "burst", RunKind(consent=None if agrees else refuse), (), (), "", "")
    plan = plan_of(**{"host": RUNPOD, "schedule": "burst 3", "runs": str(tmp_path)} | options)
    return CheckedRun(spec, {"schedule": "burst 3"}, plan, "", Objectives(()), found=Survey(settings=SETTINGS))


@pytest.mark.parametrize(
    ("options", "costs"),
    [
        ({"host": RUNPOD}, True),
        ({"host": "https://abc.api.runpod.ai"}, True),
        ({"host": f"{RUNPOD}/openai/v1"}, True),
        ({"host": HERE}, False),
        ({"host": "http://127.0.0.1:8083"}, False),
        ({"host": HERE, "price": "4090"}, True),
        ({"host": "", "price": "4090"}, False),
        ({"host": ""}, False),
    ],
)
def test_what_costs_money(options, costs):
    assert paid(plan_of(schedule="burst 3", **options)) is costs


def test_without_a_terminal_the_sentence_has_the_cost_and_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/locust", "-f", "burst.py", "--headless"])
    said = consent.Consent().confirm(checked(tmp_path, price="0.001"))
    assert said.startswith("this run costs money, and there is no terminal to ask: 15 s to 3 min (likely 55 s), 0.021 to 0.21 USD (likely")
    assert said.endswith("agree with --yes, or limit the cost with --max-spend USD, as in 'locust -f burst.py --headless --yes'")


def test_an_unknown_price_is_told_in_worker_seconds(tmp_path):
    said = consent.Consent().confirm(checked(tmp_path))
    assert re.search(r"worker-seconds \(likely \d+ worker-seconds\); the price of a worker is not known", said)


def test_nothing_is_asked_where_someone_has_agreed_or_a_sweep_is_refused_for_its_changes(tmp_path):
    for run in (checked(tmp_path, yes="yes"), checked(tmp_path, host=HERE), checked(tmp_path, agrees=False)):
        assert consent.Consent().confirm(run) == ""


@pytest.mark.parametrize(("answer", "starts"), [("y", True), (" YES ", True), ("", False), ("n", False), ("maybe", False)])
def test_only_a_yes_in_the_terminal_starts_it(tmp_path, monkeypatch, capsys, answer, starts):
    inside, outside = os.openpty()
    with os.fdopen(outside) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        os.write(inside, f"{answer}\n".encode())
        refused = consent.Consent().confirm(checked(tmp_path, price="0.001"))
        assert (refused == "", refused.startswith("nothing was sent: you did not agree")) == (starts, not starts)
    os.close(inside)
    assert capsys.readouterr().err.endswith(" USD). Start it? [y/N] ")


def test_the_same_form_sent_again_agrees(tmp_path):
    asked, run = consent.Consent(), checked(tmp_path, price="0.001")
    for _ in range(2):
        assert asked.confirm_form(run).endswith("; press Start again to send it")
        assert asked.confirm_form(run) == ""


@pytest.mark.slow
def test_a_headless_run_needs_an_agreement(tmp_path):
    with emulator(*MODELLED) as platform:
        words = ("--host", f"{platform.url}/v2/demo", *LOAD)
        with locust(*words, **CHECKED_FIRST) as run:
            assert run.wait() == 2, run.output
            assert list(run.runs.iterdir()) == []
            assert "this run costs money, and there is no terminal to ask: " in run.output
            assert f"--host {platform.url}/v2/demo" in run.output and "--yes'" in run.output
        assert not any(platform.inside("demo")["jobs"].values())
        for agreement in (("--yes",), ("--max-spend", "5")):
            with locust(*words, *agreement, **CHECKED_FIRST) as run:
                assert run.wait() == 0, run.output
                assert run.about["estimate"]["likely"]["usd"] > 0
                assert run.output.count("Estimate: ") == 1


def in_terminal(tmp_path, words):
    """A headless Locust at a terminal of its own, and this end of it."""
    inside, outside = os.openpty()
    streams = {"stdin": outside, "stdout": subprocess.DEVNULL, "stderr": outside}
    words = ("-f", "locustfiles/burst.py", "--headless", "--runs", str(tmp_path / "runs"), *words)
    process = preloaded.start("locust", *words, env=os.environ | OF_TESTS | CHECKED_FIRST, **streams)
    os.close(outside)
    return process, inside


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 2), ("\x03", 2)])
def test_in_a_terminal_the_run_asks_and_waits(tmp_path, answer, code):
    (tmp_path / "runs").mkdir()
    with emulator(*MODELLED) as platform:
        process, inside = in_terminal(tmp_path, ("--host", f"{platform.url}/v2/demo", *LOAD))
        try:
            shown = b""

            def asks():
                nonlocal shown
                shown += os.read(inside, 4096)
                return b"[y/N] " in shown

            until(asks, "the question")
            assert not any(platform.inside("demo")["jobs"].values())
            if answer == "\x03":
                # As a terminal would: this one is not the process's controlling one.
                process.send_signal(signal.SIGINT)
            else:
                os.write(inside, answer.encode())
            # What it prints must go somewhere; the end of its terminal is an error.
            with suppress(OSError):
                while os.read(inside, 4096):
                    pass
            assert process.wait(60) == code
        finally:
            process.kill()
            process.wait()
            os.close(inside)
    folders = list((tmp_path / "runs").iterdir())
    assert len(folders) == (code == 0)
    if folders:
        assert json.loads((folders[0] / "run.json").read_text())["ledger"]["counts"] == {"ok": 3}


@pytest.mark.slow
def test_start_in_the_form_shows_the_cost_and_start_again_sends_it():
    with emulator(*MODELLED) as platform, WebUi(*LOAD, "--host", f"{platform.url}/v2/demo", **CHECKED_FIRST) as ui:
        shown = ui.post("/swarm")
        assert not shown["success"] and "USD" in shown["message"] and "press Start again" in shown["message"]
        assert ui.post("/swarm")["success"]
        ui.locust.until(lambda run: "3 planned = 3 ok" in run.output)
