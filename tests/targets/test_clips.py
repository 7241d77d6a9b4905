"""Clips: read from a directory with what is said in them, and sent as a form."""

import email

import pytest
import soundfile

from coldburst.targets.clips import Clip, ClipError, load_clips, multipart
from tests.support.locusts import ROOT


def test_the_form_holds_the_fields_and_the_clip_to_the_byte():
    data = bytes(range(256)) * 3 + b"\r\n--edge"
    body = multipart(Clip('a"b.wav', 1.0, "", data), {"model": "whisper-1", "language": "en"}, "edge7")
    message = email.message_from_bytes(b"Content-Type: multipart/form-data; boundary=edge7\r\n\r\n" + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in message.get_payload()}
    assert list(parts) == ["model", "language", "file"]
    assert parts["model"].get_payload() == "whisper-1"
    assert parts["file"].get_filename() == "a_b.wav"
    assert parts["file"].get_payload(decode=True) == data


def test_the_samples_load_with_length_and_text():
    clips = load_clips(ROOT / "samples")
    assert len(clips) >= 6
    assert all(2 <= clip.audio_s <= 12 and clip.text and clip.data[:4] == b"RIFF" for clip in clips)
    one = load_clips(ROOT / "samples" / clips[0].name)
    assert one == clips[:1]


def test_a_length_is_that_of_libsndfile_also_where_the_file_is_cut_or_has_other_samples(tmp_path):
    files = {"whole": (8000, "PCM_16"), "fine": (24_000, "PCM_24"), "real": (16_000, "FLOAT")}
    for name, (rate, kind) in files.items():
        soundfile.write(tmp_path / f"{name}.wav", [[0.1, 0.2]] * rate, rate, subtype=kind)
    cut = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(cut[: len(cut) // 2])
    found = {clip.name: clip.audio_s for clip in load_clips(tmp_path)}
    assert found == {f"{name}.wav": pytest.approx(soundfile.info(tmp_path / f"{name}.wav").duration) for name in (*files, "cut")}
    assert [found[f"{name}.wav"] for name in files] == [1.0, 1.0, 1.0]
    assert found["cut.wav"] < 0.6


def test_clips_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(ClipError, match="no clips at"):
        load_clips(tmp_path)
    (tmp_path / "noise.wav").write_bytes(b"this is no audio")
    with pytest.raises(ClipError, match=r"noise\.wav': libsndfile cannot read it as audio"):
        load_clips(tmp_path)
    (tmp_path / "noise.wav").write_bytes((ROOT / "samples" / "01-harbour.wav").read_bytes())
    (tmp_path / "transcripts.csv").write_bytes("file,text\nnoise.wav,caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ClipError, match=r"transcripts\.csv' as UTF-8"):
        load_clips(tmp_path)
    (tmp_path / "transcripts.csv").write_bytes("\ufefffile,text\nnoise.wav,hello\n".encode())
    assert load_clips(tmp_path)[0].text == "hello"
    (tmp_path / "transcripts.csv").write_text("name,words\n")
    with pytest.raises(ClipError, match="file,text"):
        load_clips(tmp_path)
