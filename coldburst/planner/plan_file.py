"""plan.json in the directory of a simulated run: the scenario and the predicted figures, to compare them with a real run later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from coldburst.planner.model.distributions import Distribution
from coldburst.planner.model.scenario import Client, Scenario
from coldburst.planner.predict import Figures, Prediction, Range
from coldburst.schedule.retries import Retries
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.service_curve import parse_curve

FILE, FORMAT = "plan.json", 1
TIMES = ("service", "start", "load")
PLAIN = ("concurrency", "spread", "spread_error", "usd_per_s", "every_s", "concurrency_seen", "workers_seen", "cold_seen", "with_report")


class PlanFileError(ValueError):
    """There is no plan, or it cannot be read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was predicted: ranges by the names of Figures, and the mean number of requests."""

    scenario: Scenario
    ranges: Mapping[str, Range]
    planned: float


def write(folder: Path, of: Prediction) -> None:
    """Writes the file. Raises OSError."""
    one = of.scenario
    content = {
        "format": FORMAT,
        "planned": of.planned,
        "figures": {name: asdict(found) for name, found in of.ranges.items()},
        "scenario": {
            "policy": asdict(one.policy),
            "platform": _differing(one.platform),
            **{name: asdict(getattr(one, name)) for name in TIMES},
            "curve": str(one.curve),
            "client": asdict(one.client),
            **{name: getattr(one, name) for name in PLAIN},
        },
    }
    (folder / FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _differing(of: Platform) -> dict[str, Any]:
    """The plain parameters that are not the default ones."""
    usual = Platform()
    named = {entry.name: getattr(of, entry.name) for entry in fields(of)}
    return {name: value for name, value in named.items() if value != getattr(usual, name) and isinstance(value, int | float | str)}


def read(folder: Path) -> Plan:
    """The plan of the simulated run in ``folder``. Raises PlanFileError."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanFileError(
            f"{folder} has no {FILE}: {error.strerror or error}; write the plan with coldburst plan predict --runs DIR"
        ) from error
    except ValueError as error:
        raise PlanFileError(f"{folder / FILE} is not JSON: {error}") from error
    try:
        if content["format"] != FORMAT:
            raise PlanFileError(f"{folder / FILE} has format {content['format']!r}, and this version reads {FORMAT}")
        ranges = {entry.name: Range(**content["figures"][entry.name]) for entry in fields(Figures)}
        return Plan(_scenario(content["scenario"]), ranges, float(content["planned"]))
    except PlanFileError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise PlanFileError(f"{folder / FILE} is damaged: {error!r}; write the plan anew with coldburst plan predict --runs DIR") from error


def _scenario(said: Mapping[str, Any]) -> Scenario:
    client = said["client"]
    service, start, load = (Distribution(str(said[name]["form"]), tuple(map(float, said[name]["numbers"]))) for name in TIMES)
    return Scenario(
        policy=Policy(**said["policy"]),
        platform=Platform(**said["platform"]),
        service=service,
        start=start,
        load=load,
        curve=parse_curve(said["curve"]),
        client=Client(client["max_in_flight"], client["deadline_s"], Retries(**client["retries"]), float(client["overhead_s"])),
        **{name: said[name] for name in PLAIN},
    )
