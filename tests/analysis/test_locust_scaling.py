"""Plain Locust input: every version's columns, scaling from nothing but CSV files, and what cannot be told from them."""

import csv
import html
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.figures.locust_history import history, times
from analysis.figures.style import MissingPlot, Plot
from analysis.locust_scaling.scaling import scaling
from analysis.locust_scaling.scaling_figures import scaling_plots
from analysis.runs import locust_csv
from analysis.runs.load import RunError, load
from analysis.runs.locust_csv import CUMULATIVE, UNTOLD, WINDOW

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "tests" / "runs"
REAL, HAND = RUNS / "locust-2.47", RUNS / "locust-by-hand"
# REAL: Locust 2.47 headless, 8 users for 32 s, one request in twenty for /broken, against ``python -m tests.support.pool N 0.2 0.1``, N
# one, two, four, six; full: two workers, 26 s, --csv-full-history; thin: four workers, one user, 10 s.
# HAND: written by hand after the code of the versions that they are named for.
SIGMA = 0.1
"""Of the pool that REAL was measured against: efficiency 1 ÷ (1 + SIGMA × (n − 1)), 5 ÷ s at one worker."""
PERCENTILES = "50%,66%,75%,80%,90%,95%,98%,99%,99.9%,99.99%,100%"
STATS = (
    "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Min Response Time,Max Response Time,"
    f"Average Content Size,Requests/s,Failures/s,{PERCENTILES}"
)
HISTORY = (
    f"Timestamp,User Count,Type,Name,Requests/s,Failures/s,{PERCENTILES},Total Request Count,Total Failure Count,"
    "Total Median Response Time,Total Average Response Time,Total Min Response Time,Total Max Response Time,Total Average Content Size"
)


def true_efficiency(n):
    return 1 / (1 + SIGMA * (n - 1))


def named(*levels, folder=REAL):
    return [f"{n}={folder / name}" for n, name in levels]


FOUR = named((1, "one"), (2, "two"), (4, "four"), (6, "six"))


@cache
def of_four():
    return scaling(FOUR)


def written(prefix, *, per_s=10.0, mean_ms=800.0, least_ms=400.0, users=8, seconds=60, failures=0, name="/work", full=False):
    """Files as 2.47 writes them, of a service that answers ``per_s`` from the second second on."""
    n = round(per_s * seconds)
    each = f"{mean_ms},{mean_ms},{least_ms},{2 * mean_ms},64"
    ends = ",".join([f"{mean_ms:.0f}"] * 5 + [f"{mean_ms * 1.5:.0f}"] * 6)
    rows = [f'{kind},"{of}",{n},{failures},{each},{per_s},0,{ends}' for kind, of in (("GET", name), ("", "Aggregated"))]
    prefix.with_name(f"{prefix.name}_stats.csv").write_text("\r\n".join([STATS, *rows, ""]), newline="")
    lines = [HISTORY, f"1790000000,0,,Aggregated,0,0,{','.join(['N/A'] * 11)},0,0,0,0,0,0,0"]
    for k in range(seconds + 1):
        for kind, of in [("GET", f'"{name}"')] * full + [("", "Aggregated")]:
            lines.append(f"{1790000001 + k},{users},{kind},{of},{per_s},0,{ends},{round(per_s * k)},{failures * k // seconds},{each}")
    prefix.with_name(f"{prefix.name}_stats_history.csv").write_text("\r\n".join([*lines, ""]), newline="")
    prefix.with_name(f"{prefix.name}_failures.csv").write_text("Method,Name,Error,Occurrences,First Seen,Last Seen\r\n", newline="")
    return prefix


def test_the_efficiency_of_real_runs_is_that_of_the_service():
    found = of_four()
    for one in found.levels:
        share = found.shares[one.workers]
        assert share.doubt == ""
        assert share.efficiency.value == pytest.approx(true_efficiency(one.workers), abs=0.03)
        if one is not found.base:
            assert share.efficiency.lower < true_efficiency(one.workers) < share.efficiency.upper
    assert found.base.flow.per_s.value == pytest.approx(5, rel=0.05)
    assert found.law.sigma.value == pytest.approx(SIGMA, abs=0.03)
    assert found.headline.startswith("6 workers: 3.95 × the goodput of 1, scaling efficiency 65.8 %")
    assert "look for a bottleneck: below 80 %" in found.headline


