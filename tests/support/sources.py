"""What tests of the sources look at: each file is parsed once in a process."""

import ast
from functools import cache

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def nodes(path):
    """Imports, attributes, texts and functions of a file; functions without their bodies, which would keep the whole tree."""
    kinds = (ast.Import, ast.ImportFrom, ast.Attribute, ast.Constant, *FUNCTIONS)
    found = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]
    for node in found:
        if isinstance(node, FUNCTIONS):
            node.body = []
    return found
