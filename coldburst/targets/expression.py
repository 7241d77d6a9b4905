"""Expressions that read a JSON answer: JMESPath, with plain numbers and quoted words allowed beside a comparison.

    output.images                              a path: there, and not empty (null, false, "", [] or {})
    length(output.images) >= 2                 a comparison; JMESPath itself writes the number as `2`
    output.status == "done" && output.text     a quoted word after a comparison is a text, as 'done' is

A path of names goes through lists: ``output.error`` finds the error in ``{"output": [{"error": "x"}]}``. It is read from the whole answer
(of a queue endpoint: the job object), then from its ``output``; a leading ``output.`` may also be left out or too much.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import IncompleteExpressionError, JMESPathError
from jmespath.functions import Functions
from jmespath.parser import ParsedResult

from coldburst.option import OptionError

_QUOTED = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)""")
_OPERATOR = r"(?:==|!=|<=|>=|<|>)"
_PLAIN = r"(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
_AFTER = re.compile(rf"({_OPERATOR}\s*)({_PLAIN})(?![\w.(\[])")
_BEFORE = re.compile(rf"((?:^|[(,&|!?])\s*)({_PLAIN})(?=\s*{_OPERATOR})")
_ENDS_IN_OPERATOR = re.compile(rf"{_OPERATOR}\s*$")
# Longest part of an answer in a message.
_SHOWN = 80
# Lists within lists that a path of names goes through.
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression; ``text`` is as the user wrote it, ``names`` the path if it is nothing but one."""

    text: str
    compiled: ParsedResult
    names: tuple[str, ...]

    def values(self, answer: Any) -> Iterator[Any]:
        """What it finds in ``answer``: one value, or for a path through lists any number. Nothing where a function cannot be applied."""
        if not self.names:
            with suppress(JMESPathError, RecursionError):
                yield self.compiled.search(answer)
            return
        yield from _at(answer, self.names)
        output = answer.get("output") if isinstance(answer, dict) else None
        if output is not None:
            yield from _at(output, self.names)
        elif self.names[:1] == ("output",):
            yield from _at(answer, self.names[1:])

    def holds(self, answer: Any) -> bool:
        """Whether it is true as JMESPath counts: there, and not null, false or empty."""
        return any(value is not None and value is not False and value not in ("", [], {}) for value in self.values(answer))

    def found(self, answer: Any) -> str:
        """What is there instead, for a message: the left side of a comparison, or the value, and the beginning of the answer."""
        tree = self.compiled.parsed
        left = Expression(self.text, ParsedResult(self.text, tree["children"][0]), ()) if tree["type"] == "comparator" else self
        value = next(left.values(answer), None)
        shown = answer.get("output", answer) if isinstance(answer, dict) else answer
        return f"{excerpt(value)} in {excerpt(shown)}"


def compiled(text: str, option: str) -> Expression:
    """The expression in ``text``. Raises OptionError, which names the option, the place and a right expression."""
    try:
        expression = jmespath.compile(_with_literals(text))
        _check_functions(expression.parsed)
    except (JMESPathError, RecursionError) as error:
        raise OptionError(f"{option} '{text}' is not a JMESPath expression: {_in_words(error)}; {_example(option)}") from error
    return Expression(text, expression, _names(expression.parsed))


def several(text: str, option: str) -> tuple[Expression, ...]:
    """The expressions in ``text``, separated by ``;`` or by commas outside brackets and quotes."""
    return tuple(compiled(part, option) for part in parts(text))


def parts(text: str) -> list[str]:
    """``text`` at its separators, without empty parts."""
    found, depth = [""], 0
    for place, piece in enumerate(_QUOTED.split(text)):
        for character in [piece] if place % 2 else piece:
            depth += (character in "([{") - (character in ")]}")
            if character == ";" or (character == "," and depth <= 0):
                found.append("")
            else:
                found[-1] += character
    return [part.strip() for part in found if part.strip()]


def excerpt(value: Any) -> str:
    """The beginning of ``value`` as JSON."""
    text = ""
    # An answer may have 20 MB.
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        text += piece
        if len(text) > _SHOWN:
            return f"{text[:_SHOWN]}…"
    return text


def _at(value: Any, names: tuple[str, ...], depth: int = 0) -> Iterator[Any]:
    """The values at a path of names, through lists of at most _DEEPEST levels."""
    if isinstance(value, list):
        for item in value if depth < _DEEPEST else ():
            yield from _at(item, names, depth + 1)
    elif not names:
        yield value
    elif isinstance(value, dict) and names[0] in value:
        inner = value[names[0]]
        if len(names) == 1:
            yield inner
        else:
            yield from _at(inner, names[1:], depth)


def _names(tree: dict[str, Any]) -> tuple[str, ...]:
    """The names of a path such as a.b.c; () for any other expression."""
    if tree["type"] == "field":
        return (tree["value"],)
    if tree["type"] != "subexpression":
        return ()
    found = [_names(child) for child in tree["children"]]
    return tuple(name for names in found for name in names) if all(found) else ()


def _with_literals(text: str) -> str:
    """``text`` with plain numbers, true, false, null and double-quoted words beside a comparison as JMESPath's literals."""
    pieces = _QUOTED.split(text)
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            pieces[place] = _AFTER.sub(r"\1`\2`", _BEFORE.sub(r"\1`\2`", piece))
        elif piece.startswith('"') and _ENDS_IN_OPERATOR.search(pieces[place - 1]):
            pieces[place] = "`" + piece.replace("`", "\\`") + "`"
    return "".join(pieces)


def _check_functions(tree: dict[str, Any]) -> None:
    """Raises JMESPathError for unknown functions and wrong numbers of arguments, which JMESPath reports only when it applies one."""
    if tree["type"] == "function_expression":
        known = Functions.FUNCTION_TABLE.get(tree["value"])
        if known is None:
            raise JMESPathError(f"there is no function {tree['value']}()")
        wanted, given = known["signature"], len(tree["children"])
        variadic = bool(wanted) and wanted[-1].get("variadic", False)
        if given < len(wanted) or (given > len(wanted) and not variadic):
            raise JMESPathError(f"{tree['value']}() takes {len(wanted)} argument{'s' * (len(wanted) != 1)}, and {given} are given")
    for child in tree["children"]:
        if isinstance(child, dict):
            _check_functions(child)


def _in_words(error: Exception) -> str:
    """What is wrong, in one line, with the place where JMESPath stopped."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, IncompleteExpressionError):
        return "it ends too early"
    place, whole = getattr(error, "lex_position", None), getattr(error, "expression", "")
    if isinstance(place, int) and whole:
        return f"it cannot be read from '{whole[place : place + 20]}' on"
    return str(error).partition("\n")[0]


def _example(option: str) -> str:
    return {
        "--unit": "write NAME=EXPRESSION, as in images='length(output.images)'",
        "--error-at": "write it as in output.detail",
    }.get(option, "write it as in 'length(output.images) >= 2'")
