"""What makes a complete JSON answer an error or wrong: the same for every kind of endpoint, compiled once before the run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coldburst.option import OptionError
from coldburst.targets.answer_shapes import error_in, error_of, generated
from coldburst.targets.exchange import Exchange
from coldburst.targets.expression import Expression, compiled, several

AUTO = "auto"
# Fields in which common workers answer, if they do; an empty text may be right where nothing was said.
RESULTS = ("images", "image", "image_url", "image_urls", "audio", "audio_base64", "audio_url", "video", "videos", "video_url", "embeddings")
_TEXTS = ("text", "message", "delta", "tokens")
# An empty success of RunPod's ComfyUI worker.
NO_IMAGES = "success_no_images"


@dataclass(frozen=True, slots=True)
class Checks:
    """What is expected of answers, and where errors are looked for.

    Attributes:
        expect: each must hold; a false one makes the answer ``wrong``.
        known: whether an empty answer in the shape of a common worker is ``wrong`` (``empty``).
        error_at: what these find is an error (``error_of``) and makes the answer ``failed``.
        search: whether errors are looked for wherever services put them (``error_in``).
        unit: finds how many units an answer holds; None = they are not counted.
    """

    expect: tuple[Expression, ...] = ()
    known: bool = True
    error_at: tuple[Expression, ...] = ()
    search: bool = True
    unit: Expression | None = None

    def error(self, content: Any, output: Any) -> str:
        """The service's error in words, "" without one; ``content`` is the whole answer, ``output`` its part that the worker made."""
        if self.search and (inner := error_in(output)):
            return inner
        for place in self.error_at:
            for value in place.values(content):
                if inner := error_of(value, place.text):
                    return inner
        return ""

    def lack(self, content: Any, output: Any) -> str:
        """Why the answer is not what was expected; "" if it is."""
        for one in self.expect:
            if not one.holds(content):
                return f"expected {one.text}, found {one.found(content)}"
        return empty(output) if self.known else ""

    def judge(self, content: Any, exchange: Exchange) -> tuple[str, dict[str, Any]]:
        """What a decoded answer with status 2xx says (outcome.WORDS, or ""), and the columns that it fills."""
        exchange.answer = content
        if inner := self.error(content, content):
            return "error", {"error": f"an error inside a {exchange.status}: {inner}"}
        if content is None and self.expect:
            begins = exchange.body[:80].decode(errors="replace")
            return "wrong", {"error": f"expected {self.expect[0].text}, but the answer is not JSON: {begins}"}
        lack = self.lack(content, content)
        return ("wrong", {"error": lack}) if lack else ("", self.units(content))

    def units(self, content: Any) -> dict[str, float]:
        """The column ``units`` of an answer: the number that ``unit`` finds, or the sum of several; {} if it finds none."""
        if self.unit is None:
            return {}
        found = [number for value in self.unit.values(content) for number in (value if isinstance(value, list) else [value])]
        numbers = [number for number in found if isinstance(number, int | float) and not isinstance(number, bool)]
        return {"units": float(sum(numbers))} if numbers and len(numbers) == len(found) else {}


ANY = Checks()


def checks(options: Mapping[str, Any]) -> Checks:
    """The checks in --expect, --error-at and --unit. Raises OptionError for an expression that cannot be read."""
    expect, error_at = several(options["expect"], "--expect"), several(options["error_at"], "--error-at")
    known, search = (any(one.text == AUTO for one in group) for group in (expect, error_at))
    return Checks(_own(expect), known, _own(error_at), search, _unit(options["unit"]))


def empty(output: Any) -> str:
    """What a common worker's answer lacks; "" if nothing is missing, or it has another shape."""
    parts = output if isinstance(output, list) and output else [output]
    lacks = [_lack(part) if isinstance(part, dict) else "" for part in parts]
    return lacks[-1] if all(lacks) else ""


def _lack(part: Mapping[str, Any]) -> str:
    if part.get("status") == NO_IMAGES:
        return f"the workflow made no images (status {NO_IMAGES}): does it end in a node that saves them?"
    there = [name for name in RESULTS if name in part]
    if there and not any(part[name] for name in there):
        return f"the answer's {' and '.join(there)} {'is' if len(there) == 1 else 'are'} empty"
    if part.get("object") == "list" and part.get("data") == []:
        return "the answer's data is empty"
    choices = part.get("choices")
    if isinstance(choices, list) and all(isinstance(choice, dict) and _silent(choice) for choice in choices):
        return "the answer has no text"
    return ""


def _silent(choice: Mapping[str, Any]) -> bool:
    """Whether a choice has a place for text, and nothing in it: as in OpenAI's completions, or the tokens of a vLLM job."""
    tokens = choice.get("tokens")
    spoken = any(tokens) if isinstance(tokens, list) else tokens
    return any(name in choice for name in _TEXTS) and not spoken and not generated(choice)


def _unit(text: str) -> Expression | None:
    """The expression in NAME=EXPRESSION; None for ""."""
    if not text:
        return None
    name, _, expression = text.partition("=")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or not expression.strip():
        raise OptionError(f"--unit '{text}' is not NAME=EXPRESSION: write it as in images='length(output.images)'")
    return compiled(expression.strip(), "--unit")


def _own(expressions: tuple[Expression, ...]) -> tuple[Expression, ...]:
    return tuple(one for one in expressions if one.text != AUTO)
