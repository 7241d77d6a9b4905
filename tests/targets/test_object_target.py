"""A target with a store around it: what is uploaded, what the body names, what is downloaded, and how each can fail."""

import json
import threading

import pytest

from coldburst.data.data_set import DataSet
from coldburst.objects.bucket_address import has_presigned_urls, key_named, parse_address
from coldburst.objects.store import Store
from coldburst.option import OptionError
from coldburst.targets.clips import Clip
from coldburst.targets.exchange import Exchange
from coldburst.targets.expression import compiled
from coldburst.targets.factory import prepare
from coldburst.targets.object_target import ObjectOptions, ObjectTarget
from coldburst.targets.outcome import Evidence, decide
from coldburst.targets.payload import PayloadError, job_bodies, load_payload
from coldburst.targets.row_payload import Rows, main_column, row_payload
from coldburst.targets.through_objects import RowFiles, around
from tests.support.stores import BUCKET, SLOW_DOWN, moto, proxy

CLIPS = (Clip("a.wav", 1.0, "", b"first"), Clip("b.wav", 1.0, "", b"second"))
OPTIONS = {"objects": f"s3://{BUCKET}/tests", "download": "", "objects_pool": 0, "keep_objects": "no", "deadline": 300.0}
AMAZON = "https://s3.eu-west-1.amazonaws.com"


class Fake:
    """A target that answers at once with what ``answer`` makes of the values."""

    kind, url, client = "queue", "http://127.0.0.1", None

    def __init__(self, answer=lambda values: {}):
        self._answer, self.got, self.closed = answer, [], False

    def send(self, seq, name, exchange, values):
        self.got.append(dict(values))
        exchange.sent, exchange.done, exchange.status, exchange.answer = 1.0, 2.0, 200, self._answer(values)
        return Evidence(measured=dict(exchange.known))

    def share(self, generators):
        pass

    def close(self):
        self.closed = True


@pytest.fixture(scope="module")
def server():
    with moto() as found:
        yield found


@pytest.fixture
def front(server, monkeypatch):
    with proxy(server.url) as found:
        for name, value in server.env(found.url).items():
            monkeypatch.setenv(name, value)
        yield found
    server.clear()


def target(answer=lambda values: {}, download="", **options):
    fake = Fake(answer)
    found = compiled(download, "--download") if download else None
    spec = ObjectOptions(**{"columns": ("",), "signed": True, "download": found, **options})
    return fake, ObjectTarget(fake, Store(parse_address(f"s3://{BUCKET}/tests"), 10), CLIPS, spec)


def send(made, seq=0, values=None, **known):
    exchange = Exchange(known=known)
    evidence = made.send(seq, f"20261130-burst-{seq}-1", exchange, values or {})
    return exchange, evidence, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


@pytest.mark.slow
def test_each_request_has_its_clip_under_a_key_with_the_run_and_its_number(server, front):
    fake, made = target()
    for seq in (0, 1, 2):
        exchange, _, outcome = send(made, seq)
        assert outcome == "ok"
        assert exchange.known["upload_s"] > 0
        assert "download_s" not in exchange.known
    keys = [got["key"] for got in fake.got]
    assert [key.rpartition("/")[2] for key in keys] == ["0.wav", "1.wav", "2.wav"]
    assert all(key.startswith("tests/20261130-burst/") for key in keys)
    assert [server.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys] == [b"first", b"second", b"first"]
    assert all(got["bucket"] == BUCKET and got["key"] in got["url"] and "X-Amz-Signature" in got["url"] for got in fake.got)
    made.close()
    assert fake.closed
    assert server.stored() == []


@pytest.mark.slow
def test_another_try_uploads_nothing_and_has_the_same_key(front):
    fake, made = target()
    exchange, *_ = send(made)
    puts = front.count("PUT")
    again, _, outcome = send(made, upload_s=exchange.known["upload_s"])
    assert (front.count("PUT"), outcome) == (puts, "ok")
    assert fake.got[0]["key"] == fake.got[1]["key"]
    assert again.known["upload_s"] > exchange.known["upload_s"], "earlier tries count too"
    made.close()


@pytest.mark.slow
def test_files_of_a_row_are_uploaded_one_for_each_column(server, front):
    fake, made = target(columns=("garment", "person"))
    row = {
        f"{kind}:{name}": value for name in ("garment", "person") for kind, value in (("path", f"/x/{name}.png"), ("bytes", name.encode()))
    }
    send(made, 5, row | {"prompt": "hi"})
    (got,) = fake.got
    assert got["prompt"] == "hi"
    assert got["key:person"].endswith("/5-person.png")
    assert server.client.get_object(Bucket=BUCKET, Key=got["key:garment"])["Body"].read() == b"garment"
    made.close()


@pytest.mark.slow
def test_an_upload_that_fails_is_failed_and_nothing_is_sent(front):
    fake, made = target()
    front.rule = lambda method, _: SLOW_DOWN if method == "PUT" else None
    exchange, evidence, outcome = send(made)
    assert outcome == "failed"
    assert (exchange.sent, fake.got) == (None, [])
    assert evidence.measured["error"].startswith("upload: SlowDown (503 after 3 tries)")
    assert (evidence.cause, evidence.measured["upload_s"] > 0) == ("object_store", True)
    made.close()


