"""Custom requests: runs a user's ``request(self, job)`` as one attempt and decides what its calls, checks and exceptions say.

In this order: a call without a complete answer that the code did not catch; the first status outside 200 to 299 that no call
accepted, or the first job that did not complete; an exception; a check that did not hold; else ok. An exception before anything was sent
leaves the request ``not_sent``.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from coldburst.targets import answer
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.outcome import Evidence
from coldburst.targets.own_calls import Http, HttpAnswer, HttpError, as_json
from coldburst.targets.transcription_answer import timing

logger = logging.getLogger("coldburst")
PHASES = ("upload", "download")
LEAST_S = 0.001
__all__ = ["HttpAnswer", "HttpError", "Job", "JobResult", "OwnTarget", "current_job"]


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job of a queue endpoint ended.

    Attributes:
        status: COMPLETED, FAILED … as the platform says.
        error: why it counts as failed, "" if it does not.
    """

    id: str
    status: str
    output: Any
    error: str


class Jobs(Protocol):
    """A queue endpoint, as targets.queue has it."""

    def run_job(self, seq: int, name: str, body: bytes, clip: None, exchange: Exchange) -> Evidence:
        """Submits a job and follows it to its end."""

    def share(self, generators: int) -> None:
        """See factory.Target."""

    def close(self) -> object:
        """See factory.Target."""


class Job:
    """One request while ``request`` makes it.

    Attributes:
        seq: its number in the schedule, from 0.
        name: unique to each try of each run; sent as X-Request-ID.
        row: of --data; empty without.
        http: calls below --host, see ``Http``.
    """

    def __init__(self, seq: int, name: str, row: Mapping[str, Any], target: OwnTarget, exchange: Exchange) -> None:
        self.seq, self.name, self.row = seq, name, row
        self.http = Http(self._call)
        self._target, self._exchange = target, exchange
        self._refused: tuple[int, Evidence] | None = None
        self._lack = ""
        # The phase that has begun and not ended, and the instant of the first call in one.
        self._phase = ""
        self._called: float | None = None

    def check(self, condition: object, text: str) -> bool:
        """Whether ``condition`` holds; if not, the request is ``wrong`` with ``text``."""
        if not condition:
            self._lack = self._lack or text
        return bool(condition)

    def units(self, **counted: float) -> None:
        """Counts what the answer holds, as in ``units(tokens=12)``: into the column ``units``, under the name in ``unit``.

        Raises:
            ValueError: several names, and none of them is that of ``unit``.
        """
        unit = self._target.unit
        if unit not in counted and len(counted) != 1:
            first = next(iter(counted), "tokens")
            raise ValueError(f"units({', '.join(counted)}): name the one to report in the class, as in unit = '{first}'")
        known = self._exchange.known
        known["units"] = known.get("units", 0.0) + float(counted.get(unit, next(iter(counted.values()))))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures an "upload" before the request or a "download" after it: columns ``upload_s`` and ``download_s``.

        Calls in it are no part of the request's times.
        """
        if name not in PHASES:
            raise ValueError(f"phase('{name}'): there are two, 'upload' before the request and 'download' after it")
        begun, column = time.perf_counter(), f"{name}_s"
        self._phase = name
        try:
            yield
            self._phase = ""
        finally:
            self._exchange.known[column] = self._exchange.known.get(column, 0.0) + time.perf_counter() - begun

    def submit(self, given: Mapping[str, Any]) -> JobResult:
        """Submits a job with that input to the queue endpoint, and returns how it ended.

        Raises:
            HttpError: its end is not known.
            ValueError: the endpoint is no queue, or the input is not an object with something in it.
        """
        jobs = self._target.jobs
        if jobs is None:
            raise ValueError("submit() is for queue endpoints: use self.http for this one, or name a queue in --host or --target")
        if not isinstance(given, Mapping) or not given:
            raise ValueError('submit() needs an object that is not empty, as in {"prompt": "hi"}')
        one = Exchange(known=self._exchange.known)
        body = self._target.job_body(given)
        evidence = self._within(one, lambda: jobs.run_job(self.seq, self.name, body, None, one))
        self._exchange.known.update(evidence.measured)
        error = str(self._exchange.known.pop("error", ""))
        self._exchange.seen = one.seen
        if one.fault:
            raise HttpError(one.fault, error or one.error)
        if evidence.says or not 200 <= (one.status or 0) < 300:
            self._refuse(one, Evidence(evidence.says, {"error": error}, evidence.cause))
        job = one.answer if isinstance(one.answer, dict) else {}
        return JobResult(str(job.get("id", "")), str(job.get("status", "")), job.get("output"), error)

    def evidence(self, fault: HttpError | None, said: str) -> Evidence:
        """What the attempt says when ``request`` has ended with ``fault``, or with an exception in words."""
        exchange = self._exchange
        exchange.done = exchange.done or time.perf_counter()
        known, uploading = exchange.known, self._phase == "upload"
        exchange.sent = self._called if exchange.sent is None else exchange.sent
        if uploading and (fault or said) and not self._refused:
            exchange.fault, exchange.status = "upload", None
            exchange.sent = exchange.done if exchange.sent is None else exchange.sent
            return Evidence(measured={**known, "error": f"upload: {said or fault}"})
        if fault and not self._refused:
            exchange.fault, exchange.error, exchange.status = fault.fault, str(fault), None
            return Evidence(measured={**known, "error": str(fault)})
        if self._refused:
            exchange.status, refused = self._refused
            return Evidence(refused.says, {**known, **refused.measured}, refused.cause)
        if exchange.sent is None:
            return Evidence(measured={**known, "error": said or "request() sent nothing: it must call self.http or self.submit"})
        if wrong := said or self._lack:
            return Evidence("not_accepted", {**known, "error": wrong})
        return Evidence("accepted", known)

    def _call(self, method: str, path: str, body: bytes, headers: Mapping[str, str], accept: Collection[int]) -> Exchange:
        one, known = Exchange(), self._exchange.known
        left_s = self._left_s()
        limits = self._target.limits
        timeouts = Timeouts(limits.connect_s, min(limits.first_byte_s, left_s), left_s)
        given = {"X-Request-ID": self.name, **headers}
        self._within(one, lambda: self._target.client.send(one, method, path, body, given, timeouts))
        known["bytes_out"] = known.get("bytes_out", 0) + len(body)
        known["bytes_in"] = known.get("bytes_in", 0) + one.received
        if one.fault == "deadline":
            raise HttpError(one.fault, f"not done within {limits.total_s:g} s")
        if one.fault:
            raise HttpError(one.fault, one.error)
        known.update(timing(one.headers))
        if worker := one.headers.get("x-runpod-worker-id"):
            known["worker_id"] = worker
        if not 200 <= (one.status or 0) < 300 and one.status not in accept:
            self._refuse(one, answer.refusal(one, answer.parse_json(one.body), {}, self._target.sender))
        return one

    def _left_s(self) -> float:
        """Seconds until the attempt's deadline, which counts from its first call."""
        sent = self._exchange.sent
        passed_s = 0.0 if sent is None else time.perf_counter() - sent
        return max(LEAST_S, self._target.limits.total_s - passed_s)

    def _within(self, one: Exchange, make: Callable[[], Any]) -> Any:
        """Makes a call whose instants become the attempt's, unless it is in a phase, also if the run is cut meanwhile."""
        whole, in_phase = self._exchange, bool(self._phase)
        if in_phase and self._called is None:
            self._called = time.perf_counter()
        elif whole.sent is None and not in_phase:
            whole.sent = time.perf_counter()
        try:
            return make()
        finally:
            if not in_phase:
                whole.first = one.first if whole.first is None else whole.first
                whole.done = one.done
            if one.status is not None:
                whole.status = one.status
            whole.reconnects += one.reconnects

    def _refuse(self, one: Exchange, evidence: Evidence) -> None:
        if self._refused is None and one.status is not None:
            self._refused, self._exchange.headers = (one.status, evidence), one.headers


