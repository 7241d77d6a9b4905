"""Makes the target of a run from its options.

A target is built when its address is known, which for the embedded endpoint is later than its options
are checked: so ``prepare`` reads clips and templates and says what is wrong with them, and what it
returns makes the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from coldburst.installation import own_or_given
from coldburst.option import OptionError
from coldburst.targets.address import EndpointAddress, infer
from coldburst.targets.clips import load_clips
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.load_balancer import LoadBalancerOptions, LoadBalancerTarget
from coldburst.targets.outcome import Evidence
from coldburst.targets.payload import Payload, job_bodies, load_payload
from coldburst.targets.queue import QueueOptions, QueueTarget
from coldburst.targets.transcription import TranscriptionOptions, TranscriptionTarget

EMBEDDED_KIND = "queue"


class Target(Protocol):
    """One kind of endpoint: its calls and its dialect."""

    kind: ClassVar[str]
    url: str
    client: HttpClient

    def send(self, seq: int, name: str, exchange: Exchange) -> Evidence:
        """Sends request ``seq`` under ``name``, fills in ``exchange`` and returns what came back; never raises for the network."""

    def share(self, generators: int) -> None:
        """So many load generators use the endpoint together from now on: each keeps to its part of the platform's rate limits."""

    def close(self) -> object:
        """Ends what the run left behind at the endpoint, and the connections."""


TargetFactory = Callable[[EndpointAddress, Timeouts, str], Target]
"""Makes a target: where it is, its time limits, its key."""
Options = Mapping[str, Any]


def kind(host: str, told: str) -> str:
    """The kind of endpoint that ``host`` names ("" = the embedded one), or that it was ``told`` to be.

    Raises:
        ValueError: the two contradict each other.
    """
    if not host:
        return EMBEDDED_KIND if told == "auto" else told
    return infer(host, told).kind


def prepare(kind: str, options: Options) -> TargetFactory:
    """Reads what is to be sent to an endpoint of that kind, and returns what makes its target.

    Raises:
        ValueError: one sentence that names the option and a right value.
    """
    return {"queue": _queue, "balancer": _balancer, "transcription": _transcription}[kind](options)


def _queue(options: Options) -> TargetFactory:
    payload = _payload(options)
    queue_options = QueueOptions(
        submit=options["submit"],
        poll=options["poll"],
        poll_s=options["poll_interval"],
        execution_timeout_s=options["execution_timeout"] or None,
        ttl_s=options["ttl"] or None,
        error_at=_places(options["error_at"]),
        max_wer=_max_wer(options["max_wer"]),
        share=_share(options["poll_share"]),
        cancel=options["cancel"] == "yes",
    )
    job_bodies(payload, queue_options.policy, queue_options.submit)  # refuses too large a body before anything is started
    return lambda address, limits, key: QueueTarget(address.url, payload, queue_options, limits, key)


def _balancer(options: Options) -> TargetFactory:
    payload, balancer_options = _payload(options), _balancer_options(options)
    return lambda address, limits, key: LoadBalancerTarget(address.url, payload, balancer_options, limits, key)


def _transcription(options: Options) -> TargetFactory:
    form_options = TranscriptionOptions(
        _path(options["path"]), options["model"], options["language"], options["auth"], _max_wer(options["max_wer"])
    )
    if options["input"]:
        raise OptionError("--input is for RunPod endpoints: a transcription service takes clips, as in --clips samples")
    clips = load_clips(own_or_given(options["clips"]))
    return lambda address, limits, key: TranscriptionTarget(address.url, clips, form_options, limits, key)


def _balancer_options(options: Options) -> LoadBalancerOptions:
    return LoadBalancerOptions(
        path=_path(options["path"]),
        method=options["method"],
        model=options["model"],
        language=options["language"],
        affinity=options["affinity"],
        error_at=_places(options["error_at"]),
        hold_from_s=options["hold_from"],
        hold_to_s=options["hold_to"],
        max_wer=_max_wer(options["max_wer"]),
    )


def _payload(options: Options) -> Payload:
    """The clips are read where no template is given, or the template asks for them."""
    template = Path(options["input"]) if options["input"] else None
    silent = template is not None and not (template.is_file() and b"{{audio_" in template.read_bytes())
    return load_payload(template, [] if silent else load_clips(own_or_given(options["clips"])))


def _places(text: str) -> tuple[str, ...]:
    return tuple(place.strip() for place in text.split(",") if place.strip())


def _path(path: str) -> str:
    if not path.startswith("/") or not path.isprintable() or " " in path:
        raise OptionError(f"--path '{path}' is no path: it begins with a slash, as in /v1/audio/transcriptions")
    return path


def _share(share: float) -> float:
    if not 0 < share <= 1:
        raise OptionError(f"--poll-share {share:g} is no share: give a number above 0 and up to 1, as in 0.8")
    return share


def _max_wer(text: str) -> float | None:
    if text == "off":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise OptionError(f"--max-wer '{text}' is no word error rate: give a number from 0 up, as in 0.5, or 'off'")
    return value
