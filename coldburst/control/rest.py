"""Changes an endpoint's settings through RunPod's REST v2; the emulator answers the same calls.

Workers, scaler and environment are changed by PATCH, which leaves fields that are not sent unchanged. Workers and scaler
apply promptly, the environment by a rolling release (source: api-reference-v2/openapi.json). It is not documented whether
a PATCH replaces or merges the environment, so all of it is sent, which is right either way.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import gevent
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from coldburst import emulator_token
from coldburst.control.desired_state import Control, ControlError, DesiredState, ObservedState, listed, serving
from coldburst.keys import RUNPOD_KEY
from coldburst.lines import one_line
from coldburst.option import number
from coldburst.redact import redact
from coldburst.targets.address import EndpointAddress
from coldburst.targets.answer import credentials, retry_after_s
from coldburst.targets.http import Exchange, HttpClient, Timeouts

logger = logging.getLogger("coldburst")
LIMITS = Timeouts(10.0, 30.0, 30.0)
# Per call, after 429, 5xx or a broken connection; every call here may safely be sent twice.
TRIES = 6
LONGEST_PAUSE_S = 120.0
# Longer pauses are logged.
LOGGED_PAUSE_S = 5.0
LOCAL_EVERY_S, EVERY_S = 0.1, 2.0
# Requests per minute that polling leaves to others, such as the status sampler; the rest is spread over the minute.
SPARED = 20
SERVING = ("RUNNING", "IDLE")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Values of the environment of at least this length are masked in every message.
SECRET_LENGTH = 4
UNITS = {"REQUEST_COUNT": "requestCount", "QUEUE_DELAY": "queueDelay"}

Object = Mapping[str, Any]


class _TransientError(Exception):
    """A failure that may pass; ``after_s`` is the pause that the answer asks for, if any."""

    def __init__(self, sentence: str, after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.after_s = after_s


class RestControl(Control):
    """Failed calls are repeated after a pause while the run goes on; when settings are restored, always.

    Args:
        address: with ``management`` and ``endpoint_id``; ``api``, if any, serves /health.
        key: RunPod's API key, or "" for an emulator without a key.
        variable: name of the environment variable that holds each worker's concurrency.
    """

    way: ClassVar[str] = "rest"

    def __init__(self, address: EndpointAddress, key: str, variable: str = "CONCURRENCY") -> None:
        if not address.management:
            raise ControlError(f"'{address.url or 'no host'}' cannot be changed through REST v2: use --control hand")
        if not variable.isidentifier():
            raise ControlError(f"--concurrency-env '{variable}' is not a variable name: use a name such as CONCURRENCY")
        # An emulator's own token takes precedence over the key, which is RunPod's.
        key = emulator_token.find(address.management) or key
        self._address, self._variable = address, variable
        self._pause: Callable[[float], bool] = _sleep
        self._path = f"/serverless/{quote(address.endpoint_id, safe='')}"
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": "application/json"}
        headers |= credentials(key)
        self._client = HttpClient(address.management, LIMITS, headers)
        self._health = HttpClient(address.api, LIMITS, headers) if address.api else None
        self._window: tuple[float, float] | None = None
        self._outgoing: set[tuple[str, Any]] = set()
        self._workers_min = 0
        self._flashboot = False
        self._pause_s = 0.0
        self._secrets: set[str] = set()

    @property
    def where(self) -> str:
        return f"endpoint '{self._address.endpoint_id}' at {self._address.management}"

    @property
    def harmless(self) -> bool:
        """True for an endpoint on this machine."""
        return (urlsplit(self._address.management).hostname or "") in LOOPBACK

    @property
    def every_s(self) -> float:
        """As often as the rate limit in the answers permits."""
        least_s = max(self._first_pause_s, self._pause_s)
        if self._window is None:
            return least_s
        left, seconds = self._window
        return max(least_s, min(seconds / max(left - SPARED, 1.0), seconds))

    @property
    def _first_pause_s(self) -> float:
        return LOCAL_EVERY_S if self.harmless else EVERY_S

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        self._pause = pause

    def settings(self) -> dict[str, Any]:
        """Of the environment: the names, and the value of the one variable that will be changed."""
        present = self._endpoint()
        env = present["env"]
        return {
            "endpoint": self._address.endpoint_id,
            "management": self._address.management,
            "workers": {name: present["workers"][name] for name in ("min", "max", "idleTimeout") if name in present["workers"]},
            "scaling": dict(present["scaling"]),
            "env": sorted(env),
            "concurrency": {"variable": self._variable, "value": env.get(self._variable)},
        }

    def describe(self, wanted: Sequence[DesiredState]) -> str:
        """Reads the present settings and changes nothing."""
        now = self.settings()
        lines = []
        if workers := listed([one.workers for one in wanted]):
            present = f"{now['workers']['min']} to {now['workers']['max']}"
            lines.append(f"workers, min = max, to {workers} (now {present}; each running worker is billed)")
        if values := listed([one.scaler_value for one in wanted]):
            lines.append(f"scaling to REQUEST_COUNT {values} (now {_scaling_text(now['scaling'])})")
        if concurrency := listed([one.concurrency for one in wanted]):
            present = _value_text(now["concurrency"]["value"])
            lines.append(f"variable {self._variable} to {concurrency} (now {present}), each time by a rolling release")
        return "\n  ".join([f"Changes {self.where}, and restores it at the end:", *(lines or ["nothing"])])

    def change(self, wanted: DesiredState) -> None:
        """Sends only what differs."""
        present = self._endpoint()
        body = self._changes(present, wanted)
        if "env" in body:
            self._outgoing = {(worker["id"], worker.get("version")) for worker in self._workers(self._ask("GET", "/workers"))}
        shown = self._endpoint(body) if body else present
        if left := self._changes(shown, wanted):
            raise ControlError(f"{self.where} accepted the change but does not show it ({', '.join(left)}): check it in the console")

    def differs(self, wanted: DesiredState) -> list[str]:
        """Names of the settings that are not as wanted."""
        return list(self._changes(self._endpoint(), wanted))

    def observe(self, wanted: DesiredState) -> ObservedState:
        """Reads the worker list. Transient failures (429, 5xx) are returned as text and not raised."""
        try:
            workers = self._workers(self._once("GET", "/workers"))
            count = self._serving(workers, wanted)
        except _TransientError as trouble:
            self._pause_s = min(trouble.after_s or 0.0, LONGEST_PAUSE_S)
            return ObservedState(None, False, str(trouble))
        self._pause_s = 0.0
        old = sum(bool(worker.get("isStale")) or (worker["id"], worker.get("version")) in self._outgoing for worker in workers)
        states = Counter(str(worker["status"]).lower() for worker in workers if worker["status"] not in SERVING)
        more = [f"{n} {state}" for state, n in sorted(states.items())] + ([f"{old} of an older release"] if old else [])
        enough = count >= self._workers_min if wanted.workers is None else count == wanted.workers
        return ObservedState(count, enough and not (old or states["initializing"]), "; ".join([serving(count, wanted.workers), *more]))

    def restore(self, before: Mapping[str, Any]) -> str:
        """Sends only what differs, and first what costs money; other variables keep their present values."""
        self._pause = _sleep  # also while the run is being stopped
        shown, done = self._endpoint(), list[str]()
        for part in (("workers", "scaling"), ("env",)):
            if body := self._back(shown, before, part):
                shown = self._endpoint(body)
                done += body
        text = settings_text(before)
        if left := self._back(shown, before, ("workers", "scaling", "env")):
            raise ControlError(f"{self.where} does not show the restored {', '.join(left)}: in the console, set {text}")
        return f"{self.where}: {text}: {'restored (' + ', '.join(done) + ')' if done else 'unchanged'}"

    def close(self) -> None:
        self._client.close()
        if self._health:
            self._health.close()

    def _changes(self, present: Object, wanted: DesiredState) -> dict[str, Any]:
        """The PATCH from ``present`` to ``wanted``. Minimum and maximum are sent together, so that one never exceeds the other."""
        body: dict[str, Any] = {}
        if wanted.workers is not None and (present["workers"]["min"], present["workers"]["max"]) != (wanted.workers, wanted.workers):
            body["workers"] = {"min": wanted.workers, "max": wanted.workers}
        if wanted.scaler_value is not None:
            scaling = {"type": "REQUEST_COUNT", "requestCount": wanted.scaler_value}
            if dict(present["scaling"]) != scaling:
                body["scaling"] = scaling
        if wanted.concurrency is not None and present["env"].get(self._variable) != str(wanted.concurrency):
            body["env"] = self._environment(present, self._variable, str(wanted.concurrency))
        return body

    def _back(self, present: Object, before: Object, part: Sequence[str]) -> dict[str, Any]:
        """The PATCH that restores ``part`` of the settings."""
        body: dict[str, Any] = {}
        if "workers" in part and any(present["workers"].get(name) != value for name, value in before["workers"].items()):
            body["workers"] = before["workers"]
        if "scaling" in part and present["scaling"] != before["scaling"]:
            body["scaling"] = before["scaling"]
        variable, value = before["concurrency"]["variable"], before["concurrency"]["value"]
        if "env" in part and present["env"].get(variable) != value:
            body["env"] = self._environment(present, variable, value)
        return body

    def _environment(self, present: Object, variable: str, value: str | None) -> dict[str, str]:
        """The present environment with one variable set, or removed. Raises ControlError if a hidden value would be overwritten."""
        env = dict(present["env"])
        if masked := [name for name, text in env.items() if not isinstance(text, str) or (text and not text.strip("*•"))]:
            raise ControlError(f"{self.where} hides the value of {masked[0]}, which a change would overwrite: use --control hand")
        env.pop(variable, None)
        return env if value is None else env | {variable: value}

    def _serving(self, workers: Sequence[Object], wanted: DesiredState) -> int:
        """The number of workers that serve.

        The list shows FlashBoot's cached workers as IDLE. If it has more than wanted, /health decides: its ``running``
        counts the workers of the minimum, and no cached ones.
        """
        count = sum(worker["status"] in SERVING for worker in workers)
        if wanted.workers is None or count <= wanted.workers or not self._flashboot or self._health is None:
            return count
        gauge = self._once("GET", "/health", client=self._health).get("workers") or {}
        return wanted.workers if gauge.get("running") == wanted.workers and not gauge.get("initializing") else count

    def _endpoint(self, body: Object | None = None) -> Object:
        """The endpoint's settings; with ``body``, after that PATCH."""
        shown = self._ask("PATCH" if body else "GET", "", body)
        try:
            self._workers_min, _ = int(shown["workers"]["min"]), int(shown["workers"]["max"])
            self._flashboot = shown.get("flashboot", "OFF") != "OFF"
            self._secrets = {text for text in shown["env"].values() if isinstance(text, str) and len(text) >= SECRET_LENGTH}
            _scaling_text(shown["scaling"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ControlError(f"{self.where} does not show its settings as REST v2 does ({error!r}): use --control hand") from error
        return shown

    def _workers(self, content: Object) -> list[Object]:
        try:
            return [{**worker, "id": str(worker["id"]), "status": str(worker["status"])} for worker in content["workers"]]
        except (KeyError, TypeError) as error:
            raise ControlError(f"{self.where} does not list its workers as REST v2 does ({error!r}): use --control hand") from error

    def _ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """The answer, after up to TRIES calls. Raises ControlError if it is refused for good, or TRIES times, or the run ended."""
        calls = Retrying(
            stop=stop_after_attempt(TRIES),
            retry=retry_if_exception_type(_TransientError),
            wait=self._wait_s,
            before_sleep=self._rest,
            sleep=lambda _: None,
            reraise=True,
        )
        try:
            return calls(self._once, method, path, body)
        except _TransientError as trouble:
            raise ControlError(f"{trouble} ({TRIES} times): try again later") from None

    def _wait_s(self, state: RetryCallState) -> float:
        after_s = getattr(state.outcome and state.outcome.exception(), "after_s", None)
        return min(wait_exponential(self._first_pause_s)(state) if after_s is None else after_s, LONGEST_PAUSE_S)

    def _rest(self, state: RetryCallState) -> None:
        """Pauses before the next call. It sleeps itself, because only the pause says that the run ended."""
        trouble, wait_s = state.outcome and state.outcome.exception(), state.upcoming_sleep
        if wait_s >= LOGGED_PAUSE_S:
            logger.info("%s: next try in %.0f s", trouble, wait_s)
        if not self._pause(wait_s):
            raise ControlError(f"{trouble}; the run has ended")

    def _once(self, method: str, path: str, body: Object | None = None, client: HttpClient | None = None) -> Object:
        exchange = Exchange()
        content = b"" if body is None else json.dumps(body).encode()
        (client or self._client).send(exchange, method, path if client else self._path + path, content)
        self._window = _rate_window(exchange.headers) or self._window
        if exchange.fault:
            raise _TransientError(f"{self.where} is not reachable: {self._masked(exchange.error)}")
        if exchange.status == 429 or (exchange.status or 0) >= 500:
            sentence = f"{self.where} is not available: {exchange.status} {self._problem(exchange)}"
            raise _TransientError(sentence, _after_s(exchange.headers))
        if exchange.status == 200:
            try:
                answer = json.loads(exchange.body)
            except ValueError:
                answer = None
            if isinstance(answer, dict):
                return answer
            said = self._masked(exchange.body[:300].decode("utf-8", errors="replace"))[:60]
            raise ControlError(f"{self.where} answers {said!r}, which is not a JSON object: check that the address serves REST v2")
        raise ControlError(self._refusal(exchange))

    def _refusal(self, exchange: Exchange) -> str:
        if exchange.status in (401, 403):
            remedy = f"set {RUNPOD_KEY} to a key that may change endpoints (for an emulator: {emulator_token.VARIABLE}, to its token)"
            return f"{self.where} refuses the key ({exchange.status}): {remedy}, or use --control hand"
        if exchange.status == 404:
            return f"{self.where} does not exist (404): check the id in --host"
        return f"{self.where} refuses the change ({exchange.status} {self._problem(exchange)}): correct it, or use --control hand"

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
        return one_line(redact(said, self._secrets, mark="…"))


def settings_text(before: Object) -> str:
    """Saved settings in words: ``workers 0 to 3, scaling REQUEST_COUNT 4, CONCURRENCY not set``."""
    workers, concurrency = before["workers"], before["concurrency"]
    scaling, value = _scaling_text(before["scaling"]), _value_text(concurrency["value"])
    return f"workers {workers['min']} to {workers['max']}, scaling {scaling}, {concurrency['variable']} {value}"


def _scaling_text(scaling: Object) -> str:
    return f"{scaling['type']} {scaling[UNITS[scaling['type']]]:g}"


def _value_text(value: str | None) -> str:
    return "not set" if value is None else value


def _sleep(seconds: float) -> bool:
    gevent.sleep(seconds)
    return True


def _rate_window(headers: Mapping[str, str]) -> tuple[float, float] | None:
    """Requests left in the window and seconds to its end, from ``RateLimit: "minute";r=42;t=17``."""
    words = dict(part.strip().partition("=")[::2] for part in headers.get("ratelimit", "").split(";")[1:])
    try:
        return number(words["r"]), number(words["t"])
    except (KeyError, ValueError):
        return None


def _after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After, or from RateLimit if no request is left."""
    window = _rate_window(headers)
    after_s = retry_after_s(headers)
    return window[1] if after_s is None and window and window[0] < 1 else after_s
