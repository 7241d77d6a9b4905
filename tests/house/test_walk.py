"""Through which of our files one request goes, from the dispatcher that launches it to its row on disk.

A burst runs in Locust against an endpoint that answers what the test says. Its locustfile is locustfiles/burst.py and imports a
profiler. Counted is each file of ours in which a function is called in the request's own greenlet, from its first turn until the
recorder tells its first listener that the kernel has the line of attempts.csv; the polls of a job are part of it.

Not counted, because no function of theirs is called for the request: modules that only hold the types of what is passed on (a
dataclass's constructor has no file), what was made ready before (options, clips, bodies), and what looks on from greenlets of its own
(the endpoint's status, the generator's own load). What is told of the row afterwards (hooks, Locust's statistics) follows the row.
"""

import itertools
import json

import pytest

from tests.support.locusts import ROOT, locust
from tests.support.scripted import scripted

pytestmark = pytest.mark.slow
MOST = 20
CLIP = ROOT / "samples" / "01-harbour.wav"
KEY = "k-of-this-test"
PROFILER = """
import atexit, json, os, sys
from collections import defaultdict
from pathlib import Path

import gevent

from coldburst.record.run_directory import Recorder

files, called, written = set(), defaultdict(set), set()
begin = Recorder.__init__


def note(frame, event, _argument):
    if event == "call" and (current := gevent.getcurrent()) not in written:
        called[current].add(frame.f_code.co_filename)


def row_is_written(_rows):
    written.add(current := gevent.getcurrent())
    files.update(called.pop(current))


def begin_to_listen(self, *more, **named):
    begin(self, *more, **named)
    self.attempt_listeners.insert(0, row_is_written)


Recorder.__init__ = begin_to_listen
sys.setprofile(note)
atexit.register(lambda: Path(os.environ["WALK"]).write_text(json.dumps(sorted(files))))
"""
EVERY = {
    "coldburst/load/dispatcher.py",
    "coldburst/load/run.py",
    "coldburst/record/attempt.py",
    "coldburst/record/run_directory.py",
    "coldburst/redact.py",
    "coldburst/targets/answer.py",
    "coldburst/targets/answer_shapes.py",
    "coldburst/targets/checks.py",
    "coldburst/targets/connection.py",
    "coldburst/targets/http.py",
    "coldburst/targets/outcome.py",
    "coldburst/targets/socket_state.py",
    "coldburst/targets/word_error_rate.py",
}
WALKS = {
    "queue": {
        "coldburst/targets/queue.py",
        "coldburst/targets/body_template.py",
        "coldburst/targets/quota.py",
        "coldburst/targets/rate_limiter.py",
        "coldburst/targets/job_object.py",
    },
    "balancer": {
        "coldburst/targets/load_balancer.py",
        "coldburst/targets/body_template.py",
        "coldburst/targets/transcription_answer.py",
    },
    "transcription": {
        "coldburst/targets/transcription.py",
        "coldburst/targets/transcription_answer.py",
    },
}
NUMBERS = itertools.count()
PATHS = {"queue": "/v2/demo", "balancer": "/lb/demo", "transcription": ""}


def endpoint(sock, request):
    """An endpoint of any kind: jobs are done at the first look, and every clip is understood."""
    said = (ROOT / "samples" / "transcripts.csv").read_text(encoding="utf-8").splitlines()[1].partition(",")[2].strip('"')
    path = request.split(b" ", 2)[1].decode()
    times = {"delayTime": 5, "executionTime": 5, "workerId": "w1"}
    if path == "/v2/demo/run":
        content = {"id": f"job-{next(NUMBERS)}", "status": "IN_QUEUE"}
    elif "/status" in path:
        content = {"id": path.partition("?")[0].rpartition("/")[2], "status": "COMPLETED", "output": {"text": said}, **times}
    else:
        content = {"text": said}
    body = json.dumps(content).encode()
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return True


@pytest.mark.parametrize("kind", WALKS)
def test_a_request_goes_through_few_files(kind, tmp_path):
    file, walk = tmp_path / "mine.py", tmp_path / "walk.json"
    file.write_text((ROOT / "locustfiles" / "burst.py").read_text(encoding="utf-8") + "\nimport walk_profiler\n", encoding="utf-8")
    (tmp_path / "walk_profiler.py").write_text(PROFILER, encoding="utf-8")
    env = {"WALK": str(walk), "RUNPOD_API_KEY": KEY, "TRANSCRIPTION_API_KEY": KEY}
    with scripted(endpoint) as server:
        host = f"http://127.0.0.1:{server.port}{PATHS[kind]}"
        options = ("--host", host, "--schedule", "burst 2", "--clips", str(CLIP), "--sample", "0")
        with locust(*options, file=file, **env) as run:
            assert run.wait() == 0, run.output
            assert str(run.ledger) == "2 planned = 2 ok"
            assert {row.wer for row in run.rows} == {0.0}
    walked = {name.removeprefix(f"{ROOT}/") for name in json.loads(walk.read_text())}
    ours = {name for name in walked if name.startswith("coldburst/") or name == str(file)}
    assert ours == EVERY | WALKS[kind]
    assert len(ours) <= MOST
