"""A thread with an event loop of its own, in which boto3 works, so that its CPU time does not delay requests to the endpoint.

A call of boto3 costs 2 to 4 ms of CPU (signing, checksums, parsing). Thirty uploads that begin at once would keep the dispatcher's event
loop busy for a tenth of a second. In this thread they run as greenlets, and the dispatcher waits for the interpreter's lock at most.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent.event import AsyncResult, Event
from gevent.threadpool import ThreadPool

# How long the dispatcher waits for the interpreter's lock while boto3 computes (Python's own: 5 ms).
SWITCH_S = 0.0005
T = TypeVar("T")


class StoreThread:
    """One thread; ``call`` runs a function in it, in a greenlet of its own, and only the calling greenlet waits."""

    def __init__(self) -> None:
        self._todo: deque[Callable[[], object] | None] = deque()
        self._done: deque[Callable[[], object]] = deque()
        self._back = gevent.get_hub().loop.async_()
        self._back.start(self._deliver)
        self._wake: Any = None
        self._started = Event()
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_S, self._switch_s))
        self._pool = ThreadPool(1)
        self._pool.spawn(self._run)
        self._started.wait()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """What ``function(*arguments)`` returns or raises. If the caller is killed meanwhile, so is the function's greenlet."""
        result: AsyncResult[Any] = AsyncResult()
        running: list[gevent.Greenlet] = []
        self._tell(lambda: running.append(gevent.spawn(self._one, result, function, arguments)))
        try:
            answer, error = result.get()
        except BaseException:
            self._tell(lambda: running[0].kill(block=False))
            raise
        if error is not None:
            raise error
        found: T = answer
        return found

    def close(self) -> None:
        """Ends the thread once its calls have ended."""
        sys.setswitchinterval(self._switch_s)
        self._tell(None)
        self._pool.join()
        self._pool.kill()
        self._back.stop()
        self._back.close()

    def _tell(self, what: Callable[[], object] | None) -> None:
        self._todo.append(what)
        self._wake.send()

    def _deliver(self) -> None:
        while self._done:
            self._done.popleft()()

    def _hand_back(self, what: Callable[[], object]) -> None:
        self._done.append(what)
        self._back.send()

    def _one(self, result: AsyncResult[Any], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            answer, error = function(*arguments), None
        except BaseException as caught:
            answer, error = None, caught
        self._hand_back(lambda: result.set((answer, error)))

    def _run(self) -> None:
        hub = gevent.get_hub()
        self._wake = hub.loop.async_()
        # A notice that comes before anyone waits for it must not be lost: the watcher sets an event of this thread.
        noticed = Event()
        self._wake.start(noticed.set)
        self._hand_back(self._started.set)
        while True:
            noticed.wait()
            noticed.clear()
            while self._todo:
                what = self._todo.popleft()
                if what is None:
                    self._wake.stop()
                    self._wake.close()
                    hub.destroy(destroy_loop=True)
                    return
                what()
