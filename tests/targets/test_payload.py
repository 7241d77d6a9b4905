"""What is sent: placeholders filled in, the same bytes for the same clip, and nothing that RunPod would choke on."""

import base64
import json
from pathlib import Path
from uuid import UUID

import pytest

from coldburst.targets.clips import Clip
from coldburst.targets.payload import PayloadError, form_bodies, job_bodies, json_bodies, load_payload, template_of

CLIPS = [Clip("a.wav", 1.5, "hello", b"\x00\xffA"), Clip('b"ü.wav', 2.0, "", b"B")]


@pytest.fixture
def template(tmp_path):
    def write(content):
        path = tmp_path / "job.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def jobs(payload, policy=None):
    return [json.loads(parcel.body(7, 'run-7-1"')) for parcel in job_bodies(payload, policy or {})]


def test_clips_alone_make_the_usual_jobs():
    first, second = jobs(load_payload(None, lambda: CLIPS))
    assert first == {"input": {"audio_base64": base64.b64encode(b"\x00\xffA").decode()}}
    assert set(second["input"]) == {"audio_base64"}  # faster-whisper's worker refuses fields that it does not know


def test_a_template_may_be_the_json_itself():
    for text in ('{"input": {"url": "http://a//b", "n": "{{seq}}"}}', ' {"url": "http://a//b", "n": "{{seq}}"}'):
        assert jobs(load_payload(template_of(text))) == [{"input": {"url": "http://a//b", "n": 7}}]
    assert (template_of(""), template_of("body.json")) == (None, Path("body.json"))
    with pytest.raises(PayloadError, match=r"--input '\{\"a\": …' is not JSON: Expecting value"):
        load_payload(template_of('{"a": '))


def test_placeholders_become_numbers_or_text(template):
    tree = {
        "n": "{{seq}}",
        "s": "no. {{seq}} {{name}}{{seq}}",
        "l": ["{{audio_seconds}}", "{{audio_seconds}} s"],
        "x": "{{ own }} {a}",
        "z": None,
    }
    (first, second) = jobs(load_payload(template({"input": tree}), lambda: CLIPS))
    assert first["input"] == {"n": 7, "s": 'no. 7 run-7-1"7', "l": [1.5, "1.5 s"], "x": "{{ own }} {a}", "z": None}
    assert second["input"]["l"] == [2.0, "2 s"]


def test_a_body_without_a_requests_own_words_is_never_copied(template):
    same = job_bodies(load_payload(template({"a": 1})), {})[0]
    own = job_bodies(load_payload(template({"a": "{{seq}}"})), {})[0]
    assert same.body(1, "x") is same.body(2, "y")
    assert own.body(1, "x") == b'{"input": {"a": 1}}'
    assert own.largest >= len(own.body(10**9, "x"))


def test_a_template_without_audio_leaves_the_clips_out(template):
    payload = load_payload(template({"prompt": "hi"}), lambda: CLIPS)
    assert payload.clips == ()
    assert jobs(payload) == [{"input": {"prompt": "hi"}}]
    assert [json.loads(parcel.body(0, "")) for parcel in json_bodies(payload)] == [{"prompt": "hi"}]


def test_the_policy_goes_over_the_templates_own(template):
    path = template({"input": {"a": 1}, "webhook": "https://x", "policy": {"ttl": 1, "lowPriority": True}})
    assert jobs(load_payload(path), {"ttl": 20_000}) == [
        {"input": {"a": 1}, "webhook": "https://x", "policy": {"ttl": 20_000, "lowPriority": True}}
    ]


def test_forms_are_those_of_a_transcription_service():
    first, second = form_bodies(load_payload(None, lambda: CLIPS), {"model": "m"}, "edge")
    assert b'filename="a.wav"' in first.body(0, "")
    assert first.body(0, "") is first.body(1, "")
    assert second.clip == CLIPS[1]