@pytest.mark.slow
def test_an_upload_that_hangs_ends_with_the_time_limit(front):
    _, made = target(limit_s=0.3)
    release = threading.Event()
    front.rule = lambda method, _: release.wait(60) and None if method == "PUT" else None
    _, evidence, outcome = send(made)
    assert (outcome, evidence.measured["error"]) == ("failed", "upload: not finished after 0.3 s (--deadline)")
    release.set()
    made.close()


@pytest.mark.slow
def test_retries_of_boto3_are_events(front):
    _, made = target()
    answers = [SLOW_DOWN]
    front.rule = lambda method, _: answers.pop() if method == "PUT" and answers else None
    exchange, _, outcome = send(made)
    assert (outcome, exchange.events) == ("ok", (("object_retried", "upload: 503 SlowDown"),))
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "outcome", "error"),
    [
        (lambda key: key, "ok", ""),
        (lambda key: f"s3://{BUCKET}/{key}", "ok", ""),
        (lambda key: f"/runpod-volume/{key}", "ok", ""),
        (lambda key: [key, key], "ok", ""),
        (lambda key: key + ".none", "failed", "download: NoSuchKey (404)"),
        (lambda key: f"s3://other/{key}", "failed", f"download: s3://other/{{key}} is not in s3://{BUCKET}"),
        (lambda key: f"https://example.com/{BUCKET}/{key}", "failed", "download: https://example.com/"),
        (lambda key: None, "wrong", "download: the answer names no object: null in"),
        (lambda key: [], "wrong", "download: the answer names no object"),
        (lambda key: 7, "wrong", "download: the answer names no object: 7 in"),
    ],
)
def test_what_the_answer_names_is_downloaded(front, name, outcome, error):
    _, made = target(lambda values: {"output": {"key": name(values["key"])}}, "output.key")
    exchange, evidence, found = send(made)
    assert found == outcome, evidence
    assert str(evidence.measured.get("error", "")).startswith(error.split("{key}")[0])
    assert ("download_s" in exchange.known) == (outcome != "wrong")
    made.close()


@pytest.mark.slow
def test_a_presigned_url_in_the_answer_is_the_object(front):
    _, made = target(lambda values: {"output": {"images": [{"data": values["url"]}, {"data": values["url"]}]}}, "output.images.data")
    exchange, _, outcome = send(made)
    assert (outcome, exchange.known["download_s"] > 0) == ("ok", True)
    made.close()


@pytest.mark.slow
def test_an_empty_object_is_wrong(server, front):
    server.client.put_object(Bucket=BUCKET, Key="tests/empty", Body=b"")
    _, made = target(lambda values: {"output": {"keys": ["tests/empty", values["key"]]}}, "output.keys")
    _, evidence, outcome = send(made)
    assert (outcome, evidence.measured["error"]) == ("wrong", "download: the object tests/empty is empty")
    made.close()


@pytest.mark.slow
def test_objects_stay_where_they_are_to_be_kept(server, front):
    _, made = target(keep=True)
    send(made)
    made.close()
    assert len(server.stored()) == 1


@pytest.mark.slow
def test_what_was_uploaded_is_removed_even_where_the_store_cannot_list(server, front, caplog):
    _, made = target()
    send(made)
    front.rule, front.status = lambda method, _: b"" if method == "GET" else None, 501
    made.close()
    assert server.stored() == []
    assert "0 known objects are left" in caplog.text


@pytest.mark.slow
def test_what_cannot_be_removed_is_said_with_the_command_that_does(front, caplog):
    _, made = target()
    send(made)
    front.rule, front.status = lambda *_: b"", 501
    made.close()
    assert "aws s3 rm --recursive s3://load-tests/tests/20261130-burst/" in caplog.text


@pytest.mark.parametrize(
    ("name", "endpoint", "key"),
    [
        ("https://mine.s3.eu-west-1.amazonaws.com/a%20b.png?X-Amz-Signature=1", AMAZON, "a b.png"),
        ("https://mine.s3.amazonaws.com/a.png", AMAZON, "a.png"),
        ("https://s3.eu-west-1.amazonaws.com/mine/a.png", AMAZON, "a.png"),
        ("http://127.0.0.1:9000/mine/x/a.png", "http://127.0.0.1:9000", "x/a.png"),
        ("/workspace/x/a.png", "https://s3api-eu-ro-1.runpod.io", "x/a.png"),
    ],
)
def test_a_name_is_a_key_of_the_bucket(name, endpoint, key):
    assert key_named(name, "mine", endpoint) == key


@pytest.mark.parametrize(
    "name",
    ["https://minexs3.amazonaws.com/a", "https://other.s3.amazonaws.com/a", "https://mine.s3.evil.com/a", "http://169.254.169.254/mine"],
)
def test_what_is_elsewhere_is_not_fetched(name):
    with pytest.raises(ValueError, match="is not in s3://mine at"):
        key_named(name, "mine", AMAZON)