def test_a_rate_is_counts_by_time_and_not_locusts_rounded_one(tmp_path):
    flow = of_four().base.flow
    rows = locust_csv.history(load(REAL / "one").totals)
    full = rows[rows["users"] == 8]
    first, last = full.iloc[0], full.iloc[-1]
    ok = (last["requests"] - last["failures"]) - (first["requests"] - first["failures"])
    assert flow.per_s.value == ok / (last["at_s"] - first["at_s"])
    assert flow.all_per_s > flow.per_s.value
    spent = last["mean_s"] * last["requests"] - first["mean_s"] * first["requests"]
    assert flow.mean_s == pytest.approx(spent / (last["requests"] - first["requests"]))
    assert (flow.users, "of the history" in flow.source) == (8, True)
    for part in ("stats", "failures"):
        shutil.copy(REAL / f"one_{part}.csv", tmp_path)
    written(tmp_path / "two", per_s=20)
    bare = scaling([f"1={tmp_path / 'one'}", f"2={tmp_path / 'two'}"])
    assert bare.base.flow.per_s.value == pytest.approx(5.023382072800329 * 145 / 151)
    assert bare.base.flow.source == "Locust's own figure"
    assert bare.base.flow.per_s.lower is None
    assert any("ramp-up of users lowers it" in note for note in bare.verdict.notes)


def test_the_window_is_the_longest_stretch_with_all_users(tmp_path):
    path = written(tmp_path / "p").with_name("p_stats_history.csv")
    lines = path.read_bytes().decode().split("\r\n")
    lines[11] = lines[11].replace(",8,", ",7,", 1)  # the ninth second
    path.write_text("\r\n".join(lines), newline="")
    flow = scaling([f"1={tmp_path / 'p'}", f"2={written(tmp_path / 'q')}"]).base.flow
    assert (flow.span_s, flow.per_s.value) == (50, 10)


@pytest.mark.slow
def test_throughput_counts_failures_and_goodput_does_not(tmp_path):
    levels = [f"{n}={written(tmp_path / f'p{n}', per_s=10.0 * n, failures=120 * (n - 1))}" for n in (1, 2)]
    good, every = scaling(levels), scaling(levels, "throughput")
    assert [round(of.shares[2].multiplier.value, 6) for of in (good, every)] == [1.8, 2.0]
    assert (good.unit, every.unit) == ("ok/s", "requests/s")
    assert any("10 % of its requests failed" in note for note in good.verdict.notes)


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [((10, 19), "above the target of 90 %: 95"), ((10, 17), "below the target of 90 %: 85"), ((10, 14), "bottleneck: below 80 %: 70")],
)
def test_the_marks(rates, sentence, tmp_path):
    words, _, percent = sentence.rpartition(": ")
    levels = [f"{n}={written(tmp_path / f'p{n}', per_s=rate)}" for n, rate in zip((2, 4), rates, strict=True)]
    headline = scaling(levels).headline
    assert f"scaling efficiency {percent} %" in headline
    assert words in headline


def test_a_load_that_does_not_fill_the_workers_has_no_efficiency(tmp_path):
    thin = scaling(named((1, "one"), (4, "thin")))
    assert thin.shares[4].efficiency.value is None
    assert thin.headline.startswith("No scaling efficiency at 4 workers: ")
    assert "the load did not saturate the workers: " in thin.headline
    assert thin.base.run.id == "one"
    base = scaling(named((2, "thin"), (4, "four")))
    assert base.shares[4].doubt.startswith("the baseline of 2 workers: ")
    enough = [f"{n}={written(tmp_path / f'p{n}', per_s=10.0 * n, mean_ms=800 / n)}" for n in (1, 2)]
    assert scaling(enough, per_worker=4).shares[2].efficiency.value == pytest.approx(1)
    assert "on average, and 2 workers can take 16" in scaling(enough, per_worker=8).shares[2].doubt


