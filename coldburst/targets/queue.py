"""RunPod's queue endpoints: submits a job, polls it until it ends, and cancels it if its result is no longer wanted.

A job ends when the platform says so (``answer.ended_at``), not when a poll sees it, so that polling never lengthens its time;
``Exchange.seen`` is the instant of that poll. The HTTP status of an attempt is that of its submission. Jobs are submitted to /run, and to
/runsync if they are too large for /run.
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
from coldburst.pieces import Body
from coldburst.targets import answer
from coldburst.targets.answer_shapes import error_in
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.cause import SAME_JOB
from coldburst.targets.clips import Clip
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.job_cancel import CANCEL_S, cancel_jobs
from coldburst.targets.job_object import ENDED, GONE, columns, verdict
from coldburst.targets.job_stream import JobStream, asks_for_tokens
from coldburst.targets.outcome import Evidence
from coldburst.targets.payload import RUN_BYTES, Payload, job_bodies
from coldburst.targets.queue_options import MILLISECONDS, QueueOptions
from coldburst.targets.rate_limiter import RateLimit, RateLimiter, RequestLimit
from coldburst.targets.row_clip import row_clip
from coldburst.targets.word_error_rate import judge_output, warm_up

logger = logging.getLogger("coldburst")
# Requests per 10 s and open at a time that RunPod allows to /status (documented).
POLLS = (2000, 400)
# How long /runsync is asked to hold (RunPod's default).
SYNC_WAIT_S = 90.0
# RunPod's own clients ask /status-sync to hold no longer (observed in its JavaScript and Go SDKs).
LONGEST_HOLD_S = 90.0
# Interval of the polls that read a job's chunks: the resolution of their times, where the platform's limit allows it.
STREAM_S = 0.1
# Time limit of a poll's answer: a result may have 20 MB.
POLL_S = 60.0
# Time limit of the headers of a poll's answer, beyond the time it was asked to hold.
MARGIN_S = 10.0
# How long after the deadline the last poll, which shows the job's state at the deadline, may take.
LAST_LOOK_S = 5.0
BACK_OFF_S = 10.0
# Consecutive failed polls, at least, before a job counts as lost.
GIVE_UP_AFTER = 3
# Consecutive 404 answers, and for how long, before a job counts as gone: the service may not know a new job yet.
GONE_AFTER, GONE_S = 3, 2.0


@dataclass(slots=True)
class _Job:
    """A job in flight. Instants are by ``time.perf_counter``.

    Attributes:
        due: when it may be polled again.
        asked, heard: when the last poll that saw it unfinished was sent, and answered.
        failures: consecutive polls that did not show its state, ``answered`` of them answered, since ``failing``; ``trouble`` is the last.
        missing: consecutive answers that there is no such job, since ``missed``.
        no_hold: after a failed long poll, only short ones.
        doubt: a long poll said that there is no such job: the job is gone, or the route does not exist.
        stream: the chunks of its output, if they are read; ``reads`` while they are.
    """

    id: str
    accepted: float
    deadline: float
    due: float
    asked: float
    heard: float
    state: str = "IN_QUEUE"
    failures: int = 0
    answered: int = 0
    failing: float = 0.0
    trouble: str = ""
    missing: int = 0
    missed: float = 0.0
    no_hold: bool = False
    doubt: bool = False
    stream: JobStream | None = None
    reads: bool = False

    @property
    def mostly_answered(self) -> bool:
        """Whether most of the polls that did not show the job's state were answered."""
        return 2 * self.answered >= self.failures