def test_runpods_store_has_no_presigned_urls():
    assert not has_presigned_urls("https://s3api-eu-ro-1.runpod.io")
    assert has_presigned_urls(AMAZON)


def payload(tmp_path, text, **more):
    path = tmp_path / "body.json"
    path.write_text(text, encoding="utf-8")
    return load_payload(path, lambda: CLIPS, **more)


def test_a_template_that_names_an_object_takes_clips(tmp_path):
    assert payload(tmp_path, '{"input": {"audio": "{{url}}"}}', objects=True).clips == CLIPS
    assert payload(tmp_path, '{"input": {"prompt": "hi"}}', objects=True).clips == ()


@pytest.mark.parametrize(
    ("text", "change", "says"),
    [
        ('{"a": "{{prompt}}"}', {}, r"unknown placeholder \{\{prompt\}\}: use one of .*\{\{url\}\}"),
        ('{"a": "hi"}', {}, r"--objects uploads the files that the template names: put \{\{url\}\}"),
        ('{"a": "{{url}}"}', {"objects": "bucket/x"}, "write s3://BUCKET/PREFIX, as in s3://my-bucket/load-tests"),
        ('{"a": "{{url}}"}', {"objects": "s3://me:secret@bucket/x"}, "contains a user name or password: leave it out"),
        ('{"a": "{{url}}"}', {"objects_pool": -1}, "--objects-pool -1 must be 0 or more"),
        ('{"a": "{{url}}"}', {"download": "output["}, "--download 'output.' is not a JMESPath expression"),
        ('{"a": "hi"}', {"objects": "", "download": "output.key"}, "--download fetches from the store of --objects"),
    ],
)
def test_what_cannot_work_is_one_sentence(tmp_path, text, change, says):
    with pytest.raises(ValueError, match=says) as error:
        around(lambda *_: Fake(), payload(tmp_path, text, objects=True), OPTIONS | change)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("kind", ["transcription", "speech"])
def test_a_kind_that_takes_no_url_is_refused(kind):
    with pytest.raises(OptionError, match=f"--objects is for endpoints that take JSON with a URL or key, and a {kind} service does not"):
        prepare(kind, OPTIONS)


def test_a_placeholder_of_an_object_needs_a_store(tmp_path):
    with pytest.raises(PayloadError, match=r"contains \{\{url\}\}, the place of an uploaded file: name a store with --objects"):
        payload(tmp_path, '{"a": "{{url}}"}')


@pytest.mark.slow
def test_a_url_is_refused_where_the_store_has_none(tmp_path, front, monkeypatch):
    monkeypatch.setattr(Store, "presigns", False)
    made = around(lambda *_: Fake(), payload(tmp_path, '{"a": "{{url}}"}', objects=True), OPTIONS)
    with pytest.raises(OptionError, match=r"has no presigned URLs: use \{\{bucket\}\} and \{\{key\}\}"):
        made(None, ObjectLimits, "")


class ObjectLimits:
    connect_s = 5.0


def rows_of(tmp_path, *lines):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return Rows(DataSet(path), len(lines), True)


def files(rows):
    return RowFiles(rows.data, rows.planned, main_column(rows))


@pytest.mark.slow
def test_a_template_names_the_files_of_a_row(server, front, tmp_path):
    rows = rows_of(tmp_path, '{"person": "a.png", "garment": "b.png", "seed": 3}')
    (tmp_path / "body.json").write_text('{"input": {"p": "{{url:person}}", "g": "{{key:garment}}", "seed": "{{seed}}"}}', encoding="utf-8")
    whole = row_payload(tmp_path / "body.json", tuple, rows, lambda *_: None, objects=True)
    (template,) = job_bodies(whole, {})
    fake = Fake(lambda values: values)
    made = around(lambda *_: fake, whole, OPTIONS, files(rows))(None, ObjectLimits, "")
    exchange, _, outcome = send(made, 0, rows.data.row(0))
    body = json.loads(template.body(0, "x", exchange.answer))["input"]
    assert (outcome, body["seed"], body["g"].endswith("/0-garment.png")) == ("ok", 3, True)
    assert "/0-person.png?X-Amz-" in body["p"]
    assert server.client.get_object(Bucket=BUCKET, Key=body["g"])["Body"].read() == b"b.png"
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "line", "says"),
    [
        ('{"p": "{{url:person}}"}', '{"person": "none.png"}', "rows.jsonl', line 1: cannot read 'none.png'"),
        ('{"p": "{{url}}"}', '{"person": "a.png"}', r"no column 'path' or of audio files: name the column, as in \{\{url:person\}\}"),
    ],
)
def test_a_row_without_its_file_is_refused_before_anything_is_sent(tmp_path, template, line, says):
    rows = rows_of(tmp_path, line)
    (tmp_path / "body.json").write_text(template, encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        around(lambda *_: Fake(), row_payload(tmp_path / "body.json", tuple, rows, lambda *_: None, objects=True), OPTIONS, files(rows))
