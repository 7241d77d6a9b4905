"""The files of a run that the web UI serves: its report and its tables, and nothing else."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

PAGE = "report/index.html"
END = b"</html>"


def offered(folder: Path) -> Mapping[str, Path]:
    """What there is to be had, by the name below the run's directory: report/**, and the CSV files.

    A name that is asked for is looked up here, so that no path can lead anywhere else. Links are left out.
    """
    found = [*sorted(folder.glob("*.csv")), *sorted((folder / "report").rglob("*"))]
    return {path.relative_to(folder).as_posix(): path for path in found if path.is_file() and not _linked(path, folder)}


def reported(folder: Path) -> bool:
    """Whether the report's page is there, whole: it is written last."""
    try:
        with (folder / PAGE).open("rb") as page:
            page.seek(-min(page.seek(0, 2), 64), 2)
            return page.read().rstrip().endswith(END)
    except OSError:
        return False


def verdict(folder: Path) -> str:
    """Whether the run's figures may be believed, as its report says: valid, degraded, invalid; "" where it does not say."""
    try:
        state = json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))["verdict"]["state"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return str(state)


def packed(folder: Path) -> IO[bytes]:
    """A zip file of all that is offered, below the run's name; it is gone from the disk when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (handed out)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in offered(folder).items():
            archive.write(path, f"{folder.name}/{name}")
    file.seek(0)
    return file


def _linked(path: Path, folder: Path) -> bool:
    return any(part.is_symlink() for part in (path, *path.parents) if part.is_relative_to(folder) and part != folder)
