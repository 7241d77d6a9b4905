"""The generators that the master knows: which are alive, and what each reported last."""

from __future__ import annotations

import csv
import math
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

from locust import runners

from coldburst.distributed.assignment import SLOTS
from coldburst.distributed.frames import dropped
from coldburst.distributed.messages import BEAT, CLOCK, ROWS
from coldburst.distributed.validation import is_report
from coldburst.lines import one_line
from coldburst.record.batches import Batch, Inbox

# A generator that has been silent for this long is lost until its next message.
LOST_S = 3.0
# Heartbeats, one a second, that Locust may miss before it ends the test. Its default is 3, less than a short network fault.
LIVENESS = 35


@dataclass(slots=True, eq=False)
class GeneratorState:
    """A generator: its last report, its rows received so far, and its lease."""

    client_id: str
    name: str
    slot: int
    machine: str = ""
    heard_s: float = 0.0
    report: Mapping[str, Any] = field(default_factory=dict)
    inbox: Inbox = field(default_factory=Inbox)
    lease_s: float = 0.0
    samples: list[Mapping[str, Any]] = field(default_factory=list)
    lost: bool = False

    def of(self, run: str, name: str, default: Any) -> Any:
        """A value of its last report, or ``default`` if that report was about another run."""
        return self.report.get(name, default) if self.report.get("run") == run else default


class RowSink(Protocol):
    """The run that receives the rows."""

    id: str

    def take(self, peer: GeneratorState, batch: Batch) -> None:
        """Writes a batch of rows, if it is the next one."""

    def heard(self, peer: GeneratorState) -> None:
        """Called after each report of a generator."""


class GeneratorRegistry:
    """Receives the generators' messages, for as long as the process lives."""

    def __init__(self, environment: Any) -> None:
        self.runner = environment.runner
        self.session = uuid4().hex
        self.peers: dict[str, GeneratorState] = {}
        self.run: RowSink | None = None
        self.asleep_s = self.awake_s = -math.inf
        runners.HEARTBEAT_LIVENESS = LIVENESS
        self.runner.register_message(BEAT, self._on_beat)
        self.runner.register_message(ROWS, self._on_rows)

    def send(self, kind: str, data: Mapping[str, Any], peer: GeneratorState) -> None:
        """Sends a message to one generator."""
        self.runner.send_message(kind, {**data, "session": self.session}, peer.client_id)

    def living(self) -> list[GeneratorState]:
        """The generators that are not lost, in the order in which they came."""
        return [peer for peer in self.peers.values() if self.silent_s(peer) < LOST_S]

    def gathered(self) -> list[GeneratorState]:
        """The living generators, once each that Locust shows as connected has been heard; empty until then."""
        connected = {client.id for client in self.runner.clients.values() if client.state != runners.STATE_MISSING}
        return self.living() if connected <= self.peers.keys() else []

    def silent_s(self, peer: GeneratorState) -> float:
        """Seconds since its last message, without the time in which this process itself stood still."""
        asleep_s = self.awake_s - max(self.asleep_s, peer.heard_s)
        return time.perf_counter() - peer.heard_s - max(asleep_s, 0.0)

    def woke(self, since_s: float) -> None:
        """Notes that this process stood still since that instant (a busy machine, a laptop's lid)."""
        self.asleep_s, self.awake_s = since_s, time.perf_counter()

    def _on_beat(self, msg: Any, **_: Any) -> None:
        theirs_s = time.perf_counter()
        if not is_report(msg.data):
            dropped.add(msg.node_id, "its report has unexpected content")
            return
        if msg.data["session"] not in ("", self.session):
            # Tells the generator that another master answers.
            self.runner.send_message(CLOCK, {"session": self.session}, msg.node_id)
            dropped.add(
                msg.node_id, "it is a generator of an earlier master at this address; it ends by itself within 10 s: start it again"
            )
            return
        peer = self.peers.get(msg.node_id)
        if peer is None:
            slot = len(self.peers)
            if slot == SLOTS:
                dropped.add(msg.node_id, f"there are {SLOTS:,} generators already")
                return
            peer = self.peers[msg.node_id] = GeneratorState(msg.node_id, f"g{slot + 1}", slot)
        # By this clock: a message that a broken link held back says nothing about now.
        said_s = msg.data["said_s"]
        peer.heard_s = theirs_s if said_s is None else max(peer.heard_s, min(said_s, theirs_s))
        peer.report, peer.machine = msg.data, str(msg.data["machine"])
        self.send(CLOCK, {"asked_s": msg.data["asked_s"], "theirs_s": theirs_s, "wall_s": time.time()}, peer)
        if self.run:
            self.run.heard(peer)

    def _on_rows(self, msg: Any, **_: Any) -> None:
        peer = self.peers.get(msg.node_id)
        try:
            if self.run and peer and msg.data["run"] == self.run.id:
                self.run.take(peer, Batch.read(msg.data))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, csv.Error, zlib.error) as error:
            dropped.add(msg.node_id, f"its rows are not valid ({type(error).__name__}: {one_line(str(error))[:200]})")
