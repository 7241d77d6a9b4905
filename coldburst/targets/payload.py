"""Makes request bodies from a JSON template or clips: read and checked before the run, rendered once per clip.

A template is a JSON file. Texts in it may contain placeholders, in double braces and without spaces:

    {{seq}}            the request's place in the schedule, from 0
    {{name}}           the request's name, as in X-Request-ID: unique to each try of each run
    {{audio_base64}}   the clip's bytes
    {{audio_name}}     its file name
    {{audio_seconds}}  its length
    {{uuid}}           a random UUID, new in each body
    {{url}}            with --objects: a presigned URL of the clip, which is uploaded first; {{bucket}} and {{key}} name it in the store

and the names that the caller of ``load_payload`` adds, whose values each request brings. A text that is exactly one placeholder keeps the
value's JSON type: {{seq}} and {{audio_seconds}} become numbers. Clips are sent in turn. A template without a placeholder for audio needs
no clips, and its answers are not compared with their texts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from coldburst.targets.body_template import OF_REQUEST, PLACEHOLDER, BodyTemplate, Marks
from coldburst.targets.clips import Clip, multipart
from coldburst.targets.row_clip import Spoken

# The largest bodies that /run, /runsync and a load-balancing endpoint accept (documented).
RUN_BYTES, SYNC_BYTES, BALANCER_BYTES = 10_000_000, 20_000_000, 30_000_000
# A job's input where clips are sent without a template.
CLIP_INPUT: Mapping[str, Any] = {"audio_base64": "{{audio_base64}}"}
# Of a file that was uploaded to the store of --objects.
OF_OBJECT = ("url", "key", "bucket")
OF_CLIP = ("audio_base64", "audio_name", "audio_seconds")
MOST_DEPTH = 100


class PayloadError(ValueError):
    """The payload cannot be sent; the message names it and what to do."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What to send: ``tree`` is the template's JSON (None = none), ``source`` its file.

    Attributes:
        spoken: of the rows that fill the template, or that are sent as forms without one.
    """

    tree: Any
    clips: tuple[Clip, ...]
    source: str = ""
    spoken: Spoken | None = None

    @property
    def texts(self) -> list[str]:
        """What is said in the audio, or the name of the column that says it; "" where it is not known."""
        return [self.spoken.text] if self.spoken else [clip.text for clip in self.clips]


def template_of(text: str) -> Path | str | None:
    """What --input names: a file, JSON itself (a text that begins with a brace or bracket), or nothing."""
    return (text if is_json(text) else Path(text)) if text else None


def is_json(text: str) -> bool:
    """Whether a value of --input is the template itself, and not the name of its file."""
    return text.lstrip()[:1] in ("{", "[")


def load_payload(
    template: Path | str | None, clips: Callable[[], Sequence[Clip]] = tuple, further: Collection[str] = (), *, objects: bool = False
) -> Payload:
    """The template (None = none), and the clips if it asks for them or there is none.

    Args:
        further: names of placeholders besides those of this module; each request brings their values.
        objects: whether files are uploaded, so that OF_OBJECT have values: clips, unless ``further`` are columns with other files.

    Raises:
        PayloadError: no file, no JSON, or an unknown placeholder.
    """
    if template is None:
        return Payload(None, tuple(clips()))
    tree, source = _read(template), "--input" if isinstance(template, str) else str(template)
    used = set(placeholders(tree))
    has_columns, further = bool(further), (*further, *(OF_OBJECT if objects else ()))
    for name in sorted(used - {*OF_CLIP, *OF_REQUEST, *further}):
        if name in OF_OBJECT:
            raise PayloadError(f"'{source}' contains {{{{{name}}}}}, the place of an uploaded file: name a store with --objects")
        known = ", ".join(f"{{{{{one}}}}}" for one in dict.fromkeys((*further, *OF_REQUEST, *OF_CLIP)) if ":" not in one)
        raise PayloadError(f"'{source}' contains the unknown placeholder {{{{{name}}}}}: use one of {known}")
    with_clips = {*OF_CLIP, *(() if has_columns else OF_OBJECT)}
    return Payload(tree, tuple(clips()) if used & with_clips else (), source)


def job_bodies(payload: Payload, policy: Mapping[str, Any]) -> tuple[BodyTemplate, ...]:
    """Bodies of jobs: an object with ``input``, and ``policy`` if there is any.

    A template without ``input`` is the input; ``policy`` overrides the template's own.

    Raises:
        PayloadError: no input, an empty one (observed: RunPod passes such a job to its worker without the key ``input``, the worker's
            SDK rejects it, and it fails after two leases), or a body that is too large.
    """
    tree = {"input": dict(CLIP_INPUT)} if payload.tree is None and payload.clips else payload.tree
    if tree is None:
        raise PayloadError("nothing to send: name clips (--clips samples) or a JSON file with the job's input")
    tree = _job(tree)
    if not input_key(tree) and (not isinstance(tree["input"], dict) or not tree["input"]):
        shown = json.dumps(tree["input"])[:40]
        raise PayloadError(f'the job input {shown} in \'{payload.source}\' must be an object that is not empty, as in {{"prompt": "hi"}}')
    if policy:
        given = tree.get("policy")
        tree = tree | {"policy": {**(given if isinstance(given, dict) else {}), **policy}}
    return _render(payload, tree, SYNC_BYTES, "a queue endpoint")


def input_key(tree: Any) -> str:
    """The placeholder that is a job's whole input, whose value each request brings; "" if it is an object."""
    given = _job(tree)["input"]
    whole = PLACEHOLDER.fullmatch(given) if isinstance(given, str) else None
    return whole[1] if whole and whole[1] not in (*OF_REQUEST, *OF_CLIP) else ""


