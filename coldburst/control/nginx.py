"""An nginx on this machine that sends each request to the least busy of several services.

It does not outlive this process; see coldburst/child_processes.py.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gevent
import psutil

from coldburst.child_processes import OrphanReaper, free_port
from coldburst.control.desired_state import ControlError
from coldburst.record.provenance import environment
from coldburst.targets.http import Exchange, HttpClient, Timeouts

LIMITS = Timeouts(5.0, 5.0, 5.0)
START_S = 30.0
# A service gives running requests 5 s to finish.
STOP_S = 10.0
SERVES = "/nginx-serves"
# Runs nginx until standard input closes, as it does when this process is killed, then stops the whole process group.
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
    proxy_next_upstream off;  # a failed request must be seen, not repeated
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
    """nginx in front of the services. ``url`` is known before it runs."""

    def __init__(self) -> None:
        found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
        if not found:
            raise ControlError("--control replicas needs nginx, which is not installed: install nginx-light, or use --control hand")
        self._nginx, self._port = found, free_port()
        self._number = 0
        self._folder = Path()
        self._reaper: OrphanReaper | None = None
        self._process: subprocess.Popen[str] | None = None
        self._master: psutil.Process | None = None
        self._old: list[psutil.Process] = []
        self.url = f"http://127.0.0.1:{self._port}"

    def serve(self, addresses: Sequence[str]) -> None:
        """Sends requests to these workers from now on; ``serves`` becomes true when nginx has switched."""
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
        """Whether nginx uses the latest set of workers, and no nginx process uses an older one."""
        return not any(map(_alive, self._old)) and answer_of(self.url, SERVES) == str(self._number).encode()

    def check_running(self) -> None:
        """Raises ControlError if nginx has ended."""
        if self._master is None or not _alive(self._master):
            said = (self._folder / "error.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ControlError(f"nginx has ended: {said[-1] if said else 'no output'}; check the nginx installation, or use --control hand")

    def close(self) -> None:
        """Stops nginx and removes its directory."""
        if self._reaper and self._process:
            self._process.terminate()
            end_process(self._process)
            self._reaper.close()
            self._reaper = self._process = None

    def _start(self) -> None:
        with (self._folder / "error.log").open("w", encoding="utf-8") as log:
            self._reaper = OrphanReaper(self._folder)
            self._process = subprocess.Popen(
                [self._nginx, "-p", str(self._folder), "-c", "nginx.conf"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
                env=environment(),
                start_new_session=True,
                text=True,
            )
        self._reaper.started(self._process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            self._master = psutil.Process(self._process.pid)
        late = ControlError(f"nginx did not answer at {self.url} within {START_S:g} s: use --control hand")
        with gevent.Timeout(START_S, late):
            while not self.serves:
                self.check_running()
                gevent.sleep(0.01)

    def _write(self, addresses: Sequence[str]) -> None:
        # If root runs nginx, its workers become another user, who may not enter the directory.
        user = f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(os.getegid()).gr_name};\n" if os.geteuid() == 0 else ""
        servers = "\n        ".join(f"server {address} max_fails=0;" for address in addresses)
        text = CONFIGURATION.format(user=user, servers=servers, port=self._port, serves=SERVES, number=self._number)
        (self._folder / "nginx.conf").write_text(text, encoding="utf-8")


def answer_of(url: str, path: str) -> bytes | None:
    """The body of a 200, over a new connection: a kept one belongs to the old nginx process."""
    client, exchange = HttpClient(url, LIMITS), Exchange()
    client.send(exchange, "GET", path)
    client.close()
    return exchange.body if exchange.status == 200 else None


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def close_stdin(process: subprocess.Popen[str]) -> None:
    """Closes a process's standard input, on which it ends."""
    if process.stdin:
        process.stdin.close()


def end_process(process: subprocess.Popen[str]) -> None:
    """Closes a process's standard input and waits for its end; kills it after STOP_S."""
    close_stdin(process)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
