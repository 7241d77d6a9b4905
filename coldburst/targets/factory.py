"""Makes the target of a run from its options.

A target is made when its address is known, which for the embedded endpoint is after its options are checked: ``prepare`` reads and
checks clips and templates, and returns what makes the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from coldburst.installation import own_or_given
from coldburst.keys import CHAT_KEY, RUNPOD_KEY, TRANSCRIPTION_KEY, VIDEO_KEY
from coldburst.option import OptionError
from coldburst.targets import answer, speech
from coldburst.targets.address import SPEECH_PATH, VIDEO_PATH, EndpointAddress, chat_route, infer
from coldburst.targets.body_template import NO_VALUES
from coldburst.targets.chat import DEFAULT_BODY, ChatOptions, ChatTarget, chat_payload
from coldburst.targets.checks import checks
from coldburst.targets.clips import Clip, load_clips
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.job_cancel import CANCEL_S
from coldburst.targets.load_balancer import LoadBalancerOptions, LoadBalancerTarget
from coldburst.targets.outcome import Evidence
from coldburst.targets.own_request import Job, OwnTarget
from coldburst.targets.payload import BALANCER_BYTES, SYNC_BYTES, Payload, input_key, job_bodies, json_bodies, template_of
from coldburst.targets.queue import QueueTarget
from coldburst.targets.queue_options import QueueOptions
from coldburst.targets.row_payload import (
    Limit,
    Rows,
    body_tree,
    chat_tree,
    check_rows,
    check_spoken,
    job_tree,
    main_column,
    row_payload,
    speech_tree,
    video_tree,
)
from coldburst.targets.speech import SpeechOptions, SpeechTarget, speech_payload
from coldburst.targets.through_objects import RowFiles, around
from coldburst.targets.transcription import TranscriptionOptions, TranscriptionTarget
from coldburst.targets.video import VideoOptions, VideoTarget, video_payload
from coldburst.targets.word_error_rate import ANY_WER

# A run with --max-spend takes the time that RunPod's limit of ten cancels a second needs.
GUARDED_CANCEL_S = 60.0
EMBEDDED_KIND = "queue"
AUDIO_PATH, AUDIO_MODEL = "/v1/audio/transcriptions", "whisper-1"


class Target(Protocol):
    """One kind of endpoint: its calls and its dialect."""

    @property
    def kind(self) -> str:
        """The kind of endpoint, one of address.KINDS."""

    url: str
    client: HttpClient

    def send(self, seq: int, name: str, exchange: Exchange, values: Mapping[str, Any] = NO_VALUES) -> Evidence:
        """Sends request ``seq`` under ``name``, fills in ``exchange`` and returns what the answer says; network errors are not raised.

        Args:
            values: of the placeholders that only this request knows.
        """

    def share(self, generators: int) -> None:
        """From now on so many load generators use the endpoint: each uses its part of the platform's rate limits."""

    def close(self) -> object:
        """Ends what the run left at the endpoint, and closes the connections."""


# Makes a target from its address, time limits and key.
TargetFactory = Callable[[EndpointAddress, Timeouts, str], Target]
Options = Mapping[str, Any]


def kind(host: str, told: str) -> str:
    """The kind of endpoint at ``host`` ("" = the embedded one); ``told`` is the user's, or "auto".

    Raises:
        ValueError: the two contradict each other, or nothing of that kind is embedded.
    """
    if not host and told == "speech":
        raise OptionError("--target speech needs --host: name a service, as in --host http://127.0.0.1:8880/v1/audio/speech")
    if not host:
        return EMBEDDED_KIND if told == "auto" else told
    return infer(host, told).kind


def key_variable(address: EndpointAddress) -> str:
    """The environment variable of the key for that endpoint."""
    if address.endpoint_id:
        return RUNPOD_KEY
    return {"transcription": TRANSCRIPTION_KEY, "chat": CHAT_KEY, "speech": CHAT_KEY, "video": VIDEO_KEY}.get(address.kind, RUNPOD_KEY)


def route(address: EndpointAddress, path: str) -> str:
    """The route of requests to a service, where --path is ``path``."""
    if path:
        return path
    return {"chat": chat_route(address.url), "speech": SPEECH_PATH, "video": VIDEO_PATH}.get(address.kind, AUDIO_PATH)


