"""Messages at the master's port that are not a generator's: none ends a run, or changes its ledger."""

import itertools
import json
import os
import socket
import time
from contextlib import contextmanager

import msgpack
import pytest
import zmq

from tests.support.generators import distributed
from tests.support.locusts import PLAIN
from tests.support.transcribers import transcriber, until

FAST = ("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "100", "--queue", "1000")
RATE = 20
TYPES = ("client_ready", "client_stopped", "heartbeat", "stats", "spawning", "spawning_complete", "logs", "quit", "exception", "locustfile")
OURS = ("coldburst-beat", "coldburst-rows", "coldburst-plan", "coldburst-clock", "nothing", "")
VALUES = (
    None,
    0,
    -1,
    2**63,
    float("nan"),
    "text",
    b"\xff",
    [],
    [1, 2],
    {},
    {"state": 1, "current_cpu_usage": "x"},
    {"stats": [{}], "errors": {}},
)
NESTED = b"\x91" * 200_000 + b"\xc0"


def frames(name):
    """Frames that are no message, or none of a generator's."""
    yield from ([b""], [b"\xc1"], [b"x"], [b"\x93"], [NESTED], [os.urandom(500)], [b"a", b"b", b"c"], [msgpack.dumps([1, 2])])
    yield [msgpack.dumps(["heartbeat", {"__datetime__": True, "as_str": "yesterday"}, name])]
    yield [msgpack.dumps(["heartbeat", {}, "somebody else"])]
    yield from ([msgpack.dumps([kind, {}, name])] for kind in (None, 7, [], {}, b"\xff"))
    yield from ([msgpack.dumps([kind, value, name])] for kind, value in itertools.product((*TYPES, *OURS), VALUES))


@contextmanager
def stranger(port, name):
    """A socket that speaks to the master under that name."""
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.setsockopt(zmq.IDENTITY, name.encode())
    dealer.setsockopt(zmq.LINGER, 1000)
    dealer.connect(f"tcp://127.0.0.1:{port}")
    try:
        yield dealer
    finally:
        dealer.close()


def plain_bytes(port, content):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(content)


@pytest.mark.slow
def test_no_frame_ends_a_run_or_changes_its_ledger():
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", f"steady 300s {RATE}/s", *PLAIN) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        for content in (b"x", b"GET / HTTP/1.1\r\n\r\n", os.urandom(64), b"\xff" + b"\x00" * 8 + b"\x7f\x03" + b"\x00" * 53):
            plain_bytes(crew.port, content)
        with stranger(crew.port, "odd one") as dealer:
            for parts in frames("odd one"):
                dealer.send_multipart(parts)
                time.sleep(0.005)
        with stranger(crew.port, "large one") as dealer:
            dealer.send(bytes(20_000_000))
        with stranger(crew.port, "last one") as dealer:
            dealer.send(b"x")
            crew.master.until(lambda run: "Dropped a message from last one" in run.output)
        taken = len(crew.master.rows)
        crew.master.until(lambda run: len(run.rows) >= taken + RATE)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0]
        assert (crew.master.ledger.planned, crew.master.ledger.missing) == (300 * RATE, 0)
        assert set(crew.master.ledger.counts) == {"ok", "not_sent"}
        assert crew.master.ledger.counts["ok"] == len(service.log())
        assert crew.master.output.count("Dropped a message from odd one") == 1
        assert "Traceback" not in crew.master.output


def report(**more):
    """What a generator without a part reports."""
    return {"session": "", "asked_s": 0.0, "said_s": None, "machine": "m", "leaves": False, "refused": "", "why": "", "run": "", **more}


