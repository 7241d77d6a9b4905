"""The real engine: speech by espeak-ng, a face by Pillow, H.264 and AAC by FFmpeg's libraries."""

import io
import math
from array import array

import av
import pytest
from PIL import Image

from coldburst.video.workers.engines import Order, PortraitEngine
from coldburst.video.workers.memory import SPEECH, VIDEO
from coldburst.video.workers.picture import PictureError
from coldburst.video.workers.portrait import loudnesses


class GivenUpError(Exception):
    pass


def give_up():
    raise GivenUpError


@pytest.fixture(scope="module")
def engine():
    return PortraitEngine()


def picture(path):
    Image.new("RGB", (300, 200), (250, 10, 10)).save(path)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_a_script_becomes_a_video_with_its_sound(engine, tmp_path, own):
    order = Order("a", "Hello, this is a talking portrait.", picture(tmp_path / "p.png") if own else "", str(tmp_path / "v"), 96, 10)
    sound, file = tmp_path / "s.wav", tmp_path / "v.mp4"
    audio_s = engine.speak(engine.load(SPEECH), order, sound, lambda: None)
    assert 1.0 < audio_s < 5.0
    engine.film(engine.load(VIDEO), order, sound, file, lambda: None)
    with av.open(str(file)) as made:
        codecs = {stream.type: stream.codec_context.name for stream in made.streams}
        frames = [frame.to_image() for frame in made.decode(video=0)]
    assert codecs == {"video": "h264", "audio": "aac"}
    assert len(frames) == math.ceil(round(audio_s * 10, 6))
    assert frames[0].size == (96, 96)
    red, green, _ = frames[0].getpixel((3, 3))
    assert (red > 200 and green < 60) == own
    assert len({frame.tobytes() for frame in frames}) > 3


def test_the_mouth_follows_the_loudness():
    quiet, loud = array("h", [100, -100] * 50), array("h", [1000, -1000] * 50)
    assert list(loudnesses(quiet + loud, rate=200, fps=2)) == pytest.approx([0.1, 1.0])
    assert list(loudnesses(array("h"), rate=200, fps=2)) == [0.0]


def test_a_job_that_is_given_up_stops_in_both_phases(engine, tmp_path):
    order = Order("a", "Hello.", "", str(tmp_path / "v"), 64, 5)
    speech = engine.load(SPEECH)
    with pytest.raises(GivenUpError):
        engine.speak(speech, order, tmp_path / "s.wav", give_up)
    engine.speak(speech, order, tmp_path / "s.wav", lambda: None)
    with pytest.raises(GivenUpError):
        engine.film(engine.load(VIDEO), order, tmp_path / "s.wav", tmp_path / "v.mp4", give_up)


def test_a_picture_that_is_torn_is_refused_in_a_sentence(engine, tmp_path):
    out = io.BytesIO()
    Image.effect_noise((300, 300), 50).save(out, "PNG")
    (tmp_path / "torn.png").write_bytes(out.getvalue()[:5000])
    engine.speak(engine.load(SPEECH), Order("a", "Hi", "", "", 64, 5), tmp_path / "s.wav", lambda: None)
    torn = Order("a", "Hi", str(tmp_path / "torn.png"), "", 64, 5)
    with pytest.raises(PictureError, match="portrait cannot be decoded"):
        engine.film(engine.load(VIDEO), torn, tmp_path / "s.wav", tmp_path / "v.mp4", lambda: None)