@pytest.mark.parametrize("empty", [{}, {"input": {}}, {"input": None}, {"input": "text"}, [], "text", 5])
def test_an_input_that_a_worker_would_choke_on_is_refused(template, empty):
    with pytest.raises(PayloadError, match=r"the job input .* in '.*job\.json' must be an object that is not empty"):
        job_bodies(load_payload(template(empty)), {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", r"job\.json' is not a JSON file in UTF-8: Expecting property name.* line 1"),
        ('{"a": NaN}', "NaN is not JSON"),
        ("null", "contains only null: give an object"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", r"contains more than 100 nested levels: give an object"),
        ("[" * 100_000, "is not a JSON file in UTF-8: "),
        ("\0\1\2", "is not a JSON file in UTF-8: "),
        ('{"a": "{{speech}}"}', r"contains the unknown placeholder \{\{speech\}\}: use one of \{\{seq\}\}"),
    ],
)
def test_a_template_that_cannot_be_used_is_named(tmp_path, content, words):
    path = tmp_path / "job.json"
    path.write_text(content)
    with pytest.raises(PayloadError, match=words):
        load_payload(path)


def test_a_missing_template_and_nothing_to_send_are_told(tmp_path):
    with pytest.raises(PayloadError, match=r"cannot read '.*none\.json': No such file"):
        load_payload(tmp_path / "none.json")
    with pytest.raises(PayloadError, match="nothing to send"):
        job_bodies(load_payload(None), {})


@pytest.mark.slow
@pytest.mark.parametrize(("bytes_", "fits"), [(14_800_000, True), (15_200_000, False)])
def test_what_is_larger_than_runsync_takes_is_refused(bytes_, fits):  # base64 makes 4 bytes of 3
    payload = load_payload(None, lambda: [Clip("long.wav", 9.0, "", bytes(bytes_))])
    if fits:
        assert job_bodies(payload, {})
    else:
        with pytest.raises(PayloadError, match=r"'long\.wav' makes a request of \d+\.\d MB, and a queue endpoint accepts at most 20 MB"):
            job_bodies(payload, {})


def test_a_load_balancer_takes_30_mb():
    with pytest.raises(PayloadError, match="accepts at most 30 MB"):
        form_bodies(load_payload(None, lambda: [Clip("long.wav", 9.0, "", bytes(30_000_000))]), {}, "edge")


def test_values_of_a_request_keep_their_json_type_and_are_escaped_inside_a_text(template):
    odd = 'a "b" \\ \n ü'
    tree = {
        "whole": ["{{t}}", "{{n}}", "{{o}}", "{{none}}", "{{b64}}"],
        "inside": '"{{t}}" {{n}} {{o}} {{b64}}"{{t}}',
        "two": "{{n}}{{n}}",
        "ends": 'said "{{t}}',
        "id": "{{uuid}}",
    }
    (body,) = job_bodies(load_payload(template(tree), further=("t", "n", "o", "none", "b64")), {})
    values = {"t": odd, "n": 1.5, "o": {"k": ['"']}, "none": None, "b64": base64.b64encode(b"\xff" * 4)}
    first, again = (json.loads(body.body(7, "x", values))["input"] for _ in range(2))
    assert first["whole"] == [odd, 1.5, {"k": ['"']}, None, "/////w=="]
    assert first["inside"] == f'"{odd}" 1.5 {{"k": ["\\""]}} /////w=="{odd}'
    assert (first["two"], first["ends"]) == ("1.51.5", f'said "{odd}')
    assert UUID(first["id"]) != UUID(again["id"])


def test_a_value_comes_before_the_requests_own(template):
    (body,) = job_bodies(load_payload(template({"a": "{{name}}", "b": "{{file:name}}"}), further=("name", "file:name")), {})
    assert json.loads(body.body(7, "run-7-1", {"name": "mine", "file:name": "x"}))["input"] == {"a": "mine", "b": "x"}
    with pytest.raises(KeyError, match="file:name"):
        body.body(7, "run-7-1")
