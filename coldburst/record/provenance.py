"""Where a result comes from: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from coldburst import __version__, emulator_token
from coldburst.installation import checkout, python_path
from coldburst.keys import CHAT_KEY, RUNPOD_KEY, TRANSCRIPTION_KEY, VIDEO_KEY

PACKAGES = ("locust", "gevent", "httptools", "runpod")
# Variables that are not passed to child processes: the embedded service needs no key, and a report neither.
SECRETS = (
    *("API_TOKEN", RUNPOD_KEY, TRANSCRIPTION_KEY, CHAT_KEY, VIDEO_KEY, emulator_token.VARIABLE),
    *("RUNPOD_AI_API_KEY", "COLDBURST_CLUSTER_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
)

_COMMIT = "# branch.oid "


def versions() -> dict[str, str]:
    """Versions of this program, Python and the installed packages that make the load."""
    found = {"coldburst": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit() -> dict[str, Any]:
    """``commit`` and ``dirty``, whether files differ from it; None if the package does not run from a git clone."""
    lines = (_git("status", "--porcelain=v2", "--branch") or "").splitlines()
    commit = next((line.removeprefix(_COMMIT) for line in lines if line.startswith(_COMMIT)), None)
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines) if lines else None}


def command() -> list[str] | None:
    """The words that started this Locust, such as ``["locust", "-f", "burst.py", "--headless"]``; None in another program."""
    program = Path(sys.argv[0])
    if "locust" not in (program.name, program.parent.name if program.name == "__main__.py" else ""):
        return None
    return ["locust", *sys.argv[1:]]


def environment() -> dict[str, str]:
    """The environment for child processes: without secrets, with the import path of this package."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS} | {"PYTHONPATH": python_path()}


def machine() -> dict[str, Any]:
    """System, CPUs available to this process, CPU model and memory in bytes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"system": f"{platform.system()} {platform.release()}", "cpus": cpus, "cpu_model": _cpu_model(), "memory_bytes": memory}


def _git(*words: str) -> str | None:
    clone = checkout()
    if clone is None:
        return None
    try:
        done = subprocess.run(["git", "-C", str(clone), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
