"""Rows of a data set in requests of every kind: with a template, without one, and what does not fit told before anything is sent."""

import json
import shutil

import pytest

from coldburst.load.run_options import OPTIONS, check
from coldburst.option import attribute
from coldburst.schedule import replay
from coldburst.targets.address import infer
from coldburst.targets.http import Exchange, Timeouts
from tests.support.locusts import ROOT
from tests.support.scripted import says, scripted

ANSWER = b'{"id": "j1", "status": "COMPLETED", "output": {"text": "hi"}, "text": "hi", "choices": [{"message": {"content": "hi"}}]}'
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
PATHS = {"queue": "/v2/ep"}
CLIP = ROOT / "samples" / "01-harbour.wav"


def planned(kind, url="http://127.0.0.1:9", stages=None, **given):
    options = {attribute(option): option.default for option in OPTIONS} | {"schedule": "burst 3", "max_in_flight": 5}
    return check(options | {"host": url + PATHS.get(kind, ""), "target": kind, "max_wer": "off", "no_preflight": "yes"} | given, stages)


def sent(kind, count=3, stages=None, **given):
    """The plan, what was measured of each request, and its body."""
    with scripted(says(OK)) as server:
        plan = planned(kind, server.url, stages, **given)
        target = plan.make_target(infer(plan.host, kind), Timeouts(5, 5, 5), "")
        found = [target.send(seq, f"run-{seq}-1", Exchange(), plan.data.row(seq)).measured for seq in range(count)]
        target.client.close()
    return plan, found, [request.partition(b"\r\n\r\n")[2] for request in server.requests]


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write


ROWS = [{"prompt": "one", "steps": 4}, {"prompt": 'two "2"', "steps": 8}]


def test_a_template_is_filled_by_each_row_in_turn(file):
    data, template = file("rows.jsonl", ROWS), file("job.json", {"prompt": "{{prompt}}!", "steps": "{{steps}}", "n": "{{seq}}"})
    plan, _, bodies = sent("queue", data=data, input=template)
    assert [json.loads(body)["input"] for body in bodies] == [
        {"prompt": "one!", "steps": 4, "n": 0},
        {"prompt": 'two "2"!', "steps": 8, "n": 1},
        {"prompt": "one!", "steps": 4, "n": 2},
    ]
    about = plan.data.about()
    assert (about["file"], about["order"], about["rows"], about["checked"]) == (data, "rows", 2, 2)


def test_cells_of_csv_are_texts_and_json_where_the_template_says_so(file):
    data = file("rows.csv", 'zip,steps,words\n01234,5,"[1, 2]"\n')
    template = file("job.json", {"zip": "{{zip}}", "steps": "{{json:steps}}", "words": "{{json:words}}", "id": "{{zip}}-{{json:steps}}"})
    _, _, (body,) = sent("queue", 1, data=data, input=template)
    assert json.loads(body)["input"] == {"zip": "01234", "steps": 5, "words": [1, 2], "id": "01234-5"}


@pytest.mark.parametrize(
    ("kind", "row", "body"),
    [
        ("queue", {"prompt": "hi", "n": 1}, {"input": {"prompt": "hi", "n": 1}}),
        ("queue", {"input": {"prompt": "hi"}, "id": 7}, {"input": {"prompt": "hi"}}),
        ("balancer", {"prompt": "hi", "n": 1}, {"prompt": "hi", "n": 1}),
        ("balancer", {"body": {"prompt": "hi"}, "id": 7}, {"prompt": "hi"}),
        ("chat", {"body": {"model": "m", "messages": []}, "custom_id": "a"}, {"model": "m", "messages": []}),
        ("speech", {"text": "hi"}, {"model": "tts-1", "voice": "alloy", "input": "hi", "response_format": "wav"}),
    ],
)
def test_without_a_template_a_row_is_the_body(file, kind, row, body):
    _, _, (found,) = sent(kind, 1, data=file("rows.jsonl", [row]))
    assert json.loads(found) == body


@pytest.mark.parametrize(
    ("content", "messages", "most"),
    [
        ([{"messages": [{"role": "system", "content": "x"}]}], [{"role": "system", "content": "x"}], 128),
        ([{"prompt": "hi", "max_tokens": 5}], [{"role": "user", "content": "hi"}], 5),
    ],
)
def test_a_chat_takes_messages_or_a_prompt_from_the_row(file, content, messages, most):
    _, _, (body,) = sent("chat", 1, data=file("rows.jsonl", content))
    found = json.loads(body)
    assert (found["messages"], found["max_tokens"], found["stream"]) == (messages, most, True)


def test_a_directory_of_audio_is_sent_instead_of_clips_with_its_texts(tmp_path):
    for name in ("a.wav", "b.wav"):
        shutil.copy(CLIP, tmp_path / name)
    (tmp_path / "transcripts.csv").write_text("file,text\na.wav,hi\n")
    _, rows, forms = sent("transcription", 2, data=str(tmp_path), max_wer="0.5")
    assert [b'filename="a.wav"' in forms[0], b'filename="b.wav"' in forms[1]] == [True, True]
    assert all(CLIP.read_bytes() in form for form in forms)
    assert [(row["audio_s"] > 1, row.get("wer")) for row in rows] == [(True, 0.0), (True, None)]
    _, rows, (form,) = sent("balancer", 1, data=str(tmp_path))
    assert CLIP.read_bytes() in form
    _, rows, (job,) = sent("queue", 1, data=str(tmp_path))
    assert len(json.loads(job)["input"]["audio_base64"]) > 1000
    assert rows[0]["audio_s"] > 1


