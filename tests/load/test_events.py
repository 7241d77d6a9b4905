"""The custom events: the documented example works, and what is fired is recorded."""

import json
import subprocess
import sys

import pytest

from tests.support.locusts import PLAIN, ROOT, locust
from tests.support.scripted import scripted

THROTTLE = b'HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{"detail": "rate limit"} '
QUEUED = b'HTTP/1.1 200 OK\r\nServer-Timing: queue;dur=2500, exec;dur=10\r\nX-Worker-Id: w7\r\nContent-Length: 14\r\n\r\n{"text": "hi"}'
MORE = """
@events.queued.add_listener
def heard(seconds, worker_id, **kwargs):
    print("queued", seconds, worker_id)
"""


# Locust's own statistics of four attempts, without a listener and with one, in a process of its own: Locust patches Python's modules.
STATISTICS = """
import json, sys
from locust.env import Environment
from locust.event import Events
from coldburst.load.events import RequestStatistics
from coldburst.record.attempt import Attempt

def statistics(rows, heard):
    environment = Environment(events=Events())
    stats = environment.create_local_runner().stats
    if heard is not None:
        environment.events.request.add_listener(lambda context, **_: heard.append(context["attempt"]))
    of_target = RequestStatistics(environment, "queue", "http://127.0.0.1:1")
    for place, row in enumerate(rows):
        of_target.add(row)
        if place == 1:
            of_target.flush()
    of_target.flush()
    errors = [[error.occurrences, str(error.error)] for error in stats.errors.values()]
    entries = (stats.total, stats.get("queue", "POST"))
    names = ("num_requests", "num_failures", "total_content_length", "min_response_time", "max_response_time", "total_response_time")
    figures = [[getattr(entry, name) for name in names] for entry in entries]
    return errors, figures, [[sorted(entry.response_times.items()), sum(entry.num_reqs_per_sec.values())] for entry in entries]

times = ((0, 0.5, 7), (1, 0.125, 9), (2, 2.25, 11))
rows = [Attempt(seq, 1, "burst", 1.0, "ok", sent_s=1.0, done_s=1.0 + took_s, bytes_in=size) for seq, took_s, size in times]
rows.insert(1, Attempt(3, 1, "burst", 1.0, "failed", sent_s=1.0, done_s=4.0, status=500))
heard = []
json.dump([statistics(rows, None), statistics(rows, heard), [row.seq for row in heard]], sys.stdout)
"""


@pytest.mark.slow
def test_locusts_statistics_are_the_same_whether_a_listener_hears_each_request_or_not():
    done = subprocess.run([sys.executable, "-c", STATISTICS], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    alone, heard, seqs = json.loads(done.stdout)
    errors, figures, spread = alone
    assert errors == [[1, "failed (500)"]]
    assert figures == [[4, 1, 27, 125, 3000, 5875]] * 2
    assert spread == [[[[120, 1], [500, 1], [2200, 1], [3000, 1]], 4]] * 2
    assert heard == alone
    assert seqs == [0, 3, 1, 2]


@pytest.mark.slow
def test_the_example_of_the_documentation_hears_what_happens(tmp_path):
    docstring = (ROOT / "coldburst" / "load" / "events.py").read_text(encoding="utf-8").split('"""')[1]
    example = "\n".join(line.removeprefix("    ") for line in docstring.partition("::\n")[2].splitlines())
    assert "@events.throttled.add_listener" in example
    file = tmp_path / "mine.py"
    file.write_text((ROOT / "locustfiles" / "burst.py").read_text(encoding="utf-8") + example + MORE, encoding="utf-8")

    def answer(sock, _request):
        sock.sendall([THROTTLE, QUEUED][len(server.requests) - 1])
        return True

    one_by_one = ("--schedule", "burst 2", "--max-in-flight", "1")
    with scripted(answer) as server, locust("--host", server.url, *one_by_one, *PLAIN, file=file) as run:
        assert run.wait() == 1, run.output
        assert "request 0 was throttled" in run.output
        assert "queued 2.5 w7" in run.output
        assert [(event["kind"], event["seq"]) for event in run.table("events.csv")] == [("throttled", "0"), ("queued", "1")]
        assert str(run.ledger) == "2 planned = 1 ok + 1 throttled"
