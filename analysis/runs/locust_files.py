"""Where the files of a plain ``locust --csv PREFIX`` are.

A prefix that ends in a slash (``--csv results/``) is a folder: its files are ``results/_stats.csv`` and so on. A ``Path`` keeps no
slash, so the folder stands for that prefix unless files with the folder's own name as prefix (``results_stats.csv``) are beside it.
"""

from __future__ import annotations

from pathlib import Path

PARTS = ("_stats.csv", "_requests.csv")
"""Either makes a prefix one of Locust's."""
MOST_NAMED = 5
"""Prefixes that a refusal names."""


def has_files(prefix: Path) -> bool:
    """Whether Locust wrote files with this prefix.

    Raises:
        OSError: the name is too long for a file.
    """
    return _named(prefix) or _in_folder(prefix)


def beside(prefix: Path, part: str) -> Path:
    """The path of a file with this prefix: ``results/one`` and ``_stats.csv`` give ``results/one_stats.csv``."""
    return prefix / part if _in_folder(prefix) and not _named(prefix) else prefix.with_name(f"{prefix.name}{part}")


def totals_file(prefix: Path) -> Path:
    """The file with the totals, which is there where ``has_files``."""
    return next(path for part in PARTS if (path := beside(prefix, part)).is_file())


def unread_folder(prefix: Path) -> str:
    """A sentence where a folder has files too that the same prefix would name; "" elsewhere."""
    if not (_named(prefix) and _in_folder(prefix)):
        return ""
    inside = next(prefix / part for part in PARTS if (prefix / part).is_file())
    return f"{inside} is there too and was not read: {totals_file(prefix)} comes first; move one of them to read the other."


def other_prefixes(folder: Path) -> str:
    """The prefixes in ``folder`` as the command line names them, the first few; "" where there are none.

    Raises:
        OSError: the folder cannot be listed.
    """
    names = sorted({path.name.removesuffix(part) for part in PARTS for path in folder.glob(f"?*{part}")})
    shown = [str(folder / name) for name in names[:MOST_NAMED]]
    more = f" … ({len(names)} in all)" if len(names) > MOST_NAMED else ""
    return " or ".join(shown) + more


def _named(prefix: Path) -> bool:
    return prefix.name != "" and any(prefix.with_name(f"{prefix.name}{part}").is_file() for part in PARTS)


def _in_folder(prefix: Path) -> bool:
    return any((prefix / part).is_file() for part in PARTS)
