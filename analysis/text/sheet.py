"""A table as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from coldburst.lines import one_line


@dataclass(frozen=True)
class Sheet:
    """A table of texts: the first column names the row; ``remark`` says how its figures are made; ``file`` has more, beside the page.

    ``aside``: the last column is a sentence, which a page sets beneath its row where there is no room beside it.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remark: str = ""
    file: str = ""
    aside: bool = False


def escaped(text: str) -> str:
    """``text`` within a table or line: shown as it is, whatever signs of Markdown or HTML it holds, and without links."""
    plain = "".join(f"&#{ord(sign)};" if sign in "\\`*_[]<>#|~@&$" else sign for sign in text)
    return plain.replace("://", "&#58;//").replace("www.", "www&#46;")


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
