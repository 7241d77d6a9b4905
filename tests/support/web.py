"""Locust with its web UI, on a port that is proved to be its own."""

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from contextlib import ExitStack
from email.message import Message

import psutil

from tests.support.locusts import REPORTED, Locust, locust
from tests.support.serving import reserved


class WebUi:
    """A started Locust whose web UI answers; ``post`` and ``get`` speak to it."""

    def __init__(self, *arguments: str, **env: str) -> None:
        self._arguments, self._env = arguments, REPORTED | env
        self.port: int
        self.url: str
        self.locust: Locust

    def __enter__(self) -> "WebUi":
        with ExitStack() as stack:
            self.port = stack.enter_context(reserved())
            self.url = f"http://127.0.0.1:{self.port}"
            where = ("--web-host", "127.0.0.1", "--web-port", str(self.port))
            self.locust = stack.enter_context(locust(*self._arguments, *where, headless=False, **self._env))
            self.locust.until(self._listens)
            self._started = stack.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._started.close()

    def _listens(self, run: Locust) -> bool:
        """Whether the process that was started is the one behind the port: another's must get no request."""
        try:
            connections = psutil.Process(run.process.pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return False  # it has ended at its start
        return any(found.laddr.port == self.port and found.status == psutil.CONN_LISTEN for found in connections)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return answer.read()

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, Message, bytes]:
        """Status, headers and body of any answer, also of one that is no success; the path as it is written; redirects are not followed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def live(self) -> dict:
        """What the live page is told."""
        return json.loads(self.get("/coldburst/live.json"))

    def post(self, path: str, **form: str) -> dict:
        request = urllib.request.Request(self.url + path, urllib.parse.urlencode(form).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def state(self) -> str:
        return json.loads(self.get("/stats/requests"))["state"]

    def field(self, name: str) -> bool:
        """Whether the start page knows an option of this name."""
        return re.search(rf"\b{name}\b", self.get("/").decode()) is not None
