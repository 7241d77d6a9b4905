"""The questions of the public transcription guide, asked of its service behind a real nginx: one command each, and the right sentence."""

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from coldburst.child_processes import free_port
from tests.support.locusts import PLAIN, REPORTED, ROOT, locust
from tests.support.needs import needs
from tests.support.transcribers import stop

NGINX = """\
daemon off;
{user}worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 50m;
    limit_conn_zone $binary_remote_addr zone=connections:1m;
    upstream workers {{ least_conn; {servers} }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://workers; {limit} }}
    }}
}}
"""


@contextmanager
def guide_service(tmp_path, *, workers, seconds=0.3, slots=2, limit=""):
    """So many workers behind nginx; yields nginx's address."""
    with ExitStack() as started:
        addresses = []
        for number in range(1, workers + 1):
            words = ["--id", str(number), "--seconds", str(seconds), "--slots", str(slots)]
            process = started.enter_context(
                subprocess.Popen([sys.executable, "-m", "tests.support.plain_service", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            )
            started.callback(stop, process)
            addresses.append(process.stdout.readline().split("//")[-1].strip())
        port, user = free_port(), "" if os.geteuid() else f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};\n"
        servers = " ".join(f"server {address} max_fails=0;" for address in addresses)
        (tmp_path / "nginx.conf").write_text(
            NGINX.format(folder=tmp_path, port=port, servers=servers, limit=limit, user=user), encoding="utf-8"
        )
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        process = started.enter_context(subprocess.Popen([nginx, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)]))
        started.callback(stop, process)
        yield f"http://127.0.0.1:{port}"


def asked(url, file, *words, change=None):
    """The sweep's part of metrics.json, after a run; ``change`` is called for each number of workers asked for."""
    with locust("--host", url, "--clips", str(ROOT / "samples"), *words, *PLAIN, file=f"locustfiles/{file}.py", **REPORTED) as run:
        for number in change or ():
            run.until(lambda run, number=number: f"Now run exactly {number} worker" in run.output.rpartition("; then: touch")[0])
            (run.folder / "continue").touch()
        assert run.wait() in (0, 1), run.output
        metrics = json.loads((run.folder / "report" / "metrics.json").read_text())
        return metrics, run.rows, (run.folder / "report" / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
@needs("nginx")
def test_the_most_that_one_worker_takes_is_its_slots(tmp_path):
    """Two slots and fail-fast: at 4 at a time half of the requests are turned away, so 2 is the answer and 8 is not tried."""
    with guide_service(tmp_path, workers=1) as url:
        metrics, rows, _ = asked(url, "concurrency", "--levels", "1,2,4,8", "--level", "20", "--warm-up", "0")
    sentence = metrics["sweep"]["decision"]["sentence"]
    assert "2 at a time" in sentence or "c2" in sentence, sentence
    assert {row.outcome for row in rows if row.stage in ("c1", "c2")} == {"ok"}
    assert "busy" in {row.outcome for row in rows if row.stage == "c4"}
    assert not [row for row in rows if row.stage == "c8"]


@pytest.mark.slow
@needs("nginx")
def test_workers_that_are_named_by_health_alone_are_counted_through_the_proxy(tmp_path):
    load = ("--workers", "3", "--concurrency", "1", "--requests", "10", "--warm-up", "0", "--control", "hand")
    with guide_service(tmp_path, workers=3) as url:
        metrics, rows, page = asked(url, "scaling", *load, change=(3,))
    (setting,) = metrics["sweep"]["settings"]
    assert (setting["workers_seen"], {row.outcome for row in rows}) == ([3], {"ok"})
    assert "not verified" not in page


@pytest.mark.slow
@needs("nginx")
def test_one_worker_that_is_presented_as_three_is_recognised(tmp_path):
    load = ("--workers", "1,3", "--concurrency", "1", "--requests", "8", "--warm-up", "0", "--control", "hand")
    with guide_service(tmp_path, workers=1, slots=10, seconds=0.2) as url:
        metrics, _, page = asked(url, "scaling", *load, change=(1, 3))
    assert [setting["relative"]["efficiency"] for setting in metrics["sweep"]["settings"]][1] is None
    assert "3 workers requested, 1 seen" in page, metrics["sweep"]["decision"]["sentence"]


@pytest.mark.slow
@needs("nginx")
def test_the_proxys_own_503_is_not_the_services(tmp_path):
    """nginx lets 5 connections of a client through and answers the others itself, as HTML."""
    with guide_service(tmp_path, workers=1, slots=30, seconds=5, limit="limit_conn connections 5;") as url:
        _, rows, page = asked(url, "burst", "--schedule", "burst 20")
    turned_away = [row for row in rows if row.status == 503]
    assert len(rows) - len(turned_away) == 5
    assert len(turned_away) == 15
    assert "a proxy or gateway answered instead of the service" in page
