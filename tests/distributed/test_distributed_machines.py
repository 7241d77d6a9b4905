"""Distributed runs across machines (network namespaces), with links that delay, lose, break and come back; the target counts for itself.

What has to wait runs side by side: each scenario is a function of its own, all are begun with the first test that asks for one.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest

from coldburst.record.exit_codes import OF_VERDICT
from tests.support import counting
from tests.support.generators import across, dealt_s, per_second, settled
from tests.support.locusts import PLAIN, ROOT
from tests.support.machines import lacking, machines

RATE = 30
AT_ONCE = 5
STARTING = threading.Semaphore(1)
"""What starts takes all the machine's time: one laboratory after the other, so that none is late for its own beginning."""
SETTLED_S = 2.0
"""So long before a kill an answer that was given surely became a row."""
JUDGED = ("--exit-code-on-verdict", "yes", "--report", "yes")


@contextmanager
def laboratory(folder, schedule, *more, service_s=0.02, begin=3):
    """A master, generators on machines of their own (``begin`` of three are started) and a target.

    Yields (crew, machines in that order, what the target received).
    """
    with machines("master", "g1", "g2", "g3", "target") as (master, one, two, three, target):
        log = folder / "received"
        where = ("--host", target.address, "--port", "8000", "--service-time", str(service_s), "--log", str(log))
        service = target.popen([sys.executable, "-m", "tests.support.counting", *where], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert service.stdout.readline()
        words = ("--host", f"http://{target.address}:8000", "--schedule", schedule, *more, *PLAIN)
        with ExitStack() as stack:
            with STARTING:
                crew = stack.enter_context(across(master, (one, two, three)[:begin], *words))
                crew.master.until(lambda run: " generators: " in run.output)
            yield crew, (master, one, two, three), lambda: counting.read(log)


def sent(crew):
    """The rows of attempts that left."""
    return [row for row in crew.master.rows if row.sent_s is not None]


def events(crew, kind):
    """The rows of that kind in the master's events.csv."""
    return [event for event in crew.master.table("events.csv") if event["kind"] == kind]


def directory(generator):
    """The generator's own directory."""
    folders = list(generator.runs.iterdir())
    assert len(folders) == 1, generator.output
    (folder,) = folders
    return folder


def merged(crew, generators):
    """``python -m analysis merge`` of the directories of these generators; what it printed."""
    command = [sys.executable, "-m", "analysis", "merge", str(crew.master.folder), *(str(directory(generator)) for generator in generators)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=True).stdout


def ids(crew, rows):
    """The names under which the requests of these rows travelled."""
    run = crew.master.folder.name
    return {f"{run}-{row.seq}-1" for row in rows}


def agree(crew, received):
    """Target, rows and ledger tell of the same requests; none is there twice."""
    rows, book = crew.master.rows, crew.master.about["ledger"]
    assert len(rows) == len({row.seq for row in rows})
    assert book["counts"] == dict(Counter(row.outcome for row in rows))
    assert book["missing"] == book["planned"] - len(rows) == crew.master.ledger.missing
    arrived = {one.request_id for one in received()}
    assert len(arrived) == len(received())
    assert ids(crew, [row for row in rows if row.outcome == "ok"]) <= arrived <= ids(crew, sent(crew))


def agree_exactly(crew, hosts, received):
    """And every request that left has reached the target, from the machine of the generator that its row names."""
    agree(crew, received)
    names = {directory(generator).suffix[1:]: host.address for generator, host in zip(crew.generators, hosts[1:], strict=False)}
    assert Counter(names[row.generator] for row in sent(crew)) == Counter(one.peer for one in received())


def missing(crew):
    """The numbers of planned requests that no row tells of, each with the second at which it was due (steady arrivals from number 0 on)."""
    rows = {row.seq: row.scheduled_s for row in crew.master.rows}
    absent = {seq: rows[0] + seq / RATE for seq in range(crew.master.about["planned"]) if seq not in rows}
    assert len(absent) == crew.master.about["ledger"]["missing"]
    return absent


def gap(crew, victim):
    """From when to when that generator's share was perhaps not sent, in seconds from second 0, as events.csv has it."""
    name = directory(victim).suffix[1:]
    lost, dealt = ([event for event in events(crew, kind) if event["generator"] == name] for kind in ("generator_lost", "share_dealt"))
    assert len(lost) == len(dealt) == 1
    until_s = float(dealt[0]["at_s"])
    assert until_s - float(lost[0]["at_s"]) <= 5
    return until_s - float(dealt[0]["seconds"]), until_s


def doubted(crew):
    """The master ends, and says that its figures are not whole: in words and by its exit code."""
    code = crew.master.wait()
    (verdict,) = [line.removeprefix("verdict: ") for line in crew.master.output.splitlines() if line.startswith("verdict: ")]
    assert code == OF_VERDICT[verdict], crew.master.output
    assert "lost: " in crew.master.output


@pytest.mark.slow
def test_target_rows_and_ledger_agree(tmp_path):
    """A burst: what is due at once is sent whenever its generator has its turn."""
    with laboratory(tmp_path, f"burst {3 * RATE}", "--deadline", "60") as (crew, hosts, received):
        assert crew.master.wait() == 0, crew.master.output
        all_received(crew, hosts, received, 3 * RATE)


@pytest.mark.nightly
@pytest.mark.parametrize("link", [pytest.param((0, 0, 0), id="untroubled"), pytest.param((50, 5, 2), id="50 ms and 2 % loss")])
def test_target_rows_and_ledger_agree_at_a_steady_rate(tmp_path, link):
    with laboratory(tmp_path, f"steady 10s {RATE}/s poisson", "--deadline", "15") as (crew, hosts, received):
        if any(link):
            for machine in hosts[1:]:
                machine.emulate(*link)
        assert crew.master.wait() == 0, crew.master.output
        all_received(crew, hosts, received, 10 * RATE)
        assert not events(crew, "generator_lost") + events(crew, "share_dealt")


def all_received(crew, hosts, received, planned):
    """Every planned request has reached the target, once, and is ok."""
    assert str(crew.master.ledger) == f"{planned} planned = {planned} ok"
    assert len(received()) == planned
    agree_exactly(crew, hosts, received)
    assert [generator.wait() for generator in crew.generators] == [0, 0, 0]


def a_control_link_that_is_cut_for_85_s(folder):
    """Longer than the 60 s after which Locust gives up. The load's own link is whole: all that the generator sent is on its disk."""
    with laboratory(folder, f"steady 95s {RATE}/s", *JUDGED) as (crew, hosts, received):
        master, _, _, three = hosts
        crew.master.until(lambda run: len(run.rows) >= 3 * RATE)
        three.cut(master)
        cut, healed = time.time(), time.monotonic() + 85
        crew.master.until(lambda run: "share dealt: " in run.output)
        assert crew.generators[2].wait() == 3, crew.generators[2].output
        assert json.loads((directory(crew.generators[2]) / "run.json").read_text())["ended_by"] == "a master that fell silent"
        time.sleep(max(healed - time.monotonic(), 0))
        three.heal(master)
        doubted(crew)
        last = max(one.received for one in received() if one.peer == three.address)
        assert cut < last < cut + 10
        merged(crew, crew.generators[2:])
        agree_exactly(crew, hosts, received)
        assert len(sent(crew)) == len(received())
        from_s, until_s = gap(crew, crew.generators[2])
        absent = missing(crew)
        assert len({later - seq for seq, later in pairwise(absent)}) == 1  # its share and nothing else, without a hole
        assert from_s < min(absent.values()) <= max(absent.values()) < until_s <= max(absent.values()) + 3 / RATE
        rate = per_second(crew.master.rows)
        assert {rate[second] for second in range(int(until_s) + 1, 95)} == {RATE}


def a_master_that_is_killed(folder):
    """Every generator stops by itself, with its answers; their files make up the whole run."""
    with laboratory(folder, f"steady 60s {RATE}/s", service_s=0.5) as (crew, hosts, received):
        crew.master.until(lambda run: len(run.rows) >= 3 * RATE)
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait()
        killed = time.time()
        assert [generator.wait() for generator in crew.generators] == [3, 3, 3], crew.generators[0].output
        assert killed < max(one.received for one in received()) < killed + 10
        assert "no recorded end" in merged(crew, crew.generators)
        agree_exactly(crew, hosts, received)
        assert len(sent(crew)) == len(received())
        assert {row.outcome for row in crew.master.rows} == {"ok"}
        assert len(missing(crew)) == 60 * RATE - len(received())


def a_master_that_is_killed_while_the_run_drains(folder):
    """The answers take longer than the 60 s after which Locust gives up; they are waited for all the same."""
    with laboratory(folder, f"burst {RATE}", "--drain-timeout", "120", service_s=68) as (crew, hosts, received):
        crew.master.until(lambda _: len(received()) == RATE)
        crew.master.interrupt()
        for generator in crew.generators:
            generator.until(lambda run: "The master ends the run (Ctrl-C)" in run.output)
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait()
        assert [generator.wait() for generator in crew.generators] == [3, 3, 3], crew.generators[0].output
        merged(crew, crew.generators)
        agree_exactly(crew, hosts, received)
        assert str(crew.master.ledger) == f"{RATE} planned = {RATE} ok"


def a_generator_that_is_killed(folder):
    """What it had in flight reached the target and has no row: that is all that the two differ by."""
    with laboratory(folder, f"steady 20s {RATE}/s", *JUDGED, service_s=1.0) as (crew, hosts, received):
        crew.master.until(lambda run: len(run.rows) >= 3 * RATE)
        victim, address = crew.generators[2], hosts[3].address
        victim.interrupt(signal.SIGKILL)
        victim.wait()
        killed = time.time()
        doubted(crew)
        merged(crew, [victim])
        rows, arrived = ids(crew, sent(crew)), {one.request_id: one for one in received()}
        assert rows <= set(arrived)
        untold = {name: arrived[name] for name in set(arrived) - rows}
        flying = {one.request_id for one in received() if one.peer == address and (one.answered is None or one.answered > killed)}
        assert flying
        assert flying <= set(untold)
        assert {one.peer for one in untold.values()} == {address}
        assert all(one.answered is None or one.answered > killed - SETTLED_S for one in untold.values())
        assert len(received()) - len(sent(crew)) == len(untold)
        absent, (from_s, until_s) = missing(crew), gap(crew, victim)
        assert {int(name.split("-")[-2]) for name in untold} <= set(absent)
        assert len({seq % 3 for seq in absent}) == 1
        assert from_s - 1.0 - SETTLED_S < min(absent.values()) <= max(absent.values()) < until_s
        assert crew.master.about["ledger"]["counts"] == {"ok": 20 * RATE - len(absent)}
        rate = per_second(crew.master.rows)
        assert {rate[second] for second in range(int(until_s) + 1, 20)} == {RATE}


def a_generator_that_joins(folder):
    """It takes its share from then on, and nobody notices at the target."""
    with laboratory(folder, f"steady 40s {RATE}/s", begin=2) as (crew, hosts, received):
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.add(hosts[3])
        crew.master.until(lambda run: "generator joined: " in run.output)
        assert crew.master.wait() == 0, crew.master.output
        assert str(crew.master.ledger) == f"{40 * RATE} planned = {40 * RATE} ok"
        agree_exactly(crew, hosts, received)
        (joined,) = events(crew, "generator_joined")
        assert joined["generator"] == "g3"
        assert {row.generator for row in crew.master.rows if row.scheduled_s > 38} == {"g1", "g2", "g3"}
        assert {count for second, count in per_second(crew.master.rows).items() if second < 40} == {RATE}


def a_link_that_breaks(folder):
    """It stops by itself, its share goes to the others, and its own file makes up what is missing."""
    with laboratory(folder, f"steady 30s {RATE}/s", "--deadline", "15", *JUDGED) as (crew, (_, _, _, three), received):
        crew.master.until(lambda run: len(run.rows) >= 5 * RATE)
        three.link("down")
        broken = time.monotonic()
        crew.master.until(lambda run: "generator lost: " in run.output)
        assert crew.generators[2].wait() == 3, crew.generators[2].output
        time.sleep(max(broken + 20 - time.monotonic(), 0))
        three.link("up")
        doubted(crew)
        rate = per_second(crew.master.rows)
        assert {rate[second] for second in range(int(gap(crew, crew.generators[2])[1]) + 1, 30)} == {RATE}
        merged(crew, crew.generators[2:])
        agree(crew, received)


def a_control_link_that_is_cut_for_20_s(folder):
    """As for 85 s, but the run is over when it heals."""
    with laboratory(folder, f"steady 30s {RATE}/s", "--deadline", "15", *JUDGED) as (crew, hosts, received):
        crew.master.until(lambda run: len(run.rows) >= 5 * RATE)
        hosts[3].cut(hosts[0])
        healed = time.monotonic() + 20
        crew.master.until(lambda run: "generator lost: " in run.output)
        assert crew.generators[2].wait() == 3, crew.generators[2].output
        time.sleep(max(healed - time.monotonic(), 0))
        hosts[3].heal(hosts[0])
        doubted(crew)
        merged(crew, crew.generators[2:])
        agree_exactly(crew, hosts, received)
        assert len(sent(crew)) == len(received())


def a_control_link_that_is_cut_for_a_moment(folder):
    """6 s: the generator is given up and taken back, and what it could not send is told as not sent."""
    with laboratory(folder, f"steady 300s {RATE}/s", "--deadline", "15") as (crew, hosts, received):
        crew.master.until(lambda run: len(run.rows) >= 5 * RATE)
        hosts[3].cut(hosts[0])
        crew.master.until(lambda run: "generator lost: " in run.output)
        hosts[3].heal(hosts[0])
        crew.master.until(lambda run: "generator back: " in run.output)
        crew.master.until(lambda run: len(settled(run.rows, dealt_s(run))) >= 3)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0, 0], crew.generators[2].output
        assert crew.master.ledger.balanced, str(crew.master.ledger)
        agree_exactly(crew, hosts, received)
        dealt = dealt_s(crew.master)
        assert set(settled(crew.master.rows, dealt)) == {RATE}
        assert {row.generator for row in sent(crew) if row.scheduled_s > dealt + 2} == {"g1", "g2", "g3"}


