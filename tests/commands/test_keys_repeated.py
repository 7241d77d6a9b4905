"""A service that repeats the key in every encoding: no file, page or log of a run holds it."""

import itertools
import json
from collections import defaultdict

import pytest

from tests.support.locusts import PLAIN, locust
from tests.support.scripted import scripted
from tests.targets.test_redact import ENCODINGS

KEY = "rpa_Q8/sT3vX+Zk91mLwP0aYb7Nc"
FORMS = {name: encode(KEY) for name, encode in ENCODINGS.items()}


def reply(status, content, headers=""):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def queue(sock, request, turns):
    """A queue endpoint whose jobs, workers, errors and status repeat the key."""
    path = request.split(b" ")[1].decode().partition("?")[0]
    operation = path.split("/")[3] if path.startswith("/v2/demo/") else path
    turn, form = turns(operation)
    job = {"id": f"job {turn} {form}", "workerId": f"w {form}", "delayTime": 5, "executionTime": 5}
    if operation == "run":
        said = [reply(200, job | {"status": "IN_QUEUE"})] * 3 + [
            reply(200, {"error": f"no: {form}"}),
            reply(400, {"error": {"message": form}}),
        ]
    elif operation.startswith("status"):
        said = [
            reply(200, job | {"status": "FAILED", "error": f"key: {form}"}),
            reply(200, job | {"status": "COMPLETED", "output": [{"error": form}]}),
            reply(410, f"<html><b>{form}</b></html>".encode(errors="replace")),
        ]
    elif operation.endswith("/workers"):
        listed = {"id": f"w {form}", "status": "RUNNING", "startedAt": form, "uptimeSeconds": 3}
        said = [reply(200, {"workers": [listed], "summary": {}})]
    else:
        said = [reply(500, {"detail": form})]
    sock.sendall(said[turn // len(FORMS) % len(said)])
    return True


def plain(sock, _request, turns):
    """A service whose errors, headers and texts repeat the key."""
    turn, form = turns("any")
    worker = f"X-Worker-Id: {form}\r\n" if form.isascii() and form.isprintable() else ""
    said = [
        reply(401, f"<p>{form}</p>".encode(errors="replace"), worker),
        reply(500, {"error": {"message": form}}, worker),
        reply(200, {"words": form}, worker),
        reply(200, {"success": False, "detail": form}, worker),
        reply(429, form.encode("utf-16"), worker),
    ]
    sock.sendall(said[turn // len(FORMS) % len(said)])
    return True


@pytest.mark.slow
@pytest.mark.parametrize(("service", "path"), [(queue, "/v2/demo"), pytest.param(plain, "", marks=pytest.mark.nightly)])
def test_nothing_that_a_run_leaves_holds_the_key(service, path):
    # Each encoding is repeated in each kind of answer.
    counts = defaultdict(itertools.count)

    def turns(operation):
        turn = next(counts[operation])
        return turn, list(FORMS.values())[turn % len(FORMS)]

    options = ("--schedule", f"burst {5 * len(FORMS)}", "--max-in-flight", "50", "--sample", "0.2", "--deadline", "20")
    keys = {"RUNPOD_API_KEY": KEY, "TRANSCRIPTION_API_KEY": KEY, "COLDBURST_REPORT": "yes"}
    with (
        scripted(lambda sock, request: service(sock, request, turns)) as server,
        locust("--host", f"http://127.0.0.1:{server.port}{path}", *options, *PLAIN, **keys) as run,
    ):
        run.wait()
        assert run.ledger.counts.get("ok", 0) == 0
        assert sum(run.ledger.counts.values()) == run.ledger.planned, run.output
        left = run.everything()
    text = left.decode(errors="replace").lower()
    assert "[key]" in text or "encoded key" in text
    assert {name for name, form in FORMS.items() if form.encode(errors="replace") in left or form.lower() in text} == set()
    assert [KEY[at : at + 8] for at in range(len(KEY) - 7) if KEY[at : at + 8].lower() in text] == []
