"""A wire with delay, jitter and loss: passes frames between two interfaces, in user space.

    python -m tests.support.linkemu PORT UPLINK

It asks nothing of the kernel (netem is not in every one) but root, and both interfaces in its own network namespace. Both
directions are treated alike, so a round trip takes twice the delay longer. Frames of one direction never overtake each other. A line
"DELAY_MS JITTER_MS LOSS_PERCENT" on standard input changes the wire, an empty one changes nothing; each is answered
with one line of JSON, the frames counted so far. It ends with its standard input.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import select
import socket
import struct
import sys
import time
from array import array
from collections import deque
from dataclasses import asdict, dataclass, field

ETH_P_ALL, SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING = 3, 263, 6, 23  # linux/if_ether.h, linux/socket.h, linux/if_packet.h
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32  # asm-generic/socket.h
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17  # linux/sockios.h, linux/ethtool.h
BUFFER_BYTES = 8 << 20
BATCH = 256
"""Frames taken from one interface before the other has its turn."""
SEED = 0


@dataclass
class Frames:
    """What became of the frames that came in: forwarded + lost + unsent + waiting.

    Attributes:
        lost: by the loss that was asked for.
        unsent: the interface did not take them, as when its cable is out.
        waiting: still delayed.
        overrun: dropped by the kernel before they were seen here, because they came too fast; counted nowhere else.
        longest: the longest frame in bytes.
    """

    forwarded: int = 0
    lost: int = 0
    unsent: int = 0
    waiting: int = 0
    overrun: int = 0
    longest: int = 0


@dataclass
class Wire:
    """The two ends, what is on its way (by the end that it leaves by), and how it is treated; times in seconds."""

    ends: dict[socket.socket, socket.socket]
    delayed: dict[socket.socket, deque[tuple[float, bytes]]]
    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    frames: Frames = field(default_factory=Frames)
    chance: random.Random = field(default_factory=lambda: random.Random(SEED))

    def obey(self, line: str) -> str:
        """Changes the wire as ``line`` says; the answer."""
        if line.strip():
            delay_ms, jitter_ms, loss_percent = (float(word) for word in line.split())
            self.delay_s, self.jitter_s, self.loss = delay_ms / 1e3, jitter_ms / 1e3, loss_percent / 100
        self.frames.waiting = sum(len(queue) for queue in self.delayed.values())
        self.frames.overrun += sum(_overrun(end) for end in self.ends)
        return json.dumps(asdict(self.frames))

    def due(self) -> float:
        """When the next frame leaves, by the monotonic clock, or far away."""
        return min((queue[0][0] for queue in self.delayed.values() if queue), default=time.monotonic() + 3600)

    def take(self, end: socket.socket) -> None:
        """Takes what has arrived at ``end``, and decides when (and if) it leaves."""
        leaving = self.delayed[self.ends[end]]
        for _ in range(BATCH):
            try:
                frame = end.recv(65536)
            except OSError:  # nothing more, or the cable is out
                return
            self.frames.longest = max(self.frames.longest, len(frame))
            if self.chance.random() < self.loss:
                self.frames.lost += 1
                continue
            due = time.monotonic() + self.delay_s + self.chance.uniform(-self.jitter_s, self.jitter_s)
            leaving.append((max(due, leaving[-1][0]) if leaving else due, frame))

    def release(self) -> None:
        """Sends what is due."""
        now = time.monotonic()
        for end, queue in self.delayed.items():
            while queue and queue[0][0] <= now:
                try:
                    end.send(queue.popleft()[1])
                    self.frames.forwarded += 1
                except OSError:
                    self.frames.unsent += 1


def whole_frames(interface: str) -> None:
    """Has this namespace's ``interface`` hand on frames as a wire carries them: with checksums, none longer than its MTU allows.

    Otherwise a virtual interface leaves both to the receiver, who cannot know once a frame has been through user space.
    Without checksums from the device, segments are cut by the kernel too.
    """
    off = array("I", [ETHTOOL_STXCSUM, 0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), off.buffer_info()[0]))


def _end(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # of no protocol: nothing from any other interface comes in before bind()
    end.setblocking(False)
    # A frame on its way out would come back to the bridge by the other end, and the bridge would then look for its sender there.
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    for option in (SO_RCVBUFFORCE, SO_SNDBUFFORCE):  # the plain options stop at 208 KiB
        end.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    end.bind((interface, ETH_P_ALL))
    return end


def _overrun(end: socket.socket) -> int:
    """Frames dropped since the last time this was asked."""
    _packets, drops = struct.unpack("II", end.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return int(drops)


def main(port: str, uplink: str) -> int:
    """Passes frames until standard input ends."""
    one, other = _end(port), _end(uplink)
    wire = Wire({one: other, other: one}, {one: deque(), other: deque()})
    words = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([words, one, other], [], [], max(0.0, wire.due() - time.monotonic()))
        for end in (one, other):
            if end in ready:
                wire.take(end)
        wire.release()
        if words in ready:
            lines = os.read(words, 4096).decode()  # short lines, and each is answered before the next one is written
            if not lines:
                return 0
            print(*(wire.obey(line) for line in lines.splitlines()), sep="\n", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(*sys.argv[1:]))
