"""What a headless run says while it goes: a plain line every two seconds."""

from __future__ import annotations

import gevent

from rig.attempt import OUTCOMES
from rig.master import MasterRun
from rig.run import Run

EVERY_S = 2.0
MANY = 3
"""Stages above which the place of the present one is told."""


class Progress:
    """Prints lines about ``run`` until ``stop``."""

    def __init__(self, run: Run | MasterRun) -> None:
        self._run = run
        self._greenlet = gevent.spawn(self._print)

    def stop(self) -> None:
        """Prints the last line."""
        self._greenlet.kill()
        print(line(self._run), flush=True)

    def _print(self) -> None:
        while True:
            gevent.sleep(EVERY_S)
            print(line(self._run), flush=True)


def line(run: Run | MasterRun) -> str:
    """Second, stage and its place, how much is sent, in flight and ended how."""
    load = run.load
    planned = "" if run.plan.planned is None else f" of {run.plan.planned}"
    waiting = f"  held at the cap {load.held}" if load.held else ""
    ended = "".join(f"  {name} {run.recorder.counts[name]}" for name in OUTCOMES if run.recorder.counts[name])
    names = [stage.name for stage in run.plan.schedule]
    place = f" ({names.index(load.stage) + 1} of {len(names)})" if load.stage in names and len(names) > MANY else ""
    return f"{load.now():6.1f} s  {load.stage or 'starting'}{place}  sent {run.sent}{planned}  in flight {load.in_flight}{waiting}{ended}"
