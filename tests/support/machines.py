"""Machines for a test: network namespaces joined by a bridge in a namespace of its own; nothing is added outside them.

    with machines("master", "g1", "target") as (master, g1, target):
        service = target.popen([sys.executable, "-m", "tests.support.counting", "--host", target.address, ...], stdout=PIPE)
        with master.inside():
            ...  # sockets opened and processes started here are the master's: other tools of the tests work unchanged
        g1.emulate(delay_ms=50, loss_percent=2)
        g1.cut(master)

They share files, clocks and process numbers with everything else; only the network is their own. Names of machines are not
looked up anywhere: use ``machine.address``. Needs root and iproute2 (for ``ip``), and no other package.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.support import needs
from tests.support.linkemu import Frames, whole_frames
from tests.support.locusts import ROOT
from tests.support.transcribers import until

PLACES = Path("/run/netns")
SWITCH = "switch"
NAME = re.compile("[a-z][a-z0-9]{0,11}")
"""An interface is called after its machine, and may have 15 characters."""
OURS = re.compile(r"coldburst-(?P<pid>\d+)-(?P<begun>\d+)-")
END_S = 10.0
CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
_numbers = itertools.count(1)


class NetworkError(RuntimeError):
    """``ip`` refused, or the emulator of a wire ended; the message says which and why."""


class Place:
    """A network namespace by its name, and what was started in it."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._started: list[subprocess.Popen[Any]] = []

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread does meanwhile happens here; the sockets, processes and threads of that time stay here."""
        with _opened("/proc/thread-self/ns/net") as before, _opened(PLACES / self.place) as here:
            _enter(here)
            try:
                yield
            finally:
                _enter(before)

    def popen(self, command: Sequence[str | Path], **how: Any) -> subprocess.Popen[Any]:
        """``subprocess.Popen(command, **how)`` here, from the repository's root; its pid is the command's own. Killed with the place."""
        with self.inside():
            process = subprocess.Popen(command, **({"cwd": ROOT} | how))
        self._started.append(process)
        return process

    def end(self) -> None:
        """Kills what is here, whoever started it, and removes the namespace."""
        with ExitStack() as stack:
            stack.callback(_remove, self.place)
            for process in self._started:
                stack.callback(_end, process)


class Machine(Place):
    """A machine: its ``name``, its ``address``, and its wire to the switch."""

    def __init__(self, name: str, number: int, prefix: str, switch: Place) -> None:
        super().__init__(prefix + name)
        self.name, self.address, self.hardware = name, f"10.77.0.{number}", f"02:00:0a:4d:00:{number:02x}"
        self._switch, self._port = switch, f"p-{name}"
        self._emulator: subprocess.Popen[str] | None = None

    def link(self, state: Literal["down", "up"]) -> None:
        """Pulls the cable out at the switch, or puts it back. This machine sees no carrier; what it sends vanishes, without an error."""
        _ip(f"link set {self._port} {state}", place=self._switch)
        _until_forwarding(self._switch)

    def cut(self, other: Machine) -> None:
        """Nothing passes between these two any more, and neither is told; all else goes on.

        Each of the two discards what comes from the other. A blackhole route would be wrong here: it discards what leaves, and the
        sender's calls then fail at once, as they would not on a network that has come apart.

        Raises:
            NetworkError: these two are cut already.
        """
        self._between(other, "add")

    def heal(self, other: Machine) -> None:
        """Takes ``cut(other)`` back, from either side.

        Raises:
            NetworkError: these two are not cut.
        """
        self._between(other, "del")

    def _between(self, other: Machine, verb: str) -> None:
        for here, there in ((self, other), (other, self)):
            _ip(f"rule {verb} pref 1 from {there.address} iif eth0 blackhole", place=here)

    def emulate(self, delay_ms: float = 0, jitter_ms: float = 0, loss_percent: float = 0) -> None:
        """Delays every frame of this wire, either way, by ``delay_ms`` ± ``jitter_ms``, and loses a share of them, from now on.

        The first call puts an emulator into the wire, where it stays; ``emulate()`` is back to a wire that only costs its turns.

        Raises:
            ValueError: a value that no wire can have.
        """
        if not 0 <= jitter_ms <= delay_ms or not 0 <= loss_percent <= 100:
            raise ValueError(
                f"no wire has {delay_ms:g} ± {jitter_ms:g} ms and {loss_percent:g} %: jitter is from 0 to the delay, loss from 0 to 100, "
                "as in emulate(50, 10, 2)"
            )
        if self._emulator is None:
            self._splice()
        self._ask(f"{delay_ms} {jitter_ms} {loss_percent}")

    def frames(self) -> Frames:
        """What became of the frames on this wire since emulate() was first called, both ways together.

        Some of the very moment of that call may be told as unsent or overrun: they went the old way.

        Raises:
            NetworkError: emulate() was not called yet, or its emulator has ended.
        """
        return self._ask("")

    def _ask(self, line: str) -> Frames:
        if (emulator := self._emulator) is None:
            raise NetworkError(f"nothing counts the frames on the wire of {self.name}: call emulate() first")
        assert emulator.stdin is not None and emulator.stdout is not None
        with suppress(BrokenPipeError):
            print(line, file=emulator.stdin, flush=True)
        if not (answer := emulator.stdout.readline()):
            raise NetworkError(f"the emulator in the wire of {self.name} has ended with {emulator.wait(END_S)}")
        return Frames(**json.loads(answer))

    def _splice(self) -> None:
        """Puts an emulator between this machine's port and the bridge."""
        inner, outer = f"i-{self.name}", f"o-{self.name}"
        _ip(
            f"link add {inner} type veth peer name {outer}",
            *(f"link set {end} addrgenmode none" for end in (inner, outer)),
            f"link set {inner} up",
            f"link set {outer} master br0",
            place=self._switch,
        )
        for place, interface in ((self, "eth0"), (self._switch, outer)):
            with place.inside():
                whole_frames(interface)
        command = [sys.executable, "-m", "tests.support.linkemu", self._port, inner]
        self._emulator = self._switch.popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.frames()  # answered: it listens
        _ip(f"link set {self._port} nomaster", f"link set {outer} up", place=self._switch)  # never both: that would be a loop
        _until_forwarding(self._switch)


