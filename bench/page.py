"""docs/benchmarks.md, from the results that bench/results.json keeps."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from bench.rows import Row, from_json

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "benchmarks.md", ROOT / "bench" / "results.json"
PACKAGES = ("locust", "gevent", "aiohttp", "pandas", "numpy")
PROGRAMS = {"nginx": ("nginx", "-v"), "wrk": ("wrk", "-v")}
HEAD = """# Benchmarks

Written by `python -m bench` from `bench/results.json`. `python -m bench --quick` is shorter. It fails if a limit is missed, or a ratio is
more than 25 % worse than here, in each of three tries; `.ci/nightly` runs it, and `.ci/run` the first part. `python -m bench --list` names
the parts.

Peers take turns with coldburst in the same rounds on the same cores, so a ratio means the same on a slow or busy machine; other units
do not. Each row has the median of its rounds, and the lowest and highest. "Not judged here" says why a limit was not tested.
"""


@dataclass(frozen=True)
class Result:
    """The rows of a part, and where and when they were measured."""

    rows: tuple[Row, ...]
    about: dict[str, str]

    @classmethod
    def of(cls, rows: list[Row]) -> Result:
        return cls(tuple(rows), circumstances())


def circumstances() -> dict[str, str]:
    """Date, machine and versions."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    programs = "".join(f", {said}" for words in PROGRAMS.values() if (said := _program(*words)))
    return {
        "date": str(datetime.datetime.now(tz=datetime.UTC).date()),
        "commit": commit,
        "machine": f"{os.cpu_count()} cores, {_processor()}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {packages}{programs}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    """The processor's name, where the system has one."""
    known = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: (.+)$", known.read_text(encoding="utf-8"), re.MULTILINE) if known.is_file() else None
    return named[1] if named else platform.machine()


def _program(*words: str) -> str:
    """The first line of what a program says of its version, without its path; "" if it is not installed."""
    if not shutil.which(words[0]):
        return ""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip().splitlines()[0]
    return f"{words[0]} {said.removeprefix('nginx version: nginx/').removeprefix('wrk ').partition(' ')[0]}"


def read() -> dict[str, Result]:
    """The results kept, by part."""
    if not RESULTS.is_file():
        return {}
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {part: Result(tuple(map(from_json, one["rows"])), one["about"]) for part, one in kept.items()}


def write(results: Mapping[str, Result], titles: Mapping[str, str]) -> None:
    """Keeps the results and writes the page."""
    content = {part: {"about": one.about, "rows": [asdict(row) for row in one.rows]} for part, one in results.items()}
    RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(results, titles), encoding="utf-8")


def page(results: Mapping[str, Result], titles: Mapping[str, str]) -> str:
    """docs/benchmarks.md."""
    sections = [
        _section(part, title, results[part]) if part in results else f"## {title}\n\nNot measured yet.\n" for part, title in titles.items()
    ]
    return "\n".join([HEAD, *sections])


def _section(part: str, title: str, of: Result) -> str:
    about = of.about
    lines = [
        f"## {title}",
        "",
        f"`python -m bench.{part}`, {about['date']}, commit {about['commit']}; {about['machine']}, load average {about['load']};",
        f"{about['system']}.",
        "",
        "| figure | median | lowest–highest | unit | limit | verdict |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(row.cells)} |" for row in of.rows),
        "",
    ]
    return "\n".join(lines)
