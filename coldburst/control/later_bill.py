"""Read again what RunPod's billing API has for a run, and keep it in the run's run.json for its report.

    python -m coldburst bill runs/ID

The key is read from RUNPOD_API_KEY. Nothing is changed at the endpoint, and running it twice does no harm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from coldburst import emulator_token
from coldburst.installation import analysis_program, program
from coldburst.keys import RUNPOD_KEY, read_key
from coldburst.option import OptionError
from coldburst.record import bill, run_json
from coldburst.record.bill import Bill
from coldburst.record.run_json import RunJsonError
from coldburst.targets import answer
from coldburst.targets.address import EndpointAddress, infer
from coldburst.targets.http import HttpClient, Timeouts
from coldburst.targets.platform_facts import read_bill

PROGRAM = "python -m coldburst bill"
LIMITS = Timeouts(10.0, 30.0, 30.0)


def read_later(folder: Path, key: str) -> Bill:
    """The bill of the run in ``folder``, which is also written to its run.json. Raises OptionError and RunJsonError."""
    about = run_json.read(folder)
    address = _address(about, folder)
    platform = _object(about, "platform")
    settings, known = _object(platform, "settings"), _object(platform, "bill")
    started_s, idle_s = _started_s(about, folder), settings.get("idle_timeout_s")
    ended_s = started_s + float(about.get("elapsed_s") or 0.0)
    of = bill.hours(started_s, ended_s + max(idle_s if isinstance(idle_s, int | float) else 0.0, bill.STOPS_S))
    client = HttpClient(
        address.management,
        LIMITS,
        {"User-Agent": "coldburst", "Accept": "application/json"} | answer.credentials(emulator_token.find(address.management) or key),
    )
    try:
        found = read_bill(client, address.endpoint_id, of)
    finally:
        client.close()
    before_usd = known.get("before_usd")
    found = replace(found, before_usd=before_usd if isinstance(before_usd, int | float) else None)
    if not found.trouble:
        run_json.write(folder, {**about, "platform": {"settings": {}, "workers": [], **platform, "bill": found.plain()}})
    return found


def _address(about: Mapping[str, Any], folder: Path) -> EndpointAddress:
    target = _object(about, "target")
    if target.get("embedded"):
        raise OptionError(f"{folder} is of an embedded endpoint, which ended with the run: nothing bills it any more")
    try:
        address = infer(str(target.get("host") or ""), str(target.get("kind") or "auto"))
    except ValueError as error:
        raise OptionError(f"{folder}: {error}") from error
    if not address.management:
        raise OptionError(f"{folder} is not of a RunPod endpoint: no billing API is known for '{address.url}'")
    return address


def _started_s(about: Mapping[str, Any], folder: Path) -> float:
    try:
        return datetime.fromisoformat(str(about.get("started"))).timestamp()
    except ValueError as error:
        raise OptionError(f"{folder / run_json.NAME} does not say when the run started: its hours are not known") from error


def _object(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = about.get(key)
    return value if isinstance(value, dict) else {}


def main(words: Sequence[str] | None = None) -> int:
    """Prints what the billing API has; exit code 0: a record, 1: none yet, or it could not be read."""
    parser = argparse.ArgumentParser(prog=program(PROGRAM), description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory, such as runs/20261121-091858-burst")
    folder = parser.parse_args(words).run
    try:
        found = read_later(folder, read_key(RUNPOD_KEY))
    except (OptionError, RunJsonError, OSError) as error:
        print(f"{program(PROGRAM)}: {error}", file=sys.stderr)
        return 1
    there = bool(found.records) and not found.trouble
    report = f"; for the report: {analysis_program()} report {folder}" if there else ""
    print(f"{found.words[0].upper()}{found.words[1:]}{report}", file=sys.stdout if there else sys.stderr)
    return 0 if there else 1
