"""An nginx on this machine that gives each request to the least busy of some services.

It does not outlive this process: a shell that watches its own standard input ends it.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gevent
import psutil

from coldburst.control.desired_state import ControlError
from coldburst.record.provenance import environment
from coldburst.targets.http import Exchange, HttpClient, Timeouts

LIMITS = Timeouts(5.0, 5.0, 5.0)
START_S = 30.0
# A service's own grace for requests that run is 5 s.
STOP_S = 10.0
SERVES = "/nginx-serves"
GUARD = """\
"$1" -p "$2" -c nginx.conf >/dev/null &
echo $!
trap "" TERM
cat >/dev/null
kill -TERM 0
wait
rm -rf -- "$2"
"""
"""Runs nginx until standard input closes, as when this process is killed; then its whole process group is told to end."""
CONFIGURATION = """\
daemon off;
{user}worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 3600s;
    proxy_next_upstream off;  # a request that fails has failed: no second try in secret
    upstream replicas {{
        least_conn;
        {servers}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        location / {{ proxy_pass http://replicas; }}
        location = {serves} {{ return 200 "{number}"; }}
    }}
}}
"""


class Nginx:
    """The nginx before the services; ``url`` is known before it runs."""

    def __init__(self) -> None:
        found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
        if not found:
            raise ControlError("--control replicas needs nginx, which is not here: install nginx-light, or give --control hand")
        self._nginx, self._port = found, _free_port()
        self._number = 0
        self._folder = Path()
        self._guard: subprocess.Popen[str] | None = None
        self._master: psutil.Process | None = None
        self._old: list[psutil.Process] = []
        self.url = f"http://127.0.0.1:{self._port}"

    def serve(self, addresses: Sequence[str]) -> None:
        """Hands requests to these workers from soon on; ``serves`` tells when."""
        self._number += 1
        if self._master is None:
            self._folder = Path(tempfile.mkdtemp(prefix="coldburst-nginx-"))
            self._write(addresses)
            self._start()
            return
        self._write(addresses)
        self._old = self._master.children()
        self._master.send_signal(signal.SIGHUP)

    @property
    def serves(self) -> bool:
        """Whether the set told last is in force, and no nginx worker is left that knows another."""
        return not any(map(_alive, self._old)) and answer_of(self.url, SERVES) == str(self._number).encode()

    def insist(self) -> None:
        """Raises ControlError where nginx has ended."""
        if self._master is None or not _alive(self._master):
            said = (self._folder / "error.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ControlError(f"nginx before the transcription workers has ended: {said[-1] if said else 'it said nothing'}")

    def close(self) -> None:
        """Ends nginx and removes its folder."""
        if self._guard:
            end_process(self._guard)
            self._guard = None

    def _start(self) -> None:
        with (self._folder / "error.log").open("w", encoding="utf-8") as log:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD, "sh", self._nginx, str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=environment(),
                start_new_session=True,
                text=True,
            )
        assert self._guard.stdout is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._master = psutil.Process(int(self._guard.stdout.readline()))
        late = ControlError(f"nginx did not answer at {self.url} within {START_S:g} s: give --control hand")
        with gevent.Timeout(START_S, late):
            while not self.serves:
                self.insist()
                gevent.sleep(0.01)

    def _write(self, addresses: Sequence[str]) -> None:
        # Run by root, its workers would become another user, who may not enter the folder.
        user = f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};\n" if os.geteuid() == 0 else ""
        servers = "\n        ".join(f"server {address} max_fails=0;" for address in addresses)
        text = CONFIGURATION.format(user=user, servers=servers, port=self._port, serves=SERVES, number=self._number)
        (self._folder / "nginx.conf").write_text(text, encoding="utf-8")


def answer_of(url: str, path: str) -> bytes | None:
    """Body of a 200 on a connection of its own: a kept one would be the old nginx worker's."""
    client, exchange = HttpClient(url, LIMITS), Exchange()
    client.send(exchange, "GET", path)
    client.close()
    return exchange.body if exchange.status == 200 else None


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def close_stdin(process: subprocess.Popen[str]) -> None:
    """Closes a process' standard input, which tells it to end."""
    if process.stdin:
        process.stdin.close()


def end_process(process: subprocess.Popen[str]) -> None:
    """Ends a process that ends with its standard input, by force after STOP_S."""
    close_stdin(process)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
