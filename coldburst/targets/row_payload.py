"""Bodies from the rows of a data set: what is sent without a template, the columns with audio, and the check before a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coldburst.data.data_set import DataSet
from coldburst.data.row import COMPUTED, DataError, Row
from coldburst.targets.body_template import BodyTemplate
from coldburst.targets.clips import ENDINGS, Clip
from coldburst.targets.payload import CLIP_INPUT, OF_OBJECT, Payload, PayloadError, load_payload, placeholders
from coldburst.targets.row_clip import Spoken, row_clip

# Columns that name audio files, and those with a chat's parts; the first that a data set has is used.
AUDIO = ("audio", "path", "file", "audio_filepath")
PROMPTS = {
    "messages": "{{json:messages}}",
    "prompt": [{"role": "user", "content": "{{prompt}}"}],
    # Of the Mooncake and Azure traces, which have lengths instead of texts.
    "input_length": [{"role": "user", "content": "{{words:input_length}}"}],
    "ContextTokens": [{"role": "user", "content": "{{words:ContextTokens}}"}],
}
LENGTHS = ("max_tokens", "output_length", "GeneratedTokens")
SHOWN_COLUMNS = 8


@dataclass(slots=True)
class Rows:
    """The data set of a run.

    Attributes:
        planned: requests of the run; None = not known.
        chosen: whether the user named it with --data; a trace of arrivals has columns that may not be meant to be sent.
        used: whether anything sent comes from it.
    """

    data: DataSet
    planned: int | None
    chosen: bool
    used: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest body that the endpoint accepts, and what kind of endpoint that is."""

    most_bytes: int
    taker: str


def row_payload(
    template: Path | str | None,
    clips: Callable[[], Sequence[Clip]],
    rows: Rows | None,
    default: Callable[[Rows, str], Any],
    *,
    forms: bool = False,
    objects: bool = False,
) -> Payload:
    """What to send: ``template``, or the ``default`` tree for the rows and the column with audio ("" = none), or clips.

    Args:
        forms: whether audio without a tree is sent as a form.
        objects: whether files are uploaded to a store: {{url:column}} and {{key:column}} then name those of a row.

    Raises:
        PayloadError: nothing that can be sent; one sentence.
    """
    if rows is None:
        return load_payload(template, clips, objects=objects)
    data = rows.data
    columns = ", ".join(f"{{{{{name}}}}}" for name in data.columns[:SHOWN_COLUMNS])
    audio = audio_column(data)
    if template is None:
        tree = default(rows, audio)
        if tree is None and not (audio and forms):
            if rows.chosen and forms:
                raise PayloadError(f"'{data.path}' names no audio files: give it a column {', '.join(AUDIO[:-1])} or {AUDIO[-1]}")
            if rows.chosen:
                raise PayloadError(f"'{data.path}' needs a template: name one with --input, with placeholders such as {columns}")
            return load_payload(None, clips)
        rows.used = True
        return Payload(tree, (), str(data.path), spoken=_spoken(data, audio))
    kinds = (*COMPUTED, *(OF_OBJECT if objects else ()))
    named = dict.fromkeys((*data.columns, "row", *(f"{kind}:{name}" for kind in kinds for name in data.columns)))
    payload = load_payload(template, clips, named, objects=objects)
    used = set(placeholders(payload.tree)) & {*named, *(OF_OBJECT if objects else ())}
    if rows.chosen and not used:
        raise PayloadError(f"'{payload.source}' uses no column of --data '{data.path}': put in at least one of {columns}")
    rows.used = bool(used)
    return replace(payload, spoken=_spoken(data, audio if used & {f"file:{audio}", f"url:{audio}", "url"} else ""))


def audio_column(data: DataSet) -> str:
    """The column that names audio files, by the first row; "" if there is none."""
    first = data.row(0).columns
    return next((name for name in AUDIO if str(first.get(name, "")).lower().endswith(ENDINGS)), "")


def main_column(rows: Rows) -> str:
    """The column whose files {{url}} and {{key}} name: of audio, or of a directory; "" if there is none."""
    return audio_column(rows.data) or ("path" if "path" in rows.data.columns else "")


def _spoken(data: DataSet, audio: str) -> Spoken | None:
    return Spoken(audio, "text" if "text" in data.columns else "") if audio else None