def prepare(kind: str, options: Options, rows: Rows | None = None, own: Callable[[Job], object] | None = None) -> TargetFactory:
    """Reads and checks what is sent to an endpoint of that kind, and returns what makes its target.

    Args:
        rows: the data set that fills the bodies.
        own: makes each request instead; None = the usual ones of that kind.

    Raises:
        ValueError: one sentence that names the option and a right value.
    """
    if own:
        return _own(kind, options, rows, own)
    if kind in ("transcription", "speech") and (options["objects"] or options["download"]):
        raise OptionError(f"--objects is for endpoints that take JSON with a URL or key, and a {kind} service does not: leave it out")
    makers = {"transcription": _transcription, "chat": _chat, "speech": _speech, "video": _video}
    return {"queue": _queue, "balancer": _balancer, **makers}[kind](options, rows)


def _own(kind: str, options: Options, rows: Rows | None, own: Callable[[Job], object]) -> TargetFactory:
    if options["input"]:
        raise OptionError("--input has no effect on a custom request: make its body in request(self, job)")
    if options["objects"] or options["download"]:
        raise OptionError("--objects has no effect on a custom request: use boto3 inside job.phase('upload') in request(self, job)")
    if options["expect"] != "auto":
        raise OptionError("--expect has no effect on a custom request: use job.check in request(self, job)")
    if rows:
        rows.used = True
        rows.data.check(rows.planned, lambda row: row.size("row"))
    # The request counts its units itself: --unit has only their name.
    queue_options = _queue_options({**options, "unit": ""})
    auth = options["auth"] if kind == "transcription" else "bearer"

    def make(address: EndpointAddress, limits: Timeouts, key: str) -> OwnTarget:
        jobs = QueueTarget(address.url, Payload({"made by": "request"}, ()), queue_options, limits, key) if kind == "queue" else None
        return OwnTarget(
            address.url,
            own,
            limits,
            answer.credentials(key, auth),
            answer.Sender(kind, key, key_variable(address)),
            jobs=jobs,
            policy=queue_options.policy,
            unit=options["unit"].partition("=")[0].strip(),
        )

    return make


def _queue_options(options: Options) -> QueueOptions:
    return QueueOptions(
        poll=options["poll"],
        execution_timeout_s=options["execution_timeout"] or None,
        ttl_s=options["ttl"] or None,
        checks=checks(options),
        max_wer=_max_wer(options["max_wer"]),
        share=_share(options["poll_share"]),
        cancel=options["cancel"] == "yes",
        cancel_s=GUARDED_CANCEL_S if options["max_spend"] else CANCEL_S,
    )


def _queue(options: Options, rows: Rows | None) -> TargetFactory:
    payload, queue_options = _payload(options, rows, job_tree), _queue_options(options)
    # Rejects bodies that are too large before anything is started.
    bodies = job_bodies(payload, queue_options.policy)
    check_rows(rows, bodies, Limit(SYNC_BYTES, "a queue endpoint"), input_key(payload.tree))
    return around(
        lambda address, limits, key: QueueTarget(address.url, payload, queue_options, limits, key), payload, options, _files(rows)
    )


def _balancer(options: Options, rows: Rows | None) -> TargetFactory:
    payload, limit = _payload(options, rows, body_tree, forms=True), Limit(BALANCER_BYTES, "a load-balancing endpoint")
    if payload.tree is not None:
        check_rows(rows, json_bodies(payload), limit)
    elif rows and payload.spoken:
        check_spoken(rows, payload.spoken, limit)
    balancer_options = LoadBalancerOptions(
        path=_path(options["path"] or AUDIO_PATH),
        model=options["model"] or AUDIO_MODEL,
        language=options["language"],
        checks=checks(options),
        hold_from_s=options["hold_from"],
        hold_to_s=options["hold_to"],
        max_wer=_max_wer(options["max_wer"]),
        shape=options["format"],
    )
    return around(
        lambda address, limits, key: LoadBalancerTarget(address.url, payload, balancer_options, limits, key), payload, options, _files(rows)
    )


