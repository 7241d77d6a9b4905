"""Detects the kind of endpoint from its URL, and finds its queue API and REST v2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import SplitResult, urlsplit

KINDS = ("queue", "balancer", "transcription", "chat", "speech", "video")
OPERATIONS = ("run", "runsync", "status", "status-sync", "stream", "cancel", "retry", "purge-queue", "health", "requests")
RUNPOD = "runpod.ai"
JOBS_HOST = "api.runpod.ai"
MANAGEMENT = "https://api.runpod.io/v2"
QUEUE_FORM = "https://api.runpod.ai/v2/ENDPOINT_ID"
BALANCER_FORM = "https://ENDPOINT_ID.api.runpod.ai"
CHAT_PATH = "/v1/chat/completions"
CHAT_ROUTES = (CHAT_PATH, "/v1/completions")
CHAT_BASES = ("/openai", "/openai/v1")
"""Ends of base URLs that serve chat: RunPod has it below /v2/ID/openai/v1."""
SPEECH_PATH = "/v1/audio/speech"
SPEECH_ENDING = "/audio/speech"
VIDEO_PATH = "/v1/videos"
EMBEDDINGS_ROUTE = "/v1/embeddings"


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """An endpoint and its addresses.

    Attributes:
        kind: one of KINDS.
        url: address of requests; its path is prepended to theirs.
        endpoint_id: RunPod's id of it, "" for other services.
        api: what answers /health with RunPod's counts: the queue API, or a video service; "" if nothing does.
        management: REST v2 (worker list, settings), "" if none.
    """

    kind: str
    url: str
    endpoint_id: str = ""
    api: str = ""
    management: str = ""


def infer(host: str, kind: str = "auto") -> EndpointAddress:
    """The endpoint at ``host``, by the forms of RunPod's and the emulator's addresses; anything else is a transcription service.

    ``https://api.runpod.ai/v2/ID`` and any ``http(s)://HOST:PORT/v2/ID`` are queue endpoints, ``https://ID.api.runpod.ai``
    and ``http://HOST:PORT/lb/ID`` load-balancing ones. An address below /v2/ID/openai is a service behind a queue endpoint.

    Args:
        host: an address; "" = none yet.
        kind: one of KINDS, which overrides the detected one, or "auto".

    Raises:
        ValueError: the address contradicts itself or ``kind``.
    """
    if kind not in (*KINDS, "auto"):
        raise ValueError(f"'{kind}' is not a type of endpoint: give one of {', '.join(KINDS)}, or auto")
    host = host.strip().rstrip("/")
    if not host:
        return EndpointAddress("transcription" if kind == "auto" else kind, "")
    if kind in ("auto", "transcription"):
        _refuse_other_routes(host, kind)
    found = _found(host, urlsplit(host), kind)
    if kind == "auto" and found.kind != "queue" and urlsplit(host).path.endswith((*CHAT_ROUTES, *CHAT_BASES)):
        return replace(found, kind="chat")
    if kind == "auto" and found.kind != "queue" and urlsplit(host).path.endswith(SPEECH_ENDING):
        return replace(found, kind="speech")
    if kind == "video" or (kind == "auto" and found.kind == "transcription" and urlsplit(host).path.endswith(VIDEO_PATH)):
        return EndpointAddress("video", host, api=without_overlap(host, VIDEO_PATH))
    if kind in ("auto", found.kind):
        return found
    if kind in ("transcription", "chat", "speech"):
        return replace(found, kind=kind)
    if kind == "queue" and found.kind == "balancer":
        raise ValueError(f"--host '{host}' is the address of a load-balancing endpoint: its queue would be {found.api}")
    if kind == "queue":
        raise ValueError(f"--host '{host}' has no endpoint id: the address of a queue endpoint is {QUEUE_FORM}")
    if found.kind == "queue":
        form = BALANCER_FORM if _of_runpod(urlsplit(host)) else "http://HOST:PORT/lb/ENDPOINT_ID"
        raise ValueError(f"--host '{host}' is the address of a queue endpoint: that of a load-balancing endpoint is {form}")
    return replace(found, kind=kind)


def without_overlap(host: str, path: str) -> str:
    """``host`` without the end of its path that ``path`` repeats, as in ``…/v1`` for ``/v1/audio/transcriptions``.

    Base URLs of OpenAI's clients end in /v1, and users paste whole routes too. Only whole segments are removed, and never an endpoint's
    id (/v2/ID, /lb/ID).
    """
    url = urlsplit(host.rstrip("/"))
    own, route = url.path.split("/")[1:], path.partition("?")[0].strip("/").split("/")
    named = 2 if own[:1] in (["v2"], ["lb"]) else 0
    for count in range(min(len(own) - named, len(route)), 0, -1):
        if own[-count:] == route[:count]:
            return url._replace(path="".join(f"/{part}" for part in own[:-count])).geturl()
    return host.rstrip("/")


def chat_route(host: str) -> str:
    """The route that ``host`` ends in, one of CHAT_ROUTES; CHAT_PATH where it ends in none."""
    return next((route for route in CHAT_ROUTES if host.rstrip("/").endswith(route)), CHAT_PATH)


def _refuse_other_routes(host: str, kind: str) -> None:
    if kind == "transcription" and host.endswith((*CHAT_ROUTES, SPEECH_ENDING)):
        right = "speech" if host.endswith(SPEECH_ENDING) else "chat"
        raise ValueError(
            f"--host '{host}' is a route for {right}, not for audio to transcribe: leave out --target, or use --target {right}"
        )
    if host.endswith(EMBEDDINGS_ROUTE):
        raise ValueError(
            f"--host '{host}' is not a route for audio or chat: test it with --target balancer --host "
            f"{host.removesuffix(EMBEDDINGS_ROUTE)} --path {EMBEDDINGS_ROUTE} --input body.json"
        )


def _found(host: str, url: SplitResult, kind: str) -> EndpointAddress:
    name, parts = (url.hostname or "").lower(), [part for part in url.path.split("/") if part]
    if _of_runpod(url) and url.scheme == "http":
        raise ValueError(f"--host '{host}' would send the key unencrypted: use https:// for RunPod")
    origin = f"{url.scheme}://{url.netloc}"
    if name.endswith(f".{JOBS_HOST}"):
        endpoint_id = name.removesuffix(f".{JOBS_HOST}")
        return EndpointAddress("balancer", host, endpoint_id, f"https://{JOBS_HOST}/v2/{endpoint_id}", MANAGEMENT)
    if parts[:1] == ["v2"] and len(parts) > 1:
        return _below_v2(host, origin, name, parts[1], parts[2:], kind)
    if parts[:1] == ["lb"] and len(parts) > 1:
        return EndpointAddress("balancer", host, parts[1], f"{origin}/v2/{parts[1]}", f"{origin}/v2")
    if name == JOBS_HOST:
        raise ValueError(f"--host '{host}' has no endpoint id: the address of a queue endpoint is {QUEUE_FORM}")
    return EndpointAddress("transcription", host)


def _below_v2(host: str, origin: str, name: str, endpoint_id: str, rest: list[str], kind: str) -> EndpointAddress:
    api, management = f"{origin}/v2/{endpoint_id}", MANAGEMENT if name == JOBS_HOST else f"{origin}/v2"
    if name != JOBS_HOST and name.endswith(f".{RUNPOD}"):
        # Whether other hosts of RunPod have a REST v2 is not known.
        management = ""
    if not rest:
        return EndpointAddress("queue", api, endpoint_id, api, management)
    if kind == "queue" or (kind == "auto" and rest[0] in OPERATIONS):
        raise ValueError(f"--host '{host}' ends in '/{'/'.join(rest)}': give only the endpoint's address, as in {api}")
    if rest[0] == "openai":
        return EndpointAddress("transcription", host, endpoint_id, api, management)
    return EndpointAddress("transcription", host)


def _of_runpod(url: SplitResult) -> bool:
    return (url.hostname or "").lower().endswith(f".{RUNPOD}")
