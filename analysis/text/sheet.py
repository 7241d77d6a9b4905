"""Tables as text, escaped for Markdown and for spreadsheets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from coldburst.lines import one_line


@dataclass(frozen=True)
class Sheet:
    """A table of texts whose first column names the row; ``remark`` explains the figures, ``file`` next to the page has more rows.

    ``aside``: the last column is a sentence, which narrow pages show below its row.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    remark: str = ""
    file: str = ""
    aside: bool = False


def escaped(text: str) -> str:
    """``text`` for Markdown: displayed literally, without links."""
    plain = "".join(f"&#{ord(sign)};" if sign in "\\`*_[]<>#|~@&$" else sign for sign in text)
    return plain.replace("://", "&#58;//").replace("www.", "www&#46;")


# Characters that start a formula in a spreadsheet (OWASP, CSV Injection); one_line removes tabs and line ends.
STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Writes ``table`` as CSV, with an apostrophe before texts that a spreadsheet would run as a formula."""
    texts = {name: column for name, column in table.items() if not pd.api.types.is_numeric_dtype(column.dtype)}
    safe = table.assign(**{str(name): column.map({each: safe_text(each) for each in column.unique()}) for name, column in texts.items()})
    safe.to_csv(path, index=False, lineterminator="\n")


def safe_text(value: Any) -> Any:
    """``value``; a text becomes one line that no spreadsheet runs as a formula."""
    if not isinstance(value, str):
        return value
    plain = value if value.isprintable() else one_line(value, len(value))
    return f"'{plain}" if plain.startswith(STARTS) else plain