def batches():
    """Batches of rows that no generator has written."""
    import zlib

    def packed(text):
        return zlib.compress(text.encode())

    row = "0,1,steady,0.1,ok" + "," * 17 + "g3,\n"
    counts = {"requests": {"ok": 1}, "attempts": {"ok": 1}}
    yield {"attempts": packed(row)}, {"requests": {"ok": 918}, "attempts": {"ok": 918}}
    yield {}, {"requests": {"ok": 918}}
    yield {}, {"requests": {"ok": -5}}
    yield {"attempts": packed(row * 2)}, {"requests": {"ok": 2}, "attempts": {"ok": 2}}
    yield {"attempts": packed(row.replace("0,", "999999,", 1))}, counts
    yield {"attempts": packed(row.replace("g3", "g1"))}, counts
    yield {"attempts": packed(row.replace("ok", "fine"))}, {"requests": {"fine": 1}, "attempts": {"fine": 1}}
    yield {"attempts": packed(row.replace("0.1", "nan"))}, counts
    yield {"attempts": packed('"' + row)}, counts
    yield {"attempts": packed("no row")}, {}
    yield {"attempts": b"not packed"}, {}
    yield {"attempts": zlib.compress(bytes(200_000_000))}, {}
    yield {"../../etc/passwd": packed("x\n")}, {}


@pytest.mark.nightly
def test_rows_that_no_generator_can_have_written_are_dropped():
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", f"steady 15s {RATE}/s", *PLAIN) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        run = crew.master.folder.name
        with stranger(crew.port, "false one") as dealer:
            dealer.send(msgpack.dumps(["coldburst-beat", report(), "false one"]))
            for tables, counts in batches():
                rows = {"run": run, "number": 1, "tables": tables, "counts": counts}
                dealer.send(msgpack.dumps(["coldburst-rows", rows, "false one"]))
            dispatched = {"ended": 0, "lateness_s": 0.0, "wants": [0, 0, 0], "asks": False, "closed": False}
            numbers = {"dispatched": -918, "sent": 0, "in_flight": 0, "held": 0, "last": 0}
            dealer.send(msgpack.dumps(["coldburst-beat", report(run=run, **dispatched, **numbers), "false one"]))
        assert crew.master.wait() == 0, crew.master.output
        assert str(crew.master.ledger) == f"{15 * RATE} planned = {15 * RATE} ok"
        assert crew.master.about["ledger"]["missing"] == 0
        assert crew.master.output.count("Dropped a message from false one") == 1
        assert "Traceback" not in crew.master.output


@pytest.mark.slow
def test_with_a_shared_key_only_those_who_have_it_take_part():
    words = ("--schedule", f"steady 300s {RATE}/s", *PLAIN)
    with transcriber(*FAST) as service, distributed("--host", service.url, *words, COLDBURST_CLUSTER_KEY="sesame") as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        other, none = crew.add(COLDBURST_CLUSTER_KEY="barley"), crew.add(COLDBURST_CLUSTER_KEY="")
        assert (other.wait(), none.wait()) == (2, 2)
        assert "messages are signed with another COLDBURST_CLUSTER_KEY: set COLDBURST_CLUSTER_KEY to the same" in other.output
        assert "messages are signed with COLDBURST_CLUSTER_KEY, which is not set here: set" in none.output
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert crew.master.ledger.balanced
        assert set(crew.master.ledger.counts) == {"ok", "not_sent"}
        assert crew.master.output.count("signed with another COLDBURST_CLUSTER_KEY; set") == 1
        assert crew.master.output.count("not signed with COLDBURST_CLUSTER_KEY; set") == 1
        assert "sesame" not in crew.master.output + json.dumps(crew.master.about)


@pytest.mark.nightly
def test_a_key_that_the_master_lacks_ends_the_generator_with_a_sentence():
    with distributed("--host", "http://127.0.0.1:9", *PLAIN, generators=0) as crew:
        lonely = crew.add(COLDBURST_CLUSTER_KEY="sesame")
        assert lonely.wait() == 2
        assert "The master's messages are not signed with COLDBURST_CLUSTER_KEY: set" in lonely.output
        until(lambda: "signed with COLDBURST_CLUSTER_KEY, which is not set here" in crew.master.output, "the master's sentence")
