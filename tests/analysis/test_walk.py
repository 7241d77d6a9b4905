"""How far it is from attempts.csv to the P95 that a page shows: the files that the figure passes through, in order."""

import sys
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.report.key_figures import key_figures
from analysis.report.report import report, write
from analysis.runs.load import load
from analysis.statistics.percentiles import Percentile, TimeSummary
from analysis.tables.run_tables import Tables
from tests.support.locusts import ROOT

RUN = ROOT / "tests" / "runs" / "mixed"
# docs/architecture.md lists these too.
WALK = {
    "analysis/runs/csv_columns.py": "reads attempts.csv by columns",
    "analysis/runs/load.py": "makes them the rows of a Run",
    "analysis/tables/run_tables.py": "makes requests of attempts: response time = done − scheduled",
    "analysis/statistics/percentiles.py": "takes the nearest-rank P95 and its interval",
    "analysis/text/number_format.py": "writes it to three digits, with its unit",
    "analysis/report/key_figures.py": "puts it into the table Key figures",
    "analysis/report/card.py": "puts it on the card",
    "analysis/report/run_sheets.py": "puts it into the table Response time",
    "analysis/report/report.py": "gathers what the page shows",
    "analysis/report/page.py": "fills the template",
}
CALLS = {
    ("runs/load.py", "runs/csv_columns.py"),
    ("tables/run_tables.py", "statistics/percentiles.py"),
    ("report/key_figures.py", "tables/run_tables.py"),
    ("report/key_figures.py", "text/number_format.py"),
    ("report/report.py", "report/run_sheets.py"),
    ("report/report.py", "report/card.py"),
    ("report/report.py", "report/page.py"),
}


def place(frame):
    """The file of a frame, from the repository's root; "" where it is none of analysis."""
    path = Path(frame.f_code.co_filename)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT / "analysis") else ""


def stack(frame):
    """The files of analysis on the stack of ``frame``, its own first."""
    found = []
    while frame is not None:
        found.append(place(frame))
        frame = frame.f_back
    return [file for file in found if file]


@contextmanager
def profiled(on):
    """Calls ``on(frame, event, value)`` at each call and return of a function of analysis."""

    def profile(frame, event, value):
        if event in ("call", "return") and place(frame):
            on(frame, event, value)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


@pytest.fixture(scope="module")
def known():
    """The P95 of response time answered ok, counted by hand from the file, and its cell in the table."""
    rows = pd.read_csv(RUN / "attempts.csv").sort_values(["seq", "attempt"])
    last, first = rows.groupby("seq").last(), rows.groupby("seq").first()
    times = np.sort((last["done_s"] - first["scheduled_s"])[last["outcome"] == "ok"])
    cells = next(row for row in key_figures(Tables(load(RUN))).rows if row[0] == "P95")
    return float(times[int(np.ceil(0.95 * len(times))) - 1]), cells[1]


def moment(frame, known):
    """Whether here the rows are read, the percentile is taken, or it is written as text."""
    function, given = frame.f_code.co_name, frame.f_locals
    return (
        (function == "read_columns" and given["path"].name == "attempts.csv")
        or (function == "percentile" and given["percent"] == 95)
        or (function == "seconds" and given["value"] == pytest.approx(known[0]))
    )


def holds(value, known):
    """Whether ``value`` has the P95 in it: as a number, a sample of times, rows of requests, or a text."""
    if isinstance(value, pd.DataFrame):
        return "response_s" in value
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        return bool(np.isclose(value, known[0], rtol=1e-9, atol=0.0).any())
    if isinstance(value, TimeSummary):
        return holds(value.percentiles, known)
    if isinstance(value, Percentile):
        return holds(value.value, known)
    if isinstance(value, tuple):
        return any(holds(one, known) for one in value)
    return value == pytest.approx(known[0]) if isinstance(value, float) else isinstance(value, str) and value == known[1]


@pytest.mark.slow
def test_the_p95_of_a_page_walks_through_these_files(known, tmp_path):
    found = []

    def making_the_table(frame, event, _):
        if event == "call" and moment(frame, known):
            found.append(stack(frame))

    def making_the_page(frame, event, _):
        if event == "call" and frame.f_code.co_name in ("run_sheets", "card", "render"):
            found.append(stack(frame))

    with profiled(making_the_table):
        key_figures(Tables(load(RUN)))
    with profiled(making_the_page):
        made = report(load(RUN))
        page = write(made, tmp_path, figures=False)
    assert known[1] in page.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert {file for files in found for file in files} == set(WALK)
    assert len(WALK) <= 10
    calls = {(caller, called) for files in found for called, caller in pairwise(files) if caller != called}
    assert calls == {(f"analysis/{caller}", f"analysis/{called}") for caller, called in CALLS}


@pytest.mark.slow
def test_no_other_file_hands_the_figure_on(known):
    handed = set()

    def on(frame, event, value):
        if event == "return" and holds(value, known):
            handed.add(place(frame))

    with profiled(on):
        key_figures(Tables(load(RUN)))
    assert {"analysis/tables/run_tables.py", "analysis/statistics/percentiles.py", "analysis/text/number_format.py"} <= handed
    # The prediction of the next burst starts from the rows too, and is no part of the figure; short columns pass through
    # disk_columns.py unchanged.
    assert handed - {"analysis/tables/burst.py", "analysis/runs/disk_columns.py"} <= set(WALK)