def _transcription(options: Options, rows: Rows | None) -> TargetFactory:
    form_options = TranscriptionOptions(
        _path(options["path"] or AUDIO_PATH),
        options["model"] or AUDIO_MODEL,
        options["language"],
        options["auth"],
        checks(options),
        _max_wer(options["max_wer"]),
        options["format"],
    )
    if options["input"]:
        raise OptionError("--input is for RunPod endpoints and chat: send clips to a transcription service, as in --clips samples")
    payload = _payload(options, rows, lambda rows, audio: None, forms=True)
    if rows and payload.spoken:
        check_spoken(rows, payload.spoken, Limit(BALANCER_BYTES, "this test"))
    return lambda address, limits, key: TranscriptionTarget(
        address.url, payload.clips, form_options, limits, key, key_variable(address), payload.spoken
    )


def _chat(options: Options, rows: Rows | None) -> TargetFactory:
    payload = _payload(options, rows, lambda rows, _: chat_tree(rows, DEFAULT_BODY), clips=False)
    path = _path(options["path"]) if options["path"] else ""
    whole = chat_payload(payload, options["model"])
    # Refuses a body that is too large before anything is started.
    check_rows(rows, json_bodies(whole), Limit(BALANCER_BYTES, "this test"))
    own = checks(options)
    if (own.expect or own.unit) and isinstance(whole.tree, dict) and whole.tree.get("stream"):
        raise OptionError(
            '--expect and --unit read answers in one piece, and these are streamed: write "stream": false into the file of --input'
        )

    def make(address: EndpointAddress, limits: Timeouts, key: str) -> ChatTarget:
        chat_options = ChatOptions(path or chat_route(address.url), options["model"], key_variable(address), own)
        return ChatTarget(address.url, payload, chat_options, limits, key)

    return around(make, payload, options, _files(rows))


def _speech(options: Options, rows: Rows | None) -> TargetFactory:
    payload = _payload(
        options, rows, lambda rows, _: speech_tree(rows, {"model": options["model"] or speech.MODEL, **speech.DEFAULT_BODY}), clips=False
    )
    path = _path(options["path"] or SPEECH_PATH)
    # Refuses a body that is too large before anything is started.
    check_rows(rows, json_bodies(speech_payload(payload, options["model"])), Limit(BALANCER_BYTES, "this test"))
    own = checks(options)
    if own.expect or own.unit:
        raise OptionError(f"{'--expect' if own.expect else '--unit'} reads JSON answers, and speech is audio: leave it out")

    def make(address: EndpointAddress, limits: Timeouts, key: str) -> SpeechTarget:
        return SpeechTarget(address.url, payload, SpeechOptions(path, options["model"], key_variable(address)), limits, key)

    return make


def _video(options: Options, rows: Rows | None) -> TargetFactory:
    payload = _payload(options, rows, lambda rows, _: video_tree(rows), clips=False)
    # Refuses a body that is too large before anything is started.
    check_rows(rows, json_bodies(video_payload(payload)), Limit(BALANCER_BYTES, "this test"))
    video_options = VideoOptions(
        _path(options["path"] or VIDEO_PATH), options["poll"], cancel=options["cancel"] == "yes", checks=checks(options)
    )
    return around(
        lambda address, limits, key: VideoTarget(address.url, payload, video_options, limits, key), payload, options, _files(rows)
    )


def _payload(
    options: Options, rows: Rows | None, default: Callable[[Rows, str], Any], *, clips: bool = True, forms: bool = False
) -> Payload:
    template = template_of(options["input"])
    return row_payload(
        template, (lambda: _clips(options)) if clips else tuple, rows, default, forms=forms, objects=bool(options["objects"])
    )


def _files(rows: Rows | None) -> RowFiles | None:
    return RowFiles(rows.data, rows.planned, main_column(rows)) if rows else None


def _clips(options: Options) -> Sequence[Clip]:
    return load_clips(own_or_given(options["clips"]))


def _path(path: str) -> str:
    if not path.startswith("/") or not path.isprintable() or " " in path:
        raise OptionError(f"--path '{path}' is not a path: it must begin with a slash, as in /v1/audio/transcriptions")
    return path


def _share(share: float) -> float:
    if not 0 < share <= 1:
        raise OptionError(f"--poll-share {share:g} must be above 0 and at most 1, as in 0.8")
    return share


def _max_wer(text: str) -> float | None:
    """The limit; infinity without one, None where transcripts are not to be compared."""
    if text in ("", "off"):
        return None if text else ANY_WER
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise OptionError(f"--max-wer '{text}' is not a word error rate: give a number from 0 up, as in 0.3, or 'off'")
    return value
