"""Faults of distributed runs. See ``tests.chaos``."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack

from tests.distributed.test_standstills import wall_clock
from tests.distributed.test_strangers import batches, frames, report, stranger
from tests.support.generators import Crew, distributed
from tests.support.locusts import PLAIN, ROOT, locust
from tests.support.transcribers import Transcriber, transcriber
from tests.support.trials import FAST, KEYED, LONG, RATE, SECRET, Trial, answered, fault


@contextmanager
def crew_of(*words: str, generators: int = 2, **env: str) -> Iterator[tuple[Transcriber, Crew]]:
    with transcriber(*FAST) as service, distributed("--host", service.url, *words, generators=generators, **KEYED, **env) as crew:
        answered(crew.master)
        yield service, crew


def generators_ended(trial: Trial, crew: Crew, *codes: int) -> None:
    found = [generator.wait() for generator in crew.generators]
    trial.expect(found == list(codes), f"the generators ended with {found}, not {list(codes)}")


@fault("SIGHUP to the master", number=signal.SIGHUP)
@fault("SIGTERM to the master", number=signal.SIGTERM)
def master_ended(trial, number):
    with crew_of(*LONG) as (service, crew):
        crew.master.interrupt(number)
        trial.ended(crew.master, [1])
        generators_ended(trial, crew, 0, 0)
        trial.reached(crew.master, service)


@fault("SIGQUIT to a generator", number=signal.SIGQUIT)
@fault("SIGTERM to a generator", number=signal.SIGTERM)
def generator_ended(trial, number):
    with crew_of("--schedule", f"steady 15s {RATE}/s", *PLAIN) as (service, crew):
        crew.generators[0].interrupt(number)
        trial.ended(crew.master, [0, 1])
        generators_ended(trial, crew, 0, 0)
        trial.reached(crew.master, service)


@fault("kill -9 of a generator, then merge")
def generator_killed(trial):
    with crew_of("--schedule", f"steady 15s {RATE}/s", *PLAIN) as (service, crew):
        crew.generators[0].interrupt(signal.SIGKILL)
        trial.ended(crew.master, [1], missing=True)
        (kept,) = crew.generators[0].runs.iterdir()
        command = [sys.executable, "-m", "analysis", "merge", str(crew.master.folder), str(kept)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        unknown = len(service.log()) - sum(row.sent_s is not None for row in crew.master.rows)
        trial.expect(unknown <= RATE, f"{unknown} requests have no row, more than were in flight")


@fault("kill -9 of the master, then merge")
def master_killed(trial):
    with crew_of(*LONG) as (service, crew):
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait()
        generators_ended(trial, crew, 3, 3)
        kept = [str(next(generator.runs.iterdir())) for generator in crew.generators]
        command = [sys.executable, "-m", "analysis", "merge", str(crew.master.folder), *kept]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
        trial.reached(crew.master, service)


@fault("a standstill of a generator for 15 s", whom=0, seconds=15)
@fault("a standstill of the master for 7 s", whom=None, seconds=7)
def party_stopped(trial, whom, seconds):
    with crew_of("--schedule", f"steady 25s {RATE}/s", *PLAIN) as (service, crew):
        party = crew.master if whom is None else crew.generators[whom]
        party.interrupt(signal.SIGSTOP)
        time.sleep(seconds)
        party.interrupt(signal.SIGCONT)
        trial.ended(crew.master, [0, 1])
        generators_ended(trial, crew, 0, 0)
        trial.reached(crew.master, service)


@fault("a generator's wall clock changes by an hour")
def generator_stepped(trial):
    with (
        tempfile.TemporaryDirectory() as place,
        wall_clock(Path(place)) as (env, step),
        crew_of("--schedule", f"steady 10s {RATE}/s", *PLAIN, **env) as (service, crew),
    ):
        step.touch()
        trial.ended(crew.master, [0])
        generators_ended(trial, crew, 0, 0)
        trial.reached(crew.master, service)


@fault("stray frames at the master's port")
def stray_frames(trial):
    with crew_of("--schedule", f"steady 12s {RATE}/s", *PLAIN) as (service, crew):
        with stranger(crew.port, "odd one") as dealer:
            for parts in frames("odd one"):
                dealer.send_multipart(parts)
        trial.ended(crew.master, [0])
        generators_ended(trial, crew, 0, 0)
        trial.reached(crew.master, service)


@fault("false rows at the master's port")
def false_rows(trial):
    with crew_of("--schedule", f"steady 12s {RATE}/s", *PLAIN) as (service, crew):
        with stranger(crew.port, "false one") as dealer:
            dealer.send(msgpack.dumps(["coldburst-beat", report(), "false one"]))
            for tables, counts in batches():
                rows = {"run": crew.master.folder.name, "number": 1, "tables": tables, "counts": counts}
                dealer.send(msgpack.dumps(["coldburst-rows", rows, "false one"]))
        trial.ended(crew.master, [0])
        generators_ended(trial, crew, 0, 0)
        trial.reached(crew.master, service)


@fault("a generator with another cluster key")
def wrong_key(trial):
    with crew_of("--schedule", f"steady 12s {RATE}/s", *PLAIN, COLDBURST_CLUSTER_KEY=SECRET) as (service, crew):
        crew.add(COLDBURST_CLUSTER_KEY="another", **KEYED)
        trial.ended(crew.master, [0])
        generators_ended(trial, crew, 0, 0, 2)
        trial.reached(crew.master, service)


@fault("a generator that joins late")
def late(trial):
    with crew_of("--schedule", f"steady 15s {RATE}/s", *PLAIN, generators=1) as (service, crew):
        crew.add(**KEYED)
        trial.ended(crew.master, [0])
        generators_ended(trial, crew, 0, 0)
        trial.reached(crew.master, service)


@fault("a master that is started again")
def restarted(trial):
    with crew_of(*LONG, generators=1) as (service, crew):
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait()
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(crew.port), "--expect-workers", "1")
        with locust(*bind, "--host", service.url, "--schedule", "burst 20", *PLAIN, file=crew.file, **KEYED) as second:
            generators_ended(trial, crew, 3)
            crew.add(**KEYED)
            trial.ended(second, [0])
