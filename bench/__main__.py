"""All benches as one command.

    python -m bench                       # every part, then docs/benchmarks.md is written: run it on an idle machine
    python -m bench generator streams     # these parts; the others keep their rows on the page
    python -m bench --quick               # shorter, writes nothing: compares with the page
    python -m bench --list                # the parts, the studies, and the minutes they take

Each part is a process of its own and runs alone too (``python -m bench.generator``). Peers take turns with coldburst in the same rounds,
so limits on ratios hold on a slow or busy machine. Exit code 1 if a limit is missed. ``--quick`` tries a part three times; it fails
if a limit is missed, or a ratio is more than 25 % worse than on the page, in each of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench import page
from bench.rows import Row, from_json

TRIES, GROWTH = 3, 1.25


class Part(NamedTuple):
    """A module of this package with ``rows(quick)``, and the minutes it takes, whole and quick; 0: not part of ``--quick``."""

    title: str
    minutes: float
    quick_minutes: float


PARTS = {
    "small_request": Part("CPU of a small request", 2, 0.5),
    "generator": Part("CPU of other requests, and how exactly requests are sent", 8, 2),
    "truth": Part("What is reported, beside services that know the truth", 2, 1),
    "memory": Part("Memory of a waiting request", 0.5, 0.5),
    "start_and_end": Part("From launch to the first request, and from the last answer to the exit", 3, 1),
    "streams": Part("Reading streams of tokens", 1, 1),
    "distributed": Part("Rows to a master, and a second generator", 4, 0),
    "emulator": Part("The emulator, and polling thousands of jobs", 1, 1),
    "analysis": Part("Reports of many rows", 10, 1),
    "core": Part("Jobs per CPU-second of the platform's model", 3, 1),
}
# How often statements are right, in simulated cases: they cost hours or depend on no machine, so they are run by name alone.
STUDIES = {
    "coverage": "how often intervals cover, and how often gates are right",
    "decisions": "how often a sweep picks the right setting",
    "fidelity": "the platform model against public traces; --write writes docs/fidelity.md",
    "planner": "errors of plans against runs, and how often their ranges hold",
    "recommend": "whether recommended settings meet their objectives, and what cheaper ones do",
    "next_burst": "how often a burst's interval covers the next burst",
    "peak": "CPU of a request and the highest rate in an open loop, beside another commit: --base COMMIT",
    "soak": "a long distributed run: memory, rows, send delay",
}


def run(part: str, quick: bool) -> list[Row]:
    """The rows of a part, run as a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        found = Path(place) / "rows.json"
        words = [sys.executable, "-m", f"bench.{part}", "--json", str(found), *(["--quick"] if quick else [])]
        code = subprocess.run(words, cwd=page.ROOT, check=False).returncode
        if not found.is_file():
            sys.exit(f"{part} ended with {code} and without rows: see above")
        return [from_json(row) for row in json.loads(found.read_text(encoding="utf-8"))]


def worse(row: Row, before: Row | None) -> str:
    """A sentence if the row misses its limit, or its ratio is GROWTH times worse than before; otherwise ""."""
    if row.missed:
        return f"{row.name}: {row.cells[1]} {row.unit}, limit {row.cells[4]}"
    if before is None or not (row.is_ratio and before.is_ratio):
        return ""
    grown = before.median / row.median if row.at_least else row.median / before.median
    return f"{row.name}: {row.cells[1]} {row.unit}, {before.cells[1]} in docs/benchmarks.md" if grown > GROWTH else ""


def compared(part: str, before: dict[str, Row]) -> list[str]:
    """What a part finds worse in each of TRIES tries; it ends at the first try without such a row."""
    found: dict[str, str] = {}
    for attempt in range(TRIES):
        print(f"\n{part}, try {attempt + 1}", flush=True)
        tried = {row.name: sentence for row in run(part, quick=True) if (sentence := worse(row, before.get(row.name)))}
        found = tried if not attempt else {name: tried[name] for name in found if name in tried}
        if not found:
            break
    return list(found.values())


def quick(parts: Sequence[str]) -> int:
    """Compares the parts with the page; the exit code."""
    kept = {part: {row.name: row for row in result.rows} for part, result in page.read().items()}
    sentences = [f"{part}: {one}" for part in parts for one in compared(part, kept.get(part, {}))]
    print("\n" + ("\n".join(sentences) or "no ratio is worse"))
    return int(bool(sentences))


def whole(parts: Sequence[str]) -> int:
    """Runs the parts and writes the page; the exit code."""
    found, before = {}, page.read()
    for part in parts:
        print(f"\n{part}: {PARTS[part].title}", flush=True)
        found[part] = page.Result.of(run(part, quick=False))
    results = {part: result for part in PARTS if (result := found.get(part) or before.get(part))}
    page.write(results, {part: PARTS[part].title for part in PARTS})
    missed = [f"{part}: {row.name}" for part, result in found.items() for row in result.rows if row.missed]
    print(f"\nwrote {page.PAGE.relative_to(page.ROOT)}" + "".join(f"\nMISSED {one}" for one in missed))
    return int(bool(missed))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", metavar="PART", nargs="*", help=f"{', '.join(PARTS)}; or one study: {', '.join(STUDIES)}")
    parser.add_argument("--quick", action="store_true", help="shorter; compares with docs/benchmarks.md, writes nothing")
    parser.add_argument("--list", action="store_true", help="list the parts and studies")
    asked, more = parser.parse_known_args()
    if asked.list:
        print(*(f"{name:16}{part.title} ({part.minutes:g} min)" for name, part in PARTS.items()), sep="\n")
        print(*(f"{name:16}study: {title}" for name, title in STUDIES.items()), sep="\n")
        return 0
    if len(asked.parts) == 1 and asked.parts[0] in STUDIES:
        return subprocess.run([sys.executable, "-m", f"bench.{asked.parts[0]}", *more], cwd=page.ROOT, check=False).returncode
    if unknown := [part for part in asked.parts if part not in PARTS]:
        parser.error(f"unknown part '{unknown[0]}'; parts: {', '.join(PARTS)}; a study is named alone: {', '.join(STUDIES)}")
    if more:
        parser.error(f"unknown argument '{more[0]}'")
    if asked.quick:
        return quick(asked.parts or [name for name, part in PARTS.items() if part.quick_minutes])
    return whole(asked.parts or list(PARTS))


if __name__ == "__main__":
    sys.exit(main())
