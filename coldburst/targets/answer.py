"""Reads answers of services: reasons of failures, errors inside a success, times; and hints for the user."""

from __future__ import annotations

import codecs
import gc
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from json import scanner
from typing import Any

from gevent.lock import RLock

from coldburst.redact import redact, remember
from coldburst.targets.answer_shapes import reason_in, words
from coldburst.targets.exchange import Exchange
from coldburst.targets.outcome import Evidence, gave_up_waiting
from coldburst.targets.socket_state import give_way

# Larger bodies are decoded in slices of that length, one body at a time, so that other requests are sent on time.
LARGE_BYTES, SLICE_S = 256 * 1024, 0.005
_one_large_body = RLock()
# A longer time is not believed: RunPod's longest is a week.
LONGEST_MS = 366 * 86_400_000
# Statuses of gateways: 502 and 504, and Cloudflare's 520 to 530. 524 is a time limit: of a load-balancing endpoint on execution, else
# of the edge on the first byte.
GATEWAY = {502, 504, *range(520, 531)} - {524}
# Kinds of endpoints that RunPod serves.
RUNPOD = ("queue", "balancer")
_NO_QUOTA = re.compile(r"insufficient[_ ](quota|balance|funds|credits?)|exceeded your current quota", re.IGNORECASE)
_NO_MODEL = re.compile(
    r"model_not_found|(unknown|no such|invalid) model"
    r"|\bmodel\b.{0,200}\b(not found|does not exist|not (available|supported|installed|loaded))",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Sender:
    """What a refusal is judged by.

    Attributes:
        kind: of endpoint, one of address.KINDS.
        key: API key that was sent, or "".
        variable: environment variable of that key.
    """

    kind: str
    key: str
    variable: str

    @property
    def address(self) -> str:
        """The options that may be wrong where nothing is found."""
        return {"queue": "the endpoint id in --host", "balancer": "the --path, or the id in --host,"}.get(self.kind, "the --path or --host")


def credentials(key: str, auth: str = "bearer") -> dict[str, str]:
    """The header that sends ``key`` ("bearer" or "x-api-key"), none without a key. From now on texts are redacted of that key."""
    remember(key)
    if not key:
        return {}
    return {"X-API-Key": key} if auth == "x-api-key" else {"Authorization": f"Bearer {key}"}


def parse_json(body: bytes) -> Any:
    """``body`` decoded; None if it is not JSON."""
    try:
        return json.loads(body) if len(body) <= LARGE_BYTES else _parse_large(body)
    except (ValueError, RecursionError):
        return None


def reason(exchange: Exchange, content: Any) -> str:
    """The service's reason of a failure; ``content`` is the decoded body."""
    found = reason_in(content) if isinstance(content, dict) else ""
    return found or excerpt(exchange) or str(exchange.headers.get("content-type", "an empty body"))


def excerpt(exchange: Exchange) -> str:
    """The beginning of the body as one line of text, without markup; what is known of a body that cannot be shown."""
    if exchange.received > len(exchange.body):
        return f"a body of {exchange.received / 1e6:.1f} MB, more than is read"
    if (coding := exchange.headers.get("content-encoding", "identity").lower()) != "identity" and exchange.body:
        return f"a compressed body ({coding}), though none was requested"
    return first_line(exchange.body)


def first_line(body: bytes) -> str:
    """The beginning of ``body`` as one line of text, redacted and without markup."""
    text = redact(body[:2000].decode("utf-8", errors="replace"))
    return re.sub(r"<[^>]*>|\s+", " ", text).strip()[:120]


def is_page(exchange: Exchange) -> bool:
    """Whether the answer is HTML, as of a proxy: it says nothing about the request."""
    return str(exchange.headers.get("content-type", "")).startswith("text/html") or exchange.body[:200].lstrip()[:1] == b"<"


def says_gone(exchange: Exchange, content: Any) -> bool:
    """Whether a poll's answer says that the service does not know the job."""
    if exchange.fault or is_page(exchange):
        return False
    return exchange.status in (404, 410) or (exchange.status == 400 and content is not None)


def refusal(exchange: Exchange, content: Any, known: Mapping[str, Any], sender: Sender) -> Evidence:
    """What an answer outside 200..299 says, why, and what to do about it."""
    says, cause, hint = _judged(exchange, content, sender)
    return Evidence(says, {**known, "error": f"{exchange.status}: {reason(exchange, content)}{hint}"}, cause)


def _judged(exchange: Exchange, content: Any, sender: Sender) -> tuple[str, str, str]:
    """The word of outcome.WORDS, the cause and the hint of an answer outside 200..299."""
    status, text = exchange.status or 0, exchange.body[:2000].decode("utf-8", errors="replace")
    if status in (401, 403):
        return "", "bad_key" if sender.key else "no_key", key_hint(status, sender.key, sender.variable)
    if status == 402 or (status == 429 and _NO_QUOTA.search(text)):
        return "no_quota", "account", " (the account has no balance or quota left)"
    if status == 404 and sender.kind != "queue" and not is_page(exchange) and _NO_MODEL.search(text):
        return "", "wrong_model", " (does the service have the model named by --model?)"
    if status == 404:
        return "", "wrong_address", f" (is {sender.address} right?)"
    if status == 409:
        # RunPod answers it for minutes after a change of the settings; a service of one's own may mean anything by it.
        return "busy" if sender.kind in RUNPOD else "", "reconfiguring", " (the endpoint is being changed)"
    if status == 503 and isinstance(content, dict):
        return ("gave_up_waiting", "no_capacity", "") if gave_up_waiting(text) else ("busy", "", "")
    if status == 524 and sender.kind != "balancer":
        return "", "edge_limit", " (from the edge before the service; the job may go on)"
    if status >= 500 and status != 524:
        if sender.kind == "queue":
            return "", "platform_error", " (from the platform, before any endpoint worker had the job)"
        cloudflare = str(exchange.headers.get("server", "")).lower() == "cloudflare" and content is None
        if status in GATEWAY or is_page(exchange) or cloudflare or status == 503:
            return "", "gateway", " (from a proxy or gateway, not the service)"
    return "", "", ""


def key_hint(status: int | None, key: str, variable: str) -> str:
    """What to do about a 401 or 403, "" on any other status."""
    if status not in (401, 403):
        return ""
    return f" (is the key in {variable} the right one?)" if key else f" (no key was sent: set {variable} in the environment)"


def failure(error: Any) -> str:
    """RunPod's ``error`` of a job in words; the SDK writes a JSON object with error_type and error_message into the text."""
    inner = parse_json(error.encode(errors="replace")) if isinstance(error, str) else error
    if not isinstance(inner, dict) or "error_message" not in inner:
        return words(error)
    kind = re.sub(r"<class '(?:builtins\.)?(.*)'>", r"\1", str(inner.get("error_type", "")))
    return f"{kind}: {inner['error_message']}" if kind else str(inner["error_message"])


def seconds(milliseconds: Any) -> float | None:
    """A platform's milliseconds as seconds; None if they are not a number from 0 to LONGEST_MS."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float):
        return None
    return milliseconds / 1000 if 0 <= milliseconds <= LONGEST_MS else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the instant in ``Retry-After``, at least 0; None without a usable header.

    It is a number of seconds or a date (RFC 9110, 10.2.3). Fractions are accepted: some services write them.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        named = parsedate_to_datetime(text)
        return max(0.0, named.replace(tzinfo=named.tzinfo or UTC).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _parse_large(body: bytes) -> Any:
    with _one_large_body:
        collects = gc.isenabled()
        # A decoded tree has no cycles, and looking for some among millions of objects would block for 0.2 s.
        gc.disable()
        try:
            return _SlicedDecoder().decode("".join(_decoded(body)))
        finally:
            if collects:
                gc.enable()


def _decoded(body: bytes) -> Iterator[str]:
    """The text of ``body`` in pieces."""
    decoder = codecs.getincrementaldecoder(json.detect_encoding(body))(errors="surrogatepass")
    for at in range(0, len(body), LARGE_BYTES):
        yield decoder.decode(body[at : at + LARGE_BYTES])
        give_way()
    yield decoder.decode(b"", final=True)


class _SlicedDecoder(json.JSONDecoder):
    """The standard library's decoder in Python, with a turn for other greenlets after each SLICE_S.

    Decoders in C hold the interpreter until they are done, also in a thread: 20 MB of small objects take half a second.
    """

    def __init__(self) -> None:
        self._turn = time.perf_counter()
        super().__init__(parse_int=self._yielding(int), parse_float=self._yielding(float))
        # The hooks of the Python scanner, which the standard library names and does not document.
        decoder: Any = self
        decoder.parse_object, decoder.parse_array = self._yielding(decoder.parse_object), self._yielding(decoder.parse_array)
        decoder.parse_string = self._yielding(decoder.parse_string)
        decoder.scan_once = scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]

    def _yielding(self, parse: Callable[..., Any]) -> Callable[..., Any]:
        def parse_and_yield(*arguments: Any) -> Any:
            if time.perf_counter() - self._turn > SLICE_S:
                give_way()
                self._turn = time.perf_counter()
            return parse(*arguments)

        return parse_and_yield


def ended_at(accepted: float, asked: float, seen: float, queue_s: float | None, execution_s: float | None) -> float:
    """When a job ended: accepted + delayTime + executionTime, limited to [asked, seen]; without the platform's times, seen.

    Polling sees an end late by up to an interval, so the platform's own times are used. They start when it accepts the job, which is
    when /run's answer arrives here, except for half a round trip. What was observed limits them.

    Args:
        accepted: when /run's answer came.
        asked: when the last poll was sent that saw the job unfinished.
        seen: when the answer came that saw it ended.
    """
    if queue_s is None or execution_s is None:
        return seen
    return min(max(accepted + queue_s + execution_s, asked), seen)