def test_users_that_never_wait_for_a_worker_cannot_tell(tmp_path):
    free = [f"{n}={written(tmp_path / f'p{n}', per_s=20, mean_ms=400, least_ms=390)}" for n in (1, 2)]
    found = scaling(free)
    assert found.shares[2].doubt == "the load may not saturate the workers: a request takes 400 ms, the fastest 390 ms; " \
        "8.00 users ÷ that gives 20.5/s, and 20.0/s were measured"  # fmt: skip
    assert isinstance(scaling_plots(found)[0], MissingPlot)
    assert scaling(free, per_worker=4).shares[2].doubt == ""  # eight in flight of eight


@pytest.mark.slow
def test_the_page_and_its_files(tmp_path, capsys):
    assert main(["scaling", *FOUR, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == f"scaling: {tmp_path / 'index.html'}"
    page = html.unescape((tmp_path / "index.html").read_text(encoding="utf-8"))
    for name in ("sweep_efficiency", "sweep_throughput", "scaling_p95"):
        assert f'id="figure-{name}"' in page
        assert {(tmp_path / "figures" / f"{name}.{kind}").is_file() for kind in ("svg", "png", "csv")} == {True}
    for told in ("not confirmed", "closed loop", "comes from a different run", "cover all since the start", "two digits"):
        assert told in page
        assert told in said
    body = page[page.index("<body>") :]
    assert set(re.findall(r'href="#([^"]+)"', body)) <= set(re.findall(r'id="([^"]+)"', body))
    assert not formulas(tmp_path)
    told = json.loads((tmp_path / "scaling.json").read_text())
    assert [row["workers"] for row in told["levels"]] == [1, 2, 4, 6]
    assert told["levels"][1]["efficiency"]["value"] == pytest.approx(true_efficiency(2), abs=0.03)
    assert "65.8 %" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_three_levels_have_no_law():
    found = scaling(named((1, "one"), (2, "two"), (4, "four")))
    assert found.law == "3 usable levels, but a fit of three parameters needs 4 or more"
    assert scaling_plots(found)[1].caption.endswith(f"No Universal Scalability Law: {found.law}.")


@pytest.mark.parametrize(
    ("levels", "why"),
    [
        (["1=a", "1=b"], "1 worker named twice, {here}/a and {here}/b: name each number once"),
        (["1=a", "2=a"], "a is named for two numbers of workers"),
        (["1=a", "2=gone"], "no such run: neither the directory {here}/gone nor the file {here}/gone_stats.csv exists"),
        (["1=a"], "only one number of workers was named: scaling needs two or more"),
        (["a", "2=b"], "'a' is not a number of workers with a prefix: write it like 1=results/one"),
        (["0=a", "2=b"], "'0={here}/a' is not a number of workers"),
        (["two=a", "2=b"], "'two={here}/a' is not a number of workers"),
    ],
)
def test_names_that_are_refused(levels, why, tmp_path, capsys):
    for name in ("a", "b"):
        written(tmp_path / name)
    here = [text.replace("=", f"={tmp_path}/") for text in levels]
    assert main(["scaling", *here]) == 2
    said = capsys.readouterr().err
    assert why.format(here=tmp_path) in said
    assert len(said.splitlines()) == 1


def test_a_run_directory_is_no_prefix(capsys):
    assert main(["scaling", f"1={RUNS / 'burst'}", f"2={REAL / 'two'}"]) == 2
    assert f"name the prefix of Locust's CSV files in it, {RUNS / 'burst' / 'locust'}" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["v0.12-one", "v0.14", "v1.0"])
def test_columns_of_older_versions(version):
    run = load(HAND / version)
    table = locust_csv.by_name(run.totals)
    assert table["name"].to_list() == ["GET /quick", "POST /slow", "Aggregated"]
    assert (table["requests"].to_list(), table["failures"].to_list()) == ([50, 50, 100], [0, 2, 2])
    assert table.iloc[-1][["requests_per_s", "mean_s", "max_s", "p50_s", "p95_s"]].to_list() == pytest.approx(
        [10, 0.4, 0.49, 0.4, 0.45], rel=0.01
    )
    assert not any("torn" in note for note in run.notes)
    over_time = locust_csv.history(run.totals)
    if version == "v0.12-one":
        assert run.totals.failures is None
        assert over_time.empty
        return
    assert run.totals.failures["Occurrences"].to_list() == [2]
    assert over_time["requests"].to_list() == [0, 20, 40, 60, 80, 100]
    assert run.totals.percentiles == (WINDOW if version == "v0.14" else UNTOLD)
    assert over_time["p95_s"].notna().to_list() == [False, True, True, True, True, True]


def test_older_versions_scale_too(tmp_path):
    found = scaling(named((1, "v0.12-one"), (2, "v0.12-two"), folder=HAND))
    assert found.shares[2].efficiency.value == pytest.approx(18.8 / 9.8 / 2, rel=0.001)
    without_users = scaling([f"1={HAND / 'v0.14'}", f"2={written(tmp_path / 'two', per_s=20)}"])
    assert (without_users.base.flow.users, without_users.base.flow.span_s) == (None, 10)
    told = "At 1 worker: its history has no number of users, so the rate covers all rows and the ramp-up of users lowers it."
    assert told in without_users.verdict.notes
    assert "or all rows if the history has none" in without_users.sheets()[1].remark


def test_what_the_percentiles_of_a_history_are_over(tmp_path):
    kinds = {name: load(REAL / name).totals.percentiles for name in ("one", "full")}
    assert kinds == {"one": CUMULATIVE, "full": WINDOW}
    plain, full = (load(REAL / name).totals for name in ("one", "full"))
    assert times(plain).title == "P50 and P95 since the start"
    assert "cover all since the start" in times(plain).caption
    assert "cover about the last ten seconds" in times(full).caption
    windows = full.history[full.history["Type"].isna()]
    counted = windows["Total Request Count"] > 0
    assert (windows["95%"][counted] == 0).any()  # before there is a window Locust writes 0
    assert (locust_csv.history(full)["p95_s"].dropna() > 0).all()
    assert len(locust_csv.history(full)) == len(windows)
    early = load(written(tmp_path / "early", full=True)).totals  # as about 1.2 to 2.2 did with the full history
    assert early.percentiles == UNTOLD


def test_the_figures_of_one_prefix():
    full = load(REAL / "full").totals
    drawn = history(full)
    assert isinstance(drawn, Plot)
    assert drawn.caption.startswith("25 rows of the history, n = 228 requests; ")
    assert drawn.data["users"].max() == 8
    gone = load(HAND / "v0.12-one").totals
    assert [history(gone).reason, times(gone).reason] == ["it needs a _stats_history.csv with at least two rows"] * 2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "p_stats.csv is empty: the run was killed before Locust wrote to it"),
        (f"{STATS}\n", "p_stats.csv has no rows"),
        ("time,url,status\n1,/a,200\n", "its first line begins with 'time,url,status' and has no 'Type'"),
        (f"{STATS}\nGET,/a,1,0\n", "row 2 has 4 cells, but the first line names 22"),
        (f"{STATS}\nGET,/a,many,0{',1' * 18}\n", "'Request Count' in row 2 should be a whole number, such as 120"),
        (f"{STATS}\nGET,/a,5,-1{',1' * 18}\n", "'Failure Count' in row 2 should be a whole number"),
        (f"{STATS}\nGET,/a,inf,0{',1' * 18}\n", "'Request Count' in row 2 should be a whole number"),
    ],
)
def test_totals_that_cannot_be_used_are_one_sentence(content, why, tmp_path, capsys):
    (tmp_path / "p_stats.csv").write_text(content)
    with pytest.raises(RunError, match=re.escape(why)):
        load(tmp_path / "p")
    assert main(["report", str(tmp_path / "p")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("content", ["", f"{HISTORY}\n", "time,users\n1,2\n", f"{HISTORY}\n1,2,3\n"])
def test_a_history_that_cannot_be_used_leaves_the_totals(content, tmp_path):
    written(tmp_path / "p")
    (tmp_path / "p_stats_history.csv").write_text(content)
    run = load(tmp_path / "p")
    assert locust_csv.aggregated(run.totals)["requests"] == 600
    assert isinstance(history(run.totals), MissingPlot)
    assert content == f"{HISTORY}\n" or any(
        "p_stats_history.csv" in note and ("left out" in note or "ignored" in note) for note in run.notes
    )
    found = scaling([f"1={tmp_path / 'p'}", f"2={written(tmp_path / 'q', per_s=20)}"])
    assert found.base.flow.source == "Locust's own figure"


def test_a_torn_last_line_is_left_out_and_told(tmp_path):
    written(tmp_path / "p")
    for part in ("stats", "stats_history"):
        path = tmp_path / f"p_{part}.csv"
        path.write_bytes(path.read_bytes()[:-30])
    run = load(tmp_path / "p")
    for part, columns in (("stats", 22), ("stats_history", 24)):
        assert re.search(
            rf"p_{part}\.csv \({columns} columns, \d+ rows?; left out: the torn last line with \d+ of {columns} cells\)", run.notes[0]
        )
    assert locust_csv.aggregated(run.totals)["requests"] == 600  # the row of all requests was torn: the sum of the names
    assert locust_csv.history(run.totals)["at_s"].max() == 60
    found = scaling([f"1={tmp_path / 'p'}", f"2={written(tmp_path / 'q', per_s=20)}"])
    assert found.shares[2].efficiency.value == pytest.approx(1)
    assert found.base.percentile_s(95) is None


def test_a_file_that_a_spreadsheet_saved_again_is_read(tmp_path):
    """It puts a byte-order mark in front."""
    prefix = written(tmp_path / "marked")
    known = locust_csv.by_name(load(prefix).totals)
    for path in tmp_path.glob("marked_*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    run = load(prefix)
    assert locust_csv.by_name(run.totals).equals(known)
    assert run.totals.history is not None and run.totals.failures is not None


def formulas(folder):
    """Cells of the CSV files below ``folder`` that a spreadsheet would run."""
    files = list(folder.rglob("*.csv"))
    assert files
    return [cell for path in files for row in csv.reader(path.read_text().splitlines()) for cell in row if cell.startswith(("=", "+", "@"))]


@pytest.mark.slow
def test_names_that_are_formulas_or_markup_stay_text(tmp_path):
    evil = "=cmd|' /C calc'!A0<script>alert(1)</script>"
    written(tmp_path / "p", name=evil, full=True)
    assert main(["report", str(tmp_path / "p"), "--out", str(tmp_path / "r"), "--quiet"]) == 0
    page = (tmp_path / "r" / "index.html").read_text(encoding="utf-8")
    assert "=cmd|" in page
    assert "<script>" not in page
    assert not formulas(tmp_path / "r")


LOCUSTFILE = """
from locust import HttpUser, task


class Caller(HttpUser):
    @task
    def work(self):
        self.client.get("/work")
"""


@contextmanager
def pool(workers):
    """The URL of an endpoint of known capacity."""
    command = [sys.executable, "-u", "-m", "tests.support.pool", str(workers), "0.25", str(SIGMA)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


def measured(folder, workers, *more):
    """The prefix of a real Locust's files: eight users, twelve seconds, headless."""
    prefix = folder / f"p{workers}"
    with pool(workers) as url:
        command = [sys.executable, "-m", "locust", "-f", str(folder / "plain.py"), "--headless", "-u", "8", "-r", "8", "-t", "14s"]
        done = subprocess.run(
            [*command, "--host", url, "--csv", str(prefix), *more], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stderr
    return f"{workers}={prefix}"


@pytest.mark.nightly
def test_real_locust_against_a_service_of_known_capacity(tmp_path):
    (tmp_path / "plain.py").write_text(LOCUSTFILE)
    with ThreadPoolExecutor(3) as several:
        runs = [several.submit(measured, tmp_path, n, *more) for n, more in ((1, ()), (2, ("--csv-full-history",)), (4, ()))]
        levels = [run.result() for run in runs]
    found = scaling(levels)
    assert [one.run.totals.percentiles == CUMULATIVE for one in found.levels] == [True, False, True]
    for one in found.levels:
        assert one.flow.span_s is not None
        assert found.shares[one.workers].efficiency.value == pytest.approx(true_efficiency(one.workers), abs=0.1)
        assert one.in_flight == pytest.approx(8, rel=0.1)
