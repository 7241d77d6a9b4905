"""A talking portrait: a face whose mouth follows the loudness of the speech, encoded as H.264 and AAC by FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import math
import wave
from array import array
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw, ImageOps

from coldburst.video.workers.buffer import Buffer
from coldburst.video.workers.picture import FORMATS, PictureError

# Seconds between two blinks, and how long one takes.
BLINK_EVERY_S, BLINK_S = 3.0, 0.15
# How much of the picture the slow zoom takes away at the end.
ZOOM = 0.06
SKIN, HAIR, DARK, LIPS = (238, 200, 170), (90, 60, 40), (40, 30, 30), (170, 60, 70)


class Face:
    """The video model: draws and encodes one video at a time.

    Attributes:
        buffer: says which job the frames belong to.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer

    def film(self, portrait: str, sound: Path, file: Path, size: int, fps: int, check: Callable[[], None]) -> None:
        """Writes an MP4 with the speech in ``sound``. ``portrait``: a picture's path, "" for a drawn face. Raises what ``check`` raises."""
        base = _opened(portrait, size) if portrait else _drawn(size)
        with wave.open(str(sound)) as said:
            rate, samples = said.getframerate(), array("h", said.readframes(said.getnframes()))
        with av.open(str(file), "w", format="mp4") as out:
            video = _video_stream(out, size, fps)
            spoken = _audio_stream(out, rate)
            for number, loudness in enumerate(loudnesses(samples, rate, fps)):
                check()
                frame = _encodable(_frame(base, loudness, number / fps, len(samples) / rate))
                frame.pts = number
                out.mux(video.encode(frame))
            out.mux(video.encode())
            _mux_sound(out, spoken, samples, rate)


def loudnesses(samples: array[int], rate: int, fps: int) -> Iterator[float]:
    """The loudness of each frame, as a share of the loudest: root mean square of its samples."""
    step = rate / fps
    pieces = [samples[round(n * step) : round((n + 1) * step)] for n in range(max(math.ceil(len(samples) / step), 1))]
    levels = [math.sqrt(sum(value * value for value in piece) / len(piece)) if piece else 0.0 for piece in pieces]
    loudest = max(levels) or 1.0
    return (level / loudest for level in levels)


def _opened(path: str, size: int) -> Image.Image:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            # JPEG decodes at a fraction of its size.
            picture.draft("RGB", (2 * size, 2 * size))
            return ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGB"), (size, size))
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(f"portrait cannot be decoded: {error}") from None


def _drawn(size: int) -> Image.Image:
    face = Image.new("RGB", (size, size), (120, 150, 180))
    draw = ImageDraw.Draw(face)
    draw.ellipse(_box(size, 0.5, 0.46, 0.34, 0.42), HAIR)
    draw.ellipse(_box(size, 0.5, 0.52, 0.28, 0.36), SKIN)
    for x in (0.38, 0.62):
        draw.ellipse(_box(size, x, 0.45, 0.06, 0.035), "white")
        draw.ellipse(_box(size, x, 0.45, 0.025, 0.03), DARK)
    return face


def _box(size: int, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    return size * (x - width), size * (y - height), size * (x + width), size * (y + height)


def _frame(base: Image.Image, loudness: float, at_s: float, length_s: float) -> Image.Image:
    """The face at one instant: the mouth as open as the speech is loud, a blink now and then, a slow zoom."""
    size, frame = base.width, base.copy()
    draw = ImageDraw.Draw(frame)
    draw.ellipse(_box(size, 0.5, 0.7, 0.1, 0.012 + 0.06 * loudness), LIPS)
    if loudness > 0.1:
        draw.ellipse(_box(size, 0.5, 0.7, 0.08, 0.045 * loudness), DARK)
    if at_s % BLINK_EVERY_S > BLINK_EVERY_S - BLINK_S:
        for x in (0.38, 0.62):
            draw.ellipse(_box(size, x, 0.45, 0.065, 0.04), SKIN)
    edge = size * ZOOM / 2 * min(at_s / length_s, 1.0)
    return frame.resize((size, size), Image.Resampling.BILINEAR, box=(edge, edge, size - edge, size - edge))


def _encodable(picture: Image.Image) -> av.VideoFrame:
    make: Callable[[Image.Image], av.VideoFrame] = av.VideoFrame.from_image
    return make(picture)


def _video_stream(out: Any, size: int, fps: int) -> Any:
    """H.264 where this build of FFmpeg has an encoder for it, else MPEG-4."""
    name = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    stream = out.add_stream(name, rate=fps, options={"preset": "veryfast"} if name == "libx264" else {})
    stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
    # One thread: workers share the processor.
    stream.thread_count = 1
    return stream


def _audio_stream(out: Any, rate: int) -> Any:
    stream = out.add_stream("aac", rate=rate)
    stream.layout = "mono"
    return stream


def _mux_sound(out: Any, stream: Any, samples: array[int], rate: int) -> None:
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
    frame.planes[0].update(samples.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    out.mux(stream.encode(frame))
    out.mux(stream.encode())
