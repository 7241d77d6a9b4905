"""The calls of RunPod's REST v2: repeated while the answer may still change, and read with their limits and errors.

After a change of its configuration RunPod answers 409 for an endpoint, for minutes, on management calls and on /run (source: recorded runs
of coldstart-recon-worker, docs/recon-a2.md). A 409 is therefore repeated for RECONFIGURING_S; other failures that may pass are repeated
TRIES times.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import gevent
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from coldburst import emulator_token
from coldburst.control.desired_state import ControlError
from coldburst.keys import RUNPOD_KEY
from coldburst.lines import one_line
from coldburst.redact import redact
from coldburst.targets.answer import credentials, retry_after_s
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.quota import rate_window

logger = logging.getLogger("coldburst")
LIMITS = Timeouts(10.0, 30.0, 30.0)
# Per call, after 429, 5xx or a broken connection; every call here may safely be sent twice.
TRIES = 6
LONGEST_PAUSE_S = 120.0
# A 409 was seen to last for minutes; runbooks repeat for 300 s.
RECONFIGURING_S = 600.0
LONGEST_PAUSE_OF_409_S = 15.0
# Longer pauses are logged.
LOGGED_PAUSE_S = 5.0

Object = Mapping[str, Any]


class TransientError(Exception):
    """A failure that may pass; ``after_s`` is the pause that the answer asks for, if any."""

    def __init__(self, sentence: str, after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.after_s = after_s


class ReconfiguringError(TransientError):
    """409: the endpoint is being changed."""


class RestCalls:
    """Calls to one API.

    Args:
        base: address of the API.
        key: API key, or "".
        where: names the endpoint in messages.
        first_pause_s: shortest pause before a repeated call, in seconds.

    Attributes:
        secrets: values that every message masks.
        window: requests left in the rate limit's window and seconds to its end, from the last answer; None if it said nothing.
        pause: waits for a number of seconds; returns False when the run is being stopped.
    """

    def __init__(self, base: str, key: str, where: str, first_pause_s: float) -> None:
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": "application/json"} | credentials(key)
        self._client = HttpClient(base, LIMITS, headers)
        self._where, self._first_pause_s = where, first_pause_s
        self.secrets: Collection[str] = ()
        self.window: tuple[float, float] | None = None
        self.pause: Callable[[float], bool] = sleep

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """The answer. Raises ControlError if it is refused for good, fails too often, stays 409 for too long, or the run ended."""
        failures = 0

        def given_up(state: RetryCallState) -> bool:
            nonlocal failures
            if isinstance(state.outcome and state.outcome.exception(), ReconfiguringError):
                return (state.seconds_since_start or 0.0) >= RECONFIGURING_S
            failures += 1
            return failures >= TRIES

        calls = Retrying(
            stop=given_up,
            retry=retry_if_exception_type(TransientError),
            wait=self._wait_s,
            before_sleep=self._rest,
            sleep=lambda _: None,
            reraise=True,
        )
        try:
            return calls(self.once, method, path, body)
        except ReconfiguringError as trouble:
            raise ControlError(f"{trouble}, for {RECONFIGURING_S:.0f} s: try again later") from None
        except TransientError as trouble:
            raise ControlError(f"{trouble} ({TRIES} times): try again later") from None

    def _wait_s(self, state: RetryCallState) -> float:
        trouble = state.outcome and state.outcome.exception()
        after_s = getattr(trouble, "after_s", None)
        longest_s = LONGEST_PAUSE_OF_409_S if isinstance(trouble, ReconfiguringError) else LONGEST_PAUSE_S
        return min(wait_exponential(self._first_pause_s)(state) if after_s is None else after_s, longest_s)

    def _rest(self, state: RetryCallState) -> None:
        """Pauses before the next call. It sleeps itself, because only the pause says that the run ended."""
        trouble, wait_s = state.outcome and state.outcome.exception(), state.upcoming_sleep
        if wait_s >= LOGGED_PAUSE_S:
            logger.info("%s, for %.0f s: next try in %.0f s", trouble, state.seconds_since_start or 0.0, wait_s)
        if not self.pause(wait_s):
            raise ControlError(f"{trouble}; the run has ended")

    def once(self, method: str, path: str, body: Object | None = None) -> Object:
        """The answer to one call. Raises TransientError or ControlError."""
        exchange = Exchange()
        self._client.send(exchange, method, path, b"" if body is None else json.dumps(body).encode())
        self.window = rate_window(exchange.headers) or self.window
        if exchange.fault:
            raise TransientError(f"{self._where} is not reachable: {self._masked(exchange.error)}")
        if exchange.status == 409:
            raise ReconfiguringError(f"{self._where} is being changed (409 {self._problem(exchange)})", _after_s(exchange.headers))
        if exchange.status == 429 or (exchange.status or 0) >= 500:
            sentence = f"{self._where} is not available: {exchange.status} {self._problem(exchange)}"
            raise TransientError(sentence, _after_s(exchange.headers))
        if exchange.status == 200:
            try:
                answer = json.loads(exchange.body)
            except ValueError:
                answer = None
            if isinstance(answer, dict):
                return answer
            said = self._masked(exchange.body[:300].decode("utf-8", errors="replace"))[:60]
            raise ControlError(f"{self._where} answers {said!r}, which is not a JSON object: check that the address serves REST v2")
        raise ControlError(self._refusal(exchange))

    def _refusal(self, exchange: Exchange) -> str:
        if exchange.status in (401, 403):
            remedy = f"set {RUNPOD_KEY} to a key that may change endpoints (for an emulator: {emulator_token.VARIABLE}, to its token)"
            return f"{self._where} refuses the key ({exchange.status}): {remedy}, or use --control hand"
        if exchange.status == 404:
            return f"{self._where} does not exist (404): check the id in --host"
        return f"{self._where} refuses the change ({exchange.status} {self._problem(exchange)}): correct it, or use --control hand"

    def _problem(self, exchange: Exchange) -> str:
        """The message of an error's body, which REST v2 writes by RFC 9457."""
        try:
            content = json.loads(exchange.body)
            said = str(content.get("detail") or content.get("title") or "")
        except (ValueError, AttributeError):
            said = exchange.body[:300].decode("utf-8", errors="replace")
        return self._masked(said)

    def _masked(self, said: str) -> str:
        """``said`` in one line, without the key and the environment's values, which an answer may repeat."""
        return one_line(redact(said, self.secrets, mark="…"))


def sleep(seconds: float) -> bool:
    """A pause that no run's end cuts short."""
    gevent.sleep(seconds)
    return True


def _after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After, or from RateLimit if no request is left."""
    window = rate_window(headers)
    after_s = retry_after_s(headers)
    return window[1] if after_s is None and window and window[0] < 1 else after_s
