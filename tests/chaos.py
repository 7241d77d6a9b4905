"""Faults against whole runs, each checked for its exit code, its ledger, its rows, the endpoint's settings and leaked keys.

python -m tests.chaos                       every fault; prints a table
python -m tests.chaos "kill -9"             those whose name contains the text
python -m tests.chaos --write               every fault, and the figures go to docs/reliability.md
"""

import argparse
import base64
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgpack

from tests.distributed.test_network_cut import cable
from tests.distributed.test_standstills import wall_clock
from tests.distributed.test_strangers import batches, frames, report, stranger
from tests.support.attempt_rows import read
from tests.support.emulators import MODELLED, emulator
from tests.support.generators import Crew, distributed
from tests.support.locusts import PLAIN, ROOT, Locust, locust
from tests.support.transcribers import Transcriber, transcriber
from tests.support.web import WebUi

SECRET = "sesame-Chaos/7c1f+0e"
KEYED = {"TRANSCRIPTION_API_KEY": SECRET, "RUNPOD_API_KEY": SECRET}
FORMS = (SECRET, SECRET.replace("/", "\\/"), urllib.parse.quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode())
RATE = 20
FAST = ("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "100", "--queue", "1000")
STEADY = ("--schedule", f"steady 8s {RATE}/s", *PLAIN)
LONG = ("--schedule", f"steady 30s {RATE}/s", *PLAIN)
PAGE = ROOT / "docs" / "reliability.md"


@dataclass
class Trial:
    """What one fault led to."""

    lost: int = 0
    leaked: int = 0
    notes: list[str] = field(default_factory=list)

    def ended(self, run: Locust, codes: Sequence[int], missing: bool = False) -> None:
        """Checks a run that had time to end."""
        code = run.wait(120)
        self.expect(code in codes, f"exit code {code}, not {codes}")
        self.expect("Traceback" not in run.output, "a traceback")
        about, book = run.about, run.ledger
        self.expect(about["state"] == "ended", f"run.json says {about['state']}")
        self.expect(about["ledger"]["counts"] == dict(book.counts), f"run.json has {about['ledger']}, the rows {book}")
        self.expect(missing or book.missing == 0, f"the ledger does not balance: {book}")
        self.expect(len({(row.seq, row.attempt) for row in run.rows}) == len(run.rows), "rows that are there twice")
        self.lost += 0 if missing else max(book.missing, 0)
        self.keys(run)

    def keys(self, run: Locust) -> None:
        """Counts the forms of the key in everything that the run left."""
        content = b"".join(path.read_bytes() for path in run.runs.rglob("*") if path.is_file()) + run.output.encode()
        self.leaked += sum(form.encode() in content for form in FORMS)
        self.expect(not self.leaked, "the key is in the results")

    def reached(self, run: Locust, service: Transcriber) -> None:
        """Checks that each request that the service saw has a row."""
        rows = sum(row.sent_s is not None for row in run.rows)
        self.lost += max(len(service.log()) - rows, 0)
        self.expect(len(service.log()) <= rows, f"{len(service.log())} requests reached the service, {rows} have rows")

    def expect(self, held: object, otherwise: str) -> None:
        """Notes what did not hold."""
        if not held:
            self.notes.append(otherwise)


FAULTS: dict[str, Callable[[Trial], None]] = {}


def fault(name: str, **more: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a fault; ``more``: arguments of the function."""

    def add(run: Callable[..., None]) -> Callable[..., None]:
        FAULTS[name] = lambda trial: run(trial, **more)
        return run

    return add


def answered(run: Locust, number: int = RATE) -> None:
    """Waits until the run has so many rows."""
    run.until(lambda run: list(run.runs.glob("*/attempts.csv")) and len(run.rows) >= number, 90)


# --- The run itself


@fault("Ctrl-C during a run", numbers=[signal.SIGINT])
@fault("SIGTERM during a run", numbers=[signal.SIGTERM])
@fault("SIGHUP during a run", numbers=[signal.SIGHUP])
@fault("SIGQUIT during a run", numbers=[signal.SIGQUIT])
@fault("SIGHUP twice during a run", numbers=[signal.SIGHUP, signal.SIGHUP])
@fault("Ctrl-C twice during a run", numbers=[signal.SIGINT, signal.SIGINT])
def ended_by_signal(trial, numbers):
    with transcriber(*FAST) as service, locust("--host", service.url, *LONG, **KEYED) as run:
        answered(run)
        for number in numbers:
            run.interrupt(number)
            time.sleep(0.2)
        trial.ended(run, [1])
        trial.reached(run, service)
        trial.expect((run.folder / "report" / "index.html").is_file(), "no report")


@fault("SIGTERM to the web UI during a run", number=signal.SIGTERM)
@fault("SIGHUP to the web UI during a run", number=signal.SIGHUP)
def web_ui_ended(trial, number):
    with transcriber(*FAST) as service, WebUi("--host", service.url, *LONG, **KEYED) as ui:
        assert ui.post("/swarm", schedule=f"steady 30s {RATE}/s")["success"]
        answered(ui.locust)
        ui.locust.interrupt(number)
        trial.ended(ui.locust, [1])
        trial.reached(ui.locust, service)


@fault("kill -9 of a run")
def killed(trial):
    with transcriber(*FAST) as service, locust("--host", service.url, *LONG, **KEYED) as run:
        answered(run, 3 * RATE)
        seen = len(run.rows)
        run.interrupt(signal.SIGKILL)
        run.wait()
        rows = read(run.folder / "attempts.csv")
        trial.expect(len(rows) >= seen, f"{len(rows)} rows on disk, {seen} were there before")
        # Those in flight, and the rows of the last half second, which were not on the disk yet.
        trial.expect(len(service.log()) - len(rows) <= RATE, "more is missing than was in flight")
        trial.keys(run)


@fault("a standstill of the run for 5 s")
def stopped(trial):
    with transcriber(*FAST) as service, locust("--host", service.url, *STEADY, **KEYED) as run:
        answered(run)
        run.interrupt(signal.SIGSTOP)
        time.sleep(5)
        run.interrupt(signal.SIGCONT)
        trial.ended(run, [0])
        trial.reached(run, service)


@fault("the wall clock changes by an hour")
def stepped(trial):
    with (
        tempfile.TemporaryDirectory() as place,
        wall_clock(Path(place)) as (env, step),
        transcriber(*FAST) as service,
        locust("--host", service.url, *STEADY, **KEYED, **env) as run,
    ):
        answered(run)
        step.touch()
        trial.ended(run, [0])
        trial.reached(run, service)
        trial.expect(abs(run.about.get("wall_clock_step_s", 0) - 3600) < 1, "the step is not reported")


@fault("the reader of the output goes away")
def output_closed(trial):
    """As with ``locust … | head -1``."""
    with transcriber(*FAST) as service, locust("--host", service.url, *STEADY, before=("sh", "-c", '"$@" | head -1', "sh"), **KEYED) as run:
        answered(run)
        trial.ended(run, [0])
        trial.reached(run, service)


@fault("a full disk")
def full_disk(trial):
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], check=True)
        try:
            words = ("--schedule", "steady 30s 100/s", *PLAIN, "--runs", place)
            with transcriber(*FAST) as service, locust("--host", service.url, *words, **KEYED) as run:
                trial.expect(run.wait(90) == 1, f"exit code {run.process.returncode}, not 1")
                trial.expect("No space left on device" in run.output, "no sentence")
                (folder,) = Path(place).iterdir()
                about, rows = json.loads((folder / "run.json").read_text()), read(folder / "attempts.csv")
                trial.expect(about["ended_by"] == "a disk that cannot be written", f"ended by {about['ended_by']}")
                trial.expect(sum(about["ledger"]["counts"].values()) == len(rows) > 0, "rows and ledger differ")
        finally:
            subprocess.run(["umount", place], check=True)


@fault("the run's directory is removed")
def removed(trial):
    with transcriber(*FAST) as service, locust("--host", service.url, *STEADY, **KEYED) as run:
        answered(run)
        shutil.rmtree(run.folder)
        code = run.wait(90)
        trial.expect(code not in (0, None), f"exit code {code}")
        trial.expect("Traceback" not in run.output, "a traceback")


@fault("no file descriptors are left")
def descriptors(trial):
    words = ("--schedule", "steady 6s 30/s", *PLAIN, "--deadline", "3")
    slow = ("--engine", "fixed", "--service-time", "2", "--max-concurrent", "100", "--queue", "1000")
    before = ("sh", "-c", 'ulimit -n 60; exec "$@"', "sh")
    with transcriber(*slow) as service, locust("--host", service.url, *words, before=before, **KEYED) as run:
        code = run.wait(90)
        trial.expect("Traceback" not in run.output, "a traceback")
        # Refused at the start with a sentence, or measured with a balanced ledger.
        if code != 2:
            trial.ended(run, [1, 5])


# --- The service


@fault("kill -9 of the service", number=signal.SIGKILL)
@fault("a standstill of the service", number=signal.SIGSTOP)
def service_gone(trial, number):
    with transcriber(*FAST) as service, locust("--host", service.url, *STEADY, "--deadline", "3", **KEYED) as run:
        answered(run)
        service.process.send_signal(number)
        trial.ended(run, [1])
        if number == signal.SIGSTOP:
            service.process.kill()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the name of its server's ``way`` says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            getattr(self, self.server.way)()
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        """Says nothing."""

    def answer(self, body, status=200, length=None):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(100_000))

    def large(self):
        self.answer(b'{"text": "' + b"x" * 100_000_000 + b'"}')

    def drip(self):
        self.send_response(200)
        self.send_header("content-length", "1000000")
        self.end_headers()
        while True:
            self.wfile.write(b"x")
            time.sleep(0.05)

    def cut(self):
        self.answer(b'{"text": "ha', length=5000)
        self.close_connection = True

    def reset(self):
        self.close_connection = True

    def garbage(self):
        self.wfile.write(os.urandom(300))
        self.close_connection = True

    def html(self):
        self.answer(b"<html>502 Bad Gateway</html>", 502)

    def nan(self):
        self.answer(b'{"text": NaN}')

    def echo(self):
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        forms = {"raw": key, "percent": urllib.parse.quote(key, safe=""), "base64": base64.b64encode(key.encode()).decode()}
        self.answer(json.dumps({"error": forms}).replace("/", "\\/").encode(), 500)


@contextmanager
def odd_service(way: str) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.way, server.daemon_threads, server.handle_error = way, True, lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@fault("bodies without end", way="endless")
@fault("answers of 100 MB", way="large", rate=1)
@fault("answers byte by byte", way="drip")
@fault("answers that are cut off", way="cut")
@fault("connections closed without an answer", way="reset")
@fault("answers that are not HTTP", way="garbage")
@fault("error pages of a proxy", way="html")
@fault("answers that are not JSON", way="nan")
@fault("answers that contain the key", way="echo")
def odd_answers(trial, way, rate=4):
    schedule = ("--schedule", f"steady 5s {rate}/s", *PLAIN, "--deadline", "3", "--max-in-flight", "10")
    with odd_service(way) as url, locust("--host", url, *schedule, **KEYED) as run:
        trial.ended(run, [0, 1] if way == "large" else [1])
        late = [row for row in run.rows if row.done_s is not None and row.done_s - row.sent_s > 4.5]
        trial.expect(not late, f"{len(late)} requests outlasted their deadline of 3 s")


# --- The platform


@contextmanager
def on_platform(*words: str, workers: Sequence[str] = ()) -> Iterator[tuple]:
    with tempfile.TemporaryDirectory() as place:
        template = Path(place) / "input.json"
        template.write_text('{"input": {"seq": "{{seq}}"}}')
        with (
            emulator(*MODELLED, "--service-time", "0.3", "--workers-max", "3", *workers, RUNPOD_API_KEY=SECRET) as platform,
            locust("--host", f"{platform.url}/v2/demo", *words, "--input", str(template), **KEYED) as run,
        ):
            yield platform, run


@fault("kill -9 of the platform", number=signal.SIGKILL, codes=[1])
@fault("a standstill of the platform for 3 s", number=signal.SIGSTOP, codes=[0, 1])
def platform_gone(trial, number, codes):
    with on_platform("--schedule", "steady 8s 5/s", "--deadline", "6") as (platform, run):
        answered(run, 5)
        platform.process.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(3)
            platform.process.send_signal(signal.SIGCONT)
        trial.ended(run, codes)


@fault("the network to the platform is cut for 3 s")
def network_cut(trial):
    with tempfile.TemporaryDirectory() as place:
        template = Path(place) / "input.json"
        template.write_text('{"input": {"seq": "{{seq}}"}}')
        with emulator(*MODELLED, "--service-time", "0.3", "--workers-max", "3") as platform, cable(platform.url) as between:
            words = ("--schedule", "steady 8s 5/s", "--deadline", "15", "--input", str(template))
            with locust("--host", f"{between.url}/v2/demo", *words) as run:
                answered(run, 5)
                between.cut()
                time.sleep(3)
                between.mend()
                trial.ended(run, [0, 1])


@fault("Ctrl-C during a sweep", number=signal.SIGINT)
@fault("SIGHUP during a sweep", number=signal.SIGHUP)
@fault("kill -9 of a sweep, then restore", number=signal.SIGKILL)
def sweep_ended(trial, number):
    workers = ("--management-per-minute", "10000", "--idle-timeout", "60", "--service-time", "0.5")
    with tempfile.TemporaryDirectory() as place, emulator(*MODELLED, *workers) as platform:
        template = Path(place) / "input.json"
        template.write_text('{"input": {"seq": "{{seq}}"}}')
        before = platform.ask("/v2/serverless/demo").json()["workers"]
        load = ("--workers", "2,3", "--concurrency", "1", "--requests", "50", "--warm-up", "0", "--input", str(template))
        with locust("--host", f"{platform.url}/v2/demo", *load, file="locustfiles/scaling.py") as run:
            answered(run, 3)
            run.interrupt(number)
            if number == signal.SIGKILL:
                run.wait(10)
                command = [sys.executable, "-m", "coldburst", "restore", str(run.folder)]
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=30)
            else:
                trial.ended(run, [1])
        trial.expect(platform.ask("/v2/serverless/demo").json()["workers"] == before, "the settings are not restored")


# --- Distributed runs


@contextmanager
def crew_of(*words: str, generators: int = 2, **env: str) -> Iterator[tuple[Transcriber, Crew]]:
    with transcriber(*FAST) as service, distributed("--host", service.url, *words, generators=generators, **KEYED, **env) as crew:
        answered(crew.master)
        yield service, crew


def generators_ended(trial: Trial, crew: Crew, *codes: int) -> None:
    found = [generator.wait(60) for generator in crew.generators]
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
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
        unknown = len(service.log()) - sum(row.sent_s is not None for row in crew.master.rows)
        trial.expect(unknown <= RATE, f"{unknown} requests have no row, more than were in flight")


@fault("kill -9 of the master, then merge")
def master_killed(trial):
    with crew_of(*LONG) as (service, crew):
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait(10)
        generators_ended(trial, crew, 3, 3)
        kept = [str(next(generator.runs.iterdir())) for generator in crew.generators]
        command = [sys.executable, "-m", "analysis", "merge", str(crew.master.folder), *kept]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
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
        crew.master.wait(10)
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(crew.port), "--expect-workers", "1")
        with locust(*bind, "--host", service.url, "--schedule", "burst 20", *PLAIN, file=crew.file, **KEYED) as second:
            generators_ended(trial, crew, 3)
            crew.add(**KEYED)
            trial.ended(second, [0])


def tried(name: str) -> Trial:
    """The trial of one fault."""
    trial = Trial()
    try:
        FAULTS[name](trial)
    # Whatever it is: the other faults are to be tried, too.
    except Exception as error:
        traceback.print_exc()
        trial.notes.append(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200])
    return trial


def page(trials: dict[str, Trial], seconds: float) -> str:
    """docs/reliability.md."""
    survived = sum(not trial.notes for trial in trials.values())
    rows = [f"| {name} | {'survived' if not trial.notes else '; '.join(trial.notes)} |" for name, trial in trials.items()]
    return f"""# Reliability

`python -m tests.chaos` runs each of these faults against a whole run of its own. A fault is survived if

* the exit code is the documented one, and the output has no traceback,
* the ledger balances and agrees with the rows on disk, and no row is there twice,
* each request that reached the service has a row,
* the endpoint's settings are restored,
* no form of the API key (raw, JSON-escaped, percent-encoded, base64) is in the results or the output.

After kill -9 requests in flight are not counted as lost; all others are. CI runs a tenth of the faults.

Last run, `python -m tests.chaos --write` ({seconds / 60:.0f} minutes):

| faults tried | survived | requests lost | keys leaked |
|---|---|---|---|
| {len(trials)} | {survived} | {sum(trial.lost for trial in trials.values())} | {sum(trial.leaked for trial in trials.values())} |

| fault | result |
|---|---|
{chr(10).join(rows)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="TEXT", help="only faults whose name contains it")
    parser.add_argument("--write", action="store_true", help=f"write the figures to {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    names = [name for name in FAULTS if not options.names or any(text in name for text in options.names)]
    began_s, trials = time.monotonic(), {}
    for name in names:
        trials[name] = trial = tried(name)
        print(f"{'survived' if not trial.notes else 'FAILED  '}  {name}  {'; '.join(trial.notes)}", flush=True)
    if options.write:
        PAGE.write_text(page(trials, time.monotonic() - began_s), encoding="utf-8")
    return int(any(trial.notes for trial in trials.values()))


if __name__ == "__main__":
    sys.exit(main())
