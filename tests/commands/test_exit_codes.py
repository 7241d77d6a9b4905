"""How a run's process ends: one table of codes, which of them comes first, and real runs that end with each."""

import json
import signal
import time

import pytest

from coldburst.record import exit_codes
from tests.support.generators import distributed
from tests.support.locusts import PLAIN, REPORTED, ROOT, locust
from tests.support.transcribers import transcriber
from tests.support.web import WebUi

FIXED = ("--engine", "fixed", "--queue", "1000")
LONG = ("--service-time", "1", "--max-concurrent", "200")
BELIEVED = {"COLDBURST_EXIT_CODE_ON_VERDICT": "yes"} | REPORTED
"""The default, which the other tests turn off."""


def rows_of(text, head):
    lines = text.partition(head)[2].partition("\n\n")[0].strip().splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_reference_has_the_programs_own_table():
    page = (ROOT / "docs" / "reference" / "results.md").read_text(encoding="utf-8")
    assert rows_of(page, "| exit code | meaning |\n") == [[str(code), meaning] for code, meaning in exit_codes.MEANINGS.items()]


@pytest.mark.parametrize(
    ("verdict", "kept", "good", "code"),
    [
        ("valid", None, True, exit_codes.GOOD),
        ("valid", None, False, exit_codes.ERRORS),
        ("valid", True, False, exit_codes.GOOD),  # objectives decide in the place of "every request ok"
        ("valid", False, True, exit_codes.MISSED),
        ("degraded", None, True, exit_codes.DEGRADED),
        ("degraded", None, False, exit_codes.DEGRADED),
        ("degraded", True, True, exit_codes.DEGRADED),
        ("degraded", False, True, exit_codes.MISSED),
        ("invalid", None, True, exit_codes.INVALID),
        ("invalid", False, False, exit_codes.INVALID),
        ("", None, False, exit_codes.ERRORS),
        ("", False, True, exit_codes.MISSED),
        ("", True, False, exit_codes.GOOD),
    ],
)
def test_which_code_comes_first(verdict, kept, good, code):
    assert exit_codes.code(verdict=verdict, kept=kept, good=good) == code


def test_the_code_for_errors_can_be_changed():
    assert exit_codes.code(verdict="valid", kept=None, good=False, errors=9) == 9


@pytest.fixture
def objectives(tmp_path):
    """Writes a file of objectives and returns the option that names it."""

    def write(*lines):
        path = tmp_path / "objectives.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        return ("--objectives", str(path))

    return write


def found(run):
    """What metrics.json says of the run that has ended."""
    return json.loads((run.folder / "report" / "metrics.json").read_text(encoding="utf-8"))


def by_verdict(run):
    """The exit code that follows from the verdict in the report; a busy machine may degrade that."""
    return exit_codes.code(verdict=found(run)["verdict"]["state"], kept=None, good=run.ledger.counts.keys() == {"ok"})


@pytest.mark.nightly
def test_a_run_ends_with_the_code_of_its_verdict():
    with (
        transcriber(*FIXED, *LONG) as service,
        locust("--host", service.url, "--schedule", "steady 4s 40/s", "--max-in-flight", "200", *PLAIN, **BELIEVED) as run,
    ):
        assert run.wait() == by_verdict(run), run.output
        assert found(run)["objectives"] is None


@pytest.mark.slow
def test_a_run_without_a_report_ends_with_the_code_of_its_requests():
    with transcriber(*FIXED) as service, locust("--host", service.url, "--schedule", "burst 3", "--report", "no", *PLAIN) as run:
        assert run.wait() == exit_codes.GOOD, run.output
        assert f"No report (--report no); to make it: python -m analysis report {run.folder}. The ledger: 3 planned = 3 ok" in run.output
        assert not (run.folder / "report").exists()


@pytest.mark.slow
def test_a_run_that_is_cut_short_is_not_valid():
    with (
        transcriber(*FIXED, "--service-time", "0.5", "--max-concurrent", "5") as service,
        locust("--host", service.url, "--schedule", "burst 300", "--max-in-flight", "5", *PLAIN, **BELIEVED) as run,
    ):
        run.until(lambda run: len(run.rows) >= 5)
        run.interrupt()
        assert run.wait() == by_verdict(run) != exit_codes.GOOD, run.output
        assert any("Ctrl-C" in reason for reason in found(run)["verdict"]["reasons"])


@pytest.mark.nightly
def test_a_distributed_run_ends_with_the_code_of_its_verdict_and_is_not_valid_where_it_lost_a_generator():
    steady = ("--schedule", "steady 8s 40/s")
    with transcriber(*FIXED, *LONG) as service:
        with distributed("--host", service.url, "--schedule", "steady 4s 40/s", *PLAIN, **BELIEVED) as crew:
            assert crew.master.wait() == by_verdict(crew.master), crew.master.output
        with distributed("--host", service.url, *steady, *PLAIN, **BELIEVED) as crew:
            crew.master.until(lambda run: len(run.rows) >= 20)
            crew.generators[0].interrupt(signal.SIGKILL)
            assert crew.master.wait() == by_verdict(crew.master) != exit_codes.GOOD, crew.master.output
            assert any(" lost: " in reason for reason in found(crew.master)["verdict"]["reasons"])


