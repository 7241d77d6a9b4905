"""Request bodies from a JSON template or clips: read and checked before the run, rendered once for each clip.

A template is a JSON file. Texts in it may hold placeholders, in double braces and without spaces:

    {{seq}}            the request's place in the schedule, from 0
    {{name}}           the request's name, as in X-Request-ID: unlike in each try of each run
    {{audio_base64}}   the clip's bytes
    {{audio_name}}     its file name
    {{audio_seconds}}  its length

A text that is nothing but {{seq}} or {{audio_seconds}} becomes a number. Clips are sent in turn. A template
without a placeholder for audio leaves the clips out, and its answers are not held against their texts.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from coldburst.targets.clips import Clip, multipart

RUN_BYTES, SYNC_BYTES, BALANCER_BYTES = 10_000_000, 20_000_000, 30_000_000
"""The largest body that /run, /runsync and a load-balancing endpoint take (documented)."""
CLIP_INPUT: Mapping[str, Any] = {"audio_base64": "{{audio_base64}}", "name": "{{audio_name}}"}
"""A job's input where clips are sent without a template."""
OF_CLIP = ("audio_base64", "audio_name", "audio_seconds")
OF_REQUEST = ("seq", "name")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
MOST_DEPTH = 100
"""Levels of a template."""
_LONGEST = 100
"""Bytes that a placeholder of the request's own may come to, for the check of the size."""


