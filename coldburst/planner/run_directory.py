"""A simulated run as a run directory, which report, compare and gate read like any other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from coldburst.planner.model.scenario import Scenario
from coldburst.planner.model.simulate import simulate
from coldburst.record import attempt, run_json
from coldburst.schedule.stages import Stage, text
from coldburst.serverless.platform_settings import changed

QUESTION = "plan"


def write(runs: Path, scenario: Scenario, stages: Sequence[Stage], seed: int) -> Path:
    """Simulates one run and writes it below ``runs``; its directory.

    Raises:
        OSError: it cannot be written.
    """
    started = datetime.now(UTC)
    folder = runs / f"{started:%Y%m%d-%H%M%S}-{QUESTION}"
    number = 1
    while folder.exists():
        number += 1
        folder = runs / f"{started:%Y%m%d-%H%M%S}-{QUESTION}-{number}"
    folder.mkdir(parents=True, mode=0o700)
    run = simulate(scenario, stages, seed)
    with (folder / "attempts.csv").open("w", encoding="utf-8") as file:
        file.write(attempt.HEADER)
        file.writelines(map(attempt.row_line, run.rows))
    _write_table(folder / "events.csv", attempt.EVENTS)
    _write_table(folder / "generator.csv", attempt.GENERATOR)
    _write_table(folder / "endpoint.csv", attempt.ENDPOINT)
    run_json.write(folder, _about(folder.name, started, scenario, stages, seed, run.rows, run.end_s))
    return folder


def _about(
    name: str, started: datetime, scenario: Scenario, stages: Sequence[Stage], seed: int, rows: Sequence[attempt.Attempt], end_s: float
) -> dict[str, Any]:
    last = {row.seq: row.outcome for row in rows}
    counts = dict(Counter(last.values()))
    instant = started.isoformat(timespec="milliseconds")
    queue = scenario.policy.kind == "QUEUE"
    return {
        "format": attempt.FORMAT,
        "id": name,
        "state": "ended",
        "started": instant,
        "ended": instant,
        "ended_by": "schedule",
        "elapsed_s": round(max((row.done_s or 0.0 for row in rows), default=0.0), 3),
        "ledger": {"planned": len(last), "counts": counts, "missing": 0},
        "question": QUESTION,
        "target": {"kind": "queue" if queue else "balancer", "host": "a prediction", "embedded": False, "simulated": True},
        "schedule": text(stages),
        "seed": seed,
        "stages": [
            {
                "name": stage.name,
                "planned": sum(1 for row in {row.seq: row for row in rows}.values() if row.stage == stage.name),
                "duration_s": stage.duration_s,
                "closed": stage.closed,
            }
            for stage in stages
        ],
        "planned": len(last),
        "dispatched": len(last),
        "max_in_flight": scenario.client.max_in_flight,
        "when_full": "wait",
        "options": {"price": f"{scenario.usd_per_s:g}" if scenario.usd_per_s else ""},
        "plan": {**scenario.settings, "service": str(scenario.service), "start": str(scenario.start), "load": str(scenario.load)}
        | _platform(scenario),
        "simulated_until_s": round(end_s, 3),
        "machine": {"cpus": os.cpu_count()},
    }


def _platform(scenario: Scenario) -> dict[str, Any]:
    given = changed(scenario.platform)
    return {"platform": given} if given else {}


def _write_table(path: Path, columns: Sequence[attempt.Column]) -> None:
    path.write_text(attempt.line(column.name for column in columns), encoding="utf-8")
