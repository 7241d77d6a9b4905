"""The report's billed seconds against the emulator's bill, over whole runs."""

import json
import signal

import pytest

from analysis.runs.load import load
from analysis.tables.billing import billed_time
from analysis.tables.run_tables import Tables
from coldburst.control.later_bill import read_later
from tests.support.emulators import emulator
from tests.support.locusts import REPORTED, locust
from tests.support.transcribers import until

START = ("--worker", "modelled", "--management-per-minute", "10000", "--service-time", "exp:0.5", "--workers-max", "3", "--price", "0.0003")
STARTS = (*START, "--start", "1", "--load", "2")
BURST, STEADY, SCALING = (f"locustfiles/{name}.py" for name in ("burst", "sustained", "scaling"))
BALANCER = (*STARTS, "--kind", "balancer", "--scaler", "request-count", "--scaler-value", "2")
PAUSES = "one 2s 3/s, rest 6s 0/s, two 2s 3/s, pause 6s 0/s, three 2s 3/s"
SWEEP = ("--workers", "1,2", "--concurrency", "1", "--requests", "6", "--warm-up", "1")
# The emulator's options, the run's options, the locustfile, and after how many answers the run is cut.
RUNS = {
    "burst": (STARTS, ("--schedule", "burst 20"), BURST, 0),
    "steady": (STARTS, ("--schedule", "steady 20s 2/s poisson"), STEADY, 0),
    "flashboot": ((*STARTS, "--flashboot", "--idle-timeout", "1"), ("--schedule", PAUSES), STEADY, 0),
    "balancer": (BALANCER, ("--schedule", "steady 15s 3/s", "--path", "/x"), STEADY, 0),
    "cut": (STARTS, ("--schedule", "steady 60s 2/s"), STEADY, 15),
    "sweep": (STARTS, SWEEP, SCALING, 0),
}


def compared(name, seed=1):
    """The billed seconds of the report and of the emulator, and the run's report as Markdown."""
    options, words, file, cut = RUNS[name]
    with emulator(*options, "--seed", str(seed)) as platform:
        host = f"{platform.url}/{'lb' if 'balancer' in options else 'v2'}/demo"
        with locust("--host", host, "--seed", str(seed), *words, file=file, **REPORTED) as run:
            if cut:
                run.until(lambda run: len(run.rows) >= cut, 60)
                run.interrupt(signal.SIGINT)
            run.wait(120)
            until(lambda: set(platform.states("demo")) <= {"CACHED"}, "the stop of all workers", 60)
            tables = Tables(load(run.folder))
            found = billed_time(tables.run.about, tables.attempts)
            page = (run.folder / "report" / "report.md").read_text()
            read_later(run.folder, "")
            return found.total_s, platform.inside("demo")["bill"]["billed_s"], page, json.loads((run.folder / "run.json").read_text())


@pytest.mark.slow
def test_a_burst_from_zero_costs_what_the_emulator_bills():
    """With the catalogue's price, which nobody gave."""
    ours_s, bill_s, page, about = compared("burst")
    assert ours_s == pytest.approx(bill_s, rel=0.02, abs=1)
    assert about["platform"]["price"]["usd_per_s"] == pytest.approx(0.0003)
    for row in ("start", "execution", "idle", "total", "per request ok", "one cold start", "min workers = 1, a day"):
        assert f"| {row} |" in page, row
    assert "days old" not in page
    # The emulator's billing API has no lag, and it was read first when the run began.
    assert about["platform"]["bill"]["usd"] == pytest.approx(bill_s * 0.0003)
    assert 0 <= about["platform"]["bill"]["before_usd"] < about["platform"]["bill"]["usd"]
    assert "| billed by the platform |" in page
    assert about["platform"]["release"]["version"] == 1


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", RUNS)
def test_other_runs_too(name, seed):
    ours_s, bill_s, _, _ = compared(name, seed)
    print(f"{name} {seed}: {ours_s:.0f} s, bill {bill_s} s, {ours_s / bill_s - 1:+.1%}")
    assert ours_s == pytest.approx(bill_s, rel=0.02, abs=1)
