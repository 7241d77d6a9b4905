"""``coldburst doctor HOST``: what an endpoint is, whether it can be tested, and what a first test would take and cost."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from coldburst.doctor.anatomy import Anatomy, one_request
from coldburst.doctor.diagnosis import RUN_LIMIT, Diagnosis, diagnose
from coldburst.installation import program
from coldburst.planner.estimate import Estimate, Known, estimate
from coldburst.planner.model.scenario import Client
from coldburst.record.prices import HOUR_S
from coldburst.schedule.stages import parse
from coldburst.service.process import CommandParser, number
from coldburst.targets.address import KINDS
from coldburst.targets.quota import rate_window
from coldburst.targets.survey import costs_money

PROGRAM = "python -m coldburst doctor"
REFUSED, NOT_OK = 2, 1
BURST = "burst 30"
IN_A_BURST = 30
# Options that a run needs too where they were given here.
PASSED_ON = ("target", "path", "model", "input", "clips", "price")
JOBS = {"inQueue": "in queue", "inProgress": "in progress"}


def main(words: Sequence[str] | None = None) -> int:
    """Prints the findings. Exit code 0: usable; 1: the request was not ok; 2: not usable, one sentence says why."""
    asked = _parser().parse_args(words)
    try:
        of = diagnose(given_options(asked) | {"host": asked.host}, tempfile.gettempdir())
    except (ValueError, OSError) as error:
        said = str(error).replace("--host '", "'")
        if asked.json:
            print(json.dumps({"error": said}))
        else:
            print(f"{program(PROGRAM)}: {said}", file=sys.stderr)
        return REFUSED
    seen = None
    try:
        if asked.yes or not of.paid:
            seen, after = one_request(of)
            # A worker that is there tells its GPU.
            of = replace(of, price=of.price or after.price("", date.today()))
    except KeyboardInterrupt:
        print(f"{program(PROGRAM)}: interrupted; the request was given up", file=sys.stderr)
        return NOT_OK
    ahead = _estimate(of, seen)
    command = _command(asked)
    print(json.dumps(_plain(of, seen, ahead, command), indent=2) if asked.json else "\n".join(_lines(of, seen, ahead, command)))
    return NOT_OK if seen and seen.outcome != "ok" else 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog=program(PROGRAM),
        description=(
            "Looks at an endpoint before its first test: type, key, health, limits, price, and where the time of one request goes. "
            "On an endpoint that costs money the request is sent only with --yes."
        ),
        allow_abbrev=False,
    )
    option = parser.add_argument
    add_options(option)
    option("--yes", action="store_true", help="send the request also where it costs money: RunPod's own endpoints, and with --price")
    option("--json", action="store_true", help="print the findings as JSON")
    return parser


def add_options(option: Callable[..., Any]) -> None:
    """Adds the address of an endpoint, and what its requests need."""
    option("host", metavar="HOST", help="address, such as https://api.runpod.ai/v2/ID, https://ID.api.runpod.ai or http://127.0.0.1:8083")
    option("--target", choices=KINDS, help="type of endpoint, where the address does not tell it")
    option("--path", metavar="ROUTE", help="route below the address, as for a run")
    option("--model", metavar="NAME", help="model name to send")
    option("--input", metavar="FILE", help="JSON body to send instead of a clip, or its file")
    option("--clips", metavar="PATH", help="audio to send (default: the project's samples)")
    option("--price", metavar="GPU|USD", help="price of a worker: a GPU, such as 4090, or USD per second, such as 0.00031")
    option("--deadline", type=number(0.1), metavar="SECONDS", help="give a request up after this long (default: 300)")


def given_options(asked: argparse.Namespace) -> dict[str, Any]:
    """The options of ``add_options`` that were given."""
    return {name: value for name in (*PASSED_ON, "deadline") if (value := getattr(asked, name)) is not None}


def _command(asked: argparse.Namespace) -> str:
    """The command of a first burst."""
    words = [*program(PROGRAM).rpartition(" ")[0].split(), "run", "burst", "--headless", "--host", asked.host]
    for name in PASSED_ON:
        if (value := getattr(asked, name)) is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def _estimate(of: Diagnosis, seen: Anatomy | None) -> Estimate | None:
    """What the burst would take and cost; None for a service whose workers and price nothing tells."""
    if not of.address.management:
        return None
    service_s = seen and (seen.execution_s or (seen.total_s - (seen.queue_s or 0.0) - (seen.start_s or 0.0)))
    # Without a queue's times, a cold answer does not tell how long its work took.
    tells = seen is not None and seen.outcome == "ok" and not (seen.cold and seen.start_s is None)
    known = Known(service_s, seen.start_s or None) if seen and service_s and tells else None
    usd_per_s = of.price.usd_per_s if of.price else 0.0
    return estimate(parse(BURST), of.found.settings, usd_per_s, client=Client(), known=known)


def _lines(of: Diagnosis, seen: Anatomy | None, ahead: Estimate | None, command: str) -> Iterator[str]:
    rows = {
        "Endpoint": f"{of.address.url}: {of.kind}",
        "Key": _key(of),
        "Health": _health(of),
        "Limits": _limits(of),
        "Price": _price(of),
        "Request": _request(of, seen),
        "Next": f"{command}\n{'':10}{_ahead(seen, ahead)}".rstrip(),
    }
    yield from (f"{name:10}{text}" for name, text in rows.items() if text)


def _key(of: Diagnosis) -> str:
    if of.key:
        return f"accepted ({of.variable})"
    return f"none sent and none needed (it would be read from {of.variable})"


def _health(of: Diagnosis) -> str:
    if not of.address.api:
        return "it answers"
    workers, jobs = (of.found.health.get(name) for name in ("workers", "jobs"))
    if not isinstance(workers, Mapping) or not isinstance(jobs, Mapping):
        return f"could not be read: {of.found.trouble.get('health', 'an answer without workers and jobs')}"
    counts = ", ".join(f"{count} {state}" for state, count in workers.items() if count) or "none"
    return f"workers: {counts}; jobs: {', '.join(f'{jobs.get(name, 0)} {words}' for name, words in JOBS.items())}"


def _limits(of: Diagnosis) -> str:
    if not of.address.management:
        return ""
    now = of.found.settings
    if not now:
        return f"could not be read: {of.found.trouble.get('settings', 'an answer without settings')}; the key needs access to REST v2"
    least, most = (f"{now[name]:g}" if now.get(name) is not None else "?" for name in ("workers_min", "workers_max"))
    value = "" if now.get("scaler_value") is None else f" {now['scaler_value']:g}"
    words = [f"{least} to {most} workers", f"scaler {now['scaler']}{value}"]
    if (idle_s := now.get("idle_timeout_s")) is not None:
        words.append(f"idle time-out {idle_s:g} s")
    if window := rate_window(of.found.headers):
        words.append(f"{window[0]:g} calls to REST v2 left for {window[1]:g} s")
    if costs_money(of.address) and of.address.kind == "queue":
        words.append(RUN_LIMIT)
    if now.get("workers_max") == 0:
        words.append("no request is served at a maximum of 0 workers: raise it in the console")
    return "; ".join(words)


def _price(of: Diagnosis) -> str:
    if of.price:
        return f"{of.price.usd_per_s * HOUR_S:.3g} USD/h a worker: {of.price.name}, {of.price.source}"
    if not of.address.endpoint_id:
        return ""
    why = of.found.trouble.get("prices") or of.found.trouble.get("workers") or "no worker is there to tell its GPU"
    return f"unknown ({why}): give it with --price, as in --price 4090 or --price 0.00031 (USD per second)"


def _request(of: Diagnosis, seen: Anatomy | None) -> str:
    if seen is None:
        return f"not sent, as it costs money{_first_cost(of)}; --yes sends it and shows where its time goes"
    said = f"{seen.text}{f' (worker {seen.worker_id})' if seen.worker_id else ''}"
    if seen.outcome == "ok":
        return said
    return f"{said}; {seen.error or 'no reason given'}: check --input, --path or --target, which a run needs too"


def _first_cost(of: Diagnosis) -> str:
    one = estimate(parse("burst 1"), of.found.settings, of.price.usd_per_s, client=Client()) if of.price else None
    return f": {one.money}" if one else ""


def _ahead(seen: Anatomy | None, ahead: Estimate | None) -> str:
    if ahead:
        return ahead.text
    if seen and seen.outcome == "ok":
        return f"{seen.total_s:.1f} s if all {IN_A_BURST} run at once, {IN_A_BURST * seen.total_s:.0f} s one after the other"
    return ""


def _plain(of: Diagnosis, seen: Anatomy | None, ahead: Estimate | None, command: str) -> dict[str, Any]:
    return {
        **of.plain(),
        "request": seen and seen.plain(),
        "next": {"command": command, "estimate": ahead and ahead.plain()},
    }
