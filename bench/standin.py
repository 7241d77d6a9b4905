"""A load generator that sends nothing and reports a given number of rows per second, to measure the master.

    python -m bench.standin PORT ROWS_PER_SECOND

It speaks a generator's messages (coldburst/distributed/generator.py) over Locust's own for one stage,
and prints how many rows were acknowledged.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from typing import Any

import msgpack
import zmq

from coldburst.distributed.messages import BEAT, BEAT_S, PLAN, ROWS
from coldburst.record.attempt import Attempt, row_line
from coldburst.record.batches import Outbox


class StandIn:
    """One generator's side of the conversation."""

    def __init__(self, port: int, rate: float) -> None:
        self.name, self._rate = f"standin_{os.getpid()}", rate
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, self.name.encode())
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._outbox, self._numbers = Outbox(), itertools.count()
        self._word: dict[str, Any] = {}
        self._known = self.over = False
        self._state, self.rows, self._began_s = "ready", 0, 0.0

    def tell(self, kind: str, data: Any) -> None:
        self._socket.send(msgpack.dumps((kind, data, self.name)))

    def hear(self, until_s: float) -> None:
        """Takes messages until that instant."""
        while (left_s := until_s - time.perf_counter()) > 0:
            if self._socket.poll(1000 * left_s):
                kind, data, _ = msgpack.loads(self._socket.recv(), strict_map_key=False)
                self._take(kind, data)

    def _take(self, kind: str, data: Any) -> None:
        if kind == "ack":
            self._known = True
        elif kind == "spawn":
            self._state = "running"
            users = data["user_classes_count"]
            self.tell("spawning", None)
            self.tell("spawning_complete", {"user_classes_count": users, "user_count": sum(users.values())})
        elif kind == PLAN:
            self._word = data
        elif kind == BEAT and data["run"] == self._word.get("run"):
            self._outbox.acknowledged(data["ack"])
            self._began_s = self._began_s or (time.perf_counter() if data["starts"] else 0.0)
            self.over = self.over or data["over"]
        elif kind == "quit":
            self.over = True

    def beat(self) -> None:
        """What a generator tells every half second: that it is there, its rows, how it stands."""
        if not self._known:
            self.tell("client_ready", "2.47.0")
        self.tell("heartbeat", {"state": self._state, "current_cpu_usage": 1, "current_memory_usage": 1})
        self._write()
        run = self._word.get("run", "")
        for batch in self._outbox.due() if run else ():
            self.tell(ROWS, {"run": run, **batch.plain()})
        word: dict[str, Any] = {"session": "", "asked_s": time.perf_counter(), "said_s": None, "machine": "standin", "run": run}
        word |= {"leaves": False, "refused": "", "why": "", "ended": -1, "dispatched": self.rows, "sent": self.rows, "lateness_s": 0.0}
        self.tell(
            BEAT, {**word, "wants": [-1, 0, 0], "asks": False, "in_flight": 10, "held": 0, "closed": False, "last": self._outbox.last}
        )

    def _write(self) -> None:
        """The rows since the last beat."""
        if not self._began_s:
            return
        now = time.perf_counter() - self._began_s
        slot = self._word["slot"]
        while self.rows < now * self._rate:
            at_s, seq = self.rows / self._rate, next(self._numbers) * 8 + slot
            times = {"sent_s": at_s + 0.0004, "first_s": at_s + 0.8123, "done_s": at_s + 0.8127, "held_s": 0.0}
            known = {"status": 200, "worker_id": f"worker-{seq % 7}", "audio_s": 5.95, "bytes_out": 190_752, "bytes_in": 14 + seq % 97}
            row = Attempt(seq, 1, "steady", at_s, "ok", generator=self._word["name"], queue_s=0.1, execution_s=0.7, **times, **known)
            self._outbox.add("attempts", row_line(row), {"requests": {"ok": 1}, "attempts": {"ok": 1}})
            self.rows += 1


def main() -> None:
    stand_in = StandIn(int(sys.argv[1]), float(sys.argv[2]))
    due_s = time.perf_counter()
    while not stand_in.over:
        stand_in.beat()
        due_s += BEAT_S
        stand_in.hear(due_s)


if __name__ == "__main__":
    main()
