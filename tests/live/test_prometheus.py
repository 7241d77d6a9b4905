"""Live figures: the page says what the run says, Prometheus can read it, and the dashboard asks for nothing else."""

import itertools
import json
import re
import socket
import subprocess
import urllib.parse
from collections import Counter
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from coldburst.live.prometheus import RunCollector
from coldburst.record.attempt import OUTCOMES
from coldburst.record.ledger import Ledger
from tests.support.attempt_rows import read as rows_of
from tests.support.emulators import MODELLED, emulator
from tests.support.locusts import PLAIN, ROOT
from tests.support.needs import needs
from tests.support.run_views import HEALTH, Load, listed, run_of
from tests.support.transcribers import ask, transcriber, until
from tests.support.web import WebUi

FIXED = ("--engine", "fixed", "--service-time", "0.1", "--max-concurrent", "2", "--queue", "100")
CONFIG = ROOT / "deploy" / "prometheus.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "coldburst.json").read_text(encoding="utf-8"))
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
NAME = re.compile(r"coldburst_\w+")


def page(current):
    """The page of a registry that has nothing but the figures."""
    registry = CollectorRegistry()
    registry.register(RunCollector(current))
    return generate_latest(registry).decode()


def read(text):
    """(name, labels in the order of their names) -> value, of a page."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        (sample.name.removeprefix("coldburst_"), *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for sample in samples
    }


def figures(run):
    return read(page(lambda: run))


def by_outcome(samples):
    """The attempts that there are, by outcome."""
    return {name[1]: value for name, value in samples.items() if name[0] == "attempts_total" and value}


def test_before_the_first_run_the_totals_are_zero_and_nothing_else_is_said():
    samples = figures(None)
    assert set(samples.values()) == {0}
    names = {"running", "requests_sent_total", "queue_timeouts_total", "cold_starts_total", "in_flight", "held"}
    assert set(samples) == {(name,) for name in names} | {("attempts_total", outcome) for outcome in OUTCOMES}


def test_while_a_run_goes_on_each_figure_is_the_runs():
    run = run_of()
    run.samples.add({"at_s": 8.0, **HEALTH, "in_queue": 9})
    listed(run, 9.0)
    run.samples.add({"at_s": 10.0, **HEALTH})
    run.samples.add({"at_s": 10.4, "view": "health", "error": "503: try again"})
    samples = figures(run)
    assert by_outcome(samples) == {"ok": 4, "queue_timeout": 1, "busy": 1}
    rest = {name: value for name, value in samples.items() if name[0] != "attempts_total"}
    assert rest == {
        ("running",): 1,
        ("generators",): 1,
        ("run_info", "20261121-120000-burst", "queue", "burst", "steady"): 1,
        ("run_elapsed_seconds",): 10.5,
        ("requests_sent_total",): 7,
        ("requests_planned",): 240,
        ("offered_requests_per_second",): 4,
        ("in_flight",): 2,
        ("held",): 3,
        ("lateness_seconds",): 0.004,
        ("cold_starts_total",): 2,
        ("queue_timeouts_total",): 1,
        ("endpoint_workers", "idle", "health"): 1,
        ("endpoint_workers", "ready", "health"): 2,
        ("endpoint_workers", "idle", "workers"): 0,
        ("endpoint_workers", "running", "workers"): 2,
        ("endpoint_jobs", "in_queue"): 3,
        ("endpoint_jobs", "in_progress"): 2,
    }


def test_between_runs_the_last_ones_totals_stay_also_where_the_next_cannot_begin():
    run, present = run_of(), []
    registry = CollectorRegistry()
    registry.register(RunCollector(lambda: present[0]))
    for seen in (run, None):
        present[:] = [seen]
        run.ledger = Ledger(240, run.recorder.counts)
        samples = read(generate_latest(registry).decode())
        assert samples[("running",)] == 0
        assert (samples[("requests_sent_total",)], by_outcome(samples)["ok"]) == (7, 4)
        gone = {"generators", "lateness_seconds", "offered_requests_per_second", "run_elapsed_seconds", "endpoint_workers", "endpoint_jobs"}
        assert not gone & {name[0] for name in samples}


@pytest.mark.slow
def test_what_is_not_known_is_left_out():
    assert figures(run_of(load=Load(stopping=True)))[("offered_requests_per_second",)] == 0
    run = run_of("level 60s 4 at a time")
    run.samples.add({"at_s": 0.4, **HEALTH})  # five questions ago and more
    run.samples.add({"at_s": 9.0, "view": "workers", "error": "no answer"})
    names = {name[0] for name in figures(run)}
    assert not {"offered_requests_per_second", "requests_planned", "endpoint_workers", "endpoint_jobs"} & names
    assert "lateness_seconds" in names
    assert ("offered_requests_per_second",) not in figures(run_of(hooks=object()))


def test_a_run_of_several_generators_says_how_many_live():
    assert figures(run_of(generators=3))[("generators",)] == 3


def exported():
    """Every name that a page can have."""
    run = run_of()
    run.samples.add({"at_s": 10.0, **HEALTH})
    return {f"coldburst_{name[0]}" for name in figures(run)}


def test_the_dashboard_shows_each_figure_and_no_other():
    assert {name for expression in EXPRESSIONS for name in NAME.findall(expression)} == exported()


def test_the_dashboards_panels_have_places_and_sources_of_their_own():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x, y in itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    (source,) = (one["name"] for one in DASHBOARD["templating"]["list"])
    said = [one["datasource"] for panel in panels for one in (panel, *panel["targets"])]
    assert all(one == {"type": "prometheus", "uid": f"${{{source}}}"} for one in said)


@pytest.mark.slow
@needs("promtool")
def test_names_and_help_texts_pass_promtool():
    run = run_of()
    run.samples.add({"at_s": 10.0, **HEALTH})
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page(lambda: run), capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs("promtool")
def test_the_configuration_passes_promtool():
    done = subprocess.run(["promtool", "check", "config", str(CONFIG)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def scrape(ui):
    return read(ui.get("/metrics").decode())


def told_id(samples):
    """The run that a page tells of, "" before the first."""
    return next((name[1] for name in samples if name[0] == "run_info"), "")


def followed(ui, **form):
    """Starts a run and reads the page until it tells that this run has ended: its directory, the pages while it went, the last one."""
    before, pages = set(ui.locust.runs.iterdir()), []

    def over(_):
        pages.append(scrape(ui))
        return told_id(pages[-1]) not in {folder.name for folder in before} | {""} and not pages[-1][("running",)]

    assert ui.post("/swarm", **form)["success"]
    ui.locust.until(over)
    (folder,) = set(ui.locust.runs.iterdir()) - before
    return folder, [samples for samples in pages if samples[("running",)]], pages[-1]


@pytest.mark.slow
def test_the_page_follows_each_run_and_ends_with_its_rows_on_disk():
    second = ("--engine", "fixed", "--service-time", "1", "--max-concurrent", "5")
    with transcriber(*second) as service, WebUi("--host", service.url, *PLAIN) as ui:
        assert scrape(ui)[("running",)] == 0
        for schedule, planned in (("steady 2s 8/s", 16), ("burst 12", 12)):  # 3 s and more, 4 at a time
            folder, going, last = followed(ui, schedule=schedule, max_in_flight="4")
            assert {samples[("requests_planned",)] for samples in going} == {planned}
            assert max(samples[("in_flight",)] for samples in going) in range(1, 5)
            sent = [samples[("requests_sent_total",)] for samples in going]
            assert sent == sorted(sent)
            rows = rows_of(folder / "attempts.csv")
            assert by_outcome(last) == Counter(row.outcome for row in rows) == {"ok": planned}
            assert (last[("requests_sent_total",)], last[("in_flight",)], last[("held",)]) == (planned, 0, 0)
            (info,) = (set(name) for name in last if name[0] == "run_info")
            assert {folder.name, "transcription", schedule.split()[0]} <= info


@pytest.mark.slow
def test_the_page_is_behind_the_web_uis_login():
    with WebUi(*PLAIN, "--web-login") as ui:
        assert b"coldburst_" not in ui.get("/metrics")


@contextmanager
def prometheus(target, folder):
    """The address of a Prometheus with the shipped configuration, which reads ``target`` in the place of the one there."""
    config = folder / "prometheus.yml"
    text = CONFIG.read_text(encoding="utf-8")
    assert text.count("master:8089") == 1
    config.write_text(text.replace("master:8089", target), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(60)


def answered(server, expression):
    """What the expression comes to, a series each; [] also while the server is not up yet."""
    try:
        answer = ask(server, f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    except OSError:
        return []
    content = answer.json() if answer.status in (200, 400) else {"status": "not ready"}
    assert content["status"] != "error", f"{expression}: {content}"
    return content["data"]["result"] if content["status"] == "success" else []


@pytest.mark.slow
@needs("prometheus")
def test_prometheus_answers_each_expression_of_the_dashboard(tmp_path):
    warm = ("--endpoint", "demo", "--workers-min", "2", "--ready")
    with (
        emulator(*MODELLED, *warm) as platform,
        WebUi("--host", f"{platform.url}/v2/demo", *PLAIN, "--sample", "0.5") as ui,
        prometheus(ui.url.removeprefix("http://"), tmp_path) as server,
    ):
        until(lambda: answered(server, "coldburst_running"), "first look at the page")
        assert ui.post("/swarm", schedule="steady 600s 5/s")["success"]
        ui.locust.until(lambda _: {"health", "workers"} <= {name[-1] for name in scrape(ui) if name[0] == "endpoint_workers"})

        def known(_):
            there = {f"coldburst_{name[0]}" for name in scrape(ui)}
            return all(there.issuperset(NAME.findall(expression)) for expression in EXPRESSIONS)

        ui.locust.until(known)
        for expression in EXPRESSIONS:
            until(lambda expression=expression: answered(server, expression), f"answer to {expression}")
        (rate,) = until(lambda: answered(server, 'rate(coldburst_attempts_total{outcome="ok"}[10s]) > 0'), "throughput")
        assert rate["metric"]["outcome"] == "ok"
        ui.post("/stop")
        ui.locust.until(lambda _: not scrape(ui)[("running",)])
        sent = scrape(ui)[("requests_sent_total",)]
        until(lambda: answered(server, f"coldburst_requests_sent_total == {sent} and coldburst_running == 0"), "the last total")
        assert len(platform.truth("job")) == sent
