"""Text within Markdown, as GitHub reads it."""

from __future__ import annotations


def escaped(text: str) -> str:
    """``text`` within a table or line: shown as it is, whatever signs of Markdown or HTML it holds, and without links."""
    plain = "".join(f"&#{ord(sign)};" if sign in "\\`*_[]<>#|~@&$" else sign for sign in text)
    return plain.replace("://", "&#58;//").replace("www.", "www&#46;")