def job_tree(rows: Rows, audio: str) -> Any:
    """A job without a template: its audio, its column ``input``, or the whole row as input."""
    if audio:
        name = "{{name}}" if "name" in rows.data.columns else f"{{{{{audio}}}}}"
        given = {"{{audio_base64}}": f"{{{{file:{audio}}}}}", "{{audio_name}}": name}
        return {"input": {key: given.get(value, value) for key, value in CLIP_INPUT.items()}}
    if "input" in rows.data.columns:
        return {"input": "{{json:input}}"}
    return {"input": "{{row}}"} if rows.chosen else None


def body_tree(rows: Rows, audio: str) -> Any:
    """A load balancer's body without a template: the column ``body``, or the whole row; None for audio, which is sent as a form."""
    if audio:
        return None
    if "body" in rows.data.columns:
        return "{{json:body}}"
    return "{{row}}" if rows.chosen else None


def chat_tree(rows: Rows, usual: Mapping[str, Any]) -> Any:
    """A chat without a template: the column ``body``, or the ``usual`` body with the messages, prompt or length of the row."""
    data = rows.data
    if "body" in data.columns:
        return "{{json:body}}"
    prompt = next((PROMPTS[name] for name in PROMPTS if name in data.columns), None)
    if prompt is None:
        return None
    length = next((name for name in LENGTHS if name in data.columns), "")
    return {**usual, "messages": prompt, **({"max_tokens": f"{{{{json:{length}}}}}"} if length else {})}


def speech_tree(rows: Rows, usual: Mapping[str, Any]) -> Any:
    """A speech request without a template: the column ``body``, or the ``usual`` body with the row's ``input`` or ``text``."""
    if "body" in rows.data.columns:
        return "{{json:body}}"
    said = next((name for name in ("input", "text") if name in rows.data.columns), "")
    return {**usual, "input": f"{{{{{said}}}}}"} if said else None


def video_tree(rows: Rows) -> Any:
    """A request for a video without a template: the column ``body``, or the row's ``script`` or ``text``."""
    if "body" in rows.data.columns:
        return "{{json:body}}"
    said = next((name for name in ("script", "text") if name in rows.data.columns), "")
    return {"script": f"{{{{{said}}}}}"} if said else None


def check_rows(rows: Rows | None, bodies: Sequence[BodyTemplate], limit: Limit, input_key: str = "") -> None:
    """Checks the rows that the run sends, as far as ``DataSet.check`` goes.

    Args:
        input_key: the placeholder that is a job's whole input, or "".

    Raises:
        ValueError: a row does not fit; one sentence with file and line.
    """
    if rows is None or not rows.used:
        return
    body = bodies[0]
    keys = {key: None for key, _, _ in body.slots}

    def check(row: Row) -> int:
        used = [key for key in keys if key in row]
        small = sum(row.size(key) for key in used if not key.startswith("file:"))
        size = body.largest + small + sum(row.size(key) for key in used if key.startswith("file:"))
        if size > limit.most_bytes:
            raise row.error(f"its body has {size / 1e6:.1f} MB, and {limit.taker} accepts at most {limit.most_bytes / 1e6:g} MB")
        if input_key and not (isinstance(value := row[input_key], dict) and value):
            raise row.error('the job input must be an object that is not empty, as in {"prompt": "hi"}')
        if "json:messages" in keys and not (isinstance(value := row["json:messages"], list) and value):
            raise row.error('\'messages\' must be a list that is not empty, as in [{"role": "user", "content": "hi"}]')
        return small

    rows.data.check(rows.planned, check)


def check_spoken(rows: Rows, spoken: Spoken, limit: Limit) -> None:
    """Checks the audio files of the rows that the run sends. Raises ValueError; one sentence with file and line."""

    def check(row: Row) -> int:
        size = row.size(f"bytes:{spoken.audio}")
        if size > limit.most_bytes:
            raise row.error(f"its audio has {size / 1e6:.1f} MB, and {limit.taker} accepts at most {limit.most_bytes / 1e6:g} MB")
        try:
            row_clip(row, spoken)
        except DataError as error:
            raise row.error(str(error)) from error
        return 0

    rows.data.check(rows.planned, check)
