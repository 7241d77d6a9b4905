"""A network that stands still, breaks and comes back in the middle of a run: nothing is lost that the platform has."""

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from tests.support.emulators import emulator
from tests.support.locusts import locust
from tests.support.transcribers import until

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for 0 s: closing sends a reset."""
PAUSED_S, CUT_S = 2.0, 3.0


class Cable:
    """Passes connections on to ``url``, in threads of its own, as long as it is whole."""

    def __init__(self, url: str) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._passes, self._whole = threading.Event(), True
        self._passes.set()
        self._ends: list[socket.socket] = []
        self.cut_connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def pause(self) -> None:
        """No byte passes any more, and nobody is told."""
        self._passes.clear()

    def cut(self) -> None:
        """Every connection is reset, and each new one; what was on its way is lost."""
        self._whole = False
        ends, self._ends = self._ends, []
        self.cut_connections += len(ends) // 2
        for end in ends:
            _reset(end)
        self._passes.set()

    def mend(self) -> None:
        """New connections pass again."""
        self._whole = True

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._whole:
                _reset(near)
                continue
            far = socket.create_connection(self._target)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._passes.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
    sock.close()


@contextmanager
def cable(url):
    through = Cable(url)
    try:
        yield through
    finally:
        through.close()


def _jobs(platform) -> Counter[str]:
    """How many the platform has or has had, by its own word."""
    return Counter(platform.ask("/v2/demo/health").json()["jobs"])


@pytest.mark.slow
@pytest.mark.parametrize("poll", ["auto", pytest.param("status", marks=pytest.mark.nightly)])
def test_jobs_that_ended_while_the_network_was_away_are_found_afterwards(poll, tmp_path):
    template = tmp_path / "input.json"
    template.write_text('{"input": {"seq": "{{seq}}"}}', encoding="utf-8")
    workers = ("--worker", "modelled", "--start", "0", "--load", "0", "--workers-min", "3", "--concurrency", "4", "--ready")
    client = ("--schedule", "burst 8, steady 10s 1/s", "--max-in-flight", "50", "--deadline", "120", "--poll", poll, "--sample", "0.5")
    with (
        emulator(*workers, "--service-time", "8") as platform,
        cable(platform.url) as between,
        locust("--host", f"{between.url}/v2/demo", *client, "--input", str(template)) as run,
    ):
        until(lambda: _jobs(platform).total() >= 10, "ten jobs: the burst's eight were accepted a second ago")
        between.pause()
        time.sleep(PAUSED_S)  # the network's own time, which nothing ends sooner
        begun = time.time()
        between.cut()
        time.sleep(CUT_S)
        until(lambda: _jobs(platform)["completed"] >= 8, "end of the burst's eight, while nobody can ask")
        between.mend()
        mended = time.time()
        assert run.wait() in (0, 1), run.output
        second_0, rows, jobs = run.about["second_0"], run.rows, {job["id"]: job for job in platform.truth("job")}
        assert run.ledger.balanced and run.ledger.planned == 18, str(run.ledger)
        assert "Traceback" not in run.output
    assert between.cut_connections > 0
    known = [row for row in rows if row.job_id]
    assert {row.outcome for row in known} == {"ok"}, "their jobs completed, whatever the network did"
    assert {row.outcome for row in rows if not row.job_id} <= {"unreachable"}, "submitted into the cut"
    away = [row for row in known if begun - PAUSED_S < jobs[row.job_id]["finished"] < mended]
    assert len(away) >= 8
    for row in away:
        assert second_0 + row.seen_s >= begun, "seen only afterwards"
        assert second_0 + row.done_s == pytest.approx(jobs[row.job_id]["finished"], abs=1.0), "and ended when the platform says"
