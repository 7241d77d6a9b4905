"""The same locustfile from the web UI: fields for its options, a run a click, a report a run."""

import html
import io
import json
import re
import signal
import socket
import zipfile
from contextlib import ExitStack

import pytest

from coldburst.live.web import files
from coldburst.record.attempt import OUTCOMES
from tests.support.emulators import MODELLED, emulator
from tests.support.endings import endings, numbers
from tests.support.locusts import PLAIN, ROOT, locust
from tests.support.transcribers import transcriber, until
from tests.support.web import WebUi

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
            until(lambda: ui.state() == "stopped", "end of the run")
        assert len(service.log()) == 10
        totals = [path.read_text().count("\n") - 1 for path in sorted(ui.locust.runs.glob("*/attempts.csv"))]
        assert totals == [4, 6]


@pytest.mark.slow
def test_rows_of_a_data_set_that_the_form_names_are_sent():
    """Files in the directory of results may be named; others may not."""
    warm = ("--endpoint", "demo", "--workers-min", "1", "--workers-max", "2")
    with emulator(*MODELLED, *warm) as platform, WebUi("--host", f"{platform.url}/v2/demo", *PLAIN) as ui:
        rows = ui.locust.runs / "words.jsonl"
        rows.write_text('{"word": "one"}\n{"word": "two"}\n', encoding="utf-8")
        form = {"schedule": "burst 2", "input": '{"input": {"prompt": "{{word}}"}}'}
        refused = ui.post("/swarm", **form, data="/etc/words.jsonl")
        assert (refused["success"], "--data '/etc/words.jsonl' is outside" in refused["message"]) == (False, True)
        assert ui.post("/swarm", **form, data=str(rows))["success"]
        ui.locust.until(lambda run: reported(run) == 1)
        (about,) = (json.loads(path.read_text(encoding="utf-8")) for path in ui.locust.runs.glob("*/run.json"))
        assert (about["ledger"]["counts"], about["data"]["file"]) == ({"ok": 2}, str(rows))


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


@pytest.mark.slow
def test_a_bad_field_is_told_in_the_form_and_starts_nothing():
    with WebUi(*PLAIN) as ui:
        for form, word in (({"schedule": "burst quickly"}, "'quickly'"), ({"host": "nowhere"}, "'nowhere'"), ({"seed": "x"}, "'x'")):
            answer = ui.post("/swarm", **form)
            assert not answer["success"]
            assert word in answer["message"]
        assert list(ui.locust.runs.iterdir()) == []
        assert ui.state() == "ready"


@pytest.mark.slow
@pytest.mark.parametrize("number", numbers(signal.SIGHUP))
def test_a_signal_ends_the_web_ui_too(number):
    with WebUi(*PLAIN) as ui:
        ui.locust.interrupt(number)
        assert ui.locust.wait() == 0
        assert "Traceback" not in ui.locust.output


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), endings(signal.SIGTERM))
def test_a_signal_to_the_web_ui_ends_its_run_with_a_drain_and_a_report(number, name):
    with (
        transcriber("--engine", "fixed", "--service-time", "0.5", "--max-concurrent", "5") as service,
        WebUi("--host", service.url, *PLAIN) as ui,
    ):
        assert ui.post("/swarm", schedule="burst 300", max_in_flight="5")["success"]
        ui.locust.until(lambda run: list(run.runs.glob("*")) and len(run.rows) >= 5)
        ui.locust.interrupt(number)
        assert ui.locust.wait() == 1
        assert ui.locust.about["ended_by"] == name
        assert set(ui.locust.ledger.counts) == {"ok", "not_sent"}
        assert (ui.locust.folder / "report" / "index.html").is_file()
        assert "Traceback" not in ui.locust.output


OTHER = "http://elsewhere.example"
PAGES = (
    "/",
    "/coldburst/",
    "/coldburst/live.json",
    "/coldburst/static/live.js",
    "/metrics",
    "/stats/requests",
    "/tasks",
    "/logs",
    "/exceptions",
)
MORE = ("/stats/report", "/stats/requests/csv", "/stats/failures/csv", "/exceptions/csv", "/login", "/worker-count", "/nothing/here")
KEY = "sesame-7c1f0e"


def reports(ui):
    """How many runs of the process have a report to be had."""
    return sum(bool(run["report"]) for run in ui.live()["runs"])


