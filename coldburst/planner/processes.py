"""Simulated runs on all cores: in the order of the tasks, whatever the number of processes, which end with this one."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

# Each process gets its tasks in about so many parts, so that all end at nearly the same time.
PARTS = 8


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def processes(tasks: int, count: int | None = None) -> Iterator[Callable[[Callable[[Any], Any], list[Any]], list[Any]] | None]:
    """A map over processes, or None where the work is too little for them.

    Args:
        tasks: about how many there are.
        count: processes; None = one for each core.
    """
    most = cores() if count is None else count
    if most < 2 or tasks < 2 * most:
        yield None
        return
    executor = ProcessPoolExecutor(most, initializer=_begin)
    try:
        _start(executor)
        yield lambda run, todo: _map(executor, run, todo, max(len(todo) // (PARTS * most), 1))
    except BaseException:
        # Also Ctrl-C, which the children leave to this process.
        for child in multiprocessing.active_children():
            child.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _start(executor: ProcessPoolExecutor) -> None:
    """Starts the processes. Python's own hooks around a fork would swallow a Ctrl-C that comes there."""
    interrupts: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        executor.submit(os.getpid)
        return
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        executor.submit(os.getpid)
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


def _map(executor: ProcessPoolExecutor, run: Callable[[Any], Any], todo: list[Any], size: int) -> list[Any]:
    # Not executor.map, which cancels its futures when it is interrupted: the executor then fails to tell them that its processes ended.
    parts = [executor.submit(_part, run, todo[begin : begin + size]) for begin in range(0, len(todo), size)]
    return [answer for part in parts for answer in part.result()]


def _part(run: Callable[[Any], Any], tasks: list[Any]) -> list[Any]:
    return [run(task) for task in tasks]


def _begin() -> None:
    """In each process, before its first task."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A run's jobs and rows are no garbage until it has ended: looking for some among them took a tenth of the time.
    gc.set_threshold(200_000, 10, 10)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
