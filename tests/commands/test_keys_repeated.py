"""A service that repeats the key in every encoding: no file, page or log of a run holds it."""

import itertools
import json

import pytest

from tests.support.locusts import PLAIN, locust
from tests.support.scripted import scripted
from tests.targets.test_redact import ENCODINGS

KEY = "rpa_Q8/sT3vX+Zk91mLwP0aYb7Nc"
FORMS = {name: encode(KEY) for name, encode in ENCODINGS.items()}


def reply(status, content, headers=""):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def queue(forms):
    """A queue endpoint whose jobs, workers, errors and status repeat the key."""

    def answer(sock, request):
        form, path = next(forms), request.split(b" ")[1].decode()
        job = {"id": f"job {form}", "workerId": f"w {form}", "delayTime": 5, "executionTime": 5}
        if path.endswith("/run"):
            said = [
                reply(200, job | {"status": "IN_QUEUE"}),
                reply(200, {"error": f"no: {form}"}),
                reply(400, {"error": {"message": form}}),
            ]
        elif "/status" in path:
            said = [
                reply(200, job | {"status": "FAILED", "error": f"key: {form}"}),
                reply(200, job | {"status": "COMPLETED", "output": [{"error": form}]}),
                reply(410, f"<html><b>{form}</b></html>".encode(errors="replace")),
            ]
        elif path.endswith("/workers"):
            listed = {"id": f"w {form}", "status": "RUNNING", "startedAt": form, "uptimeSeconds": 3}
            said = [reply(200, {"workers": [listed], "summary": {}})]
        else:
            said = [reply(500, {"detail": form})]
        sock.sendall(said[hash(form) % len(said)])
        return True

    return answer


def plain(forms):
    """A service whose errors, headers and texts repeat the key."""

    def answer(sock, _request):
        form = next(forms)
        worker = f"X-Worker-Id: {form}\r\n" if form.isascii() and form.isprintable() else ""
        said = [
            reply(401, f"<p>{form}</p>".encode(errors="replace"), worker),
            reply(500, {"error": {"message": form}}, worker),
            reply(200, {"words": form}, worker),
            reply(200, {"success": False, "detail": form}, worker),
            reply(429, form.encode("utf-16"), worker),
        ]
        sock.sendall(said[hash(form) % len(said)])
        return True

    return answer


@pytest.mark.slow
@pytest.mark.parametrize(("service", "path"), [(queue, "/v2/demo"), (plain, "")])
def test_nothing_that_a_run_leaves_holds_the_key(service, path):
    # More requests than encodings: each is repeated in several places.
    forms = itertools.cycle(FORMS.values())
    options = ("--schedule", f"burst {5 * len(FORMS)}", "--sample", "0.2", "--deadline", "8")
    keys = {"RUNPOD_API_KEY": KEY, "TRANSCRIPTION_API_KEY": KEY}
    with scripted(service(forms)) as server, locust("--host", f"http://127.0.0.1:{server.port}{path}", *options, *PLAIN, **keys) as run:
        run.wait(120)
        assert run.ledger.counts.get("ok", 0) < run.ledger.planned
        assert sum(run.ledger.counts.values()) == run.ledger.planned, run.output
        left = run.everything()
    text = left.decode(errors="replace").lower()
    assert "[key]" in text or "withheld" in text
    assert {name for name, form in FORMS.items() if form.encode(errors="replace") in left or form.lower() in text} == set()
    assert [KEY[at : at + 8] for at in range(len(KEY) - 7) if KEY[at : at + 8].lower() in text] == []
