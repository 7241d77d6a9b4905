"""Makes Locust's sockets between master and generators survive any frame, and signs messages with COLDBURST_CLUSTER_KEY.

Locust's receiving greenlet ends at a frame that it cannot decode, and with it the run. ``install`` replaces
its sockets, before Locust creates its runner.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import sys
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import zmq
from locust import runners
from locust.exception import RPCError
from locust.rpc import protocol, zmqrpc
from locust.stats import RequestStats, setup_distributed_stats_event_listeners

from coldburst.lines import one_line
from coldburst.record.exit_codes import NOTHING_SENT

logger = logging.getLogger("coldburst")
# Without types: Locust has none for these.
Message: Any = protocol.Message
KEY = "COLDBURST_CLUSTER_KEY"
# Starts a signed frame. Plain ones are msgpack arrays, whose first byte is another.
MARK = b"coldburst-1:"
DIGEST_BYTES = 32
TO_MASTER, TO_GENERATOR = b"to master:", b"to generator:"
# The type of the master's answer to a frame whose signature is wrong.
REFUSED = "coldburst-refused"
# A larger frame closes its connection. A batch of rows has 4 MB at most before it is compressed.
MOST_BYTES = 16_000_000
# Peers whose dropped messages are logged, once each.
MOST_PEERS = 1000
TO_MEND = f"set {KEY} to the same value at the master and at each generator"
UNSIGNED = f"messages are not signed with {KEY}"
NO_KEY = f"messages are signed with {KEY}, which is not set here"
OTHER_KEY = f"messages are signed with another {KEY}"


class SignatureError(ValueError):
    """A frame is not signed as it should be; the message says what the sender's messages are."""


def seal(payload: bytes, direction: bytes) -> bytes:
    """The frame of a message: with its signature, if there is a key."""
    key = os.environ.get(KEY, "").encode()
    return MARK + hmac.digest(key, direction + payload, hashlib.sha256) + payload if key else payload


def unseal(frame: bytes, direction: bytes) -> bytes:
    """The message in a frame.

    Raises:
        SignatureError: it is signed with another key, or only one side has a key.
    """
    key, signed = os.environ.get(KEY, "").encode(), frame.startswith(MARK)
    if not key and signed:
        raise SignatureError(NO_KEY)
    if not key:
        return frame
    if not signed:
        raise SignatureError(UNSIGNED)
    digest, payload = frame[len(MARK) : len(MARK) + DIGEST_BYTES], frame[len(MARK) + DIGEST_BYTES :]
    if not hmac.compare_digest(digest, hmac.digest(key, direction + payload, hashlib.sha256)):
        raise SignatureError(OTHER_KEY)
    return payload


@dataclass(frozen=True, slots=True)
class SealedMessage:
    """A message as Locust's sockets take it: ``serialize`` gives its frame."""

    node_id: str
    message: Any
    direction: bytes

    def serialize(self) -> bytes:
        """The frame."""
        return seal(self.message.serialize(), self.direction)


class DropLog:
    """Logs the first dropped message of each peer."""

    def __init__(self) -> None:
        self._peers: set[str] = set()

    def add(self, peer: str, why: str) -> bool:
        """Logs it; whether it was the peer's first."""
        if peer in self._peers or len(self._peers) >= MOST_PEERS:
            return False
        self._peers.add(peer)
        logger.warning("Dropped a message from %s: %s; more of its messages may be dropped without a warning", one_line(peer)[:80], why)
        return True


dropped = DropLog()


class MasterSocket(zmqrpc.Server):
    """The master's socket."""

    def send_to_client(self, msg: Any) -> None:
        """Sends a message to a generator."""
        super().send_to_client(SealedMessage(msg.node_id, msg, TO_GENERATOR))

    def recv_from_client(self) -> tuple[str, Any]:
        """The next readable message of a generator, with the generator's id.

        Raises:
            RPCError: the socket is broken.
        """
        while True:
            try:
                frames = self.socket.recv_multipart()
            except zmq.ZMQError as error:
                raise RPCError("ZMQ network broken") from error
            try:
                return _message(frames)
            except SignatureError as error:
                if dropped.add(frames[0].decode(errors="replace"), f"its {error}; {TO_MEND}"):
                    self.socket.send_multipart([frames[0], seal(Message(REFUSED, None, "").serialize(), TO_GENERATOR)])
            # Whatever the decoder raises: the frame can hold anything.
            except Exception as error:
                dropped.add(frames[0].decode(errors="replace"), f"it cannot be read ({type(error).__name__}: {one_line(str(error))[:80]})")


def _message(frames: list[bytes]) -> tuple[str, Any]:
    sender, frame = frames
    client_id, message = sender.decode(), Message.unserialize(unseal(frame, TO_MASTER))
    if not isinstance(message.type, str) or message.node_id != client_id:
        raise ValueError(f"type {message.type!r} of {message.node_id!r}")
    return client_id, message


class GeneratorSocket(zmqrpc.Client):
    """A generator's socket."""

    connected = False

    def send(self, msg: Any) -> None:
        """Sends a message to the master."""
        super().send(SealedMessage(msg.node_id, msg, TO_MASTER))

    def recv(self) -> Any:
        """The next readable message of the master; ends the process if the keys differ from the start.

        Raises:
            RPCError: the socket is broken.
        """
        while True:
            try:
                frame = self.socket.recv()
            except zmq.ZMQError as error:
                raise RPCError("ZMQ network broken") from error
            try:
                message = Message.unserialize(unseal(frame, TO_GENERATOR))
            except SignatureError as error:
                if not GeneratorSocket.connected:
                    logger.error("The master's %s: %s", error, TO_MEND)
                    sys.exit(NOTHING_SENT)
                dropped.add("the master", f"its {error}; {TO_MEND}")
                continue
            except Exception as error:
                dropped.add("the master", f"it cannot be read ({type(error).__name__})")
                continue
            if message.type != REFUSED:
                GeneratorSocket.connected = True
                return message


def install() -> None:
    """Replaces Locust's sockets, and guards its master against messages with unexpected content."""
    sockets: Any = zmqrpc
    master: Any = runners.MasterRunner
    sockets.Server, sockets.Client = MasterSocket, GeneratorSocket
    create, handle = sockets.BaseSocket.__init__, master.handle_message

    def create_limited(self: Any, *args: Any) -> None:
        create(self, *args)
        self.socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)

    def handle_guarded(self: Any, client_id: str, msg: Any) -> None:
        try:
            if msg.type in ("exception", "logs") and client_id not in self.clients:
                raise ValueError("not a generator of this master")
            if msg.type == "stats":
                _check_stats(msg.data)
            handle(self, client_id, msg)
        except Exception as error:
            dropped.add(
                client_id, f"'{one_line(msg.type)[:40]}' has unexpected content ({type(error).__name__}: {one_line(str(error))[:80]})"
            )

    sockets.BaseSocket.__init__ = create_limited
    master.handle_message = handle_guarded


def _check_stats(data: Any) -> None:
    """Adds Locust's statistics of a generator to empty ones: an error there would change the run's exit code."""
    stats, listeners = RequestStats(), list[Any]()
    ignored, reports = SimpleNamespace(add_listener=lambda _: None), SimpleNamespace(add_listener=listeners.append)
    events: Any = SimpleNamespace(report_to_master=ignored, worker_report=reports)
    setup_distributed_stats_event_listeners(events, stats)
    for listener in listeners:
        listener(client_id="", data=data)
    for entry in (*stats.entries.values(), stats.total):
        entry.to_dict()