@pytest.mark.slow
def test_a_generator_that_stood_still_makes_a_run_invalid():
    """Stopped for 2 s while 20 requests a second are due: the last of them leave 2 s late."""
    with (
        transcriber(*FIXED, "--service-time", "0.05", "--max-concurrent", "20") as service,
        locust("--host", service.url, "--schedule", "steady 8s 20/s", *PLAIN, **BELIEVED) as run,
    ):
        run.until(lambda run: len(run.rows) >= 20)
        run.process.send_signal(signal.SIGSTOP)
        time.sleep(2)  # nothing to wait for: the standstill itself is the test
        run.process.send_signal(signal.SIGCONT)
        assert run.wait() == exit_codes.INVALID, run.output
        assert found(run)["verdict"]["state"] == "invalid"
        assert str(run.ledger) == "160 planned = 160 ok"


@pytest.mark.slow
def test_objectives_decide_in_the_place_of_every_request_ok(objectives):
    """One slot and no queue: of 10 at once all but one find no room."""
    kept = objectives("[[objective]]", 'that = "success >= 10 %"', "[[objective]]", 'that = "busy < 10"')
    with (
        transcriber("--engine", "fixed", "--service-time", "3", "--max-concurrent", "1", "--fail-fast") as service,
        locust("--host", service.url, "--schedule", "burst 10", "--max-in-flight", "10", *PLAIN, *kept, **REPORTED) as run,
    ):
        assert run.wait() == exit_codes.GOOD, run.output
        assert str(run.ledger) == "10 planned = 1 ok + 9 busy"
        assert [one["state"] for one in found(run)["objectives"]] == ["met", "met"]
        missed = objectives("[[objective]]", 'that = "busy == 0"')
        with locust("--host", service.url, "--schedule", "burst 10", "--max-in-flight", "10", *PLAIN, *missed, **REPORTED) as other:
            assert other.wait() == exit_codes.MISSED, other.output
            assert "objective busy == 0: missed: 9" in other.output
            (one,) = found(other)["objectives"]
            assert (one["objective"], one["state"], one["value"]) == ("busy == 0", "missed", 9.0)
            assert other.about["objectives"] == [{"that": "busy == 0", "abort": False, "after": 30, "may_be_missing": False}]


@pytest.mark.slow
def test_a_run_ends_early_once_an_objective_cannot_be_met_any_more(objectives):
    """The sixth answer above 0.1 s decides (at most 5 % of 100 may be): the rest is drained, and nothing more is sent."""
    asked = objectives("[[objective]]", 'that = "p95 < 100 ms"', "abort = true", "after = 6")
    with (
        transcriber(*FIXED, "--service-time", "0.3", "--max-concurrent", "4") as service,
        locust("--host", service.url, "--schedule", "burst 100", "--max-in-flight", "4", *PLAIN, *asked, **REPORTED) as run,
    ):
        assert run.wait() == exit_codes.MISSED, run.output
        assert run.about["ended_by"] == "objective missed: p95 < 100 ms"
        counts = run.ledger.counts
        assert run.ledger.balanced
        assert counts["ok"] >= 6
        assert counts["not_sent"] > 0
        assert counts["ok"] + counts["not_sent"] == 100
        assert found(run)["objectives"][0]["state"] == "missed"
        assert "Ending the run (objective missed: p95 < 100 ms)" in run.output


@pytest.mark.slow
def test_a_master_ends_its_run_early_by_its_generators_rows(objectives):
    asked = objectives("[[objective]]", 'that = "success > 95 %"', "abort = true")
    with (
        transcriber(*FIXED) as service,
        distributed("--host", service.url, "--schedule", "steady 60s 10/s", "--path", "/nowhere", *PLAIN, *asked, **REPORTED) as crew,
    ):
        assert crew.master.wait() == exit_codes.MISSED, crew.master.output
        assert crew.master.about["ended_by"] == "objective missed: success > 95 %"
        assert crew.master.ledger.balanced
        assert crew.master.ledger.counts["not_sent"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (("[[objective]]", 'that = "p96 < 2 s"'), "there is no metric 'p96'; use one of p50"),
        (("[[objective]]", 'that = "wer < 5 %"', "abort = true"), "can only be decided at the end: leave out abort"),
    ],
)
def test_objectives_that_are_none_are_refused_before_anything_is_sent(objectives, lines, sentence):
    with locust("--host", "http://127.0.0.1:9", *PLAIN, *objectives(*lines), **REPORTED) as run:
        assert run.wait() == exit_codes.NOTHING_SENT
        assert sentence in run.output
        assert "Traceback" not in run.output
        assert list(run.runs.iterdir()) == []


@pytest.mark.slow
def test_the_web_ui_takes_objectives_and_ends_a_run_by_them(objectives, tmp_path):
    asked = objectives("[[objective]]", 'that = "max < 100 ms"', "abort = true", "after = 3")
    at_start = tmp_path / "start.toml"  # its directory is the one from which a form may name files
    at_start.write_text('[[objective]]\nthat = "success > 1 %"\n', encoding="utf-8")
    with (
        transcriber(*FIXED, "--service-time", "0.3", "--max-concurrent", "2") as service,
        WebUi("--host", service.url, "--schedule", "burst 60", "--max-in-flight", "2", "--objectives", str(at_start), *PLAIN) as ui,
    ):
        assert ui.field("objectives")
        form = {"user_count": "1", "spawn_rate": "1", "host": service.url}
        refused = ui.post("/swarm", **form, objectives=f"{tmp_path}/nowhere.toml")
        assert (refused["success"], "nowhere.toml: No such file" in refused["message"]) == (False, True)
        assert ui.post("/swarm", **form, objectives=asked[1])["success"]
        ui.locust.until(lambda run: (run.folder / "report" / "index.html").is_file())  # the last that a report writes
        assert ui.locust.about["ended_by"] == "objective missed: max < 100 ms"