class PayloadError(ValueError):
    """What should be sent cannot be; the message names it and what to do."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What to send, read and checked: ``tree`` is the template's JSON (None = none), ``source`` its file."""

    tree: Any
    clips: tuple[Clip, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """One body, ready but for what is the request's own; ``clip`` is the one in it, if any."""

    clip: Clip | None
    parts: tuple[bytes, ...]

    def body(self, seq: int, name: str) -> bytes:
        """The body of request ``seq`` called ``name``: the same object each time where nothing in it is the request's own."""
        if len(self.parts) == 1:
            return self.parts[0]
        own = {b"number": str(seq), b"seq": str(seq), b"name": json.dumps(name)[1:-1]}
        return b"".join(own[part].encode() if place % 2 else part for place, part in enumerate(self.parts))

    @property
    def largest(self) -> int:
        """Bytes that the body comes to at most."""
        return sum(len(part) for part in self.parts[::2]) + _LONGEST * (len(self.parts) // 2)


def load_payload(template: Path | None, clips: Sequence[Clip] = ()) -> Payload:
    """The template (None = none) and the clips that it asks for, checked.

    Raises:
        PayloadError: no file, no JSON, a placeholder that there is not, or audio asked for without clips.
    """
    if template is None:
        return Payload(None, tuple(clips))
    tree = _read(template)
    used = set(_placeholders(tree))
    for name in sorted(used - {*OF_CLIP, *OF_REQUEST}):
        known = ", ".join(f"{{{{{one}}}}}" for one in (*OF_REQUEST, *OF_CLIP))
        raise PayloadError(f"'{template}' holds {{{{{name}}}}}, which is no placeholder: there are {known}")
    needs_clips = used & set(OF_CLIP)
    if needs_clips and not clips:
        raise PayloadError(f"'{template}' asks for {{{{{min(needs_clips)}}}}}, and there are no clips: name some, as in --clips samples")
    return Payload(tree, tuple(clips) if needs_clips else (), str(template))


def job_bodies(payload: Payload, policy: Mapping[str, Any], operation: str) -> tuple[BodyTemplate, ...]:
    """Bodies for a queue endpoint's ``operation`` ("run" or "runsync"): an object with ``input``, and ``policy`` where there is any.

    A template without ``input`` is one; ``policy`` goes over the template's own.

    Raises:
        PayloadError: no input, an empty one (observed: RunPod hands such a job to its worker without the key, the
            worker's SDK rejects it unseen, and it fails after two leases), or a body that is too large.
    """
    tree = {"input": dict(CLIP_INPUT)} if payload.tree is None and payload.clips else payload.tree
    if tree is None:
        raise PayloadError("nothing to send: name clips (--clips samples) or a JSON file with the job's input")
    if not (isinstance(tree, dict) and "input" in tree):
        tree = {"input": tree}
    if not isinstance(tree["input"], dict) or not tree["input"]:
        shown = json.dumps(tree["input"])[:40]
        raise PayloadError(
            f'\'{payload.source}\' gives the job the input {shown}: it has to be an object with something in it, as in {{"prompt": "hi"}}'
        )
    if policy:
        given = tree.get("policy")
        tree = tree | {"policy": {**(given if isinstance(given, dict) else {}), **policy}}
    larger = "; /runsync takes 20 MB" if operation == "run" else ""
    return _render(payload, tree, RUN_BYTES if operation == "run" else SYNC_BYTES, f"/{operation}", larger)


def json_bodies(payload: Payload) -> tuple[BodyTemplate, ...]:
    """Bodies for a load-balancing endpoint from a template; a PayloadError if one is too large."""
    return _render(payload, payload.tree, BALANCER_BYTES, "a load-balancing endpoint")


def form_bodies(payload: Payload, fields: Mapping[str, str], boundary: str) -> tuple[BodyTemplate, ...]:
    """Bodies for a load-balancing endpoint from clips, as forms of a transcription service; a PayloadError if one is too large."""
    return _checked(
        [BodyTemplate(clip, (multipart(clip, fields, boundary),)) for clip in payload.clips], BALANCER_BYTES, "a load-balancing endpoint"
    )


def _read(template: Path) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        tree = json.loads(template.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except OSError as error:
        raise PayloadError(f"cannot read '{template}': {error.strerror}; name a JSON file with what is to be sent") from error
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"'{template}' is no JSON file in UTF-8: {error}") from error
    if tree is None or _depth(tree) > MOST_DEPTH:
        what = "nothing but null" if tree is None else f"levels in levels, more than {MOST_DEPTH} deep"
        raise PayloadError(f'\'{template}\' holds {what}: give an object, as in {{"prompt": "hi"}}')
    return tree


def _depth(tree: Any) -> int:
    """Levels of lists and objects; counted level by level, since a deep one cannot be walked by recursion."""
    depth, level = 0, [tree]
    while level := [tree for tree in level if isinstance(tree, dict | list)]:
        depth += 1
        level = [inner for tree in level for inner in (tree.values() if isinstance(tree, dict) else tree)]
    return depth


def _placeholders(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return _PLACEHOLDER.findall(tree)
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [name for value in inner for name in _placeholders(value)]


def _render(payload: Payload, tree: Any, most_bytes: int, taker: str, larger: str = "") -> tuple[BodyTemplate, ...]:
    mark = uuid.uuid4().hex
    cut = re.compile(rf'"{mark}:(number)"|{mark}:(seq|name);'.encode())
    bodies = []
    for clip in payload.clips or (None,):
        body = json.dumps(_filled(tree, clip, mark)).encode()
        parts = [part for part in cut.split(body) if part is not None]
        bodies.append(BodyTemplate(clip, tuple(parts)))
    return _checked(bodies, most_bytes, taker, larger)


def _checked(bodies: Sequence[BodyTemplate], most_bytes: int, taker: str, larger: str = "") -> tuple[BodyTemplate, ...]:
    for body in bodies:
        if body.largest > most_bytes:
            about = f"the clip '{body.clip.name}'" if body.clip else "the body"
            raise PayloadError(
                f"{about} makes a request of {body.largest / 1e6:.1f} MB, and {taker} takes {most_bytes / 1e6:g} MB at most{larger}: "
                "send less, or where to fetch it"
            )
    return tuple(bodies)


def _filled(tree: Any, clip: Clip | None, mark: str) -> Any:
    """``tree`` with the clip's placeholders filled in and the request's own marked for the cut."""
    if isinstance(tree, dict):
        return {key: _filled(value, clip, mark) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, clip, mark) for value in tree]
    if not isinstance(tree, str):
        return tree
    if tree == "{{seq}}":
        return f"{mark}:number"
    if clip and tree == "{{audio_seconds}}":
        return clip.audio_s
    return _PLACEHOLDER.sub(lambda found: _value(found[1], clip, mark), tree)


def _value(name: str, clip: Clip | None, mark: str) -> str:
    if clip is None or name in OF_REQUEST:
        return f"{mark}:{name};"
    if name == "audio_base64":
        return base64.b64encode(clip.data).decode()
    return clip.name if name == "audio_name" else f"{clip.audio_s:g}"
