"""Programs as processes of their own that do not import everything anew: each is a fork of a process that has imported it.

``start("locust", "-f", "x.py", env=...)`` is ``python -m locust -f x.py`` with streams and an environment of its own. Imports are most of
the CPU of a short run, and hundreds are started. A fresh process is started where a fork would differ from it: below another command,
with other settings of Python, in another network namespace.

    python -m tests.support.preloaded FD NUMBER      the process that is forked, the socket on which it is asked, and its program
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

# By names that gevent does not replace later.
from posix import close, dup2, fork, pidfd_open, waitpid
from select import POLLIN, poll
from signal import SIGKILL, SIGTERM
from socket import AF_UNIX, SOCK_STREAM, recv_fds, send_fds, socket, socketpair
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PRELOADED = {
    "locust": ("locust.main", "coldburst.users"),
    "coldburst.emulator": ("coldburst.emulator.command",),
    "coldburst.video": ("coldburst.video.command", "coldburst.video.api.service", "uvloop"),
    "tests.support.leading": ("locust.main", "coldburst.users", "coldburst.distributed.master"),
    "coldburst.transcriber": ("coldburst.transcriber.command", "coldburst.transcriber.slots", "coldburst.transcriber.service", "uvloop"),
}
"""What each program imports in any case."""


def _network() -> str:
    """The network namespace of this thread, "" where there is none."""
    place = Path("/proc/thread-self/ns/net")
    return str(place.readlink()) if place.exists() else ""


NETWORK = _network()
"""Of the processes that are forked."""
origins: set[int] = set()
"""Process ids of those that are forked: children of this process, besides what a test starts."""
_origins: dict[str, socket] = {}
_starting = threading.Lock()


def start(module: str, *words: str, env: Mapping[str, str], before: Sequence[str] = (), **streams: Any) -> Fork | subprocess.Popen[Any]:
    """``before python -m module words`` from the repository's root; ``streams`` as Popen has them."""
    if before or not _alike(env):
        return subprocess.Popen([*before, sys.executable, "-m", module, *words], cwd=ROOT, env=env, **streams)
    with _starting:
        if module not in _origins:
            _origins[module] = _origin(module)
    return Fork(_origins[module], words, env, **streams)


def _origin(module: str) -> socket:
    """Where to ask the process that has imported ``module``; it ends when the socket is closed, as with this process."""
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    # By its place in the table: tests look for processes by the names of programs.
    command = [sys.executable, "-m", __name__, str(theirs.fileno()), str([*PRELOADED].index(module))]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    theirs.close()
    origins.add(process.pid)
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours


def _alike(env: Mapping[str, str]) -> bool:
    """Whether a process that is started here would have the settings of Python and the network of one that is forked."""

    def settings(of: Mapping[str, str]) -> dict[str, str]:
        return {name: value for name, value in of.items() if name.startswith("PYTHON") and name != "PYTHONUNBUFFERED"}

    return bool(NETWORK) and _network() == NETWORK and settings(env) == settings(os.environ)


class Fork:
    """A forked program, with what tests use of Popen."""

    def __init__(self, origin: socket, words: Sequence[str], env: Mapping[str, str], text: bool = False, **streams: Any) -> None:
        self.stdin = self.stdout = self.stderr = self.returncode = None
        self._life, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        given = [theirs.fileno()]
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            stream = streams.get(name)
            if stream == subprocess.PIPE:
                read, write = os.pipe()
                given.append(write if number else read)
                setattr(self, name, os.fdopen(read if number else write, ("r" if number else "w") + ("" if text else "b")))
            elif stream == subprocess.DEVNULL:
                given.append(os.open(os.devnull, os.O_RDWR))
            else:
                given.append(os.dup(number if stream is None else stream if isinstance(stream, int) else stream.fileno()))
        send_fds(origin, [b"f"], given)
        theirs.close()
        for descriptor in given[1:]:
            os.close(descriptor)
        self._said = self._life.makefile("rwb", buffering=0)
        self._said.write(json.dumps({"words": words, "env": dict(env)}).encode() + b"\n")
        self.pid = int(self._said.readline())

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            looked = poll()
            looked.register(self._life, POLLIN)
            if not looked.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("a fork", timeout or 0.0)
            self.returncode = int(self._said.readline())
            self._said.close()
            self._life.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(SIGKILL)

    def terminate(self) -> None:
        self.send_signal(SIGTERM)

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream:
                stream.close()
        self.wait()


Process = Fork | subprocess.Popen[Any]


def _serve(control: socket, module: str) -> None:
    """Forks whenever it is asked, and says how each fork ended. Returns in the forks alone."""
    for name in PRELOADED[module]:
        import_module(name)
    gc.collect()
    gc.freeze()
    looked, lives = poll(), {}
    looked.register(control, POLLIN)
    while True:
        for ready, _ in looked.poll():
            if ready in lives:
                pid, life = lives.pop(ready)
                looked.unregister(ready)
                close(ready)
                life.sendall(b"%d\n" % os.waitstatus_to_exitcode(waitpid(pid, 0)[1]))
                life.close()
                continue
            _, descriptors, *_ = recv_fds(control, 1, 4)
            if not descriptors:
                os._exit(0)
            life = socket(fileno=descriptors[0])
            with life.makefile("rb") as lines:
                asked = json.loads(lines.readline())
            pid = fork()
            if not pid:
                for one in (control, life, *(other for _, other in lives.values())):
                    one.close()
                for one in lives:
                    close(one)
                _become(asked["words"], asked["env"], descriptors[1:])
                return
            life.sendall(b"%d\n" % pid)
            for one in descriptors[1:]:
                close(one)
            ended = pidfd_open(pid)
            lives[ended] = pid, life
            looked.register(ended, POLLIN)


def _become(words: Sequence[str], env: Mapping[str, str], streams: Sequence[int]) -> None:
    """Gives this process the words, the environment and the streams of a program."""
    for number, one in enumerate(streams):
        dup2(one, number)
        close(one)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = words
    sys.stdout.reconfigure(write_through=bool(env.get("PYTHONUNBUFFERED")))


if __name__ == "__main__":
    _, descriptor, place = sys.argv
    program = [*PRELOADED][int(place)]
    _serve(socket(fileno=int(descriptor)), program)
    runpy.run_module(program, run_name="__main__", alter_sys=True)
