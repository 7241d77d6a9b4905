"""The custom events: the documented example works, and what is fired is recorded."""

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