def _job(tree: Any) -> dict[str, Any]:
    return tree if isinstance(tree, dict) and "input" in tree else {"input": tree}


def json_bodies(payload: Payload) -> tuple[BodyTemplate, ...]:
    """Bodies for a load-balancing endpoint from a template. Raises PayloadError if one is too large."""
    return _render(payload, payload.tree, BALANCER_BYTES, "a load-balancing endpoint")


def form_bodies(payload: Payload, fields: Mapping[str, str], boundary: str) -> tuple[BodyTemplate, ...]:
    """Bodies for a load-balancing endpoint from clips, as a transcription service's form. Raises PayloadError if one is too large."""
    return _checked(
        [BodyTemplate(clip, multipart(clip, fields, boundary)) for clip in payload.clips], BALANCER_BYTES, "a load-balancing endpoint"
    )


def _read(template: Path | str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        tree = json.loads(template if isinstance(template, str) else template.read_text(encoding="utf-8-sig"), parse_constant=refuse)
    except OSError as error:
        raise PayloadError(f"cannot read '{template}': {error.strerror}; name a JSON file with the request body") from error
    except (ValueError, RecursionError) as error:
        what = f"--input '{template[:40]}…' is not JSON" if isinstance(template, str) else f"'{template}' is not a JSON file in UTF-8"
        raise PayloadError(f"{what}: {error}") from error
    if tree is None or _depth(tree) > MOST_DEPTH:
        what = "only null" if tree is None else f"more than {MOST_DEPTH} nested levels"
        raise PayloadError(f'\'{template}\' contains {what}: give an object, as in {{"prompt": "hi"}}')
    return tree


def _depth(tree: Any) -> int:
    """Levels of lists and objects, counted without recursion."""
    depth, level = 0, [tree]
    while level := [tree for tree in level if isinstance(tree, dict | list)]:
        depth += 1
        level = [inner for tree in level for inner in (tree.values() if isinstance(tree, dict) else tree)]
    return depth


def placeholders(tree: Any) -> list[str]:
    """The names of the placeholders in ``tree``."""
    if isinstance(tree, str):
        return PLACEHOLDER.findall(tree)
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [name for value in inner for name in placeholders(value)]


def _render(payload: Payload, tree: Any, most_bytes: int, taker: str) -> tuple[BodyTemplate, ...]:
    marks = Marks()
    bodies = [marks.cut(json.dumps(_filled(tree, clip, marks)), clip) for clip in payload.clips or (None,)]
    return _checked(bodies, most_bytes, taker)


def _checked(bodies: Sequence[BodyTemplate], most_bytes: int, taker: str) -> tuple[BodyTemplate, ...]:
    for body in bodies:
        if body.largest > most_bytes:
            about = f"the clip '{body.clip.name}'" if body.clip else "the body"
            raise PayloadError(
                f"{about} makes a request of {body.largest / 1e6:.1f} MB, and {taker} accepts at most {most_bytes / 1e6:g} MB: "
                "send less, or a URL to fetch it from"
            )
    return tuple(bodies)


def _filled(tree: Any, clip: Clip | None, marks: Marks) -> Any:
    """``tree`` with the clip's placeholders filled in, and marks instead of those that each request fills in."""
    if isinstance(tree, dict):
        return {key: _filled(value, clip, marks) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, clip, marks) for value in tree]
    if not isinstance(tree, str):
        return tree
    if whole := PLACEHOLDER.fullmatch(tree):
        if clip and whole[1] == "audio_seconds":
            return clip.audio_s
        if not (clip and whole[1] in OF_CLIP):
            return marks.put(whole[1])
    return PLACEHOLDER.sub(lambda found: _value(found[1], clip, marks), tree)


def _value(name: str, clip: Clip | None, marks: Marks) -> str:
    if clip is None or name not in OF_CLIP:
        return marks.put(name)
    if name == "audio_base64":
        return base64.b64encode(clip.data).decode()
    return clip.name if name == "audio_name" else f"{clip.audio_s:g}"
