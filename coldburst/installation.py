"""Where this project's own files lie, in a clone or installed, which extras are here, and by what name a program was called.

Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
IMPORT_ROOT = PACKAGE.parent
"""The directory that holds the package: on a PYTHONPATH, it gives a process the same coldburst as this one."""
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "report": ("numpy", "pandas", "pyarrow", "scipy", "matplotlib", "jinja2"),
    "emulator": ("runpod", "aiohttp", "fastapi", "uvicorn", "uvloop", "python_multipart", "pocketsphinx", "trustme"),
}
"""Extra of pyproject.toml -> the modules that it brings."""
NEEDED_BY = {"report": "a report", "emulator": "an endpoint on this machine"}


def beside(name: str) -> Path:
    """The folder ``name`` of the project (samples, locustfiles): inside the package when installed, beside it in a clone."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else IMPORT_ROOT / name


def checkout() -> Path | None:
    """The clone that the package is imported from; None when it is installed."""
    return IMPORT_ROOT if (IMPORT_ROOT / ".git").exists() and (IMPORT_ROOT / "analysis").is_dir() else None


def python_path() -> str:
    """PYTHONPATH for a process that must import this very coldburst, before whatever it holds here already."""
    return os.pathsep.join([str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def own_or_given(path: str) -> Path:
    """``path`` as it is; one such as ``samples`` that is not in the working directory is the project's own folder of that name."""
    given = Path(path)
    own = beside("samples")
    if given.exists() or given.is_absolute() or given.parts[:1] != ("samples",):
        return given
    return own.joinpath(*given.parts[1:])


def missing(extra: str) -> str:
    """A sentence that says how to install an extra, "" where all of its modules are here."""
    lacking = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if not lacking:
        return ""
    return f"{NEEDED_BY[extra]} needs packages that are not installed ({', '.join(lacking)}): pip install 'coldburst[{extra}]'"


def require(extra: str) -> None:
    """Ends the process with code 2 and one sentence where an extra is not installed."""
    if sentence := missing(extra):
        print(f"{program('coldburst')}: {sentence}", file=sys.stderr)
        sys.exit(2)


def analysis_module() -> str:
    """The name under which this process finds the analysis: ``coldburst.analysis`` installed, ``analysis`` in a clone."""
    return "coldburst.analysis" if find_spec("coldburst.analysis") else "analysis"


def analysis_program() -> str:
    """What a user types before ``report RUN``: the command where it is installed, the module in a clone."""
    return "coldburst" if analysis_module() == "coldburst.analysis" else "python -m analysis"


def program(name: str) -> str:
    """What a program calls itself in its help: ``coldburst VERB`` where the command started it, else ``name``."""
    return sys.argv[0] if sys.argv[0].startswith(("coldburst ", "python -m coldburst ")) else name
