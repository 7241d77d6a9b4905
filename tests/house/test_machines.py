"""The machines of the tests of distributed runs: what they promise, each against a known answer."""

import hashlib
import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import needs
from tests.support.locusts import ROOT
from tests.support.machines import NetworkError, lacking, machines
from tests.support.transcribers import DEADLINE_S, until

OWNER = f"""
import os, subprocess, sys, time
from tests.support.machines import machines

def test_that_lasts():
    with machines("a", "b") as (a, b):
        child = a.popen(["sleep", "600"])
        os.write(int(os.environ["TELL"]), f"{{a.place}} {{child.pid}}\\n".encode())
        time.sleep({DEADLINE_S})
        raise AssertionError("nobody interrupted")
"""

pytestmark = [pytest.mark.nightly, needs.needs("ip")]


@contextmanager
def connection(one, other):
    """Both ends of a TCP connection from ``one`` to ``other``."""
    with other.inside():
        listener = socket.create_server((other.address, 0))
    with listener, one.inside(), socket.create_connection(listener.getsockname(), DEADLINE_S) as near:
        far, _ = listener.accept()
        with far:
            far.settimeout(DEADLINE_S)
            yield near, far


def pass_on(near, far, data=b"?"):
    near.sendall(data)
    assert far.recv(len(data)) == data


def silent(end):
    return not select.select([end], [], [], 0)[0]


def rtt_s(one, other):
    """One round trip: a closed port answers at once that it is closed."""
    begun = time.perf_counter()
    with one.inside(), pytest.raises(ConnectionRefusedError):
        socket.create_connection((other.address, 9), DEADLINE_S)
    return time.perf_counter() - begun


def hangs(one, other, for_s=0.2):
    """Whether a new connection hangs: neither made nor told that it cannot be."""
    with one.inside(), pytest.raises(TimeoutError, match=r"^timed out$"):
        socket.create_connection((other.address, 9), for_s)
    return True


def links():
    return {link["ifname"] for link in json.loads(subprocess.check_output(["ip", "-j", "link"]))}


def places():
    return {line.split()[0] for line in subprocess.check_output(["ip", "netns", "list"], text=True).splitlines()}


