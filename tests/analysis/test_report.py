"""The report as a user gets it: ``python -m analysis`` as a process of its own, its files, and the page in a browser."""

import io
import json
import re
import resource
import shutil
import struct
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.figures.plots import plots
from analysis.report.report import report, write
from analysis.runs.load import load
from analysis.tables.run_tables import Tables
from analysis.text.sheet import Sheet

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "tests" / "runs"
FIGURES = ("response_time", "response_time_ecdf", "burst", "anatomy", "waterfall", "timeline", "outcomes", "lateness", "generator")


def analysis(*arguments, **other):
    command = [sys.executable, "-W", "error", "-m", "analysis", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300, check=False, **other)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The golden runs, reported without figures: by name, what was said and the folder that was written."""
    folder, done = tmp_path_factory.mktemp("reports"), {}
    for name, run in {
        "burst": RUNS / "burst",
        "mixed": RUNS / "mixed",
        "queue": RUNS / "queue",
        "plain": RUNS / "locust" / "plain",
    }.items():
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = main(["report", str(run), "--out", str(folder / name), "--figures", "no"])
        done[name] = subprocess.CompletedProcess([], code, out.getvalue(), err.getvalue())
    return {name: (process, folder / name) for name, process in done.items()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder of the burst's report with its figures, which take long."""
    folder = tmp_path_factory.mktemp("drawn")
    assert main(["report", str(RUNS / "burst"), "--out", str(folder), "--quiet"]) == 0
    return folder


