"""Whole runs through a store: up, real SDK workers, down; a store that goes down half-way; Ctrl-C; generators of their own."""

import hashlib
import json
import sys

import pytest

from tests.support.emulators import emulator
from tests.support.generators import distributed
from tests.support.locusts import REPORTED, ROOT, locust
from tests.support.stores import BUCKET, moto, proxy
from tests.support.transcribers import until

CLIP = ROOT / "samples" / "01-harbour.wav"
SHA256 = hashlib.sha256(CLIP.read_bytes()).hexdigest()
THROUGH = ("--objects", f"s3://{BUCKET}/tests", "--clips", str(CLIP), "--max-wer", "off")


@pytest.fixture(scope="module")
def server():
    with moto() as found:
        yield found


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "body.json"
    path.write_text('{"input": {"url": "{{url}}", "bucket": "{{bucket}}", "key": "{{key}}"}}', encoding="utf-8")
    return str(path)


def worker(name):
    """Arguments of the emulator for two workers with that handler."""
    command = f"{sys.executable} {ROOT / 'tests/support/handlers' / name}"
    return ("--worker", "command", "--command", command, "--start", "0", "--workers-min", "2", "--workers-max", "2", "--concurrency", "8")


KINDS = {
    # The handler on the real SDK puts the result in a job's output; the balancer's worker is an HTTP server that answers with it.
    "queue": (worker("stored.py"), "/v2/demo", "output.", ()),
    "balancer": (("--kind", "balancer", *worker("stored_server.py")), "/lb/demo", "", ("--path", "/work")),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_burst_goes_up_through_real_workers_and_down(server, tmp_path, monkeypatch, kind):
    emulated, below, output, path = KINDS[kind]
    sent = {"url": "{{url}}", "bucket": "{{bucket}}", "key": "{{key}}"}
    (tmp_path / "body.json").write_text(json.dumps({"input": sent} if kind == "queue" else sent), encoding="utf-8")
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    shared = [part for name in server.env() for part in ("--env", name)]
    with (
        emulator(*emulated, *shared, "--ready") as platform,
        locust(
            *("--host", f"{platform.url}{below}", *path, *THROUGH, "--input", str(tmp_path / "body.json"), "--schedule", "burst 30"),
            *("--max-in-flight", "15", "--download", f"{output}key", "--expect", f"{output}sha256 == '{SHA256}'", "--objects-pool", "10"),
            **REPORTED,
        ) as run,
    ):
        run.wait()
        assert str(run.ledger) == "30 planned = 30 ok", run.output
        for row in run.rows:
            assert row.upload_s > 0
            assert row.download_s > 0
            assert row.sent_s - row.scheduled_s >= row.held_s + row.upload_s
        assert server.stored() == []
        made = json.loads((run.folder / "report" / "metrics.json").read_text(encoding="utf-8"))
        assert (made["objects"]["upload_s"]["n"], made["objects"]["end_to_end_s"]["n"]) == (30, 30)
        assert made["objects"]["end_to_end_s"]["p50"] > made["response_time_s"]["ok"]["p50"]
        everything = run.everything()
        assert b"secret-of-the-test" not in everything
        assert b"X-Amz-Signature" not in everything


@pytest.mark.slow
def test_a_store_that_goes_down_fails_uploads_and_ctrl_c_leaves_nothing_in_it(server, template):
    uploads = []

    def down(method, _path):
        if method != "PUT":
            return None
        uploads.append(method)
        return b"<Error><Code>ServiceUnavailable</Code></Error>" if len(uploads) > 10 else None

    asleep = ("--worker", "modelled", "--start", "0", "--load", "0", "--service-time", "600", "--workers-min", "1", "--ready")
    with (
        proxy(server.url) as front,
        emulator(*asleep) as platform,
        locust(
            *("--host", f"{platform.url}/v2/demo", *THROUGH, "--input", template, "--schedule", "burst 20", "--drain-timeout", "0.1"),
            AWS_MAX_ATTEMPTS="1",
            **server.env(front.url),
        ) as run,
    ):
        front.rule = down
        run.until(lambda run: any(run.runs.iterdir()) and len(run.rows) == 10)
        until(lambda: len(server.stored()) == 10, "the ten clips that the store took")
        until(lambda: sum(platform.ask("/v2/demo/health").json()["jobs"][state] for state in ("inQueue", "inProgress")) == 10, "ten jobs")
        run.interrupt()
        run.wait()
        assert str(run.ledger) == "20 planned = 10 failed + 10 unfinished", run.output
        failed = [row for row in run.rows if row.outcome == "failed"]
        assert all(row.error.startswith("upload: ServiceUnavailable (503)") and row.sent_s is None for row in failed)
        assert {event["cause"] for event in run.table("events.csv") if event["kind"] == "failed"} == {"object_store"}
        assert server.stored() == []


@pytest.mark.nightly
def test_each_generator_uploads_and_removes_its_own(server, template):
    quick = ("--worker", "modelled", "--start", "0", "--load", "0", "--service-time", "0.05", "--workers-min", "1", "--ready")
    with (
        emulator(*quick) as platform,
        distributed(
            *("--host", f"{platform.url}/v2/demo", *THROUGH, "--input", template, "--schedule", "steady 4s 10/s"), **server.env()
        ) as crew,
    ):
        master = crew.master
        master.until(lambda _: len(server.stored()) > 10)
        assert len({key.split("/")[2] for key in server.stored()}) == 2
        assert {key.split("/")[1] for key in server.stored()} == {master.folder.name}
        master.wait()
        assert str(master.ledger) == "40 planned = 40 ok", master.output
        assert all(row.upload_s > 0 for row in master.rows)
        assert server.stored() == []
