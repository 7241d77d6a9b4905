"""A stand-in for RunPod's job API: it says what a test scripted, on a real socket, and keeps what it was asked."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.support.scripted import Scripted

CUT = "cut"
"""In the place of an answer: the connection is closed."""
QUEUED, RUNNING = {"status": "IN_QUEUE"}, {"status": "IN_PROGRESS", "workerId": "w1", "delayTime": 40}
DONE = {"status": "COMPLETED", "output": {"ok": True}, "delayTime": 40, "executionTime": 60, "workerId": "w1"}


class Asked(NamedTuple):
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Platform:
    """Answers /run, /runsync, /status, /status-sync, /stream and /cancel of an endpoint ``ep``.

    An answer is a job object (200), a number (that status, with an error body), a pair of both, a pair of a number and bytes, or CUT.

    Args:
        polls: answers to a job's polls, in turn; the last one repeats. Each job begins anew.
        submit: answer to /run and /runsync; the job's id is added to an object that has none.
        long: answers to its long polls, in turn, the last repeating: an answer, or an Event to wait for and then go on as for a poll.
            None: there is no such route (404).
        stream: answers to a job's polls of /stream, in turn, the last repeating. None: there is no such route (404).
        cancel: answer to /cancel, 200 for the usual one; an Event: none, and the connection is closed then.
    """

    def __init__(self, *polls, submit=None, long=None, cancel=200, stream=None):
        self.polls, self._submit, self._long, self._cancel = polls or (DONE,), submit or {"status": "IN_QUEUE"}, long, cancel
        self._stream = stream
        self._turns: dict[str, Iterator] = {}
        self._numbers = itertools.count()
        self.asked: list[Asked] = []
        self._open: Counter[str] = Counter()
        self.most_open: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = Scripted(self._answer)
        self.url = f"http://127.0.0.1:{self._server.port}/v2/ep"

    def close(self):
        self._server.close()

    def to(self, operation):
        """The requests for one operation."""
        return [asked for asked in self.asked if asked.path.split("/")[3] == operation]

    def _answer(self, sock, request):
        asked = _read(request)
        operation = asked.path.split("/")[3]
        with self._lock:
            self.asked.append(asked)
            self._open[operation] += 1
            self.most_open[operation] = max(self.most_open[operation], self._open[operation])
        answer = self._of(asked)
        with self._lock:
            self._open[operation] -= 1
        if answer == CUT:
            return False
        status, body = answer if isinstance(answer, tuple) else (answer, None) if isinstance(answer, int) else (200, answer)
        content = body if isinstance(body, bytes) else json.dumps({"error": f"said {status}"} if body is None else body).encode()
        sock.sendall(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content))
        return True

    def _of(self, asked):
        operation, *job = asked.path.split("/")[3:]
        if operation in ("run", "runsync"):
            return {"id": f"job-{next(self._numbers)}-u1", **self._submit} if isinstance(self._submit, dict) else self._submit
        if operation == "cancel":
            if isinstance(self._cancel, threading.Event):
                self._cancel.wait(60)
                return CUT
            return {"id": job[0], "status": "CANCELLED"} if self._cancel == 200 else self._cancel
        if operation == "stream":
            return 404 if self._stream is None else self._next(f"stream {job[0]}", self._stream)
        if operation == "status-sync":
            if self._long is None:
                return 404
            said = self._next(f"long {job[0]}", self._long)
            if not isinstance(said, threading.Event):
                return said
            said.wait(60)
        said = self._next(job[0], self.polls)
        return {"id": job[0], **said} if isinstance(said, dict) else said

    def _next(self, name, answers):
        with self._lock:
            turns = self._turns.setdefault(name, itertools.chain(answers, itertools.repeat(answers[-1])))
            return next(turns)


@contextmanager
def platform(*polls, **how):
    server = Platform(*polls, **how)
    try:
        yield server
    finally:
        server.close()


def _read(request):
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    url = urlsplit(target)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Asked(method, url.path, {name: values[0] for name, values in parse_qs(url.query).items()}, headers, body)
