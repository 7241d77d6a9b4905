"""The speech clips: what they are, that their texts belong to them, and that they can be recognised."""

import csv
import re
import wave

import pytest

from coldburst.transcriber.recognisers import PocketSphinx, RecognitionRequest, decode
from samples import make
from tests.support.needs import needs
from tests.support.transcribers import SAMPLES

CLIPS = sorted(SAMPLES.glob("*.wav"))


def test_six_clips_of_spread_lengths_are_under_a_megabyte():
    assert len(CLIPS) == 6
    assert [round(length_s(clip)) for clip in CLIPS] == [3, 4, 4, 5, 7, 8]
    assert sum(clip.stat().st_size for clip in SAMPLES.iterdir() if clip.is_file()) < 1_000_000


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip.stem)
def test_a_clip_is_16_khz_mono_16_bits(clip):
    with wave.open(str(clip)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16_000, 1, 2)
    assert 2 <= length_s(clip) <= 12


def test_every_clip_has_its_text_and_every_text_its_clip():
    with (SAMPLES / "transcripts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [clip.name for clip in CLIPS]
    assert {row["file"]: row["text"] for row in rows} == make.SENTENCES
    assert not any(character.isdigit() for row in rows for character in row["text"])


@pytest.mark.slow
@needs("flite")
def test_the_script_makes_these_very_clips(tmp_path):
    for clip in CLIPS:
        make.speak(make.SENTENCES[clip.name], tmp_path / clip.name)
        assert (tmp_path / clip.name).read_bytes() == clip.read_bytes()


def test_make_says_that_flite_is_missing(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    assert make.main() == 1
    assert "flite" in capsys.readouterr().err


@pytest.mark.slow
def test_the_first_clip_is_recognised_word_for_word():
    assert word_error_rate(PocketSphinx(), CLIPS[0]) == 0


@pytest.mark.nightly
def test_every_clip_is_recognised():
    recogniser = PocketSphinx()
    assert {clip.name: rate for clip in CLIPS if (rate := word_error_rate(recogniser, clip)) > 0.25} == {}


def length_s(clip):
    with wave.open(str(clip)) as sound:
        return sound.getnframes() / sound.getframerate()


def word_error_rate(recogniser, clip):
    import jiwer

    sound, _ = decode(clip.read_bytes())
    _, segments = recogniser.recognise(sound, RecognitionRequest(b""))
    plain = re.sub(r"[^a-z ]", "", make.SENTENCES[clip.name].lower())
    return jiwer.wer(plain, " ".join(segment.text for segment in segments))