@pytest.mark.slow
def test_before_the_first_run_all_pages_answer_and_none_lets_other_origins_read():
    with WebUi(*PLAIN) as ui:
        for path in (*PAGES, *MORE):
            for method in ("GET", "OPTIONS"):
                status, headers, _ = ui.ask(path, method, Origin=OTHER, Access_Control_Request_Method="POST")
                assert status == (404 if path == "/nothing/here" else 302 if (path, method) == ("/login", "GET") else 200), (path, status)
                assert [name for name in headers if name.lower().startswith("access-control-")] == [], path
        assert ui.live() == {"run": None, "samples": None, "runs": []}
        start = ui.get("/").decode()
        assert 'href="./coldburst/"' in start
        assert len(re.findall(r'"key": "coldburst", "title": "Live page"', start)) == 1
        assert all(meaning in html.unescape(ui.get("/coldburst/").decode()) for meaning in OUTCOMES.values())
        assert ui.ask("/coldburst")[0] in (301, 308)


@pytest.mark.slow
def test_what_another_sites_page_posts_starts_nothing():
    with WebUi(*PLAIN) as ui:
        for site in ("cross-site", "same-site"):
            for path in ("/swarm", "/stop", "/stats/reset"):
                assert ui.ask(path, "POST", Sec_Fetch_Site=site)[0] == 403
        assert (ui.state(), list(ui.locust.runs.iterdir())) == ("ready", [])
        assert ui.ask("/stop", "POST", Sec_Fetch_Site="same-origin")[0] == 200
        assert ui.ask("/", Sec_Fetch_Site="cross-site")[0] == 200  # a link may lead here


@pytest.mark.nightly
def test_over_plain_http_the_origin_says_whose_page_posts():
    """Browsers send Sec-Fetch-Site over HTTPS and to this machine only, Origin with every POST."""
    with WebUi(*PLAIN, "--web-allowed-hosts", "load.example") as ui:
        for origin in (OTHER, "null", f"http://127.0.0.1:{ui.port + 1}", "http://192.168.1.5:8089"):
            for path in ("/swarm", "/stop", "/stats/reset"):
                assert ui.ask(path, "POST", Origin=origin)[0] == 403, origin
        assert (ui.state(), list(ui.locust.runs.iterdir())) == ("ready", [])
        assert ui.ask("/stop", "POST", Origin=ui.url)[0] == 200
        assert ui.ask("/stop", "POST", Origin="https://load.example", Host="load.example")[0] == 200  # a proxy that passes Host
        assert ui.ask("/stop", "POST", Origin="https://load.example")[0] == 200  # a proxy that sets Host
        assert ui.ask("/stop", "POST", Origin=OTHER, Sec_Fetch_Site="same-origin")[0] == 403
        assert ui.ask("/stop", "POST")[0] == 200  # nobody's browser


@pytest.mark.slow
def test_a_report_that_cannot_be_made_is_told_from_one_in_the_making():
    with transcriber(*FIXED) as service, WebUi("--host", service.url, *PLAIN) as ui:
        assert ui.post("/swarm", schedule="steady 60s 5/s")["success"]
        ui.locust.until(lambda run: run.rows)
        (ui.locust.folder / "report").write_text("in the report's place", encoding="utf-8")
        assert ui.live()["runs"][0]["fault"] == ""  # it is still to come
        ui.post("/stop")
        ui.locust.until(lambda run: "The report failed" in run.output)
        (run,) = until(lambda: [run for run in ui.live()["runs"] if run["fault"]], "the fault of the report")
        assert run["fault"] == f"the report could not be made: python -m analysis report {ui.locust.folder} says why"
        (ui.locust.folder / "report").unlink()
        assert ui.post("/swarm", schedule="burst 2")["success"]
        ui.locust.until(lambda run: [bool(run["fault"]) for run in ui.live()["runs"]] == [False, True] and reports(ui) == 1)


@pytest.mark.nightly
def test_below_a_base_path_everything_is_there():
    with WebUi(*PLAIN, "--web-base-path", "/load") as ui:
        assert ui.ask("/load/coldburst/")[0] == 200
        assert json.loads(ui.get("/load/coldburst/live.json"))["runs"] == []
        assert ui.ask("/load/coldburst/static/tab.js")[0] == 200
        assert ui.ask("/coldburst/")[0] == 404


