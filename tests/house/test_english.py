"""Messages, docstrings, comments and documents contain none of the phrases that readers had to read twice."""

import re
import subprocess
from functools import cache

import pytest

from tests.support.locusts import ROOT

PHRASES = {
    r"its address says|says it where": "is detected from the URL",
    r"\bown words?\b": "report, value, message",
    r"cannot be had|can be had|could not be had": "is not available, could not be read",
    r"is yours to|of yours|yours to know": "say who does it, or leave it out",
    r"\basked after\b": "polled",
    r"puts? back|put back|putting back": "restored",
    r"held against|holds? against": "compared with",
    r"\btold of|tells of|is told\b|are told\b|nobody tells": "reported, notified",
    r"gives? up the ghost": "fails",
    r"let go of|lets go of": "drop, release",
    r"reckon": "compute, count",
    r"(?<!there )\bis no (number|stretch|address|path|kind|time|name|file|directory|folder|port|url|json|rate|share)\b": "is not a …",
    r"\bwhoever\b|\bwhosoever\b": "anyone who, the caller",
    r"what came of|what becomes of|what became of": "the outcome, the result",
    r"\bstands? (in|there|beside|below|above)\b": "is in, is next to, means",
    r"in the place of|in whose place": "instead of",
    r"the making of": "making",
    r"and may be \d|may be 20\.0 ms": "limit",
    r"on the way is|what is reckoned on the way": "intermediate",
    r"counts to the look": "ends at the poll",
}
TEXTS = ("*.py", "*.md", "*.html", "*.js", "*.toml", "*.yml", "*.sh", ".ci/*")


@cache
def texts():
    """Name and content of each file."""
    files = subprocess.run(["git", "ls-files", *TEXTS], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in files if not name.startswith(("tests/", "samples/"))}


@pytest.mark.parametrize(("phrase", "instead"), PHRASES.items())
def test_no_line_has(phrase, instead):
    places = [
        f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
        for name, text in texts().items()
        for found in re.finditer(phrase, text, re.IGNORECASE)
    ]
    assert places == [], f"write: {instead}"
