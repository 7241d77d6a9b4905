"""The project's own files, in a clone or installed; missing extras; the name of the program. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
# On a PYTHONPATH, this directory gives a process the same coldburst as this one.
IMPORT_ROOT = PACKAGE.parent
# Extra of pyproject.toml -> its modules.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "report": ("numpy", "pandas", "scipy", "matplotlib", "jinja2", "duckdb"),
    "parquet": ("duckdb",),
    "objects": ("boto3",),
    "emulator": ("runpod", "aiohttp", "fastapi", "uvicorn", "uvloop", "python_multipart", "pocketsphinx", "trustme"),
    "video": ("espeakng_loader", "PIL", "av", "pynvml"),
}
NEEDED_BY = {
    "report": "a report",
    "parquet": "a Parquet file",
    "objects": "--objects",
    "emulator": "an endpoint on this machine",
    "video": "a talking video",
}


def beside(name: str) -> Path:
    """The directory ``name`` of the project (samples, locustfiles): inside the package if installed, next to it in a clone."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else IMPORT_ROOT / name


def checkout() -> Path | None:
    """The clone that the package is imported from; None if it is installed."""
    return IMPORT_ROOT if (IMPORT_ROOT / ".git").exists() and (IMPORT_ROOT / "analysis").is_dir() else None


def python_path() -> str:
    """PYTHONPATH for a process that must import this coldburst first."""
    return os.pathsep.join([str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def own_or_given(path: str) -> Path:
    """``path``; or the project's own file if ``path`` begins with ``samples`` and does not exist in the working directory."""
    given = Path(path)
    if given.exists() or given.is_absolute() or given.parts[:1] != ("samples",):
        return given
    return beside("samples").joinpath(*given.parts[1:])


def missing(extra: str) -> str:
    """A sentence on how to install an extra; "" if all of its modules are installed."""
    lacking = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if not lacking:
        return ""
    return f"{NEEDED_BY[extra]} needs packages that are not installed ({', '.join(lacking)}): pip install 'coldburst[{extra}]'"


def require(extra: str) -> None:
    """Exits with code 2 and a sentence if an extra is not installed."""
    if sentence := missing(extra):
        print(f"{program('coldburst')}: {sentence}", file=sys.stderr)
        sys.exit(2)


def analysis_module() -> str:
    """The module name of the analysis: ``coldburst.analysis`` if installed, ``analysis`` in a clone."""
    return "coldburst.analysis" if find_spec("coldburst.analysis") else "analysis"


def analysis_program() -> str:
    """The command before ``report RUN``: ``coldburst`` if installed, the module in a clone."""
    return "coldburst" if analysis_module() == "coldburst.analysis" else "python -m analysis"


def program(name: str) -> str:
    """The name of a program in its help: ``coldburst VERB`` if that command started it, else ``name``."""
    return sys.argv[0] if sys.argv[0].startswith(("coldburst ", "python -m coldburst ")) else name
