"""The generators of a distributed run as the master knows them: who is alive, what each reported last, and its lease."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from locust import runners

from coldburst.distributed.messages import BEAT, CLOCK, ROWS
from coldburst.record.batches import Batch, Inbox

LOST_S = 3.0
"""A generator that has not been heard of for so long counts as lost, until it is heard again."""
LIVENESS = 15
"""Heartbeats, one a second, that Locust may miss of all generators before it ends the test: by itself 3; links are soon down so long."""


@dataclass(slots=True, eq=False)
class GeneratorState:
    """A generator as the master knows it: its last word, and what was promised to it."""

    client_id: str
    name: str
    slot: int
    machine: str = ""
    heard_s: float = 0.0
    word: Mapping[str, Any] = field(default_factory=dict)
    inbox: Inbox = field(default_factory=Inbox)
    lease_s: float = 0.0
    samples: list[Mapping[str, Any]] = field(default_factory=list)
    lost: bool = False

    def of(self, run: str, name: str, default: Any) -> Any:
        """What its last word says, if that was about the run."""
        return self.word.get(name, default) if self.word.get("run") == run else default


class RowSink(Protocol):
    """The run that rows belong to."""

    id: str

    def take(self, peer: GeneratorState, batch: Batch) -> None:
        """Writes a batch of rows, if it is the next one."""

    def heard(self, peer: GeneratorState) -> None:
        """A generator has told how it stands."""


class GeneratorRegistry:
    """Hears the generators, for as long as the process lives."""

    def __init__(self, environment: Any) -> None:
        self.runner = environment.runner
        self.peers: dict[str, GeneratorState] = {}
        self.run: RowSink | None = None
        self.asleep_s = self.awake_s = -math.inf
        runners.HEARTBEAT_LIVENESS = LIVENESS
        self.runner.register_message(BEAT, self._on_beat)
        self.runner.register_message(ROWS, self._on_rows)

    def send(self, kind: str, data: Mapping[str, Any], peer: GeneratorState) -> None:
        """A message to one generator."""
        self.runner.send_message(kind, dict(data), peer.client_id)

    def living(self) -> list[GeneratorState]:
        """The generators that have been heard of lately, in the order in which they came."""
        return [peer for peer in self.peers.values() if self.silent_s(peer) < LOST_S]

    def gathered(self) -> list[GeneratorState]:
        """The living generators, once each that Locust shows as connected has been heard; empty until then."""
        connected = {client.id for client in self.runner.clients.values() if client.state != runners.STATE_MISSING}
        return self.living() if connected <= self.peers.keys() else []

    def silent_s(self, peer: GeneratorState) -> float:
        """For how long it has not been heard; time in which this process could not listen is left out."""
        asleep_s = self.awake_s - max(self.asleep_s, peer.heard_s)
        return time.perf_counter() - peer.heard_s - max(asleep_s, 0.0)

    def woke(self, since_s: float) -> None:
        """Since that instant the master itself could not listen (a busy machine, a laptop's lid)."""
        self.asleep_s, self.awake_s = since_s, time.perf_counter()

    def _on_beat(self, msg: Any, **_: Any) -> None:
        theirs_s = time.perf_counter()
        peer = self.peers.get(msg.node_id)
        if peer is None:
            slot = len(self.peers)
            peer = self.peers[msg.node_id] = GeneratorState(msg.node_id, f"g{slot + 1}", slot)
        said_s = msg.data["said_s"]  # by this clock: what a link kept back while it was down is no sign of life
        peer.heard_s = theirs_s if said_s is None else max(peer.heard_s, min(said_s, theirs_s))
        peer.word, peer.machine = msg.data, str(msg.data["machine"])
        self.send(CLOCK, {"asked_s": msg.data["asked_s"], "theirs_s": theirs_s, "wall_s": time.time()}, peer)
        if self.run:
            self.run.heard(peer)

    def _on_rows(self, msg: Any, **_: Any) -> None:
        peer = self.peers.get(msg.node_id)
        if self.run and peer and msg.data["run"] == self.run.id:
            self.run.take(peer, Batch.read(msg.data))