class Page(HTMLParser):
    """The tags, ids and links of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in {"href", "src", "xlink:href"}]


def page(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["burst", "mixed", "queue", "plain"])
def test_a_report_is_made_whatever_the_verdict(made, name):
    done, folder = made[name]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"report: {folder / 'index.html'}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "attempts.csv is missing: the run was killed before its first row."),
        (b"", "attempts.csv is empty: the run was killed before its first row."),
        (b"seq,att", "attempts.csv is empty: the run was killed before its first row."),
    ],
)
def test_a_run_without_a_row_says_whether_the_file_is_there(tmp_path, content, said):
    run = shutil.copytree(RUNS / "burst", tmp_path / "run")
    (run / "attempts.csv").unlink()
    if content is not None:
        (run / "attempts.csv").write_bytes(content)
    assert load(run).notes[-1] == said


def test_the_terminal_shows_ledger_verdict_and_times(made):
    lines = made["mixed"][0].stdout.splitlines()
    equation = "40 planned = 20 ok + 5 failed + 2 queue_timeout + 3 throttled + 4 abandoned + 2 unfinished + 3 not_sent + 1 missing"
    assert equation in lines
    assert lines.index("verdict: invalid") < lines.index("  - The run was cut short (Ctrl-C): the figures cover only the time until then.")
    assert any(line.split()[:3] == ["P95", "3.00", "s"] for line in lines)
    assert any("the last line is incomplete" in line for line in lines)
    errors = lines[lines.index("errors:") + 1 :][:3]
    assert errors[0] == "  4 × abandoned: no answer in 5 s" and errors[2] == "  3 × throttled: NA"


@pytest.mark.slow
def test_the_answer_comes_first_then_its_picture_the_key_figures_and_what_is_folded(drawn):
    text = page(drawn)
    marks = (
        *("<h1>30 requests, at most 15 in flight", ">Cost</dt>", ">Next</dt>", 'id="figure-burst"', ">Key figures</h2>", ">Figures</h2>"),
        *("Not in this report" if "Not in this report" in text else ">Figures</h2>", "<summary>Can I trust this?", ">Ledger</h2>"),
        *("<summary>More figures", "<summary>All tables", "<summary>Circumstances"),
    )
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)


def test_objectives_stand_below_the_key_figures_where_they_were_given(tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.report.report.plots.plots", lambda *_: [])  # drawn elsewhere
    kept = Sheet("Objectives", ("Objective", "Result"), (("p95 < 2 s", "missed"), ("success > 95 %", "met")))
    write(replace(report(load(RUNS / "burst")), objectives=kept), tmp_path)
    text = page(tmp_path)
    places = [
        text.index(mark) for mark in (">Key figures</h2>", ">Objectives</h2>", '<tr class="missed">', '<tr class="met">', ">Ledger</h2>")
    ]
    assert places == sorted(places)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert markdown.index("#### Key figures") < markdown.index("#### Objectives") < markdown.index("<details>")


@pytest.mark.slow
def test_each_figure_of_the_page_links_to_its_data_and_the_contents_to_the_views(drawn):
    text = page(drawn)
    assert [name for name in FIGURES if f'href="figures/{name}.csv"' not in text] == []
    assert all(f'<a href="#figure-{name}">' in text for name in ("timeline", "anatomy", "waterfall"))


def test_the_short_form_has_the_main_table_open_and_the_rest_folded(made):
    text = (made["queue"][1] / "report.md").read_text(encoding="utf-8")
    shown, folded = text.split("<details>")
    assert "#### Key figures\n" in shown and "#### Ledger" not in shown
    assert "#### Ledger" in folded and "#### Response time\n" in folded


@pytest.mark.parametrize("name", ["burst", "mixed", "queue", "plain"])
def test_the_page_is_self_contained_and_its_ids_are_unique(made, name):
    self_contained(made[name][1])


@pytest.mark.slow
def test_so_is_the_page_with_figures(drawn):
    assert any(link.startswith("figures/") for link in self_contained(drawn))


def self_contained(folder):
    """The files that the page of ``folder`` links to; fails where it needs more than those."""
    found = Page(page(folder))
    assert "script" not in found.tags
    assert "link" not in found.tags
    assert len(found.ids) == len(set(found.ids)) >= 5
    within = [link for link in found.links if link.startswith("#")]
    assert within and {link[1:] for link in within} <= set(found.ids)
    files = [link for link in found.links if not link.startswith(("#", "data:"))]
    assert all((folder / link).is_file() for link in files)
    return files


@pytest.mark.parametrize("name", ["mixed", "plain"])
def test_hostile_error_texts_are_shown_and_not_obeyed(made, name):
    _, folder = made[name]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page(folder)
    for text in (page(folder), (folder / "report.md").read_text(encoding="utf-8")):
        assert "<script" not in text


def test_markdown_rows_have_as_many_cells_as_their_head(made):
    text = (made["mixed"][1] / "report.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "&#91;x&#93;(http&#58;//x)" in text


@pytest.mark.slow
def test_each_figure_is_a_drawing_an_image_and_its_data(drawn):
    folder = drawn / "figures"
    assert sorted(file.name for file in folder.iterdir()) == sorted(f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png", "csv"))
    data = pd.read_csv(folder / "response_time.csv")
    assert data["response_s"].to_list() == [k // 2 + 1.0 for k in range(30)]
    assert data["kind"].value_counts().to_dict() == {"ok": 2, "ok (cold)": 2, "ok (queued)": 26}
    assert (folder / "lateness.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_card_is_a_picture_for_chats(made, drawn):
    card = (drawn / "card.png").read_bytes()
    assert struct.unpack(">II", card[16:24]) == (1200, 630)
    assert not (made["queue"][1] / "card.png").exists()  # made without figures


def test_a_figure_without_data_gives_its_reason(made):
    folder = made["mixed"][1]
    assert "In flight, and the generator&#39;s CPU (generator.csv is missing or empty)" in page(folder)
    assert not (folder / "figures" / "generator.svg").exists()


def test_metrics_hold_the_figures_for_other_programs(made):
    found = json.loads((made["mixed"][1] / "metrics.json").read_text(encoding="utf-8"))
    assert (found["format"], found["run"]["id"], found["verdict"]["state"]) == (1, "mixed", "invalid")
    assert (found["ledger"]["planned"], found["ledger"]["missing"], found["ledger"]["balanced"]) == (40, 1, False)
    assert found["ledger"]["counts"] == {
        "ok": 20, "failed": 5, "queue_timeout": 2, "throttled": 3, "abandoned": 4, "unfinished": 2, "not_sent": 3,
    }  # fmt: skip
    ok = found["response_time_s"]["ok"]
    assert (ok["n"], ok["p50"], ok["p95"], ok["intervals"]["p50"], ok["intervals"]["p95"]) == (20, 1.9, 3.0, None, None)  # they rise
    assert found["lateness_s"]["intervals"]["p50"] == pytest.approx([0.002, 0.002])
    assert (found["audio"], found["throughput"]["offered_per_s"]) == (None, 2.0)
    assert found["stages"][0]["planned"] == 40


def test_metrics_of_an_endpoint_whose_workers_start(made):
    found = json.loads((made["queue"][1] / "metrics.json").read_text(encoding="utf-8"))
    cold = found["cold"]
    assert (cold["known"], cold["cold"], cold["share"], cold["by"], cold["starts"]) == (32, 3, 0.09375, {"worker_list": 3}, 3)
    assert (cold["cold_start_s"]["n"], cold["cold_start_s"]["p50"], cold["response_time_s"]["warm"]["p50"]) == (3, 8.2, 12.06)
    assert (found["why"][0]["cause"], found["why"][0]["requests"], found["tries"]) == ("no_capacity", 4, None)
    assert (found["endpoint"]["dispatched_again"], found["endpoint"]["polling"]["late_s"]["p95"]) == (1, 1.0)


def test_the_rules_result_is_a_file_beside_the_page(made):
    folder = made["queue"][1]
    rows = pd.read_csv(folder / "cold.csv", keep_default_na=False).set_index("seq")
    assert rows.loc[0, ["attempt", "worker_id", "cold", "cold_by", "wait_s"]].to_list() == [1, "workerA", "true", "worker_list", "9.099"]
    assert rows["cold"].value_counts().to_dict() == {"true": 3, "false": 29, "": 4}
    assert 'href="cold.csv"' in page(folder)
    assert not (made["mixed"][1] / "cold.csv").exists()


def test_metrics_of_plain_totals(made):
    found = json.loads((made["plain"][1] / "metrics.json").read_text(encoding="utf-8"))
    assert (found["totals"][-1]["name"], found["totals"][-1]["failures"], found["totals"][-1]["p95_s"]) == ("Aggregated", 7, 1.0)
    assert "ledger" not in found


@pytest.mark.slow
def test_the_same_run_gives_the_same_page_and_figures(drawn, tmp_path):
    assert main(["report", str(RUNS / "burst"), "--out", str(tmp_path)]) == 0
    for name in ("index.html", "report.md", "metrics.json", *(f"figures/{figure}.svg" for figure in FIGURES)):
        assert (tmp_path / name).read_bytes() == (drawn / name).read_bytes()


def copy(tmp_path, **about):
    """The burst run, copied, with other words in run.json."""
    run = tmp_path / "run"
    shutil.copytree(RUNS / "burst", run, ignore=shutil.ignore_patterns("report"))
    content = json.loads((run / "run.json").read_text(encoding="utf-8"))
    (run / "run.json").write_text(json.dumps(content | about), encoding="utf-8")
    return run


def here(capsys, *arguments):
    """The command within this process, which spares a second of imports: exit code, stdout, stderr."""
    code = main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def sentence(code, out, err):
    """The one sentence of a command that was refused."""
    assert (code, out) == (2, "")
    assert err.startswith("analysis: ")
    assert err.count("\n") == 1
    return err


def test_quiet_prints_the_last_line_alone(capsys, tmp_path):
    said = here(capsys, "report", RUNS / "burst", "--out", tmp_path / "r", "--quiet", "--figures", "no")
    assert said == (0, f"report: {tmp_path / 'r' / 'index.html'}\n", "")


def test_without_figures_all_else_is_there_and_each_says_how_to_have_it(capsys, made, tmp_path):
    assert here(capsys, "report", RUNS / "burst", "--out", tmp_path, "--figures", "no", "--quiet")[0] == 0
    assert list((tmp_path / "figures").iterdir()) == []
    assert (tmp_path / "metrics.json").read_bytes() == (made["burst"][1] / "metrics.json").read_bytes()
    assert "<svg" not in page(tmp_path)
    assert page(tmp_path).count("(--figures no was given; draw them with python -m analysis report RUN)") == 1


def test_the_default_folder_is_within_the_run_and_beside_a_prefix(capsys, tmp_path):
    shutil.copytree(RUNS, tmp_path / "runs", ignore=shutil.ignore_patterns("report", "*.py"))
    for run, expected in (("burst", "burst/report"), ("locust/plain", "locust/plain_report")):
        assert here(capsys, "report", tmp_path / "runs" / run, "--quiet", "--figures", "no")[0] == 0
        assert (tmp_path / "runs" / expected / "index.html").is_file()


@pytest.mark.slow
def test_a_refused_process_ends_with_2_and_a_sentence(tmp_path):
    done = analysis("report", tmp_path / "nowhere")
    assert "no such run" in sentence(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("run.json", "{", "is not complete JSON"),
        ("run.json", "[]", "does not describe a run"),
        ("run.json", '{"format": 2}', "newer than this program"),
        ("run.json", '{"format": 1, "planned": "many"}', "'planned' is 'many'"),
        ("attempts.csv", "a,b\n1,2\n", "has no column 'seq'"),
        ("attempts.csv", "seq,attempt,scheduled_s,outcome\n1,1,zero,ok\n", "cannot be read"),
        ("attempts.csv", "seq,attempt,scheduled_s,outcome\n,1,0.0,ok\n", "has a row without 'seq'"),
        ("attempts.csv", "seq,attempt,scheduled_s,outcome\n1,1,0.0,splendid\n", "outcome 'splendid'"),
        ("attempts.csv", "seq,attempt,scheduled_s,outcome,done_s\n1,1,0.0,ok,inf\n", "has an infinite 'done_s'"),
    ],
)  # fmt: skip
def test_a_damaged_run_is_one_sentence(capsys, tmp_path, file, content, said):
    run = copy(tmp_path)
    (run / file).write_text(content, encoding="utf-8")
    assert said in sentence(*here(capsys, "report", run))


def test_what_is_not_a_run_is_one_sentence(capsys, tmp_path):
    assert "has no run.json" in sentence(*here(capsys, "report", tmp_path))
    (tmp_path / "x_stats.csv").write_text("hello\n", encoding="utf-8")
    assert "not a statistics file of a known Locust version" in sentence(*here(capsys, "report", tmp_path / "x"))
    assert "is a file" in sentence(*here(capsys, "report", tmp_path / "x_stats.csv"))


def test_a_folder_that_cannot_be_written_is_one_sentence(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    said = sentence(*here(capsys, "report", RUNS / "burst", "--out", tmp_path / "file" / "report"))
    assert "cannot be written" in said
    assert "Not a directory" in said


@pytest.mark.slow
def test_a_full_disk_is_one_sentence(tmp_path):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = analysis("report", RUNS / "burst", "--out", tmp_path / "r", preexec_fn=little_room)
    assert "cannot be written" in sentence(done.returncode, done.stdout, done.stderr)


def test_a_killed_run_still_has_a_report(capsys, tmp_path):
    run = copy(tmp_path, state="running", ended=None, ended_by=None, elapsed_s=None, ledger=None)
    for file in ("attempts.csv", "events.csv", "generator.csv"):
        (run / file).unlink()
    code, out, _ = here(capsys, "report", run)
    assert code == 0
    assert "30 planned = 30 missing" in out
    assert "The run has no recorded end" in out
    assert "<figure" not in page(run / "report") and page(run / "report").count("Not in this report: ") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "30 planned = 30 missing"),
        ("0,1,0.0,ok,0.0,0.0\n", "30 planned = 1 ok + 29 missing"),
        ("0,1,0.0,ok,,\n", "the rows have no times"),
        ("0,1,0.0,not_sent,,\n1,1,1.0,not_sent,,\n", "30 planned = 2 not_sent + 28 missing"),
        ("0,1,0.0,unfinished,0.0,\n1,1,1.0,unfinished,1.0,\n", "30 planned = 2 unfinished + 28 missing"),
        ("0,1,0.0,ok,-0.001,1.0\n1,1,1.0,ok,0.9,2.0\n", "30 planned = 2 ok + 28 missing"),
    ],
)
def test_rows_at_the_edge_still_make_a_report(capsys, tmp_path, rows, said):
    run = copy(tmp_path)
    (run / "attempts.csv").write_text(f"seq,attempt,scheduled_s,outcome,sent_s,done_s\n{rows}", encoding="utf-8")
    code, out, err = here(capsys, "report", run)
    assert (code, err) == (0, "")
    assert said in out


@pytest.mark.parametrize(("arguments", "words"), [([], ["report"]), (["report"], ["RUN", "--out", "--quiet", "Exit code"])])
def test_help_names_the_command_and_its_options(capsys, arguments, words):
    with pytest.raises(SystemExit, match="0"):
        main([*arguments, "--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in words)


def test_a_gap_in_the_rows_moves_no_mark():
    run = load(RUNS / "mixed")
    gap = Tables(replace(run, attempts=run.attempts[run.attempts["seq"] != 3]))
    figures = {figure.name: figure for figure in plots(gap)}
    for figure, column in ((figures["response_time"], "response_s"), (figures["lateness"], "lateness_s")):
        drawn = figure.data.set_index("seq")
        assert 3 not in drawn.index
        assert drawn[column].to_dict() == pytest.approx(gap.requests.loc[drawn.index, column].to_dict(), nan_ok=True)
        assert drawn["x"].to_dict() == gap.requests.loc[drawn.index, "scheduled_s"].to_dict()
    assert figures["response_time"].data.set_index("seq")["kind"].to_dict() == gap.requests["outcome"].to_dict()
