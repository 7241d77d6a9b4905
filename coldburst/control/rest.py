"""Changes an endpoint's settings through RunPod's REST v2; the emulator answers the same calls.

Workers, scaler and environment are changed by PATCH, of which only the fields sent count. Workers and scaler apply
promptly, the environment by a rolling release (source: api-reference-v2/openapi.json). Whether a PATCH of the
environment replaces or merges it is not documented: the whole of it is sent, which is right either way.
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

from coldburst import emulator_token
from coldburst.control.desired_state import ControlError, DesiredState, ObservedState, listed, serving
from coldburst.keys import RUNPOD_KEY
from coldburst.lines import one_line
from coldburst.redact import redact
from coldburst.targets.address import EndpointAddress
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.retry_after import retry_after_s

logger = logging.getLogger("coldburst")
LIMITS = Timeouts(10.0, 30.0, 30.0)
TRIES = 6
"""At a question that met 429, 5xx or a broken connection; all that is sent here may be sent twice."""
LONGEST_PAUSE_S = 120.0
TOLD_S = 5.0
"""A longer pause is told: who waits for the settings to be put back wants to know for what."""
LOCAL_EVERY_S, EVERY_S = 0.1, 2.0
SPARED = 20
"""Requests of a minute that polling leaves to others, as to the status sampler; the rest is spread over what is left of the minute."""
SERVING = ("RUNNING", "IDLE")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SECRET = 4
"""Characters from which on a value of the environment is kept out of every sentence."""
UNITS = {"REQUEST_COUNT": "requestCount", "QUEUE_DELAY": "queueDelay"}

Object = Mapping[str, Any]


class _Transient(Exception):
    """An answer that the next one may better; ``after_s``: the pause that it asks for, if any."""

    def __init__(self, sentence: str, after_s: float | None) -> None:
        super().__init__(sentence)
        self.after_s = after_s


class RestControl:
    """See Control. One endpoint by REST v2.

    Args:
        address: with ``management`` and ``endpoint_id``; ``api``, if any, answers /health.
        key: RunPod's API key, or "" (an emulator that is open to all).
        variable: name of the environment variable that is each worker's concurrency.

    A request that has to be repeated is repeated after a pause, as long as the run goes on; when the endpoint is restored, always.
    """

    way: ClassVar[str] = "rest"
    url = ""
    by_hand = False

    def __init__(self, address: EndpointAddress, key: str, variable: str = "CONCURRENCY") -> None:
        if not address.management:
            raise ControlError(f"'{address.url or 'no host'}' has no REST v2 to change it by: give --control hand")
        if not variable.isidentifier():
            raise ControlError(f"--concurrency-env '{variable}' is no variable's name: give one as in CONCURRENCY")
        # An emulator's own token goes before the key, which is RunPod's.
        key = emulator_token.find(address.management) or key
        self._address, self._key, self._variable = address, key, variable
        self._pause: Callable[[float], bool] = _patiently
        self._path = f"/serverless/{quote(address.endpoint_id, safe='')}"
        headers = {"User-Agent": "coldburst", "Accept": "application/json", "Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        self._client = HttpClient(address.management, LIMITS, headers)
        self._health = HttpClient(address.api, LIMITS, headers) if address.api else None
        self._left: tuple[float, float] | None = None
        self._outgoing: set[tuple[str, Any]] = set()
        self._least = 0
        self._keeps = False
        self._pause_s = 0.0
        self._values: set[str] = set()

    @property
    def where(self) -> str:
        """See Control."""
        return f"endpoint '{self._address.endpoint_id}' by {self._address.management}"

    @property
    def harmless(self) -> bool:
        """See Control: only what this machine answers itself."""
        return (urlsplit(self._address.management).hostname or "") in LOOPBACK

    @property
    def every_s(self) -> float:
        """See Control; as often as the rate limit that the answers tell leaves room for."""
        least_s = max(LOCAL_EVERY_S if self.harmless else EVERY_S, self._pause_s)
        if self._left is None:
            return least_s
        left, seconds = self._left
        return max(least_s, min(seconds / max(left - SPARED, 1.0), seconds))

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        """See Control."""
        self._pause = pause

    def settings(self) -> dict[str, Any]:
        """See Control. Of the environment only the names, and the one value that is going to be changed."""
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
        """See Control; asks for the present settings, and changes nothing."""
        now = self.settings()
        lines = []
        if workers := listed([one.workers for one in wanted]):
            present = f"{now['workers']['min']} to {now['workers']['max']}"
            lines.append(f"workers, min = max, to {workers} (now {present}; each is billed while it is there)")
        if values := listed([one.scaler_value for one in wanted]):
            lines.append(f"scaling to REQUEST_COUNT {values} (now {scaling_text(now['scaling'])})")
        if concurrency := listed([one.concurrency for one in wanted]):
            present = value_text(now["concurrency"]["value"])
            lines.append(f"variable {self._variable} to {concurrency} (now {present}), each time by a rolling release")
        return "\n  ".join([f"Changes {self.where}, and puts it back at the end:", *(lines or ["nothing"])])

    def change(self, wanted: DesiredState) -> None:
        """See Control; what is so already is not sent."""
        present = self._endpoint()
        body = self._changes(present, wanted)
        if "env" in body:
            self._outgoing = {(worker["id"], worker.get("version")) for worker in self._workers(self._ask("GET", "/workers"))}
        shown = self._endpoint(body) if body else present
        if left := self._changes(shown, wanted):
            raise ControlError(f"{self.where} took the change and still shows another {', '.join(left)}: look at it in the console")

    def differs(self, wanted: DesiredState) -> list[str]:
        """Names of the settings that are not as wanted."""
        return list(self._changes(self._endpoint(), wanted))

    def observe(self, wanted: DesiredState) -> ObservedState:
        """See Control: by the worker list. What the next question may better (429, 5xx) is told and not raised."""
        try:
            workers = self._workers(self._once("GET", "/workers"))
            count = self._serving(workers, wanted)
        except _Transient as trouble:
            self._pause_s = min(trouble.after_s or 0.0, LONGEST_PAUSE_S)
            return ObservedState(None, False, str(trouble))
        self._pause_s = 0.0
        old = sum(bool(worker.get("isStale")) or (worker["id"], worker.get("version")) in self._outgoing for worker in workers)
        states = Counter(str(worker["status"]).lower() for worker in workers if worker["status"] not in SERVING)
        more = [f"{number} {state}" for state, number in sorted(states.items())] + ([f"{old} of an older release"] if old else [])
        ready = not old and not states["initializing"] and (count >= self._least if wanted.workers is None else count == wanted.workers)
        return ObservedState(count, ready, "; ".join([serving(count, wanted.workers), *more]))

    def restore(self, before: Mapping[str, Any]) -> str:
        """See Control. Only what differs is sent, what costs money first; other variables stay as they are now."""
        self._pause = _patiently  # also where the run is being stopped
        shown, done = self._endpoint(), list[str]()
        for part in (("workers", "scaling"), ("env",)):
            if body := self._back(shown, before, part):
                shown = self._endpoint(body)
                done += body
        workers, concurrency = before["workers"], before["concurrency"]
        said = f"workers {workers['min']} to {workers['max']}, scaling {scaling_text(before['scaling'])}"
        said += f", {concurrency['variable']} {value_text(concurrency['value'])}"
        if left := self._back(shown, before, ("workers", "scaling", "env")):
            raise ControlError(f"{self.where} still shows another {', '.join(left)} than before: set in the console {said}")
        return f"{self.where}: {said}: {'put back (' + ', '.join(done) + ')' if done else 'they were so already'}"

    def close(self) -> None:
        """See Control."""
        self._client.close()
        if self._health:
            self._health.close()

    def _changes(self, present: Object, wanted: DesiredState) -> dict[str, Any]:
        """The PATCH that makes ``present`` what is wanted. Minimum and maximum travel together: at no moment is one above the other."""
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
        """The PATCH that makes ``part`` of what is present what it was before."""
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
        """The present environment with one variable set, or without it.

        Raises:
            ControlError: a value is not shown, and would be overwritten by what stands in its place.
        """
        env = dict(present["env"])
        if masked := [name for name, text in env.items() if not isinstance(text, str) or (text and not text.strip("*•"))]:
            raise ControlError(f"{self.where} does not show its variable {masked[0]}, which a change would overwrite: give --control hand")
        env.pop(variable, None)
        return env if value is None else env | {variable: value}

    def _serving(self, workers: Sequence[Object], wanted: DesiredState) -> int:
        """How many workers serve, by the list.

        FlashBoot's cached workers stand in it as IDLE. Where there are more than wanted, /health decides:
        its gauge 'running' counts those of the minimum and no cached ones.
        """
        count = sum(worker["status"] in SERVING for worker in workers)
        if wanted.workers is None or count <= wanted.workers or not self._keeps or self._health is None:
            return count
        gauge = self._once("GET", "/health", client=self._health).get("workers") or {}
        return wanted.workers if gauge.get("running") == wanted.workers and not gauge.get("initializing") else count

    def _endpoint(self, body: Object | None = None) -> Object:
        """The endpoint's settings, after ``body`` has been sent as a PATCH."""
        shown = self._ask("PATCH" if body else "GET", "", body)
        try:
            self._least, _ = int(shown["workers"]["min"]), int(shown["workers"]["max"])
            self._keeps = shown.get("flashboot", "OFF") != "OFF"
            self._values = {text for text in shown["env"].values() if isinstance(text, str) and len(text) >= SECRET}
            scaling_text(shown["scaling"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ControlError(f"{self.where} does not show its settings as REST v2 does ({error!r}): give --control hand") from error
        return shown

    def _workers(self, content: Object) -> list[Object]:
        try:
            return [{**worker, "id": str(worker["id"]), "status": str(worker["status"])} for worker in content["workers"]]
        except (KeyError, TypeError) as error:
            raise ControlError(f"{self.where} does not list its workers as REST v2 does ({error!r}): give --control hand") from error

    def _ask(self, method: str, path: str, body: Object | None = None) -> Object:
        """The answer, after pauses where it is refused for the moment.

        Raises:
            ControlError: it is refused for good, or TRIES times.
        """
        tried, pause_s = 1, LOCAL_EVERY_S if self.harmless else EVERY_S
        while True:
            try:
                return self._once(method, path, body)
            except _Transient as trouble:
                if tried == TRIES:
                    raise ControlError(f"{trouble} ({TRIES} times): try again later") from None
                wait_s = min(pause_s if trouble.after_s is None else trouble.after_s, LONGEST_PAUSE_S)
                if wait_s >= TOLD_S:
                    logger.info("%s: again in %.0f s", trouble, wait_s)
                if not self._pause(wait_s):
                    raise ControlError(f"{trouble}; the run ended meanwhile") from None
            tried, pause_s = tried + 1, 2 * pause_s

    def _once(self, method: str, path: str, body: Object | None = None, client: HttpClient | None = None) -> Object:
        exchange = Exchange()
        content = b"" if body is None else json.dumps(body).encode()
        (client or self._client).send(exchange, method, path if client else self._path + path, content)
        self._left = _left(exchange.headers) or self._left
        if exchange.fault:
            raise _Transient(f"{self.where} cannot be reached: {self._told(exchange.error)}", None)
        if exchange.status == 429 or (exchange.status or 0) >= 500:
            raise _Transient(f"{self.where} asks to wait: {exchange.status} {self._problem(exchange)}", _after_s(exchange.headers))
        if exchange.status == 200:
            try:
                answer = json.loads(exchange.body)
            except ValueError:
                answer = None
            if isinstance(answer, dict):
                return answer
            said = self._told(exchange.body[:300].decode("utf-8", errors="replace"))[:60]
            raise ControlError(f"{self.where} answers {said!r}, which is no JSON object: is that REST v2?")
        raise ControlError(self._refusal(exchange))

    def _refusal(self, exchange: Exchange) -> str:
        if exchange.status in (401, 403):
            right = f"set {RUNPOD_KEY} to one that may change endpoints (for an emulator: {emulator_token.VARIABLE}, to its token)"
            return f"{self.where} refuses the key ({exchange.status}): {right}, or give --control hand"
        if exchange.status == 404:
            return f"{self.where} does not exist (404): check the id in --host"
        return f"{self.where} refuses the change ({exchange.status} {self._problem(exchange)}): correct it, or give --control hand"

    def _problem(self, exchange: Exchange) -> str:
        """What an error's body says; REST v2 writes RFC 9457."""
        try:
            content = json.loads(exchange.body)
            said = str(content.get("detail") or content.get("title") or "")
        except (ValueError, AttributeError):
            said = exchange.body[:300].decode("utf-8", errors="replace")
        return self._told(said)

    def _told(self, said: str) -> str:
        """``said`` in a line, without the key and the environment's values: an answer may repeat what it was shown."""
        return one_line(redact(said, (self._key, *self._values), mark="…"))


def _patiently(seconds: float) -> bool:
    """Waits; whether to ask again: yes."""
    gevent.sleep(seconds)
    return True


def _left(headers: Mapping[str, str]) -> tuple[float, float] | None:
    """Requests left in the window and seconds to its end, from ``RateLimit: "minute";r=42;t=17``."""
    words = dict(part.strip().partition("=")[::2] for part in headers.get("ratelimit", "").split(";")[1:])
    try:
        return float(words["r"]), float(words["t"])
    except (KeyError, ValueError):
        return None


def _after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, by Retry-After, or by RateLimit where nothing is left."""
    if (after_s := retry_after_s(headers)) is not None:
        return after_s
    left = _left(headers)
    return left[1] if left and left[0] < 1 else None


def scaling_text(scaling: Object) -> str:
    """``REQUEST_COUNT 4``."""
    return f"{scaling['type']} {scaling[UNITS[scaling['type']]]:g}"


def value_text(value: str | None) -> str:
    """A variable's value, or that it is not set."""
    return "not set" if value is None else value
