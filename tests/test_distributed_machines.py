"""Distributed runs across machines (network namespaces), with links that delay, lose, break and come back; the target counts for itself."""

import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest

from tests import counting
from tests.generators import across
from tests.locusts import PLAIN, ROOT
from tests.machines import machines
from tests.transcribers import until

RATE = 30
pytestmark = pytest.mark.slow


@contextmanager
def laboratory(tmp_path, schedule):
    """A master, three generators on machines of their own and a target: yields (crew, machines by name, what the target received)."""
    with machines("master", "g1", "g2", "g3", "target") as (master, one, two, three, target):
        log = tmp_path / "received"
        command = [
            sys.executable,
            "-m",
            "tests.counting",
            "--host",
            target.address,
            "--port",
            "8000",
            "--service-time",
            "0.02",
            "--log",
            str(log),
        ]
        service = target.popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert service.stdout.readline()
        words = ("--host", f"http://{target.address}:8000", "--schedule", schedule, "--deadline", "15", *PLAIN)
        with across(master, (one, two, three), *words) as crew:
            yield crew, (master, one, two, three), lambda: counting.read(log)


def per_second(rows):
    """Requests that were sent, by the second of the schedule in which they were due."""
    first_s = min(row.scheduled_s for row in rows)
    return Counter(int(row.scheduled_s - first_s + 1e-6) for row in rows if row.sent_s is not None)


def merged(crew, generators):
    """``python -m analysis merge`` of the directories of these generators."""
    parts = [str(folder) for generator in generators for folder in generator.runs.iterdir()]
    command = [sys.executable, "-m", "analysis", "merge", str(crew.master.folder), *parts]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)


def agree(crew, received):
    """Target and rows tell of the same requests; none is there twice."""
    rows = crew.master.rows
    assert len(rows) == len({row.seq for row in rows})
    run = crew.master.folder.name
    sent = {f"{run}-{row.seq}-1" for row in rows if row.sent_s is not None}
    assert {one.request_id for one in received()} <= sent
    assert {f"{run}-{row.seq}-1" for row in rows if row.outcome == "ok"} <= {one.request_id for one in received()}


@pytest.mark.parametrize("link", [(0, 0, 0), (50, 5, 2)], ids=["untroubled", "50 ms and 2 % loss"])
def test_target_rows_and_ledger_agree(tmp_path, link):
    with laboratory(tmp_path, f"steady 10s {RATE}/s poisson") as (crew, hosts, received):
        if any(link):
            for machine in hosts[1:]:
                machine.emulate(*link)
        assert crew.master.wait(120) == 0, crew.master.output
        assert str(crew.master.ledger) == f"{10 * RATE} planned = {10 * RATE} ok"
        assert len(received()) == 10 * RATE
        agree(crew, received)
        assert [generator.wait(30) for generator in crew.generators] == [0, 0, 0]


@pytest.mark.parametrize("what", ["the link", "the link to the master"])
def test_a_generator_that_is_cut_off_stops_and_its_rows_are_found(tmp_path, what):
    """It stops by itself, its share goes to the others, and its own file makes up what is missing."""
    with laboratory(tmp_path, f"steady 30s {RATE}/s") as (crew, (master, _, _, three), received):
        crew.master.until(lambda run: len(run.rows) >= 5 * RATE, 60)
        three.link("down") if what == "the link" else three.cut(master)
        crew.master.until(lambda run: "generator lost: " in run.output, 30)
        until(lambda: crew.generators[2].process.poll() is not None, "end of the generator that was cut off", 60)
        assert crew.generators[2].process.returncode == 3, crew.generators[2].output
        three.link("up") if what == "the link" else three.heal(master)
        assert crew.master.wait(120) == 1, crew.master.output
        assert "verdict: degraded" in crew.master.output or "verdict: invalid" in crew.master.output
        (lost,) = [event for event in crew.master.table("events.csv") if event["kind"] == "generator_lost"]
        rate = per_second(crew.master.rows)
        assert all(rate[second] == RATE for second in range(int(float(lost["at_s"])) + 6, 30))
        merged(crew, crew.generators[2:])
        agree(crew, received)
        if what != "the link":  # it went on sending until its lease was over, and all of that is on its disk
            assert sum(row.sent_s is not None for row in crew.master.rows) == len(received())


def test_a_link_that_is_down_for_a_moment_costs_nothing_but_time(tmp_path):
    """6 s: the generator is given up and taken back, and what it could not send is told as not sent."""
    with laboratory(tmp_path, f"steady 30s {RATE}/s") as (crew, (master, _, _, three), received):
        crew.master.until(lambda run: len(run.rows) >= 5 * RATE, 60)
        three.cut(master)
        crew.master.until(lambda run: "generator lost: " in run.output, 30)
        three.heal(master)
        crew.master.until(lambda run: "generator back: " in run.output, 30)
        assert crew.master.wait(120) in (0, 1), crew.master.output
        assert [generator.wait(30) for generator in crew.generators] == [0, 0, 0], crew.generators[2].output
        assert crew.master.ledger.balanced, str(crew.master.ledger)
        agree(crew, received)
        assert sum(row.sent_s is not None for row in crew.master.rows) == len(received())
        rate = per_second(crew.master.rows)
        assert [rate[second] for second in range(24, 30)] == [RATE] * 6
        assert {row.generator for row in crew.master.rows if row.scheduled_s > 27} == {"g1", "g2", "g3"}
