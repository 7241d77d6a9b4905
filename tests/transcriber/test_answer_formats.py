"""Every shape of OpenAI's transcription route: by hand, and to the unmodified openai client."""

import io

import pytest

from coldburst.transcriber.answer_formats import FORMATS, events
from coldburst.transcriber.recognisers import Segment, Transcript
from tests.support.transcribers import SAMPLES, transcribe, transcriber

SPOKEN = Transcript("one two. three", "en", 3700.5, (Segment(0.0, 1.25, " one two."), Segment(3661.0, 3662.0015, "three")))
FIXED = ("--engine", "fixed", "--service-time", "0")


def test_subtitles_have_the_times_of_the_segments():
    assert FORMATS["srt"][0](SPOKEN) == ("1\n00:00:00,000 --> 00:00:01,250\none two.\n\n2\n01:01:01,000 --> 01:01:02,002\nthree\n\n")
    assert FORMATS["vtt"][0](SPOKEN) == ("WEBVTT\n\n00:00:00.000 --> 00:00:01.250\none two.\n\n01:01:01.000 --> 01:01:02.002\nthree\n\n")
    assert FORMATS["text"][0](SPOKEN) == "one two. three\n"


def test_a_stream_has_a_delta_for_each_segment_and_the_whole_text():
    assert list(events(SPOKEN)) == [
        'data: {"type": "transcript.text.delta", "delta": "one two."}\n\n',
        'data: {"type": "transcript.text.delta", "delta": " three"}\n\n',
        'data: {"type": "transcript.text.done", "text": "one two. three"}\n\n',
    ]


@pytest.mark.slow
def test_the_openai_client_reads_every_shape():
    import openai

    with transcriber(*FIXED, API_TOKEN="sk-1") as service:
        client = openai.OpenAI(api_key="sk-1", base_url=f"{service.url}/v1", max_retries=0)
        clip = (SAMPLES / "01-harbour.wav").read_bytes()

        def ask(**how):
            return client.audio.transcriptions.create(model="whisper-1", file=("clip.wav", io.BytesIO(clip)), **how)

        with client:
            whole = ask()
            assert whole.text
            assert whole.usage.seconds == pytest.approx(2.69, abs=0.001)
            verbose = ask(response_format="verbose_json")
            assert (verbose.text, verbose.duration) == (whole.text, whole.usage.seconds)
            assert verbose.segments[0].text == whole.text
            assert ask(response_format="text").strip() == whole.text
            assert ask(response_format="srt").splitlines() == ["1", "00:00:00,000 --> 00:00:02,690", whole.text, ""]
            assert ask(response_format="vtt").splitlines()[2:] == ["00:00:00.000 --> 00:00:02.690", whole.text, ""]
            streamed = list(ask(stream=True))
            assert [event.type for event in streamed] == ["transcript.text.delta", "transcript.text.done"]
            assert {streamed[0].delta, streamed[1].text} == {whole.text}
            (model,) = client.models.list()
            assert (model.id, client.models.retrieve("whisper-1").id) == ("fixed", "whisper-1")
            with pytest.raises(openai.AuthenticationError):
                client.with_options(api_key="sk-2").models.list()


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"response_format": "docx"}, "response_format 'docx' is not one of json, verbose_json, text, srt, vtt"),
        ({"response_format": "srt", "stream": "true"}, "'srt' cannot be streamed: use one of json, text, or leave out stream"),
    ],
)
def test_a_shape_that_does_not_exist_is_refused(fields, told):
    with transcriber(*FIXED) as service:
        answer = transcribe(service.url, b"x", model="m", **fields)
        assert (answer.status, answer.json()["detail"]) == (400, told)
