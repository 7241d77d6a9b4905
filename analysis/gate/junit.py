"""A gate's results as JUnit XML, which CI services show test by test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from coldburst.lines import one_line

FAILED, SKIPPED = "failure", "skipped"


@dataclass(frozen=True)
class JUnitCase:
    """One test: its name; FAILED, SKIPPED or "", and what is said of it in one line."""

    name: str
    state: str
    said: str


def junit(suite: str, cases: Sequence[JUnitCase], seconds: float) -> str:
    """The XML of one suite, which took ``seconds``; whatever the texts hold stands in it as text."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.state == FAILED for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.state == SKIPPED for case in cases)),
        "time": f"{seconds:.3f}",
    }
    root = ElementTree.Element("testsuites", counts)
    inner = ElementTree.SubElement(root, "testsuite", {"name": one_line(suite), **counts})
    for case in cases:
        made = ElementTree.SubElement(inner, "testcase", {"classname": "coldburst", "name": one_line(case.name), "time": "0"})
        if case.state:
            ElementTree.SubElement(made, case.state, {"message": one_line(case.said, 500)})
        else:
            ElementTree.SubElement(made, "system-out").text = one_line(case.said, 500)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
