"""Changes an endpoint's settings through RunPod's REST v2; the emulator answers the same calls.

Workers, scaler and environment are changed by PATCH, which leaves fields that are not sent unchanged. Workers and scaler
apply promptly, the environment by a rolling release (source: api-reference-v2/openapi.json). It is not documented whether
a PATCH replaces or merges the environment, so all of it is sent, which is right either way.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from coldburst import emulator_token
from coldburst.control.desired_state import Control, ControlError, DesiredState, ObservedState, listed, serving
from coldburst.control.rest_calls import LONGEST_PAUSE_S, RestCalls, TransientError, sleep
from coldburst.record.bill import Bill
from coldburst.targets.address import EndpointAddress

logger = logging.getLogger("coldburst")
LOCAL_EVERY_S, EVERY_S = 0.1, 2.0
# Requests per minute that polling leaves to others, such as the status sampler; the rest is spread over the minute.
SPARED = 20
SERVING = ("RUNNING", "IDLE")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Values of the environment of at least this length are masked in every message.
SECRET_LENGTH = 4
# Parts of the settings, and how often they are restored and read back.
ALL = ("workers", "scaling", "env")
RESTORE_ROUNDS = 5
UNITS = {"REQUEST_COUNT": "requestCount", "QUEUE_DELAY": "queueDelay"}

Object = Mapping[str, Any]


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
        self._path = f"/serverless/{quote(address.endpoint_id, safe='')}"
        self._calls = RestCalls(address.management, key, self.where, self._first_pause_s)
        self._health = RestCalls(address.api, key, self.where, self._first_pause_s) if address.api else None
        self._outgoing: set[tuple[str, Any]] = set()
        self._workers_min: int | None = None
        self._flashboot = False
        self._pause_s = 0.0
        # Whether /health showed the wanted number of workers at the poll before: one answer of it may be wrong.
        self._gauge_agreed = False

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
        if self._calls.window is None:
            return least_s
        left, seconds = self._calls.window
        return max(least_s, min(seconds / max(left - SPARED, 1.0), seconds))

    @property
    def _first_pause_s(self) -> float:
        return LOCAL_EVERY_S if self.harmless else EVERY_S

    def begin(self, folder: Path, pause: Callable[[float], bool]) -> None:
        self._calls.pause = pause

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
            workers = self._workers(self._calls.ask("GET", f"{self._path}/workers"))
            self._outgoing = {(worker["id"], worker.get("version")) for worker in workers}
        shown = self._endpoint(body) if body else present
        if left := self._changes(shown, wanted):
            raise ControlError(f"{self.where} accepted the change but does not show it ({', '.join(left)}): check it in the console")

    def differs(self, wanted: DesiredState) -> list[str]:
        """Names of the settings that are not as wanted."""
        return list(self._changes(self._endpoint(), wanted))

    def observe(self, wanted: DesiredState) -> ObservedState:
        """Reads the worker list. Transient failures (429, 5xx) are returned as text and not raised."""
        try:
            workers = self._workers(self._calls.once("GET", f"{self._path}/workers"))
            count = self._serving(workers, wanted)
        except TransientError as trouble:
            self._pause_s = min(trouble.after_s or 0.0, LONGEST_PAUSE_S)
            return ObservedState(None, False, str(trouble))
        self._pause_s = 0.0
        old = sum(bool(worker.get("isStale")) or (worker["id"], worker.get("version")) in self._outgoing for worker in workers)
        states = Counter(str(worker["status"]).lower() for worker in workers if worker["status"] not in SERVING)
        more = [f"{n} {state}" for state, n in sorted(states.items())] + ([f"{old} of an older release"] if old else [])
        enough = count >= (self._workers_min or 0) if wanted.workers is None else count == wanted.workers
        return ObservedState(count, enough and not (old or states["initializing"]), "; ".join([serving(count, wanted.workers), *more]))

    def containers(self) -> int | None:
        """Workers with a container, which are billed, by the worker list; None if it cannot be read now."""
        try:
            workers = self._workers(self._calls.once("GET", f"{self._path}/workers"))
        except TransientError as trouble:
            logger.debug("%s", trouble)
            return None
        return sum(1 for worker in workers if worker.get("startedAt") and worker["status"] != "THROTTLED")

    def billed(self, of: Bill) -> Bill:
        """What the billing API has for these hours, with one call."""
        try:
            return of.answered(self._calls.once("GET", of.query(self._address.endpoint_id)), self._address.endpoint_id)
        except (TransientError, ControlError, ValueError) as error:
            return replace(of, trouble=str(error))

    def purge(self) -> int | None:
        """Removes the jobs that wait in the queue; their number, None where the answer has none. Raises ControlError."""
        if self._health is None:
            raise ControlError(f"{self.where} has no queue")
        removed = self._health.ask("POST", "/purge-queue", {}).get("removed")
        return removed if isinstance(removed, int) else None

    def restore(self, before: Mapping[str, Any]) -> str:
        """Sends only what differs, and first what costs money, until the settings that are read back hold.

        Other variables keep their present values. It goes on while the run is being stopped.
        """
        self._calls.pause = sleep
        shown, done = self._endpoint(), dict[str, None]()
        for again in range(RESTORE_ROUNDS):
            if again:
                sleep(self.every_s)
            for part in (("workers", "scaling"), ("env",)):
                if body := self._back(shown, before, part):
                    shown = self._endpoint(body)
                    done |= dict.fromkeys(body)
            if done:
                shown = self._endpoint()
            if not (left := self._back(shown, before, ALL)):
                return f"{self.where}: {settings_text(before)}: {'restored (' + ', '.join(done) + ')' if done else 'unchanged'}"
        raise ControlError(f"{self.where} does not show the restored {', '.join(left)}: in the console, set {settings_text(before)}")

    def standing_workers(self) -> int | None:
        return self._workers_min

    def close(self) -> None:
        self._calls.close()
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
        workers = dict(before["workers"])
        if before["scaling"]["type"] == "REQUEST_COUNT" and present.get("type") == "QUEUE":
            # REST v2 rejects it there (422), though it may show one.
            workers.pop("idleTimeout", None)
        if "workers" in part and any(present["workers"].get(name) != value for name, value in workers.items()):
            body["workers"] = workers
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
        counts the workers of the minimum, and no cached ones. It flickers, so two answers in a row must agree.
        """
        count = sum(worker["status"] in SERVING for worker in workers)
        if wanted.workers is None or count <= wanted.workers or not self._flashboot or self._health is None:
            return count
        gauge = self._health.once("GET", "/health").get("workers") or {}
        agreed, before = gauge.get("running") == wanted.workers and not gauge.get("initializing"), self._gauge_agreed
        self._gauge_agreed = agreed
        return wanted.workers if agreed and before else count

    def _endpoint(self, body: Object | None = None) -> Object:
        """The endpoint's settings; with ``body``, after that PATCH."""
        shown = self._calls.ask("PATCH" if body else "GET", self._path, body)
        try:
            self._workers_min = int(shown["workers"]["min"])
            int(shown["workers"]["max"])
            self._flashboot = shown.get("flashboot", "OFF") != "OFF"
            self._calls.secrets = {text for text in shown["env"].values() if isinstance(text, str) and len(text) >= SECRET_LENGTH}
            _scaling_text(shown["scaling"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ControlError(f"{self.where} does not show its settings as REST v2 does ({error!r}): use --control hand") from error
        return shown

    def _workers(self, content: Object) -> list[Object]:
        try:
            return [{**worker, "id": str(worker["id"]), "status": str(worker["status"])} for worker in content["workers"]]
        except (KeyError, TypeError) as error:
            raise ControlError(f"{self.where} does not list its workers as REST v2 does ({error!r}): use --control hand") from error


def settings_text(before: Object) -> str:
    """Saved settings in words: ``workers 0 to 3, scaling REQUEST_COUNT 4, CONCURRENCY not set``."""
    workers, concurrency = before["workers"], before["concurrency"]
    scaling, value = _scaling_text(before["scaling"]), _value_text(concurrency["value"])
    return f"workers {workers['min']} to {workers['max']}, scaling {scaling}, {concurrency['variable']} {value}"


def _scaling_text(scaling: Object) -> str:
    return f"{scaling['type']} {scaling[UNITS[scaling['type']]]:g}"


def _value_text(value: str | None) -> str:
    return "not set" if value is None else value
