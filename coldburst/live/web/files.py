"""The files of a run that the web UI serves: its report and its tables."""

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
    """The files to serve, by their name below the run's directory: report/** and the CSV files, without links.

    A requested name is looked up here, so no path can lead elsewhere.
    """
    found = [*sorted(folder.glob("*.csv")), *sorted((folder / "report").rglob("*"))]
    return {path.relative_to(folder).as_posix(): path for path in found if path.is_file() and not _linked(path, folder)}


def reported(folder: Path) -> bool:
    """Whether the report's page, which is written last, is complete."""
    try:
        with (folder / PAGE).open("rb") as page:
            page.seek(-min(page.seek(0, 2), 64), 2)
            return page.read().rstrip().endswith(END)
    except OSError:
        return False


def verdict(folder: Path) -> str:
    """The verdict of a run's report: valid, degraded or invalid; "" if it cannot be read."""
    try:
        return str(json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))["verdict"]["state"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def packed(folder: Path) -> IO[bytes]:
    """A zip file of all files to serve, in a directory with the run's name. It is deleted when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (handed out)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in offered(folder).items():
            archive.write(path, f"{folder.name}/{name}")
    file.seek(0)
    return file


def _linked(path: Path, folder: Path) -> bool:
    return any(part.is_symlink() for part in (path, *path.parents) if part.is_relative_to(folder) and part != folder)