def gone(pid):
    """Whether a process has ended; nobody may have asked after its end yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_machines_reach_each_other_and_nothing_else():
    before = links()
    with machines("master", "g1", "g2", "g3", "target") as lab:
        assert len({at.address for at in lab}) == 5
        for one, other in itertools.permutations(lab, 2):
            with connection(one, other) as (near, far):
                assert far.getpeername()[0] == one.address
                pass_on(near, far)
        assert links() == before
        with lab[0].inside(), pytest.raises(OSError, match="unreachable"):
            socket.create_connection(("192.0.2.1", 80), DEADLINE_S)


def test_two_sets_of_machines_do_not_meet():
    with machines("a", "b") as (a, b), machines("a", "b") as (other_a, other_b):
        assert (a.address, b.address) == (other_a.address, other_b.address)
        a.link("down")
        assert hangs(b, a)
        assert rtt_s(other_b, other_a) > 0


def test_everything_is_gone_at_the_end_even_of_a_test_that_failed():
    before = places()
    with pytest.raises(ZeroDivisionError), machines("a", "b") as (a, b):
        parent = a.popen(["sh", "-c", "setsid sleep 600 & echo $!; read _"], stdin=-1, stdout=-1, text=True)
        grandchild = int(parent.stdout.readline())
        with b.inside():
            elsewhere = subprocess.Popen(["sleep", "600"])
        b.emulate(1)
        made = places() - before
        raise ZeroDivisionError
    assert len(made) == 3 and all(place.startswith(f"coldburst-{os.getpid()}-") for place in made)
    assert places() == before
    assert parent.returncode == -signal.SIGKILL
    assert gone(grandchild)
    assert elsewhere.wait(0) == -signal.SIGKILL


def test_a_process_has_its_own_environment_and_number():
    with machines("a") as (a,):
        shown = a.popen([sys.executable, "-c", "import os; print(os.getpid(), dict(os.environ))"], env={"KEY": "x"}, stdout=-1, text=True)
        printed = shown.communicate()[0]
    assert printed.startswith(f"{shown.pid} ") and "'KEY': 'x'" in printed and "HOME" not in printed


@pytest.mark.parametrize("emulated", [False, True], ids=["plain", "emulated"])
def test_a_pulled_cable_is_silent_and_what_waited_arrives_when_it_is_back(emulated):
    with machines("a", "b", "c") as (a, b, c), connection(a, b) as (near, far), connection(c, b) as (other_near, other_far):
        if emulated:
            a.emulate()
        pass_on(near, far)
        a.link("down")
        near.sendall(b"out")
        far.sendall(b"back")
        assert hangs(a, b) and hangs(b, a)
        pass_on(other_near, other_far)
        assert silent(near) and silent(far)
        a.link("up")
        assert (far.recv(3), near.recv(4)) == (b"out", b"back")
        assert rtt_s(a, b) > 0


def test_a_pulled_cable_stays_silent_when_neighbours_would_have_been_asked_for_in_vain():
    with machines("a", "b") as (a, b):
        assert rtt_s(a, b) > 0
        a.link("down")
        assert hangs(a, b, for_s=4), "the kernel gives up asking for an unknown neighbour after three seconds"


def test_a_cut_between_two_leaves_every_other_path_alive():
    with (
        machines("master", "generator", "target") as (master, generator, target),
        connection(generator, master) as (near, far),
        connection(generator, target) as (load_near, load_far),
    ):
        pass_on(near, far)
        generator.cut(master)
        near.sendall(b"out")
        far.sendall(b"back")
        assert hangs(generator, master) and hangs(master, generator)
        pass_on(load_near, load_far)
        pass_on(load_far, load_near)
        assert rtt_s(master, target) > 0
        assert silent(near) and silent(far)
        master.heal(generator)
        assert (far.recv(3), near.recv(4)) == (b"out", b"back")
        with pytest.raises(NetworkError, match="rule del"):
            generator.heal(master)
        generator.cut(target)
        with pytest.raises(NetworkError, match="rule add"):
            target.cut(generator)


def test_a_delay_is_added_each_way_and_taken_back():
    with machines("a", "b", "c") as (a, b, c):
        a.emulate(delay_ms=150)
        assert min(rtt_s(a, b), rtt_s(b, a)) >= 0.3
        b.emulate(delay_ms=50)
        assert rtt_s(a, b) >= 0.4
        a.emulate()
        b.emulate()
        assert min(rtt_s(a, b) for _ in range(5)) < 0.4
        assert min(rtt_s(b, c) for _ in range(5)) < 0.3


def test_nothing_on_the_wires_speaks_unasked():
    with machines("a", "b") as (a, b):
        a.emulate()
        for place in (a, b, a._switch):
            own = subprocess.check_output(["ip", "-n", place.place, "-6", "-o", "address", "show", "scope", "link"])
            assert own == b"", "with an IPv6 address come announcements and questions, which would count as frames"


@contextmanager
def datagrams(one, other):
    """A socket of ``one`` that sends to the second, one of ``other`` with room for thousands."""
    with other.inside():
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with one.inside():
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with near, far:
        far.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        far.bind((other.address, 0))
        far.settimeout(DEADLINE_S)
        near.connect(far.getsockname())
        yield near, far


def test_loss_is_what_the_wire_says_it_lost():
    with machines("a", "b") as (a, b), datagrams(a, b) as (near, far):
        a.emulate(loss_percent=20)
        before = a.frames()
        for number in range(2000):
            near.send(b"%d" % number)
        until(lambda: a.frames().forwarded + a.frames().lost - before.forwarded - before.lost == 2000, "2000 frames")
        after = a.frames()
        arrived = [int(far.recv(100)) for _ in range(after.forwarded - before.forwarded)]
        assert silent(far)
        assert (after.unsent, after.waiting, after.overrun) == (0, 0, 0)
        assert len(arrived) + after.lost - before.lost == 2000
        assert 300 < after.lost - before.lost < 500, "20 % of 2000, and five deviations to either side"
        a.emulate(loss_percent=100)
        near.send(b"never")
        until(lambda: a.frames().lost == after.lost + 1, "the one that everything is lost of")
        assert silent(far)


def test_jitter_does_not_turn_the_order_round():
    with machines("a", "b") as (a, b), datagrams(a, b) as (near, far):
        a.emulate(delay_ms=20, jitter_ms=20)
        for number in range(200):
            near.send(b"%d" % number)
        assert [int(far.recv(100)) for _ in range(200)] == list(range(200))


def test_a_large_body_passes_an_emulated_wire_whole_in_frames_of_a_wire():
    body = os.urandom(1 << 20)
    with machines("a", "b") as (a, b):
        a.emulate()
        for one, other in ((a, b), (b, a)):
            with connection(one, other) as (near, far):
                sending = threading.Thread(target=lambda near=near: (near.sendall(body), near.shutdown(socket.SHUT_WR)))
                sending.start()
                seen = hashlib.sha256()
                while data := far.recv(65536):
                    seen.update(data)
                sending.join()
            assert seen.digest() == hashlib.sha256(body).digest()
        assert a.frames().forwarded > 2 * len(body) / 1500
        assert a.frames().longest == 1514


def test_an_emulator_that_ended_is_told():
    with machines("a") as (a,):
        with pytest.raises(NetworkError, match=r"wire of a: call emulate\(\) first"):
            a.frames()
        a.emulate(1)
        a._emulator.kill()
        a._emulator.wait()
        with pytest.raises(NetworkError, match="wire of a has ended with -9"):
            a.emulate(2)


@pytest.mark.parametrize("wire", [(-1, 0, 0), (1, 2, 0), (1, 0, 101), (float("nan"), 0, 0)])
def test_a_wire_that_cannot_be_is_refused(wire):
    with machines("a") as (a,), pytest.raises(ValueError, match=r"as in emulate\(50, 10, 2\)"):
        a.emulate(*wire)


@pytest.mark.parametrize("names", [("a", "a"), ("switch",), ("A",), ("thirteen-long",), ("1",)])
def test_names_that_cannot_be_are_refused(names):
    with pytest.raises(ValueError, match="cannot be names of machines"), machines(*names):
        pass


@contextmanager
def owner(tmp_path, *command):
    """Another process with two machines, one of their places, and the number of a process on it."""
    (tmp_path / "test_owner.py").write_text(OWNER)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    reading, writing = os.pipe()
    env = os.environ | {"TELL": str(writing), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, *command], cwd=tmp_path, env=env, pass_fds=[writing], stdout=-1, text=True) as process:
        try:
            os.close(writing)
            with os.fdopen(reading) as told:
                place, child = told.readline().split()
            yield process, place, int(child)
        finally:
            process.kill()


def test_an_interrupted_pytest_leaves_nothing(tmp_path):
    with owner(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", "test_owner.py") as (process, place, child):
        assert place in places() and not gone(child)
        process.send_signal(signal.SIGINT)
        printed = process.communicate()[0]
        assert "KeyboardInterrupt" in printed
        assert not {other for other in places() if other.startswith(f"coldburst-{process.pid}-")}
        assert gone(child)


def test_what_a_killed_run_left_is_removed_by_the_next_one_and_a_living_one_is_left_alone(tmp_path):
    call = ("-c", "import test_owner; test_owner.test_that_lasts()")
    with owner(tmp_path, *call) as (killed, left, child), owner(tmp_path, *call) as (_living, kept, other_child):
        killed.kill()
        killed.wait()
        assert {left, kept} <= places() and not gone(child)
        with machines("a"):
            assert left not in places() and gone(child)
            assert kept in places() and not gone(other_child)
        assert not {place for place in places() if place.startswith(f"coldburst-{killed.pid}-")}
    with machines("a"):
        assert kept not in places()


def test_where_namespaces_are_not_allowed_the_tests_are_skipped_and_say_why():
    if reason := lacking() or needs.lacking("setpriv"):
        pytest.skip(reason)
    unable = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"]
    command = [
        *unable,
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-m",
        "slow",
        "tests/house/test_machines.py::test_two_sets_of_machines_do_not_meet",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert re.search(r"there are no network namespaces with bridges here: .*not permitted", done.stdout, re.IGNORECASE)
