"""``coldburst plan calibrate HOST``: about ten requests from which ``coldburst plan`` predicts, sent by Locust as any run."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coldburst.doctor.command import PASSED_ON, add_options, given_options
from coldburst.doctor.diagnosis import Diagnosis, diagnose
from coldburst.installation import beside, program
from coldburst.load.run_options import DEFAULT_RUNS
from coldburst.planner import calibration
from coldburst.planner.calibration import Calibration
from coldburst.planner.estimate import Estimate, estimate, known_from
from coldburst.planner.model.fit import FitError, fit
from coldburst.planner.model.scenario import Client
from coldburst.record import run_json
from coldburst.record.exit_codes import DEGRADED, ERRORS, GOOD, INVALID, NOTHING_SENT
from coldburst.schedule.stages import text
from coldburst.service.process import CommandParser, number, whole
from coldburst.signals import ending_signals
from coldburst.targets.survey import Survey, survey
from coldburst.targets.worker_spans import WorkerSpans

PROGRAM = "python -m coldburst plan calibrate"
FILE = "calibrate.py"
# Between two looks at the workers that are to stop; REST v2 allows 60 calls a minute, and a look takes three.
LOOK_S = 5.0
# Workers may take so long to stop after the idle time-out.
STOP_S = 60.0
COUNTED = ("initializing", "running", "idle", "ready")


def main(words: Sequence[str] | None = None) -> int:
    """Sends the requests, and says what they showed.

    Exit code 0: plans can use the run, and all was ok; 5: they cannot; 2: nothing was sent, one sentence says why; else the run's.
    """
    asked = _parser().parse_args(words)
    given = given_options(asked)
    try:
        of = diagnose(given | {"host": asked.host}, asked.runs)
        load = _load(of, asked.at_a_time)
    except (ValueError, OSError) as error:
        said = str(error).replace("--host '", "'")
        print(f"{program(PROGRAM)}: {said}", file=sys.stderr)
        return NOTHING_SENT
    ahead = _estimate(of, load)
    print("\n".join(_before(of, load, ahead)), flush=True)
    if of.paid and not (asked.yes or asked.max_spend):
        print("Nothing was sent, as it costs money: add --yes to send it, or --max-spend 2.00, which limits the cost", flush=True)
        return NOTHING_SENT
    try:
        await_no_worker(of, load)
    except KeyboardInterrupt:
        print(f"{program(PROGRAM)}: interrupted; nothing was sent", file=sys.stderr)
        return NOTHING_SENT
    code, folder = _run(_command(asked, load), of.plan.runs, of.plan.host)
    return _after(of, load, folder, code, asked.json) if folder else code or ERRORS


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=program(PROGRAM),
        description=(
            "Sends about ten requests, from which coldburst plan predicts (--from RUN): a cold one, some alone, some together. "
            "The schedule follows the endpoint's settings, which are not changed. "
            "On an endpoint that costs money it needs --yes or --max-spend."
        ),
        allow_abbrev=False,
    )
    option = parser.add_argument
    add_options(option)
    option(
        "--at-a-time",
        type=whole(1, 1000),
        metavar="N",
        help=f"most requests at a time to try (default: the scaler's value where it counts requests, else {calibration.USUAL})",
    )
    option("--yes", action="store_true", help="send the requests also where they cost money: RunPod's own endpoints, and with --price")
    option("--max-spend", type=number(0.0001), metavar="USD", help="end the run when its workers have cost this much, such as 2.00")
    option("--runs", default=DEFAULT_RUNS, metavar="DIR", help=f"directory for the run (default: {DEFAULT_RUNS})")
    option("--json", type=Path, metavar="FILE", help="write the answer as JSON too")
    return parser


def _load(of: Diagnosis, at_a_time: int | None) -> Calibration:
    settings = of.found.settings
    if settings.get("workers_max") == 0:
        raise ValueError("the endpoint has a maximum of 0 workers, which serve no request: raise it in the console")
    if of.address.management and not settings:
        why = of.found.trouble.get("settings", "an answer without settings")
        raise ValueError(f"the endpoint's settings could not be read ({why}), and plans need them: use a key that may read REST v2")
    return calibration.calibration(settings, at_a_time)


def _estimate(of: Diagnosis, load: Calibration) -> Estimate:
    """What it would take and cost. A service without settings is taken for one worker that is always on."""
    one = {"type": calibration.BALANCED, "workers_min": 1, "workers_max": 1, "scaler_value": load.at_a_time}
    usd_per_s = of.price.usd_per_s if of.price else 0.0
    return estimate(load.stages, load.settings or one, usd_per_s, client=Client(), known=known_from(of.plan.runs, of.plan.host))


def _before(of: Diagnosis, load: Calibration, ahead: Estimate) -> Iterator[str]:
    yield f"Endpoint  {of.address.url}: {of.kind}"
    yield f"Sends     {_requests(load)}"
    yield f"Estimate  {ahead.text}"
    if of.paid and not of.price:
        yield "Price     unknown: give it with --price, as in --price 4090 or --price 0.00031 (USD per second)"


def _requests(load: Calibration) -> str:
    """How many, and how they are sent."""
    counts = {stage.name: int(stage.expected) for stage in load.stages}
    how = {calibration.COLD: "to an endpoint without workers", calibration.ALONE: "one after the other"}
    together = f"with {load.at_a_time} at a time"
    return f"{sum(counts.values())} requests: " + ", ".join(f"{count} {how.get(name, together)}" for name, count in counts.items())


def await_no_worker(of: Diagnosis, load: Calibration) -> None:
    """Waits for the idle time-out of workers that are up, so that the first request meets a cold start. They are billed either way."""
    found, until_s = of.found, time.monotonic() + STOP_S + float(load.settings.get("idle_timeout_s") or 0.0)
    if load.starts and _up(found):
        up = "the worker that is up has" if _up(found) == 1 else f"the {_up(found)} workers that are up have"
        print(f"Waiting until {up} stopped, for a cold start (Ctrl-C: nothing is sent)", flush=True)
    while load.starts and _up(found) and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        found = survey(of.address, of.key)


def _up(found: Survey) -> int:
    """Workers with a container, by the worker list, else by /health."""
    if "workers" in found.trouble:
        counts = found.health.get("workers")
        return sum(int(counts.get(name) or 0) for name in COUNTED) if isinstance(counts, dict) else 0
    spans = WorkerSpans()
    spans.see(found.workers, 0.0)
    return spans.present


def _command(asked: argparse.Namespace, load: Calibration) -> list[str]:
    """Transcripts are not judged: what takes how long does not depend on their words."""
    words = [sys.executable, "-m", "locust", "-f", str(beside("locustfiles") / FILE), "--headless", "--host", asked.host]
    words += ["--schedule", text(load.stages), "--max-wer", "off", "--figures", "no", "--runs", asked.runs, "--yes"]
    for name in (*PASSED_ON, "deadline", "max_spend"):
        if (value := getattr(asked, name)) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _run(command: Sequence[str], runs: Path, host: str) -> tuple[int, Path | None]:
    """Locust's exit code, and the directory of its run; None if nothing was sent."""
    before = set(runs.iterdir())
    # In a session of its own: Ctrl-C would reach it twice, and the second one cuts the run.
    with subprocess.Popen(command, start_new_session=True) as process, _passing_on(process):
        code = process.wait()
    # Other runs may have begun meanwhile.
    made = [folder for folder in sorted(set(runs.iterdir()) - before) if (folder / "run.json").is_file()]
    return code, next((folder for folder in made if run_json.read(folder)["target"]["host"] == host), None)


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Signals that end this process end the run instead, which drains and writes its report."""
    before = {number: signal.signal(number, lambda number, _: process.send_signal(number)) for number in ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _after(of: Diagnosis, load: Calibration, folder: Path, code: int, file: Path | None) -> int:
    """Says what the run showed and cost; the exit code."""
    about = run_json.read(folder)
    cost = _cost(about, of.price.usd_per_s if of.price else None)
    try:
        found = fit(folder, load.places)
    except FitError as error:
        print(f"\nNot calibrated: {error}" + (f". Spent: {cost['text']}" if cost["text"] else ""), flush=True)
        return INVALID if code in (GOOD, ERRORS, DEGRADED) else code
    unseen, command = list(calibration.unseen(load, found)), _next(load, folder, found.concurrency)
    rows = [*calibration.found(found), *((("spent", cost["text"]),) if cost["text"] else ())]
    width = max(len(name) for name, _ in rows)
    print(f"\nCalibrated by {about['ledger']['counts']['ok']} answers in {about['elapsed_s']:.0f} s:\n")
    print("\n".join(f"  {name:{width}}  {said}" for name, said in rows))
    print("\nNot seen:\n\n" + "\n".join(f"  - {one}" for one in unseen))
    print(f"\nNext: {command}", flush=True)
    if file:
        said = {"unseen": unseen, "cost": cost, "estimate": about["estimate"], "run": str(folder), "next": command}
        plain = calibration.plain(found) | said
        file.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    return GOOD if code == DEGRADED else code


def _next(load: Calibration, folder: Path, at_a_time: int) -> str:
    """The command of a first prediction."""
    words = [*program(PROGRAM).rpartition(" ")[0].split(), "predict", "--from", str(folder), "--schedule", "burst 30"]
    if not load.settings:
        words += ["--workers-min", "1", "--workers-max", "1", "--scaler-value", str(at_a_time)]
    return shlex.join(words)


def _cost(about: Mapping[str, Any], usd_per_s: float | None) -> dict[str, Any]:
    """Worker-seconds, USD by the price at the end of the run, and both in words; None and "" where nothing tells them."""
    seconds = calibration.spent_s(about)
    if seconds is None:
        return {"worker_s": None, "usd": None, "text": ""}
    usd_per_s = ((about["platform"] or {}).get("price") or {}).get("usd_per_s", usd_per_s)
    usd = seconds * usd_per_s if usd_per_s else None
    return {"worker_s": round(seconds, 1), "usd": usd, "text": f"{seconds:.0f} worker-seconds" + (f", {usd:.2g} USD" if usd else "")}
