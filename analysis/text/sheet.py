"""A table as text."""

from __future__ import annotations

from dataclasses import dataclass


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