def a_master_that_is_cut_off_for_a_moment(folder):
    """All generators are silent at once, and come back: the run goes on."""
    with laboratory(folder, f"steady 30s {RATE}/s", "--deadline", "15") as (crew, hosts, received):
        crew.master.until(lambda run: len(run.rows) >= 3 * RATE)
        hosts[0].link("down")
        crew.master.until(lambda run: run.output.count("generator lost: ") == 3)
        hosts[0].link("up")
        crew.master.until(lambda run: run.output.count("generator back: ") == 3)
        assert crew.master.wait() in (0, 1), crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0, 0], crew.generators[0].output
        assert crew.master.ledger.balanced, str(crew.master.ledger)
        agree_exactly(crew, hosts, received)
        assert len(sent(crew)) == len(received())
        rate = per_second(crew.master.rows)
        assert [rate[second] for second in range(24, 30)] == [RATE] * 6


def an_endpoint_that_only_the_master_reaches(_folder):
    """The embedded one: refused before the first request, in one sentence."""
    with machines("master", "g1") as (master, one), across(master, [one], "--target", "transcription", "--schedule", "burst 4") as crew:
        assert crew.master.wait() == 2, crew.master.output
        (sentence,) = [line for line in crew.master.output.splitlines() if "as in --host http" in line]
        assert "generator g1" in sentence
        assert "Traceback" not in crew.master.output
        assert list(crew.master.runs.iterdir()) == []


