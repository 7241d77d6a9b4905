"""The store against moto's server over HTTP: transfers, what boto3 does on its own, and what is left."""

import hashlib
import threading
import urllib.request

import pytest

from coldburst.objects.bucket_address import parse_address
from coldburst.objects.store import PART_BYTES, ObjectError, Store
from coldburst.option import OptionError
from tests.support.stores import BUCKET, SLOW_DOWN, moto, patched, proxy

ADDRESS = parse_address(f"s3://{BUCKET}/tests")
AT_ONCE = """
import gevent, json, logging
from coldburst.objects.bucket_address import parse_address
from coldburst.objects.store import Store
logging.basicConfig()
store = Store(parse_address("s3://load-tests/tests"), pool={pool})
done = gevent.joinall([gevent.spawn(store.put, f"tests/{{seq}}", bytes(100_000)) for seq in range(30)])
sent = [one.get() for one in done]
print(json.dumps({{"discarded": sum(one.discarded for one in sent), "at_once": max(one.at_once for one in sent), "n": len(sent)}}))
store.close()
"""


@pytest.fixture(scope="module")
def server():
    with moto() as found:
        yield found


@pytest.fixture
def front(server):
    with proxy(server.url) as found:
        yield found


@pytest.fixture
def store(server, monkeypatch):
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    made = Store(ADDRESS, pool=10)
    yield made
    made.close()
    server.clear()


@pytest.fixture
def behind(server, front, monkeypatch):
    """A store behind the proxy."""
    for name, value in server.env(front.url).items():
        monkeypatch.setenv(name, value)
    made = Store(ADDRESS, pool=10)
    yield made
    made.close()
    server.clear()


@pytest.mark.slow
def test_what_is_put_is_what_the_store_has_and_what_is_got(server, store):
    data = bytes(range(256)) * 500
    assert store.put("tests/a.bin", data).size == len(data)
    stored = server.client.get_object(Bucket=BUCKET, Key="tests/a.bin")["Body"].read()
    assert hashlib.sha256(stored).digest() == hashlib.sha256(data).digest()
    assert store.get("tests/a.bin").size == len(data)


@pytest.mark.slow
def test_a_presigned_url_serves_the_object_to_anyone(store):
    store.put("tests/a b#c.wav", b"sound")
    with urllib.request.urlopen(store.url("tests/a b#c.wav"), timeout=60) as answer:
        assert answer.read() == b"sound"


@pytest.mark.slow
def test_a_large_object_goes_up_in_parts(server, behind, front):
    data = bytes(2 * PART_BYTES + 5)
    behind.put("tests/large", data)
    assert sum("partNumber=" in path for _, path in front.seen) == 3
    assert server.client.head_object(Bucket=BUCKET, Key="tests/large")["ContentLength"] == len(data)


@pytest.mark.slow
def test_what_is_missing_is_an_error_with_its_code(store):
    with pytest.raises(ObjectError, match=r"NoSuchKey \(404\)"):
        store.get("tests/none")


@pytest.mark.slow
def test_other_content_than_was_stored_is_an_error(behind, front):
    behind.put("tests/a", b"right")
    front.edit = lambda method, content: b"wrong" if method == "GET" else content
    with pytest.raises(ObjectError, match=r"(?i)content|checksum"):
        behind.get("tests/a")


@pytest.mark.slow
def test_an_answer_that_breaks_off_is_an_error(behind, front):
    behind.put("tests/a", b"right")
    front.edit = lambda method, content: content[:2] if method == "GET" else content
    with pytest.raises(ObjectError):
        behind.get("tests/a")


@pytest.mark.slow
def test_slow_down_is_tried_again_and_counted(behind, front):
    answers = [SLOW_DOWN, SLOW_DOWN]
    front.rule = lambda method, _: answers.pop() if method == "PUT" and answers else None
    assert behind.put("tests/a", b"x").retries == ["503 SlowDown", "503 SlowDown"]
    assert front.count("PUT") == 3


@pytest.mark.slow
def test_slow_down_for_ever_is_an_error_that_says_how_often_it_was_tried(behind, front):
    front.rule = lambda method, _: SLOW_DOWN if method == "PUT" else None
    with pytest.raises(ObjectError, match=r"SlowDown \(503 after 3 tries\): Please reduce your request rate"):
        behind.put("tests/a", b"x")
    assert front.count("PUT") == 3


@pytest.mark.slow
def test_a_slow_store_delays_only_its_own_greenlet(behind, front):
    import gevent

    release = threading.Event()
    front.rule = lambda method, _: release.wait(60) and None if method == "PUT" else None
    upload = gevent.spawn(behind.put, "tests/a", b"x")
    turns = 0
    while front.count("PUT") == 0:
        gevent.sleep(0.001)
        turns += 1
    assert turns > 0
    assert not upload.ready()
    release.set()
    assert upload.get(timeout=60).size == 1


def thirty_at_once(server, front, pool):
    """Thirty uploads, none of which is answered before all have arrived."""
    together = threading.Barrier(30)

    def hold(method, _path):
        if method == "PUT":
            together.wait(60)

    front.rule = hold
    return patched(AT_ONCE.format(pool=pool), server.env(front.url))


@pytest.mark.slow
def test_thirty_at_once_do_not_fit_into_a_pool_of_ten(server, front):
    found = thirty_at_once(server, front, 10)
    assert found["n"] == 30
    assert found["discarded"] > 0
    assert found["at_once"] == 30, "the pool to choose"
    assert "pool is full" not in found["stderr"], "it is counted, not logged each time"


@pytest.mark.slow
def test_thirty_at_once_fit_into_a_pool_of_fifty(server, front):
    found = thirty_at_once(server, front, 50)
    assert (found["n"], found["discarded"], found["at_once"]) == (30, 0, 0)


@pytest.mark.slow
def test_everything_below_the_prefix_is_removed_and_nothing_else(server, store):
    server.clear()
    for key in ("tests/run/1", "tests/run/2", "tests/run/results/by-worker", "tests/other/1"):
        store.put(key, b"x")
    store.put("tests/run/large", bytes(PART_BYTES + 1))
    server.client.create_multipart_upload(Bucket=BUCKET, Key="tests/run/torn")
    server.client.create_multipart_upload(Bucket=BUCKET, Key="tests/other/torn")
    assert store.remove("tests/run/") == 4
    assert server.stored() == ["tests/other/1"]
    assert server.unfinished() == 1


@pytest.mark.slow
def test_known_keys_are_removed_where_the_store_cannot_list(server, behind, front):
    behind.put("tests/run/1", b"x")
    front.rule, front.status = lambda method, _: b"" if method == "GET" else None, 501
    with pytest.raises(ObjectError, match=r"501.*0 known objects are left"):
        behind.remove("tests/run/", ["tests/run/1"])
    assert server.stored() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "AWS_ENDPOINT_URL_S3 and whether the store runs"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "needs credentials: set AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL_S3": "not an address"}, "boto3 cannot be set up"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence(server, monkeypatch, change, says):
    for name, value in {**server.env(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1", **change}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=says):
        Store(ADDRESS, pool=1)


@pytest.mark.slow
def test_a_bucket_that_does_not_exist_is_one_sentence(server, monkeypatch):
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match=r"bucket 'no-such' at http.* create the bucket, or name one that exists"):
        Store(parse_address("s3://no-such/x"), pool=1)