@pytest.mark.slow
def test_the_key_is_in_nothing_that_the_web_ui_says():
    with (
        transcriber(*FIXED, API_TOKEN=KEY) as service,
        WebUi("--host", service.url, *PLAIN, TRANSCRIPTION_API_KEY=KEY, RUNPOD_API_KEY=KEY) as ui,
    ):
        assert ui.post("/swarm", schedule="steady 3s 3/s")["success"]
        ui.locust.until(lambda run: reports(ui) == 1)
        (run,) = ui.live()["runs"]
        assert run["ledger"] == "9 planned = 9 ok"  # the key was used
        named = [f"/coldburst/report/{run['id']}/{name}" for name in files.offered(ui.locust.folder)]
        assert len(named) > 5
        for path in (*PAGES, *MORE, *named):
            status, headers, body = ui.ask(path)
            assert (KEY.encode() in body, KEY in str(headers)) == (False, False), path
            assert status == 200 or path in MORE
        archive = zipfile.ZipFile(io.BytesIO(ui.get(f"/coldburst/{run['download']}")))
        assert not any(KEY.encode() in archive.read(name) for name in archive.namelist())


@pytest.mark.slow
def test_a_runs_report_and_tables_are_handed_out_and_nothing_else():
    with transcriber(*FIXED) as service, WebUi("--host", service.url, *PLAIN) as ui:
        for number, schedule in ((1, "steady 2s 4/s"), (2, "steady 3s 3/s")):
            assert ui.post("/swarm", schedule=schedule)["success"]
            ui.locust.until(lambda run, number=number: reports(ui) == number)
        second, first = ui.live()["runs"]
        assert [run["ledger"] for run in (first, second)] == ["8 planned = 8 ok", "9 planned = 9 ok"]
        assert {run["verdict"] for run in (first, second)} <= {"valid", "degraded", "invalid"}
        folder = ui.locust.runs / first["id"]
        assert first["verdict"] == json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))["verdict"]["state"]
        status, headers, body = ui.ask(f"/coldburst/{first['report']}")
        assert (status, body) == (200, (folder / "report" / "index.html").read_bytes())
        assert "sandbox" in headers["Content-Security-Policy"]
        assert ui.get(f"/coldburst/report/{first['id']}/attempts.csv") == (folder / "attempts.csv").read_bytes()

        archive = zipfile.ZipFile(io.BytesIO(ui.get(f"/coldburst/{first['download']}")))
        assert archive.testzip() is None
        assert {name.partition("/")[0] for name in archive.namelist()} == {first["id"]}
        packed = {name.partition("/")[2] for name in archive.namelist()}
        assert {"attempts.csv", "report/index.html", "report/metrics.json"} <= packed
        assert "run.json" not in packed

        (folder / "report" / "way out").symlink_to(ROOT / "README.md")
        (folder / "report" / "room").symlink_to(ROOT)
        outside = [
            *(f"{up}{name}" for up in ("../" * depth for depth in range(1, 6)) for name in ("run.json", "README.md", "etc/passwd")),
            *("run.json", ".reserve", "report", "report/", "", ".", "/etc/passwd", "//etc/passwd", "report/../run.json", "report/../../x"),
            *("%2e%2e/run.json", "..%2frun.json", "%2fetc%2fpasswd", "report/..%2f..%2frun.json", "..\\run.json", "report%00.html"),
            *("report/way%20out", "report/room/README.md", "attempts.csv/", "./attempts.csv"),
        ]
        for name in outside:
            status, _, body = ui.ask(f"/coldburst/report/{first['id']}/{name}")
            assert status in (301, 308, 404), name
            assert b"coldburst" not in body or status != 404, name
        for name in ("..", ".", "%2e%2e", first["id"] + "x", "..%2f" + first["id"]):
            assert ui.ask(f"/coldburst/report/{name}/attempts.csv")[0] in (301, 308, 404)
            assert ui.ask(f"/coldburst/download/{name}.zip")[0] == 404
        assert ui.ask("/coldburst/static/../routes.py")[0] == 404
        assert ui.ask("/coldburst/static/..%2froutes.py")[0] == 404