class QueueTarget:
    """One queue endpoint: ``send`` submits a job and polls it until it ends.

    Args:
        host: the endpoint's address, as in ``https://api.runpod.ai/v2/ID``.
        limits: to connect, to the submission's first byte, and to the job's end.
        key: API key, or "".

    Raises:
        ValueError: the payload cannot be sent, or the share is not usable.
    """

    kind: ClassVar[str] = "queue"

    def __init__(self, host: str, payload: Payload, options: QueueOptions, limits: Timeouts, key: str = "") -> None:
        self._templates, self._spoken = job_bodies(payload, options.policy), payload.spoken
        self._options, self._limits, self._sender = options, limits, answer.Sender(self.kind, key, RUNPOD_KEY)
        self.client = HttpClient(host, limits, {"User-Agent": "coldburst", "Accept": "application/json"} | answer.credentials(key))
        self.url = f"{host.rstrip('/')}/run"
        self._share = options.share
        self.limiter = RateLimiter(RateLimit(*POLLS, share=self._share))
        self._submissions = RequestLimit()
        self._holding = 0
        self._holds = options.poll not in ("status", "stream")
        self._completions, asks = asks_for_tokens(payload.tree)
        self._streams = options.poll == "stream" or (options.poll == "auto" and asks)
        self._unended: dict[str, None] = {}
        self._seq_of: dict[str, int] = {}
        warm_up(payload.texts, options.max_wer)

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """See factory.Target."""
        template = self._templates[seq % len(self._templates)]
        body = template.body(seq, name, values)
        clip = row_clip(values, self._spoken) if self._spoken else template.clip
        return self.run_job(seq, name, body, clip, exchange)

    def run_job(self, seq: int, name: str, body: Body, clip: Clip | None, exchange: Exchange) -> Evidence:
        """Submits a job with that body, and the clip in it, and follows it to its end."""
        sync = len(body) > RUN_BYTES
        self._submit(clip, sync, body, name, exchange)
        if exchange.fault:
            return _evidence(exchange, "", exchange.error)
        content = answer.parse_json(exchange.body)
        if not 200 <= (exchange.status or 0) < 300:
            exchange.known.pop("error", None)
            return answer.refusal(exchange, content, exchange.known, self._sender)
        if not isinstance(content, dict) or not isinstance(content.get("id"), str) or not content["id"]:
            if inner := error_in(content):
                return _evidence(exchange, "error", f"an error inside a {exchange.status}: {inner}")
            return _evidence(exchange, "wrong", f"{exchange.status} without a job id: {answer.excerpt(exchange)}")
        if (first := self._seq_of.setdefault(content["id"], seq)) != seq:
            return _evidence(exchange, "error", f"{SAME_JOB} as request {first}: its result is not known")
        job = self._accept(content, sync, exchange)
        if content.get("status") in ENDED:
            exchange.seen = job.asked = exchange.done or 0.0
            return self._conclude(job, content, clip, exchange)
        # Thousands of jobs may wait for hours, and nobody reads these any more.
        exchange.body, exchange.headers = b"", {}
        final = self._follow(job, exchange)
        if final is None:
            return _evidence(exchange, "" if exchange.fault else "error", exchange.error)
        return self._conclude(job, final, clip, exchange)

    def share(self, generators: int) -> None:
        """See factory.Target."""
        self._share = self._options.share / generators
        self.limiter.change(RateLimit(*POLLS, share=self._share))
        self._submissions.share(generators)

    def close(self) -> int:
        """Cancels the jobs that have not ended, as far as RunPod's rate limit allows in ``cancel_s``; returns how many may still run."""
        left, self._unended = list(self._unended), {}
        if left and self._options.cancel:
            left = cancel_jobs(self._cancel, left, self._share, self._options.cancel_s)
        if left:
            logger.warning(
                "%d jobs may still run and cost money: POST %s/purge-queue removes the waiting ones", len(left), self.url.rpartition("/")[0]
            )
        self.client.close()
        return len(left)

    def _cancel(self, job_id: str) -> Exchange:
        exchange = Exchange()
        self.client.send(exchange, "POST", f"/cancel/{_quoted(job_id)}", limits=Timeouts(CANCEL_S, CANCEL_S, CANCEL_S))
        return exchange

    def _submit(self, clip: Clip | None, sync: bool, body: Body, name: str, exchange: Exchange) -> None:
        path, limits = "/run", self._limits
        exchange.known["bytes_out"] = len(body)
        if clip:
            exchange.known["audio_s"] = clip.audio_s
        if sync:
            # Returns before our own deadline: a job without a known id cannot be cancelled.
            wait_s = max(1.0, min(SYNC_WAIT_S, limits.total_s - LAST_LOOK_S))
            path = f"/runsync?wait={round(wait_s * MILLISECONDS)}"
            limits = Timeouts(limits.connect_s, max(limits.first_byte_s, wait_s + MARGIN_S), limits.total_s)
        turn = self._submissions.enter(exchange)
        self.client.send(exchange, "POST", path, body, {"Content-Type": "application/json", "X-Request-ID": name}, limits)
        self._submissions.hear(turn, exchange.headers)
        exchange.known["bytes_in"] = exchange.received

    def _accept(self, content: Mapping[str, Any], sync: bool, exchange: Exchange) -> _Job:
        sent, done = exchange.sent or 0.0, exchange.done or 0.0
        # /runsync accepts the job when it is called, and answers later.
        accepted = sent if sync else done
        due = done if self._may_hold else done + self._options.poll_s
        job = _Job(content["id"], accepted, sent + self._limits.total_s, due, asked=sent, heard=done)
        if self._streams:
            job.stream, job.reads, job.due = JobStream(exchange.known, sent), True, done + STREAM_S
        exchange.known |= {"job_id": job.id, "polls": 0}
        self._unended[job.id] = None
        self._note(job, content, exchange)
        return job

    def _note(self, job: _Job, content: Mapping[str, Any], exchange: Exchange) -> None:
        job.state = str(content.get("status") or job.state)
        exchange.known |= columns(content) | {"error": f"last seen {job.state}"}

    def _follow(self, job: _Job, exchange: Exchange) -> Mapping[str, Any] | None:
        """The job object at its end; None with an error in ``exchange``: a fault, or answers without a state."""
        while True:
            gevent.sleep(max(0.0, min(job.due, job.deadline) - time.perf_counter()))
            left_s = job.deadline - time.perf_counter()
            turn = (left_s > 0 and self.limiter.enter(left_s)) or self.limiter.enter(LAST_LOOK_S, urgent=True)
            if not turn:
                break
            poll, held = self._poll(job, turn)
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

    def _poll(self, job: _Job, turn: int) -> tuple[Exchange, bool]:
        """Polls the job once and returns its turn; the answer, and whether it was a long poll."""
        poll, name = Exchange(), _quoted(job.id)
        left_s = job.deadline - time.perf_counter()
        hold_s, last_s = min(LONGEST_HOLD_S, left_s), max(left_s, 0.0) + LAST_LOOK_S
        held = hold_s >= 1 and not job.no_hold and not job.reads and self._may_hold
        path = f"/status-sync/{name}?wait={int(hold_s * MILLISECONDS)}" if held else f"/{'stream' if job.reads else 'status'}/{name}"
        longest_s = min(POLL_S + held * hold_s, last_s)
        self._holding += held
        try:
            self.client.send(poll, "GET", path, limits=Timeouts(first_byte_s=min(MARGIN_S + held * hold_s, longest_s), total_s=longest_s))
        finally:
            self._holding -= held
            self.limiter.leave()
        self.limiter.hear(turn, poll.headers)
        return poll, held

    def _read(self, job: _Job, poll: Exchange, held: bool, exchange: Exchange) -> Mapping[str, Any] | None:
        """The job object if the job has ended; otherwise sets when to poll again, or an error if that is hopeless."""
        now, content = time.perf_counter(), answer.parse_json(poll.body)
        if not poll.fault and poll.status == 200 and isinstance(content, dict) and isinstance(content.get("status"), str):
            self._holds = self._holds and not (job.doubt and not held)
            job.failures, job.answered, job.missing, job.doubt = 0, 0, 0, False
            if job.reads and job.stream:
                job.stream.feed(content, poll.done or now)
            if content["status"] in ENDED:
                exchange.seen = exchange.seen or poll.done
                if job.reads:
                    # The job's times and its output are at /status.
                    job.reads, job.no_hold, job.due = False, True, now
                    return None
                exchange.known["bytes_in"] = poll.received
                return content
            job.asked, job.heard = poll.sent or now, now
            job.due = job.asked + (STREAM_S if job.reads else self._options.poll_s)
            self._note(job, content, exchange)
            return None
        if job.reads and poll.status in (404, 405):
            # The job is gone, or there is no such route: /status tells.
            job.reads, job.due = False, now
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
        """The service does not know the job: this is its end, at the first such answer.

        A 400 or 410 is believed at once, a 404 after a while. An answer to a long poll may be about that route: a short poll follows.
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
        """A poll without a usable answer decides nothing: the job is polled again, less and less often, until that is hopeless."""
        now = poll.done or time.perf_counter()
        job.trouble = poll.error if poll.fault else f"{poll.status}: {answer.reason(poll, content)}"
        job.trouble += answer.key_hint(poll.status, self._sender.key, RUNPOD_KEY)
        job.missing, job.doubt = 0, job.doubt or (held and poll.status == 404)
        if not poll.fault and poll.received > len(poll.body):
            exchange.done, exchange.error = now, f"its result cannot be read: {job.trouble}"
            return
        if not job.failures:
            # A long poll is silent while all is well.
            job.failing = now if held else poll.sent or now
        job.failures, job.answered = job.failures + 1, job.answered + (not poll.fault)
        job.due = now + min(self._options.poll_s * 2**job.failures, BACK_OFF_S)
        if job.failures >= GIVE_UP_AFTER and now - job.failing >= self._options.lost_s:
            exchange.done, exchange.error = now, _lost(job, now)
            if not job.mostly_answered:
                exchange.fault = "connect" if poll.fault == "connect" else "reset"

    def _late(self, job: _Job, exchange: Exchange, state: str = "") -> None:
        """The deadline has passed: the job is given up, and ``close`` cancels it."""
        total_s = self._limits.total_s
        exchange.done, exchange.fault = job.deadline, "deadline"
        if state:
            exchange.error = f"{state}, but later than {total_s:g} s"
            return
        exchange.error = f"still {job.state} after {total_s:g} s"
        if (age_s := job.deadline - job.heard) > 2 * self._options.poll_s + LAST_LOOK_S or job.failures or job.missing:
            exchange.error = f"given up after {total_s:g} s: last seen {job.state} {age_s:.0f} s before" + (
                f" (then: {job.trouble})" if job.failures or job.missing else ""
            )

    def _conclude(self, job: _Job, final: Mapping[str, Any], clip: Clip | None, exchange: Exchange) -> Evidence:
        """What the job's end says: its times, its outcome, and whether the transcript is right."""
        self._unended.pop(job.id, None)
        exchange.answer = final
        exchange.known |= (found := columns(final))
        queue_s, execution_s, seen = found.get("queue_s"), found.get("execution_s"), exchange.seen or 0.0
        exchange.done = answer.ended_at(job.accepted, job.asked, seen, queue_s, execution_s)
        if exchange.done > job.deadline and None not in (queue_s, execution_s):
            self._late(job, exchange, state=str(final["status"]))
            return _evidence(exchange, "", exchange.error)
        stream = job.stream or (JobStream.of(final.get("output")) if self._completions else None)
        if stream:
            exchange.known |= stream.columns()
        if job.stream and job.stream.chunks and not final.get("output"):
            # A generator without return_aggregate_stream: its output is at /stream only.
            final = {**final, "output": job.stream.chunks}
        says, error = verdict(final, job.state, self._options.checks)
        if stream and not says:
            says, error = stream.judge()
        if not says:
            exchange.known |= self._options.checks.units(final)
        if says or clip is None:
            return _evidence(exchange, says, error)
        says, measured = judge_output(final.get("output"), clip.text, self._options.max_wer)
        exchange.known |= measured
        return _evidence(exchange, says, str(measured.get("error", "")))


def _lost(job: _Job, now: float) -> str:
    """Why a job whose state is unknown is given up."""
    told = f"no poll was answered for {now - job.failing:.0f} s"
    if job.mostly_answered:
        told = f"{job.answered} of {job.failures} polls in {now - job.failing:.0f} s were answered, and none showed its state"
    return f"its job may still run, but {told} (last seen {job.state}; last try: {job.trouble})"


def _quoted(job_id: str) -> str:
    return quote(job_id, safe="", errors="replace")


def _evidence(exchange: Exchange, says: str, error: str) -> Evidence:
    """The evidence, with the columns known so far, and the error instead of the state last seen."""
    exchange.known.pop("error", None)
    return Evidence(says, exchange.known | ({"error": error} if error else {}))
