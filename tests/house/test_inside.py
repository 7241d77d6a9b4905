"""Tests use what users use: no private name of another object, and no object made up of loose names."""

import ast
import re

from tests.support.locusts import ROOT
from tests.support.sources import nodes

OWN = {"self", "cls"}
# What monkeypatch takes.
PATH = re.compile(r"(coldburst|analysis)(\.\w+)*\._[a-z]\w*")
# Names with an underscore that are public all the same, or have no public way.
ALLOWED = {
    "_exit",  # of os
}


def private(name):
    return name.startswith("_") and not name.endswith("__")


def test_no_test_reads_or_sets_a_private_name():
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in nodes(path):
            if isinstance(node, ast.Attribute) and private(node.attr) and node.attr not in ALLOWED:
                if not (isinstance(node.value, ast.Name) and node.value.id in OWN):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
            elif isinstance(node, ast.ImportFrom):
                names = [alias.name for alias in node.names if private(alias.name) or alias.name == "SimpleNamespace"]
                found += [f"{path.relative_to(ROOT)}:{node.lineno}: {name}" for name in names]
            elif isinstance(node, ast.Constant) and PATH.fullmatch(str(node.value)):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}")
    assert found == []