@pytest.mark.slow
def test_while_a_run_goes_on_its_figures_are_told_and_nothing_is_packed():
    warm = ("--endpoint", "demo", "--workers-min", "1", "--workers-max", "2", "--ready")
    with emulator(*MODELLED, *warm) as platform, WebUi("--host", f"{platform.url}/v2/demo", *PLAIN, "--sample", "0.5") as ui:
        assert ui.post("/swarm", schedule="burst 6, steady 60s 4/s")["success"]
        ui.locust.until(lambda run: ui.live()["run"])

        def filled(_):
            """Four samples, a job of the second stage, the second worker's start, and what the platform bills."""
            now = (said := ui.live())["run"]
            return len(said["samples"]["at_s"]) >= 4 and now["ok"] > 6 and now["last_cold_starts"] and now["worker_s"]

        ui.locust.until(filled)
        said = ui.live()
        now, columns = said["run"], said["samples"]
        assert (now["planned"], now["stage"], now["place"], now["finished"]) == (246, "steady", 2, False)
        assert now["left_s"] + now["elapsed_s"] == pytest.approx(60.0)
        assert set(now["workers"]) == {"health", "workers"}
        assert now["worker_s"] > 0
        assert now["usd"] is None
        assert {len(column) for column in columns.values()} == {len(columns["at_s"])}
        assert columns["offered_per_s"][0] == pytest.approx(4 + 6 / columns["at_s"][0], rel=0.01)  # the burst falls into the first second
        assert columns["offered_per_s"][1] == pytest.approx(4.0, rel=0.01)
        later = json.loads(ui.get(f"/coldburst/live.json?run={now['id']}&since={columns['at_s'][1]}"))["samples"]
        assert later["at_s"][: len(columns["at_s"]) - 2] == columns["at_s"][2:]
        assert len(json.loads(ui.get("/coldburst/live.json?run=another&since=9999"))["samples"]["at_s"]) >= 4
        assert ui.ask(f"/coldburst/download/{now['id']}.zip")[0] == 409

        assert set(now["jobs"]) == {"in_queue", "in_progress"}
        assert now["queue_s"]["n"] > 0
        (cold,) = now["last_cold_starts"][-1:]
        assert set(cold) == {"at_s", "worker_id", "seconds", "stage", "seq"}

        ui.post("/stop")
        ui.locust.until(lambda run: ui.live()["run"]["finished"] and run.about["state"] == "ended")
        now = ui.live()["run"]
        assert now["ledger"] == str(ui.locust.ledger)
        assert now["ended_by"] == "stop"
        assert now["elapsed_s"] == ui.locust.about["elapsed_s"]
        assert now["outcomes"] == {**dict.fromkeys(OUTCOMES, 0), **ui.locust.ledger.counts}


@pytest.mark.slow
def test_a_master_tells_of_all_its_generators():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    join = ("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    with transcriber(*FIXED) as service, WebUi("--host", service.url, *bind, *PLAIN) as ui, ExitStack() as generators:
        for _ in range(2):
            generators.enter_context(locust(*join, headless=False))
        ui.locust.until(lambda _: json.loads(ui.get("/worker-count"))["worker_count"] == 2)
        assert ui.post("/swarm", schedule="steady 60s 8/s")["success"]
        ui.locust.until(lambda _: ui.live()["run"])
        ui.locust.until(lambda _: ui.live()["run"]["response_s"]["n"] >= 10)
        now = ui.live()["run"]
        assert (now["generators"], now["planned"], now["stage"]) == (2, 480, "steady")
        assert now["response_s"]["p50_s"] >= 0.2  # the service's own time, out of rows that others wrote
        ui.post("/stop")
        ui.locust.until(lambda run: ui.live()["run"]["finished"] and run.about["state"] == "ended")
        told = ui.locust.about["ledger"]
        now = ui.live()["run"]
        assert {name: count for name, count in now["outcomes"].items() if count} == told["counts"]


@pytest.mark.slow
def test_what_went_wrong_is_told_with_its_cause():
    narrow = ("--engine", "fixed", "--service-time", "3", "--max-concurrent", "1", "--queue", "1")
    with transcriber(*narrow) as service, WebUi("--host", service.url, *PLAIN) as ui:
        assert ui.post("/swarm", schedule="burst 8, steady 60s 1/s")["success"]
        # One served and one waiting: of 8 at once 6 are turned away, of which the page may first see some; of the later ones two in three.
        ui.locust.until(lambda _: sum(row["count"] for row in (ui.live()["run"] or {}).get("problems", ())) >= 6)
        (row,) = ui.live()["run"]["problems"]
        assert (row["outcome"], row["cause"]) == ("busy", "busy")
        assert re.match(r"503: ", row["detail"])


def test_only_a_whole_report_counts_as_one(tmp_path):
    assert (files.reported(tmp_path), files.verdict(tmp_path)) == (False, "")
    (tmp_path / "report").mkdir()
    page, metrics = tmp_path / "report" / "index.html", tmp_path / "report" / "metrics.json"
    metrics.write_text('{"verdict": {"state": "degraded"}}', encoding="utf-8")
    for text, whole in (("", False), ("<html>" + "x" * 500, False), ("<html></html>\n", True)):
        page.write_text(text, encoding="utf-8")
        assert (files.reported(tmp_path), files.verdict(tmp_path)) == (whole, "degraded")
    metrics.write_text("[", encoding="utf-8")
    assert files.verdict(tmp_path) == ""