_CURRENT: ContextVar[Job] = ContextVar("job")


def current_job() -> Job:
    """The job that this greenlet makes. Raises RuntimeError outside of ``request``."""
    try:
        return _CURRENT.get()
    except LookupError:
        raise RuntimeError("self.http and self.submit belong to a request: use them in request(self, job)") from None


class OwnTarget:
    """An endpoint that a user's code calls.

    Args:
        host: the address below which the paths of calls are.
        request: called with each job.
        jobs: the queue endpoint, if it is one.
        unit: the name in --unit, "" without.
    """

    kind: ClassVar[str] = "request"

    def __init__(
        self,
        host: str,
        request: Callable[[Job], object],
        limits: Timeouts,
        credentials: Mapping[str, str],
        sender: answer.Sender,
        *,
        jobs: Jobs | None = None,
        policy: Mapping[str, Any] | None = None,
        unit: str = "",
    ) -> None:
        self.client = HttpClient(host, limits, {"User-Agent": "coldburst", "Accept": "*/*", **credentials})
        self.url, self.limits, self.sender, self.jobs, self.unit = host, limits, sender, jobs, unit
        self._request: Any = request
        self._policy = policy
        self._told: set[str] = set()

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        job, fault, said = Job(seq, name, values, self, exchange), None, ""
        token = _CURRENT.set(job)
        try:
            self._request(job)
        except HttpError as error:
            fault = error
        except Exception as error:
            said = self._said(error)
        finally:
            _CURRENT.reset(token)
        return job.evidence(fault, said)

    def job_body(self, given: Mapping[str, Any]) -> bytes:
        """The body of a job with that input."""
        return as_json({"input": given, **({"policy": self._policy} if self._policy else {})})

    def share(self, generators: int) -> None:
        """See factory.Target."""
        if self.jobs:
            self.jobs.share(generators)

    def close(self) -> None:
        """Cancels jobs that have not ended, and closes the connections."""
        if self.jobs:
            self.jobs.close()
        self.client.close()

    def _said(self, error: Exception) -> str:
        """The exception's class, message, and line in the user's file; its first occurrence is logged with its traceback."""
        file = self._request.__code__.co_filename
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        place = f" ({Path(file).name}, line {lines[-1]})" if lines else ""
        said = f"{type(error).__name__}: {error}"
        kind = f"{type(error).__name__}{place}"
        if kind not in self._told:
            self._told.add(kind)
            logger.error("request() raised %s%s; further ones of this kind only have their rows", said, place, exc_info=error)
        return f"{type(error).__name__}{place}: {error}"
