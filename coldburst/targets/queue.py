"""RunPod's queue endpoints: submits a job, polls it until it ends, and cancels it if nobody waits for it any more.

The end of a job is the platform's (``coldburst.targets.job_object.ended_at``), not the moment in which a poll saw it: how often it
is asked after never lengthens its time. ``Exchange.seen`` keeps that moment. The HTTP status of an attempt is that of its submission.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import gevent

from coldburst.keys import RUNPOD_KEY
from coldburst.targets import answer
from coldburst.targets.cause import SAME_JOB
from coldburst.targets.clips import Clip
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.job_object import ENDED, GONE, columns, ended_at, verdict
from coldburst.targets.outcome import Evidence
from coldburst.targets.payload import Payload, job_bodies
from coldburst.targets.rate_limiter import RateLimit, RateLimiter
from coldburst.targets.word_error_rate import judge_text, transcript, warm_up

logger = logging.getLogger("coldburst")
POLLS, CANCELS = (2000, 400), (100, 20)
"""Requests per 10 s and open at a time that RunPod allows to /status and to /cancel (documented)."""
CLOSE_S = 5.0
LONGEST_HOLD_S = 90.0
"""RunPod's own clients ask /status-sync to hold no longer (observed in its JavaScript and Go SDKs)."""
POLL_S = 60.0
"""For a poll's answer to be whole: a result may have 20 MB."""
MARGIN_S = 10.0
"""For the headers of a poll's answer, beyond the time it was asked to hold."""
LAST_LOOK_S = 5.0
"""How long past the deadline the one last poll may take that tells how things stood at it."""
BACK_OFF_S = 10.0
GIVE_UP_AFTER = 3
"""Polls that failed in a row, at least, before a job counts as lost."""
GONE_AFTER, GONE_S = 3, 2.0
"""Answers 404 in a row, and for how long, before a job counts as gone: a few may be a moment's, of an address that has not heard of it."""
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How jobs are submitted and polled.

    Attributes:
        submit: "run", or "runsync", whose answer may come with the job's end in it; if not, it is polled for.
        poll: "status"; "status-sync", long polls; or "auto": long polls while fewer than half of the places are taken by
            them and where the service has that route, else /status.
        poll_s: shortest interval between two polls for one job.
        sync_wait_s: how long /runsync is asked to hold, 1..300 s (RunPod's bounds).
        execution_timeout_s, ttl_s: the job's policy; None = the endpoint's own.
        low_priority: the job's policy: it does not make the endpoint scale up.
        error_at: places in a job's output where an error stands (answer.error_in); its own ``error`` always counts.
        needs_output: a COMPLETED without output, or with an empty one, is ``wrong``.
        max_wer: an answer with a word error rate above this is ``wrong``, where clips with texts are sent; None = no check.
        lost_s: a job is given up after nothing but failed polls for this long. A 429 is no failure: it only slows polling down.
        share: part of the platform's limit on polls that this process uses.
        cancel: whether ``close`` cancels the jobs that have not ended.

    Raises:
        ValueError: a value out of the platform's bounds; one sentence.
    """

    submit: str = "run"
    poll: str = "auto"
    poll_s: float = 1.0
    sync_wait_s: float = 90.0
    execution_timeout_s: float | None = None
    ttl_s: float | None = None
    low_priority: bool = False
    error_at: tuple[str, ...] = ("error", "output.error")
    needs_output: bool = True
    max_wer: float | None = 0.5
    lost_s: float = 30.0
    share: float = 0.8
    cancel: bool = True

    def __post_init__(self) -> None:
        week_s = 7 * 86400
        for name, least, most in (("sync_wait_s", 1, 300), ("execution_timeout_s", 5, week_s), ("ttl_s", 10, week_s)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(
                    f"{name.removesuffix('_s').replace('_', ' ')} {value:g} s is out of RunPod's bounds: give {least} to {most} s"
                )
        if not self.poll_s > 0:
            raise ValueError(f"a poll interval of {self.poll_s:g} s is none: give seconds above 0, as in 1")
        if self.submit not in ("run", "runsync") or self.poll not in ("auto", "status", "status-sync"):
            raise ValueError(f"no such way: submit '{self.submit}' (run, runsync), poll '{self.poll}' (auto, status, status-sync)")

    @property
    def policy(self) -> dict[str, Any]:
        """The job's ``policy``, in milliseconds; empty where nothing was asked for."""
        times = {"executionTimeout": self.execution_timeout_s, "ttl": self.ttl_s}
        policy: dict[str, Any] = {name: round(value * MILLISECONDS) for name, value in times.items() if value is not None}
        return policy | ({"lowPriority": True} if self.low_priority else {})


@dataclass(slots=True)
class _Job:
    """A job in flight. Instants by ``time.perf_counter``."""

    id: str
    accepted: float
    deadline: float
    due: float
    """When it may be asked after again."""
    asked: float
    """When the last request was sent that saw it unfinished."""
    heard: float
    """When that answer was there."""
    state: str = "IN_QUEUE"
    failures: int = 0
    """Polls in a row that did not tell its state, ``answered`` of them answered; ``failing`` is when that began."""
    answered: int = 0
    failing: float = 0.0
    trouble: str = ""
    missing: int = 0
    """Answers in a row that there is no such job; ``missed`` is when the first of them was there."""
    missed: float = 0.0
    no_hold: bool = False
    """A long poll went wrong for it: only short ones now."""
    doubt: bool = False
    """A long poll said that there is no such job: it is gone, or the route is not there."""

    @property
    def mostly_answered(self) -> bool:
        """Whether the service was reached by most of the polls that did not tell the job's state."""
        return 2 * self.answered >= self.failures


class QueueTarget:
    """One queue endpoint: ``send`` submits a job and polls it until it ends.

    Args:
        host: the endpoint's address, as in ``https://api.runpod.ai/v2/ID``.
        limits: connecting, the submission's first byte, and the whole of a job from sending on.
        key: API key, or "".

    Raises:
        ValueError: the payload cannot be sent, or the share cannot be used; one sentence.
    """

    kind: ClassVar[str] = "queue"

    def __init__(self, host: str, payload: Payload, options: QueueOptions, limits: Timeouts, key: str = "") -> None:
        self._templates = job_bodies(payload, options.policy, options.submit)
        self._options, self._limits, self._key = options, limits, key
        self.client = HttpClient(host, limits, {"User-Agent": "coldburst", "Accept": "application/json"} | answer.bearer(key))
        self.url = f"{host.rstrip('/')}/{options.submit}"
        self._share = options.share
        self.limiter = RateLimiter(RateLimit(*POLLS, share=self._share))
        self._holding = 0
        self._holds = options.poll != "status"
        self._unended: dict[str, None] = {}
        self._seq_of: dict[str, int] = {}
        warm_up((clip.text for clip in payload.clips), options.max_wer)

    def send(self, seq: int, name: str, exchange: Exchange) -> Evidence:
        """Submits request ``seq`` under ``name``, follows its job, fills ``exchange`` in and says what came of it."""
        clip = self._submit(seq, name, exchange)
        if exchange.fault:
            return _evidence(exchange, "", exchange.error)
        content = answer.parse_json(exchange.body)
        if not 200 <= (exchange.status or 0) < 300:
            evidence = answer.refusal(exchange, content, exchange.known)
            address_hint = answer.address_hint(exchange.status, "the endpoint id in --host")
            hint = answer.key_hint(exchange.status, self._key, RUNPOD_KEY) or address_hint
            return _evidence(exchange, evidence.says, f"{evidence.measured['error']}{hint}")
        if not isinstance(content, dict) or not isinstance(content.get("id"), str) or not content["id"]:
            return _evidence(exchange, "wrong", f"{exchange.status} without a job id: {answer.excerpt(exchange.body)}")
        if (first := self._seq_of.setdefault(content["id"], seq)) != seq:
            return _evidence(exchange, "error", f"{SAME_JOB} as request {first}: its result is not known")
        job = self._accept(content, exchange)
        if content.get("status") in ENDED:
            exchange.seen = job.asked = exchange.done or 0.0
            return self._conclude(job, content, clip, exchange)
        exchange.body, exchange.headers = b"", {}  # thousands wait for hours with them, and nobody reads them
        final = self._follow(job, exchange)
        if final is None:
            return _evidence(exchange, "" if exchange.fault else "error", exchange.error)
        return self._conclude(job, final, clip, exchange)

    def share(self, generators: int) -> None:
        """So many load generators ask the endpoint together from now on: each uses its part of the platform's limits."""
        self._share = self._options.share / generators
        self.limiter.change(RateLimit(*POLLS, share=self._share))

    def close(self) -> int:
        """Cancels the jobs that have not ended, as far as RunPod's limit on it allows within CLOSE_S; the number that may go on."""
        left, self._unended = self._unended, {}
        if left and self._options.cancel:
            # Half of the limit at once and half over the five seconds: a window has ten.
            burst = CANCELS[0] * self._share / 2
            limiter, waiting = RateLimiter(RateLimit(*CANCELS, share=self._share), burst=burst), list(left)[::-1]
            lanes = [gevent.spawn(self._cancel, waiting, left, limiter) for _ in range(min(limiter.places, len(left)))]
            gevent.joinall(lanes, timeout=CLOSE_S)
            gevent.killall(lanes)
        if left:
            logger.warning(
                "%d jobs may still run, and cost: POST %s/purge-queue removes what waits", len(left), self.url.rpartition("/")[0]
            )
        self.client.close()
        return len(left)

    def _cancel(self, waiting: list[str], left: dict[str, None], limiter: RateLimiter) -> None:
        while waiting and limiter.enter(CLOSE_S):
            job_id, exchange = waiting.pop(), Exchange()
            self.client.send(exchange, "POST", f"/cancel/{_quoted(job_id)}", limits=Timeouts(CLOSE_S, CLOSE_S, CLOSE_S))
            limiter.leave()
            if exchange.status == 429:
                limiter.slow(exchange.sent or 0.0)
                waiting.append(job_id)
            elif exchange.status in (200, 404):
                left.pop(job_id)

    def _submit(self, seq: int, name: str, exchange: Exchange) -> Clip | None:
        template = self._templates[seq % len(self._templates)]
        body, path, limits = template.body(seq, name), "/run", self._limits
        exchange.known["bytes_out"] = len(body)
        if template.clip:
            exchange.known["audio_s"] = template.clip.audio_s
        if self._options.submit == "runsync":
            # Back before our own deadline: a job whose id never came cannot be cancelled.
            wait_s = max(1.0, min(self._options.sync_wait_s, limits.total_s - LAST_LOOK_S))
            path = f"/runsync?wait={round(wait_s * MILLISECONDS)}"
            limits = Timeouts(limits.connect_s, max(limits.first_byte_s, wait_s + MARGIN_S), limits.total_s)
        self.client.send(exchange, "POST", path, body, {"Content-Type": "application/json", "X-Request-ID": name}, limits)
        answer.mask_key(exchange, self._key)
        exchange.known["bytes_in"] = exchange.received
        return template.clip

    def _accept(self, content: Mapping[str, Any], exchange: Exchange) -> _Job:
        sent, done = exchange.sent or 0.0, exchange.done or 0.0
        # /runsync accepts when it is called, and answers when it has held: its answer says nothing of the acceptance.
        accepted = done if self._options.submit == "run" else sent
        due = done if self._may_hold else done + self._options.poll_s
        job = _Job(content["id"], accepted, sent + self._limits.total_s, due, asked=sent, heard=done)
        exchange.known |= {"job_id": job.id, "polls": 0}
        self._unended[job.id] = None
        self._note(job, content, exchange)
        return job

    def _note(self, job: _Job, content: Mapping[str, Any], exchange: Exchange) -> None:
        job.state = str(content.get("status") or job.state)
        exchange.known |= columns(content) | {"error": f"last seen {job.state}"}

    def _follow(self, job: _Job, exchange: Exchange) -> Mapping[str, Any] | None:
        """The job object of its end; None with an error in ``exchange``: a fault, or answers that told nothing."""
        while True:
            gevent.sleep(max(0.0, min(job.due, job.deadline) - time.perf_counter()))
            left_s = job.deadline - time.perf_counter()
            if not (left_s > 0 and self.limiter.enter(left_s)) and not self.limiter.enter(LAST_LOOK_S, urgent=True):
                break
            poll, held = self._poll(job)
            exchange.known["polls"] += 1
            final = self._read(job, poll, held, exchange)
            if final or exchange.error:
                return final
            if time.perf_counter() >= job.deadline:
                break
        self._late(job, exchange)
        return None

    @property
    def _may_hold(self) -> bool:
        """Whether a long poll may be opened now."""
        return self._holds and (self._options.poll == "status-sync" or self._holding < self.limiter.places // 2)

    def _poll(self, job: _Job) -> tuple[Exchange, bool]:
        """Asks once after the job; the answer, and whether that was a long poll. Gives its turn back."""
        poll, name = Exchange(), _quoted(job.id)
        left_s = job.deadline - time.perf_counter()
        hold_s, last_s = min(LONGEST_HOLD_S, left_s), max(left_s, 0.0) + LAST_LOOK_S
        held = hold_s >= 1 and not job.no_hold and self._may_hold
        path = f"/status-sync/{name}?wait={int(hold_s * MILLISECONDS)}" if held else f"/status/{name}"
        longest_s = min(POLL_S + held * hold_s, last_s)
        self._holding += held
        try:
            self.client.send(poll, "GET", path, limits=Timeouts(first_byte_s=min(MARGIN_S + held * hold_s, longest_s), total_s=longest_s))
        finally:
            self._holding -= held
            self.limiter.leave()
        answer.mask_key(poll, self._key)
        return poll, held

    def _read(self, job: _Job, poll: Exchange, held: bool, exchange: Exchange) -> Mapping[str, Any] | None:
        """The job object, if the poll's answer is its end; else when to ask again, or an error where asking is of no more use."""
        now, content = time.perf_counter(), answer.parse_json(poll.body)
        if not poll.fault and poll.status == 200 and isinstance(content, dict) and isinstance(content.get("status"), str):
            self._holds = self._holds and not (job.doubt and not held)
            job.failures, job.answered, job.missing, job.doubt = 0, 0, 0, False
            if content["status"] in ENDED:
                exchange.seen, exchange.known["bytes_in"] = poll.done, poll.received
                return content
            job.asked, job.heard = poll.sent or now, now
            job.due = job.asked + self._options.poll_s
            self._note(job, content, exchange)
            return None
        job.due = now + self._options.poll_s
        job.no_hold = job.no_hold or (held and poll.status != 429)
        if poll.status == 429:
            self.limiter.slow(poll.sent or now)
        elif poll.status == 405 and held:
            self._holds = False
        elif answer.says_gone(poll, content):
            return self._missing(job, poll, content, held, exchange)
        else:
            self._failed(job, poll, content, held, exchange)
        return None

    def _missing(self, job: _Job, poll: Exchange, content: Any, held: bool, exchange: Exchange) -> Mapping[str, Any] | None:
        """The service says that there is no such job: its end, and it ended when that was said first.

        A 400 or 410 is believed at once, a 404 after a while. One to a long poll may mean that poll alone: a short one follows.
        """
        if not job.missing:
            job.missed = poll.done or 0.0
        job.missing, job.doubt, job.trouble = job.missing + 1, held, f"{poll.status}: {answer.reason(poll, content)}"
        if poll.status == 404:
            if job.missing < GONE_AFTER or (poll.done or 0.0) - job.missed < GONE_S:
                return None
        elif held:
            job.due = poll.done or 0.0
            return None
        exchange.seen = job.missed
        return {"status": GONE, "error": answer.reason(poll, content)}

    def _failed(self, job: _Job, poll: Exchange, content: Any, held: bool, exchange: Exchange) -> None:
        """A poll without a usable answer is no outcome of the job: it is asked after again, later and later, until that is hopeless."""
        now = poll.done or time.perf_counter()
        job.trouble = poll.error if poll.fault else f"{poll.status}: {answer.reason(poll, content)}"
        job.trouble += answer.key_hint(poll.status, self._key, RUNPOD_KEY)
        job.missing, job.doubt = 0, job.doubt or (held and poll.status == 404)
        if not job.failures:
            job.failing = now if held else poll.sent or now  # a long poll is silent while all is well
        job.failures, job.answered = job.failures + 1, job.answered + (not poll.fault)
        job.due = now + min(self._options.poll_s * 2**job.failures, BACK_OFF_S)
        if job.failures >= GIVE_UP_AFTER and now - job.failing >= self._options.lost_s:
            exchange.done, exchange.error = now, _lost(job, now)
            if not job.mostly_answered:
                exchange.fault = "connect" if poll.fault == "connect" else "reset"

    def _late(self, job: _Job, exchange: Exchange, state: str = "") -> None:
        """Our own deadline has passed: the job is given up, and left to ``close``."""
        total_s = self._limits.total_s
        exchange.done, exchange.fault = job.deadline, "deadline"
        if state:
            exchange.error = f"{state}, but later than {total_s:g} s"
            return
        exchange.error = f"still {job.state} after {total_s:g} s"
        if (age_s := job.deadline - job.heard) > 2 * self._options.poll_s + LAST_LOOK_S or job.failures or job.missing:
            exchange.error = f"given up after {total_s:g} s: {job.state} when last heard of, {age_s:.0f} s before" + (
                f" (then: {job.trouble})" if job.failures or job.missing else ""
            )

    def _conclude(self, job: _Job, final: Mapping[str, Any], clip: Clip | None, exchange: Exchange) -> Evidence:
        """What the job's end says: its times, its outcome, and whether the text is what was spoken."""
        self._unended.pop(job.id, None)
        exchange.known |= (found := columns(final))
        queue_s, execution_s, seen = found.get("queue_s"), found.get("execution_s"), exchange.seen or 0.0
        exchange.done = ended_at(job.accepted, job.asked, seen, queue_s, execution_s)
        if exchange.done > job.deadline and None not in (queue_s, execution_s):
            self._late(job, exchange, state=str(final["status"]))
            return _evidence(exchange, "", exchange.error)
        says, error = verdict(final, job.state, self._options.error_at, self._options.needs_output)
        if says or clip is None or not clip.text or self._options.max_wer is None:
            return _evidence(exchange, says, error)
        text = transcript(final.get("output"))
        if text is None:
            return _evidence(exchange, "wrong", f"COMPLETED without a 'text' in its output: {str(final.get('output'))[:80]}")
        says, measured = judge_text(text, clip.text, self._options.max_wer)
        exchange.known |= measured
        return _evidence(exchange, says, str(measured.get("error", "")))


def _lost(job: _Job, now: float) -> str:
    """Why a job is given up of which polls tell nothing."""
    told = f"nothing could be heard of it for {now - job.failing:.0f} s"
    if job.mostly_answered:
        told = f"{job.answered} of {job.failures} polls in {now - job.failing:.0f} s were answered, and none told its state"
    return f"its job may still run, but {told} (last seen {job.state}; last try: {job.trouble})"


def _quoted(job_id: str) -> str:
    return quote(job_id, safe="", errors="replace")


def _evidence(exchange: Exchange, says: str, error: str) -> Evidence:
    """The evidence, with the columns known so far and the error in the place of what was last seen."""
    exchange.known.pop("error", None)
    return Evidence(says, exchange.known | ({"error": error} if error else {}))