@contextmanager
def machines(*names: str) -> Iterator[list[Machine]]:
    """Machines that reach each other, in the order of ``names``; gone at the end with all that runs on them. Skips where there can be none.

    What an earlier run left behind because it was killed is removed first.
    """
    if reason := lacking():
        pytest.skip(reason)
    if len({*names, SWITCH}) <= len(names) or not all(NAME.fullmatch(name) for name in names):
        raise ValueError(f"{names} cannot be names of machines: use different ones of at most 12 letters and digits, as in 'master', 'g1'")
    _remove_leftovers()
    prefix = f"{_own_prefix()}{next(_numbers)}-"
    switch = Place(prefix + SWITCH)
    lab = [Machine(name, number, prefix, switch) for number, name in enumerate(names, start=11)]
    with ExitStack() as stack:
        for place in (switch, *lab):
            stack.callback(place.end)
        _join(switch, lab)
        yield lab


@functools.cache
def lacking() -> str:
    """Why there can be no machines here, "" where there can."""
    if os.geteuid() != 0:
        return "machines are network namespaces, and these need root"
    if reason := needs.lacking("ip"):
        return reason
    place = Place(f"{_own_prefix()}0-probe")
    with ExitStack() as stack:
        stack.callback(place.end)
        try:
            _ip(f"netns add {place.place}")
            _ip("link add br0 type bridge", "link add p type veth peer name eth0", "rule add pref 1 from 10.77.0.1 blackhole", place=place)
            with place.inside():
                pass
        except (NetworkError, OSError) as error:
            return f"there are no network namespaces with bridges here: {error}"
    return ""


def _remove_leftovers() -> None:
    """Removes the machines of processes that are gone, and what still runs on them."""
    for place in _existing():
        owner = OURS.match(place)
        if owner and _begun(int(owner["pid"])) != owner["begun"]:
            _remove(place)


