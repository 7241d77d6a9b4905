"""Faults of a run in one process, of its service and of its platform. See ``tests.chaos``."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.distributed.test_network_cut import cable
from tests.distributed.test_standstills import wall_clock
from tests.support.attempt_rows import read
from tests.support.emulators import MODELLED, emulator
from tests.support.locusts import PLAIN, REPORTED, ROOT, locust
from tests.support.odd_service import odd_service
from tests.support.transcribers import transcriber
from tests.support.trials import FAST, KEYED, LONG, RATE, SECRET, STEADY, answered, fault
from tests.support.web import WebUi

# --- The run itself


@fault("Ctrl-C during a run", numbers=[signal.SIGINT])
@fault("SIGTERM during a run", numbers=[signal.SIGTERM])
@fault("SIGHUP during a run", numbers=[signal.SIGHUP])
@fault("SIGQUIT during a run", numbers=[signal.SIGQUIT])
@fault("SIGHUP twice during a run", numbers=[signal.SIGHUP, signal.SIGHUP])
@fault("Ctrl-C twice during a run", numbers=[signal.SIGINT, signal.SIGINT])
def ended_by_signal(trial, numbers):
    with transcriber(*FAST) as service, locust("--host", service.url, *LONG, **KEYED, **REPORTED) as run:
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
                trial.expect(run.wait() == 1, f"exit code {run.process.returncode}, not 1")
                trial.expect("No space left on device" in run.output, "no sentence")
                (folder,) = Path(place).iterdir()
                about, rows = json.loads((folder / "run.json").read_text()), read(folder / "attempts.csv")
                trial.expect(about["ended_by"] == "a disk that cannot be written", f"ended by {about['ended_by']}")
                trial.expect(sum(about["ledger"]["counts"].values()) == len(rows) > 0, "rows and ledger differ")
        finally:
            subprocess.run(["umount", place], check=True)


@fault("the run's directory is removed")
def removed(trial):
    with transcriber(*FAST) as service, locust("--host", service.url, *LONG, **KEYED) as run:
        answered(run)
        shutil.rmtree(run.folder)
        code = run.wait()
        trial.expect(code not in (0, None), f"exit code {code}")
        trial.expect("Traceback" not in run.output, "a traceback")


@fault("no file descriptors are left")
def descriptors(trial):
    words = ("--schedule", "steady 6s 30/s", *PLAIN, "--deadline", "3")
    slow = ("--engine", "fixed", "--service-time", "2", "--max-concurrent", "100", "--queue", "1000")
    before = ("sh", "-c", 'ulimit -n 60; exec "$@"', "sh")
    with transcriber(*slow) as service, locust("--host", service.url, *words, before=before, **KEYED) as run:
        code = run.wait()
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
        # How late a deadline strikes is the machine's; an answer without end would outlast any limit.
        late = [row for row in run.rows if row.done_s is not None and row.done_s - row.sent_s > 30]
        trial.expect(not late, f"{len(late)} requests outlasted their deadline of 3 s by far")


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
                run.wait()
                command = [sys.executable, "-m", "coldburst", "restore", str(run.folder)]
                subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
            else:
                trial.ended(run, [1])
        trial.expect(platform.ask("/v2/serverless/demo").json()["workers"] == before, "the settings are not restored")
