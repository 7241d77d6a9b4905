"""A video that is asked for, its life, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

QUEUED, RUNNING, DONE, FAILED, CANCELLED, EXPIRED = "queued", "running", "done", "failed", "cancelled", "queue_timeout"
ENDED = (DONE, FAILED, CANCELLED, EXPIRED)
MOST_SCRIPT, MOST_PORTRAIT_BYTES = 4000, 2 << 20
PRIORITIES, SIZES, RATES = (-100, 100), (64, 1024), (1, 60)
WEEK_S = 7 * 86400
FIELDS = ("script", "portrait", "size", "fps", "priority", "max_wait_s", "wait")
ID = re.compile(r"[0-9a-f]{32}")


class BadRequestError(ValueError):
    """The request cannot be served; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """What to make.

    Attributes:
        script: the text to speak.
        portrait: a picture's bytes (PNG, JPEG or WebP); empty: a drawn face.
        size: width and height in pixels.
        fps: frames per second.
        priority: higher ones overtake those who wait.
        max_wait_s: longest wait for a worker; None: the service's limit.
    """

    script: str
    portrait: bytes = b""
    size: int = 256
    fps: int = 25
    priority: int = 0
    max_wait_s: float | None = None


@dataclass(slots=True, eq=False)
class VideoJob:
    """A request on its way. Instants by ``time.monotonic``; durations in seconds, None = not reached.

    Attributes:
        runs: how often a worker began it.
        load_s: wait for the models while it had a worker: a cold start.
        tts_s, video_s: time of the two phases.
        audio_s: length of the speech, and so of the video.
        portrait: whether there is a picture.
        worker: the worker that has or had it.
        code, error: why it failed.
    """

    request: VideoRequest
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = QUEUED
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    stopped: float | None = None
    runs: int = 0
    load_s: float | None = None
    tts_s: float | None = None
    video_s: float | None = None
    audio_s: float | None = None
    portrait: bool = False
    worker: str = ""
    code: str = ""
    error: str = ""
    file: Path | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def queue_s(self) -> float:
        """Wait for a worker, so far or altogether."""
        until = self.started if self.started is not None else self.stopped
        return (time.monotonic() if until is None else until) - self.submitted

    @property
    def execution_s(self) -> float | None:
        """From getting a worker to the end, or to now."""
        if self.started is None:
            return None
        return (time.monotonic() if self.stopped is None else self.stopped) - self.started

    def begin(self, worker: str) -> None:
        """A worker has it; ``queue_s`` ends at the first."""
        self.state, self.worker = RUNNING, worker
        self.runs += 1
        if self.started is None:
            self.started = time.monotonic()

    def lighten(self) -> None:
        """Drop the picture, which is on disk by now."""
        self.request = replace(self.request, portrait=b"")

    def end(self, state: str, code: str = "", error: str = "") -> None:
        """The job has ended, with one of ENDED; nothing changes it afterwards."""
        if self.state not in ENDED:
            self.state, self.code, self.error, self.stopped = state, code, error, time.monotonic()
            self.ended.set()

    def view(self) -> dict[str, Any]:
        """The job as JSON."""
        times = {name: getattr(self, name) for name in ("queue_s", "execution_s", "load_s", "tts_s", "video_s", "audio_s")}
        shown: dict[str, Any] = {"id": self.id, "status": self.state, "priority": self.request.priority, "runs": self.runs}
        shown |= {name: round(value, 6) for name, value in times.items() if value is not None}
        if self.worker:
            shown["worker_id"] = self.worker
        if self.state == DONE:
            shown["video"] = f"/v1/videos/{self.id}/video"
        if self.error:
            shown["error"] = {"code": self.code, "message": self.error}
        return shown


def read_request(content: Any) -> VideoRequest:
    """The request in decoded JSON; BadRequestError."""
    if not isinstance(content, Mapping):
        raise BadRequestError('the body is not a JSON object: send one, as in {"script": "Hello"}')
    for name in content:
        if name not in FIELDS:
            raise BadRequestError(f"'{str(name)[:40]}' is not a field of a video: use {', '.join(FIELDS)}")
    script = content.get("script")
    if not isinstance(script, str) or not script.strip():
        raise BadRequestError('script is missing or empty: send a text, as in {"script": "Hello"}')
    if len(script) > MOST_SCRIPT:
        raise BadRequestError(f"script has {len(script):,} characters, and at most {MOST_SCRIPT:,} are accepted: send it in parts")
    wait_s = content.get("max_wait_s")
    if wait_s is not None and (isinstance(wait_s, bool) or not isinstance(wait_s, int | float) or not 0 < wait_s <= WEEK_S):
        raise BadRequestError(f"max_wait_s must be a number of seconds above 0 and at most {WEEK_S}, as in 60")
    return VideoRequest(
        script,
        _portrait(content.get("portrait")),
        _whole(content, "size", SIZES, 256) // 2 * 2,
        _whole(content, "fps", RATES, 25),
        _whole(content, "priority", PRIORITIES, 0),
        wait_s,
    )


def _whole(content: Mapping[str, Any], name: str, bounds: tuple[int, int], default: int) -> int:
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not bounds[0] <= value <= bounds[1]:
        raise BadRequestError(f"{name} must be a whole number from {bounds[0]} to {bounds[1]}, as in {default}")
    return value


def _portrait(text: Any) -> bytes:
    if text is None:
        return b""
    # Four characters of Base64 are three bytes.
    if isinstance(text, str) and len(text) * 3 // 4 > MOST_PORTRAIT_BYTES + 3:
        raise BadRequestError(f"portrait is larger than {MOST_PORTRAIT_BYTES >> 20} MiB: send a smaller picture")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise BadRequestError("portrait is not Base64: send a picture's bytes (PNG, JPEG or WebP), as in 'iVBORw0…'") from None
