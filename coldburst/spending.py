"""The guard of a run with --max-spend: meters what its workers cost, and at the limit ends the run and stops them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import gevent

from coldburst.control.rest import RestControl
from coldburst.control.shutdown import Shutdown, ShutdownSequence
from coldburst.load.spend_limit import OPTION, SpendLimit
from coldburst.record.exit_codes import SPENT
from coldburst.record.prices import HOUR_S
from coldburst.targets.address import EndpointAddress
from coldburst.targets.spend_meter import SpendMeter

if TYPE_CHECKING:
    from coldburst.distributed.master import DistributedRun
    from coldburst.load.run import LoadRun

logger = logging.getLogger("coldburst")
LOOK_S = 0.5
# A worker list that could not be read for this long ends the run: what cannot be counted cannot be limited.
BLIND_S = 60.0
UNCOUNTED = f"{SPENT}: the worker list could not be read for {BLIND_S:g} s"


class SpendGuard:
    """The guard of one run; reads the endpoint's settings before it begins, to set them back later.

    Raises:
        ControlError: the settings cannot be read.
    """

    def __init__(self, address: EndpointAddress, key: str, limit: SpendLimit, options: Mapping[str, Any]) -> None:
        self._limit, self._queue = limit, address.kind != "balancer"
        self._control = RestControl(address, key, str(options.get("concurrency_env", "CONCURRENCY")))
        try:
            self._before = self._control.settings()
        except BaseException:
            self._control.close()
            raise
        self._began_s = time.time()
        self._reached_s: float | None = None
        self._reached_usd: float | None = None
        self._shut: Shutdown | None = None

    def watch(self, run: LoadRun | DistributedRun, end: Callable[[str], object]) -> None:
        """Meters ``run`` until it ends; ``end`` ends it with a drain, for the reason given."""
        self._run, self._end = run, end
        self.meter = SpendMeter(run.samples.spans, self._limit.usd, self._limit.usd_per_s, run.load.now)
        run.spending = self
        self._greenlet = gevent.spawn(self._follow)

    def _follow(self) -> None:
        while not self._run.load.finished.is_set():
            gevent.sleep(LOOK_S)
            usd = self.meter.usd
            if usd >= self._limit.usd:
                self._reach(f"{SPENT} {self._limit.usd:g} USD reached", usd)
                return
            if self.meter.blind_s > BLIND_S:
                self._reach(UNCOUNTED, usd)
                return

    def _reach(self, why: str, usd: float) -> None:
        if self._run.load.finished.is_set():
            return
        self._reached_s, self._reached_usd = self._run.load.now(), usd
        logger.error("%s: %.2g USD after %.0f s; nothing more is sent", why, usd, self._reached_s)
        self._end(why)

    def close(self) -> str:
        """Called when the run's last request has ended: stops the workers if the limit was reached; what is left to do, or ""."""
        self._greenlet.kill(block=False)
        try:
            self._shut = None if self._reached_s is None else self._shut_down()
        finally:
            self._control.close()
        return self._shut.failed if self._shut else ""

    def _shut_down(self) -> Shutdown:
        drained = not self._run.recorder.counts["unfinished"]
        usd_per_h = self._limit.price.usd_per_s * HOUR_S
        sequence = ShutdownSequence(self._control, self._before, self._run.recorder.folder, usd_per_h, self._began_s)
        if self._queue:
            sequence.purge()
        self._run.release()
        shut = sequence.stop(drained=drained)
        logger.log(logging.ERROR if shut.failed else logging.INFO, "After %s: %s%s", OPTION, shut.text, shut.failed and f". {shut.failed}")
        return shut

    def about(self) -> dict[str, Any]:
        """The entry ``spending`` of run.json, after the last look at the workers."""
        shut = self._shut
        return {
            "limit_usd": self._limit.usd,
            "usd_per_s": self.meter.prices or {self._limit.price.name: self._limit.price.usd_per_s},
            "spent_usd": round(self.meter.usd, 6),
            "reached_s": self._reached_s,
            "reached_usd": self._reached_usd,
            "shutdown": shut and {name: getattr(shut, name) for name in ("purged", "workers", "minimum", "settings", "billed")},
            "left_to_do": shut.failed if shut else "",
        }
