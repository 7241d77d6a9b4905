"""CSV files that may be opened in a spreadsheet: what stands there as text is never a formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from coldburst.lines import one_line

STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""With which spreadsheets begin a formula (OWASP, CSV Injection); tabs and line ends, which it names too, are never left in a text."""


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes ``table`` as CSV; a text that begins as a formula does is written with an apostrophe before it, numbers are as they are.

    Raises:
        OSError: the file cannot be written.
    """
    texts = {name: column for name, column in table.items() if not pd.api.types.is_numeric_dtype(column.dtype)}
    safe = table.assign(**{str(name): column.map({each: safe_text(each) for each in column.unique()}) for name, column in texts.items()})
    safe.to_csv(path, index=False, lineterminator="\n")


def safe_text(value: Any) -> Any:
    """``value``, where it is a text, in one line and as a text to a spreadsheet."""
    if not isinstance(value, str):
        return value
    plain = value if value.isprintable() else one_line(value, len(value))
    return f"'{plain}" if plain.startswith(STARTS) else plain