SCENARIOS = (
    a_control_link_that_is_cut_for_85_s,
    a_master_that_is_killed_while_the_run_drains,
    a_link_that_breaks,
    a_control_link_that_is_cut_for_20_s,
    a_control_link_that_is_cut_for_a_moment,
    a_master_that_is_cut_off_for_a_moment,
    a_master_that_is_killed,
    a_generator_that_is_killed,
    a_generator_that_joins,
    an_endpoint_that_only_the_master_reaches,
)
"""Those that take longest come first."""
QUICK = (an_endpoint_that_only_the_master_reaches,)


def in_ci(scenario):
    """The scenario as a parameter; all but a few are nightly."""
    return pytest.param(scenario, id=scenario.__name__, marks=() if scenario in QUICK else pytest.mark.nightly)


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """What becomes of each scenario that is asked for, by its function."""
    lacking()  # found out once, before many ask; each of them skips where there can be no machines
    own = (item for item in request.session.items if getattr(item, "module", None) is request.module)
    asked = [item.callspec.params["scenario"] for item in own if "outcomes" in getattr(item, "fixturenames", ())]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {one: pool.submit(one, tmp_path_factory.mktemp(one.__name__[:20])) for one in SCENARIOS if one in asked}
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [in_ci(scenario) for scenario in SCENARIOS])
def test_what_happens_is_made_good_or_told(scenario, outcomes):
    outcomes[scenario].result()


@pytest.mark.nightly
def test_a_soak_of_two_minutes_loses_nothing_and_drifts_nowhere():
    """On this machine alone, with the machine for itself."""
    command = [sys.executable, "-m", "bench.soak", "--minutes", "2", "--rate", "50", "--drift", "50"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6000 planned, 6000 rows, 6000 received" in done.stdout
