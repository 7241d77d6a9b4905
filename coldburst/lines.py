"""Text by lines: a message as one line, a CSV file as its complete lines. Standard library only."""

from __future__ import annotations

from pathlib import Path

# Characters of an error in a row.
ERROR_LENGTH = 200


def one_line(message: str, length: int = ERROR_LENGTH) -> str:
    """``message`` without control characters or lone surrogates, cut to ``length`` characters."""
    clean = "".join(char if char.isprintable() else " " for char in message[: 4 * length])
    clean = " ".join(clean.split())
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def whole_lines(path: Path) -> tuple[str, str]:
    """The complete lines of a CSV file, and a sentence on an incomplete last line ("" if there is none)."""
    content = path.read_bytes().decode("utf-8", errors="replace")
    end = content.rfind("\n") + 1
    torn = content[end:]
    told = f"{path.name}: the last line was torn off while it was written ({len(torn)} characters) and is left out" if torn else ""
    return content[:end], told
