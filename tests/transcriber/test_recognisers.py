"""Sound before it is recognised: decoded, mixed, resampled, cut; and what is missing, said in a sentence."""

import importlib.util
import io
import itertools

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from coldburst.transcriber import recognisers
from coldburst.transcriber.recognisers import (
    LONGEST_S,
    RATE,
    Segment,
    UndecodableError,
    check,
    decode,
    duration_s,
    resample,
    split_at_pauses,
)


def tone(rate, length_s=1.0, hz=440.0):
    return np.sin(2 * np.pi * hz * np.arange(round(rate * length_s)) / rate).astype(np.float32)


def encoded(sound, rate, kind):
    content = io.BytesIO()
    soundfile.write(content, sound, rate, format=kind)
    return content.getvalue()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_a_tone_is_the_same_tone_at_16_khz(rate):
    assert resample(tone(rate), rate) == pytest.approx(tone(RATE), abs=1e-3)


def test_what_16_khz_cannot_hold_is_left_out():
    assert np.abs(resample(tone(48_000, hz=9_000.0), 48_000)).max() < 1e-3


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_every_format_gives_its_length_and_its_tone(kind):
    content = encoded(0.5 * tone(44_100, 2.0), 44_100, kind)
    sound, length_s = decode(content)
    assert length_s == pytest.approx(2.0, abs=0.06)
    assert duration_s(content) == pytest.approx(length_s, abs=0.06)
    middle = np.abs(np.fft.rfft(sound[8_000:24_000]))
    assert int(middle.argmax()) == 440


def test_channels_are_mixed():
    sound, _ = decode(encoded(np.stack([tone(RATE), -tone(RATE)], axis=1), RATE, "WAV"))
    assert np.abs(sound).max() < 1e-3


@pytest.mark.parametrize("read", [decode, duration_s])
@pytest.mark.parametrize("content", [b"", b"words", b"\xff" * 1000])
def test_other_bytes_are_undecodable(read, content):
    with pytest.raises(UndecodableError, match="cannot be decoded as audio"):
        read(content)


def test_a_long_recording_is_cut_where_it_is_quiet():
    sound = np.ones(40 * RATE, np.float32)
    for quiet_s in (12.0, 25.0):
        sound[round(quiet_s * RATE) : round((quiet_s + 0.3) * RATE)] = 0
    cuts = [end / RATE for _, end in split_at_pauses(sound)]
    assert cuts == pytest.approx([12.15, 25.15, 40.0], abs=0.15)


@given(st.integers(0, 50 * RATE))
def test_pieces_make_up_the_whole(samples):
    found = list(split_at_pauses(np.zeros(samples, np.float32)))
    assert found[0][0] == 0
    assert found[-1][1] == samples
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(found))
    assert all(end - start <= LONGEST_S * RATE for start, end in found)


def test_the_compression_ratio_tells_a_text_that_repeats_itself():
    assert Segment(0, 1, "all the way home " * 20).compression_ratio > 2.4
    assert Segment(0, 1, "all the way home").compression_ratio < 1


def test_a_missing_package_and_a_missing_model_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "faster_whisper" else name)
    with pytest.raises(ValueError, match="pip install faster-whisper"):
        check("whisper", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match="needs a model folder"):
        check("whisper", "")
    with pytest.raises(ValueError, match="nowhere"):
        check("whisper", str(tmp_path / "nowhere"))
    check("whisper", str(tmp_path))


@pytest.mark.slow
def test_the_recogniser_says_nothing_of_nothing_and_forgets_whom_it_heard_before():
    recogniser = recognisers.PocketSphinx()
    order = recognisers.RecognitionRequest(b"")
    hum = 0.3 * tone(RATE, 1.0, 200.0)
    first = recogniser.recognise(hum, order)
    assert recogniser.recognise(np.zeros(0, np.float32), order) == ("en", [])
    recogniser.recognise(0.9 * tone(RATE, 1.0, 900.0), order)
    assert recogniser.recognise(hum, order) == first
