"""Transcription workers of this project on this machine, behind an nginx of their own that gives each request to the least busy.

Nothing of it outlives this process: the workers end with their standard input, nginx by a shell that watches its own.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gevent
import psutil

from coldburst.control.desired_state import ControlError, DesiredState, ObservedState, listed, serving
from coldburst.installation import missing
from coldburst.record.provenance import environment
from coldburst.targets.http import Exchange, HttpClient, Timeouts

LIMITS = Timeouts(5.0, 5.0, 5.0)
START_S = 30.0
STOP_S = 10.0
"""A worker's own grace for requests that run is 5 s."""
MODULE = "coldburst.transcriber"
QUEUE = ("--queue", "1000")
"""Places to wait: as many as the embedded service has; --replica-args may say otherwise."""
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


@dataclass(slots=True, eq=False)
class _Replica:
    """One transcription service: its name, which it writes into each answer, its process, and where it listens."""

    name: str
    process: subprocess.Popen[str]
    url: str = ""
    loaded: bool = False


class _Nginx:
    """The nginx before the workers; ``url`` is known before it runs."""

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
        return not any(map(_alive, self._old)) and _answer(self.url, SERVES) == str(self._number).encode()

    def insist(self) -> None:
        """Raises ControlError where nginx has ended."""
        if self._master is None or not _alive(self._master):
            said = (self._folder / "error.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ControlError(f"nginx before the transcription workers has ended: {said[-1] if said else 'it said nothing'}")

    def close(self) -> None:
        """Ends nginx and removes its folder."""
        if self._guard:
            _end(self._guard)
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


class ReplicaControl:
    """See Control. ``url`` is where the service answers once the first change has shown itself.

    Args:
        words: options of the service for each worker, as on a command line.
    """

    way: ClassVar[str] = "replicas"
    by_hand = False
    harmless = True
    every_s = 0.05

    def __init__(self, words: str = "") -> None:
        try:
            self._words = tuple(shlex.split(words))
        except ValueError as error:
            raise ControlError(f"--replica-args {words!r} cannot be read ({error}): write options as in '--engine fixed'") from error
        if sentence := missing("emulator"):
            raise ControlError(f"--control replicas: {sentence}")
        self._front = _Nginx()
        self._concurrency: int | None = None
        self._workers: list[_Replica] = []
        self._leaving: list[_Replica] = []
        self._started = 0

    @property
    def url(self) -> str:
        """Address of the nginx before the workers."""
        return self._front.url

    @property
    def where(self) -> str:
        """See Control."""
        return f"transcription workers on this machine, behind nginx at {self.url}"

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """See Control."""

    def settings(self) -> dict[str, Any]:
        """See Control."""
        return {"workers": len(self._workers)}

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """See Control."""
        counts, concurrency = listed([one.workers for one in wanted]) or "1", listed([one.concurrency for one in wanted])
        slots = f", each with --max-concurrent {concurrency}" if concurrency else ""
        scaler = "; they have no scaler, so its value is left out" if any(one.scaler_value is not None for one in wanted) else ""
        command = shlex.join(["python", "-m", MODULE, *self._words])
        return (
            f"Starts {counts} transcription workers ({command}){slots} on this machine behind nginx at {self.url}, and ends them{scaler}."
        )

    def change(self, wanted: DesiredState) -> None:
        """See Control. Another concurrency takes other workers; nginx knows the new set before those it leaves out are ended."""
        number = len(self._workers) or 1 if wanted.workers is None else wanted.workers
        if number < 1:
            raise ControlError("0 transcription workers cannot serve: give 1 or more")
        other = wanted.concurrency not in (None, self._concurrency)
        self._concurrency = wanted.concurrency if other else self._concurrency
        keep = [] if other else [worker for worker in self._workers if worker.process.poll() is None][:number]
        gone, self._workers = [worker for worker in self._workers if worker not in keep], keep
        new = [self._start() for _ in range(number - len(self._workers))]
        self._workers += new
        for worker in new:
            worker.url = _address_of(worker, self._words)
        if new or gone:
            self._front.serve([worker.url.removeprefix("http://") for worker in self._workers])
        for worker in gone:
            _close_stdin(worker.process)
        self._leaving += gone

    def observe(self, wanted: DesiredState) -> ObservedState:
        """See Control: each worker's /health, what nginx serves, and who has ended."""
        self._front.insist()
        for worker in self._workers:
            if (code := worker.process.poll()) is not None:
                raise ControlError(f"transcription worker {worker.name} ended with code {code}: its last words are above")
            worker.loaded = worker.loaded or _answer(worker.url, "/health") is not None
        for worker in [worker for worker in self._leaving if worker.process.poll() is not None]:
            _end(worker.process)
            self._leaving.remove(worker)
        count = sum(worker.loaded for worker in self._workers)
        waits = [f"{len(self._leaving)} ending"] if self._leaving else []
        if not self._front.serves:
            waits.append("nginx still has the set before")
        right = count == (len(self._workers) if wanted.workers is None else wanted.workers)
        return ObservedState(count, right and not waits, "; ".join([serving(count, wanted.workers), *waits]))

    def restore(self, before: Mapping[str, Any]) -> str:
        """See Control: there was nothing before the run, and ``close`` leaves nothing."""
        return "transcription workers on this machine end with the run: nothing to put back"

    def close(self) -> None:
        """See Control."""
        for worker in (*self._workers, *self._leaving):
            _close_stdin(worker.process)
        self._front.close()
        for worker in (*self._workers, *self._leaving):
            _end(worker.process)
        self._workers, self._leaving = [], []

    def _start(self) -> _Replica:
        self._started += 1  # no name is used twice: an answer tells which process it came from
        name = f"w{self._started}"
        slots = () if self._concurrency is None else ("--max-concurrent", str(self._concurrency))
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", MODULE, *QUEUE, *self._words, *slots, "--port", "0", "--until-stdin-closes", "--worker-id", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
            text=True,
        )
        return _Replica(name, process)


def _address_of(worker: _Replica, words: Sequence[str]) -> str:
    """Where a worker listens, by its first line.

    Raises:
        ControlError: it has ended instead.
    """
    said = (worker.process.stdout.readline() if worker.process.stdout else "").split()
    if said[:2] != ["listening", "on"]:
        command = shlex.join(["python", "-m", MODULE, *words])
        raise ControlError(f"transcription worker {worker.name} did not start (see above): try '{command}', and correct --replica-args")
    return said[2]


def _answer(url: str, path: str) -> bytes | None:
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


def _close_stdin(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()


def _end(process: subprocess.Popen[str]) -> None:
    """Ends a process that ends with its standard input, by force after STOP_S."""
    _close_stdin(process)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