def _join(switch: Place, lab: Sequence[Machine]) -> None:
    _ip(*(f"netns add {place.place}" for place in (switch, *lab)))
    _ip("link add br0 type bridge forward_delay 0 mcast_snooping 0", "link set br0 addrgenmode none", "link set br0 up", place=switch)
    ports = [
        (
            f"link add p-{at.name} type veth peer name eth0 address {at.hardware} netns {at.place}",
            f"link set p-{at.name} addrgenmode none",
            f"link set p-{at.name} master br0 up",
        )
        for at in lab
    ]
    _ip(*itertools.chain(*ports), place=switch)
    for at in lab:
        _ip(*_own_network(at, [other for other in lab if other is not at]), place=at)
    _until_forwarding(switch)


def _own_network(at: Machine, others: Sequence[Machine]) -> Iterator[str]:
    """One address, no IPv6 chatter; the neighbours are known, so that a dead wire is silent for good, as beyond a router."""
    yield from ("link set lo up", "link set eth0 addrgenmode none", f"addr add {at.address}/24 dev eth0", "link set eth0 up")
    for other in others:
        yield f"neigh add {other.address} lladdr {other.hardware} nud permanent dev eth0"
    yield from ("rule add pref 100 lookup local", "rule del pref 0")  # makes room before it for what cut() discards


def _until_forwarding(switch: Place) -> None:
    """Waits until everything that is plugged in at the switch carries frames."""

    def forwarding() -> bool:
        links = json.loads(_ip("-d", "-j", "link", "show", "up", place=switch, batch=False))
        links = [link for link in links if link]  # ip prints {} for each that is down
        states = [link.get("linkinfo", {}).get("info_slave_data", {}).get("state", "forwarding") for link in links]
        return all(state == "forwarding" for state in states) and all("LOWER_UP" in link["flags"] for link in links)

    until(forwarding, "switch that forwards")


def _ip(*words: str, place: Place | None = None, batch: bool = True) -> str:
    """What ``ip`` prints for each of its command lines (or, without ``batch``, for one given word by word)."""
    where = ["-n", place.place] if place else []
    command = ["ip", *where, *(("-batch", "-") if batch else words)]
    done = subprocess.run(command, input="\n".join(words) if batch else "", capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}: {' '.join(done.stderr.split())} ({'; '.join(words)})")
    return done.stdout


@contextmanager
def _opened(path: str | Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield number
    finally:
        os.close(number)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns: {os.strerror(ctypes.get_errno())}")


def _end(process: subprocess.Popen[Any]) -> None:
    with suppress(BrokenPipeError), process:  # closes its pipes, also one with words in it that nobody reads any more
        process.kill()


def _remove(place: str) -> None:
    """Kills what runs in a namespace and removes it; nothing happens where it is gone already."""
    with suppress(FileNotFoundError):
        here = (PLACES / place).stat()
        while pids := [pid for pid in _pids() if _runs_in(pid, here)]:
            for pid in pids:
                _kill(pid, here)
    try:
        _ip(f"netns del {place}")
    except NetworkError:
        if place in _existing():
            raise


def _kill(pid: int, here: os.stat_result) -> None:
    with suppress(ProcessLookupError):
        number = os.pidfd_open(pid)
        try:
            if _runs_in(pid, here):  # still the same process, now that its number cannot be given to another
                signal.pidfd_send_signal(number, signal.SIGKILL)
                ended = select.poll()
                ended.register(number, select.POLLIN)
                assert ended.poll(END_S * 1000), f"process {pid} has not ended within {END_S} s of SIGKILL"
        finally:
            os.close(number)


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != os.getpid()]


def _runs_in(pid: int, here: os.stat_result) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        return os.path.samestat(Path(f"/proc/{pid}/ns/net").stat(), here)
    return False


def _existing() -> list[str]:
    return [entry.name for entry in PLACES.iterdir()] if PLACES.is_dir() else []


def _own_prefix() -> str:
    return f"coldburst-{os.getpid()}-{_begun(os.getpid())}-"


def _begun(pid: int) -> str:
    """When a living process began, in clock ticks from the machine's start; "" where there is none. Numbers are used again: this tells."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return fields[19] if fields[0] not in "ZX" else ""
    return ""