def test_a_row_may_name_its_audio_and_what_is_said(file, tmp_path):
    shutil.copy(CLIP, tmp_path / "a.wav")
    data = file("rows.csv", "audio,text\na.wav,something else entirely\n")
    template = file("job.json", {"audio": "{{file:audio}}"})
    _, (row,), _ = sent("queue", 1, data=data, input=template, max_wer="0.5")
    assert (row["audio_s"] > 1, row["wer"] >= 1) == (True, True)


MOONCAKE = [
    {"timestamp": 3000, "input_length": 30, "output_length": 7, "hash_ids": [1]},
    {"timestamp": 0, "input_length": 20, "output_length": 5, "hash_ids": [2]},
]
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:49.6805900,30,7\n2023-11-16 18:15:46.6805900,20,5\n"


@pytest.mark.parametrize(("name", "content"), [("mooncake.jsonl", MOONCAKE), ("azure.csv", AZURE)])
def test_a_trace_gives_instants_and_lengths(file, name, content):
    options = {"arrivals": file(name, content), "speed": 1.0}
    (stage,) = stages = replay.stages(options)
    assert stage.at == pytest.approx((0, 3))
    _, _, bodies = sent("chat", 2, stages, **options)
    found = [json.loads(body) for body in bodies]
    assert [(len(body["messages"][0]["content"].split()), body["max_tokens"]) for body in found] == [(20, 5), (30, 7)]


def test_each_line_of_a_trace_may_carry_a_body(file):
    rows = [{"at_s": 2, "input": {"n": 1}}, {"at_s": 0.5, "input": {"n": 2}}]
    options = {"arrivals": file("trace.jsonl", rows), "speed": 2.0}
    (stage,) = stages = replay.stages(options)
    assert stage.at == (0, 0.75)
    _, _, bodies = sent("queue", 2, stages, **options)
    assert [json.loads(body)["input"]["n"] for body in bodies] == [2, 1]


@pytest.mark.parametrize("content", ["at_s,note\n0,a\n1,b\n", "at_s\n0\n1\n", "at_s,at_s\n0,0\n1,1\n"])
def test_a_trace_without_anything_to_send_leaves_the_clips(file, content):
    options = {"arrivals": file("trace.csv", content), "speed": 1.0}
    assert planned("queue", stages=replay.stages(options), **options).data is None


def test_data_goes_before_the_columns_of_a_trace(file):
    options = {"arrivals": file("trace.jsonl", MOONCAKE), "speed": 1.0, "data": file("rows.jsonl", [{"prompt": "mine"}])}
    _, _, bodies = sent("chat", 2, replay.stages(options), **options)
    assert {json.loads(body)["messages"][0]["content"] for body in bodies} == {"mine"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "template", "words"),
    [
        ([{"a": 1}, {"b": 1}], {"a": "{{a}}"}, r"rows\.jsonl', line 2: no column 'a'"),
        (
            [{"a": 1}],
            {"a": "{{b}}"},
            r"job\.json' contains the unknown placeholder \{\{b\}\}: use one of \{\{a\}\}, \{\{row\}\}, \{\{seq\}\}",
        ),
        ([{"a": 1}], {"a": "{{file:b}}"}, r"unknown placeholder \{\{file:b\}\}: use one of \{\{a\}\}"),
        ([{"a": 1}], {"a": "{{seq}}"}, r"job\.json' uses no column of --data '.*rows\.jsonl': put in at least one of \{\{a\}\}"),
        ([{"a": "x"}, {"a": "y.wav"}], {"a": "{{file:a}}"}, r"line 1: cannot read 'x', the file in column 'a'"),
        ([{"a": {}}], {"input": "{{a}}"}, r"line 1: the job input must be an object that is not empty"),
        ([{"a": "x" * 21_000_000}], {"a": "{{a}}"}, r"line 1: its body has 21\.0 MB, and a queue endpoint accepts at most 20 MB"),
    ],
)
def test_a_row_or_template_that_does_not_fit_is_told_before_anything_is_sent(file, rows, template, words):
    with pytest.raises(ValueError, match=words):
        planned("queue", data=file("rows.jsonl", rows), input=file("job.json", template))


@pytest.mark.parametrize(
    ("kind", "rows", "words"),
    [
        ("queue", [{"a": 1}, {}], r"line 2: the job input must be an object that is not empty"),
        ("queue", [{"input": {"a": 1}}, {"a": 1}], r"line 2: no column 'input'"),
        ("chat", [{"text": "hi"}], r"rows\.jsonl' needs a template: name one with --input, with placeholders such as \{\{text\}\}"),
        ("chat", [{"messages": "hi"}], r"line 1: column 'messages' is 'hi', which is not JSON"),
        ("chat", [{"messages": []}], r"line 1: 'messages' must be a list that is not empty"),
        ("transcription", [{"text": "hi"}], r"rows\.jsonl' names no audio files: give it a column audio, path, file or audio_filepath"),
        ("transcription", [{"path": "gone.wav"}], r"line 1: cannot read 'gone\.wav', the file in column 'path'"),
        ("transcription", [{"path": "rows.jsonl.wav"}], r"line 1: cannot read the clip '.*': libsndfile cannot read it as audio"),
    ],
)
def test_rows_that_cannot_be_bodies_are_told(file, kind, rows, words):
    file("rows.jsonl.wav", "no audio")
    with pytest.raises(ValueError, match=words):
        planned(kind, data=file("rows.jsonl", rows))


def test_a_generator_needs_the_masters_file(file):
    data = file("rows.jsonl", ROWS)
    options = dict(planned("queue", data=data).options)
    assert planned("queue", **options).data
    file("rows.jsonl", [*ROWS, {"prompt": "three", "steps": 1}])
    with pytest.raises(ValueError, match=r"rows\.jsonl' is not the same file as on the master: copy the master's here"):
        planned("queue", **options)
