"""The video service as a process: its routes, and what it refuses."""

import base64
import contextlib
import io
import json
import struct
import zlib

import psutil
import pytest
from PIL import Image

from coldburst.targets.status_sampler import RESOURCES, WORKERS
from coldburst.video.settings import parse
from tests.support.transcribers import ask, connect, receive, until
from tests.support.videos import FIXED, ROUTE, create, video_service


@pytest.fixture(scope="module")
def service():
    with video_service(*FIXED, "--workers", "2", "--queue", "3", "--retry-after", "7") as (url, process):
        yield url, process


def png(width=8, height=8):
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def bomb():
    """A picture of 60,000 × 60,000 pixels in 100 bytes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def text_of(content):
    return base64.b64encode(content).decode()


def detail(answer):
    return answer.json()["detail"]


def until_ended(url, job_id):
    return until(lambda: (found := ask(url, f"{ROUTE}/{job_id}").json())["status"] not in ("queued", "running") and found, "end of the job")


@pytest.mark.slow
def test_a_video_is_asked_for_followed_and_fetched(service):
    url, _ = service
    created = create(url)
    job = created.json()
    assert (created.status, created.headers["location"]) == (202, f"{ROUTE}/{job['id']}")
    done = until_ended(url, job["id"])
    assert (done["status"], done["audio_s"], done["runs"]) == ("done", 0.8, 1)
    assert done["tts_s"] >= 0.02 and done["video_s"] >= 0.1 and done["execution_s"] >= done["tts_s"] + done["video_s"]
    video = ask(url, done["video"])
    assert (video.status, video.body.count(b"coldburst")) == (200, 2)


def test_a_client_that_waits_gets_the_end_with_its_times_and_its_worker(service):
    answer = create(service[0], wait=True, priority=3)
    job = answer.json()
    assert (answer.status, job["status"], job["priority"]) == (200, "done", 3)
    assert answer.headers["x-worker-id"] == job["worker_id"] in ("box-0", "box-1")
    assert [part.partition(";")[0].strip() for part in answer.headers["server-timing"].split(",")] == ["queue", "exec", "tts", "video"]


def test_a_job_can_be_cancelled_once(service):
    url, _ = service
    jobs = [create(url).json()["id"] for _ in range(3)]
    cancelled = ask(url, f"{ROUTE}/{jobs[2]}/cancel", "POST").json()
    assert cancelled["status"] in ("cancelled", "done")
    assert ask(url, f"{ROUTE}/{jobs[2]}/cancel", "POST").json() == cancelled
    assert {until_ended(url, job)["status"] for job in jobs[:2]} == {"done"}
    if cancelled["status"] == "cancelled":
        assert ask(url, f"{ROUTE}/{jobs[2]}/video").status == 409


def test_health_has_runpods_counts_and_the_resources(service):
    health = ask(service[0], "/health").json()
    assert set(health["workers"]) == set(WORKERS)
    assert (health["status"], health["slots"], health["loads"]) == ("healthy", 2, {"speech": 1, "video": 2})
    assert health["memory"]["used_gb"] == 10.0
    assert set(RESOURCES) - {"gpu_utilisation"} <= set(health["resources"]) <= set(RESOURCES)
    assert (health["gpu"] != "modelled") or health["resources"]["gpu_memory_bytes"] == 10_000_000_000
    metrics = ask(service[0], "/metrics").body.decode()
    assert 'coldburst_video_model_loads{model="speech"} 1.0' in metrics
    assert "coldburst_video_rss_bytes" in metrics


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"script": ""}, "script is missing or empty"),
        ({"script": 5}, "script is missing or empty"),
        ({"script": "x" * 4001}, "script has 4,001 characters, and at most 4,000 are accepted"),
        ({"size": 63}, "size must be a whole number from 64 to 1024"),
        ({"fps": True}, "fps must be a whole number from 1 to 60"),
        ({"priority": 101}, "priority must be a whole number from -100 to 100"),
        ({"max_wait_s": 0}, "max_wait_s must be a number of seconds above 0"),
        ({"id": "../../etc/passwd"}, "'id' is not a field of a video"),
        ({"portrait": "not Base64!"}, "portrait is not Base64"),
        ({"portrait": text_of(b"GIF89a and no picture")}, "portrait is not a picture: send a PNG, JPEG or WebP file"),
        ({"portrait": text_of(bomb())}, "portrait has more than 100 million pixels"),
        ({"portrait": text_of(png(5000, 4000))}, "portrait has 5000 × 4000 pixels"),
        ({"portrait": "A" * (3 << 20)}, "portrait is larger than 2 MiB"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence(service, fields, sentence):
    answer = create(service[0], **fields)
    # More than the largest body is refused before it is read.
    assert answer.status in (422, 413)
    assert detail(answer).startswith(sentence if answer.status == 422 else "The request is larger than")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"[" * 100_000, b"\xff\xfe"])
def test_a_body_that_is_not_a_json_object_is_refused(service, body):
    assert ask(service[0], ROUTE, "POST", body).status == 422


def test_a_script_of_100_megabytes_is_refused_before_it_is_read_and_while_it_is_read(service):
    url, process = service
    connection = connect(url)
    connection.putrequest("POST", ROUTE)
    connection.putheader("Content-Length", str(100 << 20))
    connection.endheaders(b'{"script": "')
    assert receive(connection).status == 413
    connection.close()
    before = psutil.Process(process.pid).memory_info().rss
    chunks = (b"x" * 65536 for _ in range(1600))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        assert ask(url, ROUTE, "POST", chunks).status == 413
    assert psutil.Process(process.pid).memory_info().rss - before < 30 << 20


@pytest.mark.parametrize("job_id", ["..%2f..%2fetc%2fpasswd", "../../etc/passwd", "f" * 32, "x" * 5000, "%00", "A" * 32])
def test_an_id_that_is_not_a_jobs_is_not_found(service, job_id):
    for path in (f"{ROUTE}/{job_id}", f"{ROUTE}/{job_id}/video"):
        assert ask(service[0], path).status == 404


@pytest.mark.slow
def test_a_full_queue_refuses_with_the_time_to_wait(service):
    url, _ = service
    answers = [create(url) for _ in range(30)]
    refused = [answer for answer in answers if answer.status == 503]
    assert refused
    assert {answer.headers["retry-after"] for answer in refused} == {"7"}
    assert {detail(answer) for answer in refused} == {"3 jobs wait already, and the queue has no more places. Please retry later."}
    for answer in answers:
        if answer.status == 202:
            assert until_ended(url, answer.json()["id"])["status"] == "done"


def test_a_client_that_leaves_gives_its_worker_back(service):
    url, _ = service
    connection = connect(url)
    connection.request("POST", f"{ROUTE}?wait=true", json.dumps({"script": "one"}))
    until(lambda: ask(url, "/health").json()["busy"] == 1, "busy worker")
    connection.close()
    until(lambda: ask(url, "/health").json()["busy"] == 0, "free worker")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--memory", "8"), "no worker fits: 6.7 GB are needed and 6.4 GB may be used"),
        (("--headroom", "1.5"), "--headroom 1.5 must be a share above 0 and at most 1"),
        (("--per-worker", "0"), "--memory and --per-worker must be above 0 GB"),
        (("--execution-limit", "0"), "--execution-limit must be above 0 s"),
        (("--contention", "-1"), "'-1' is not a number of at least 0"),
        (("--queue", "10001"), "'10001' is not a whole number from 0 to 10000"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--engine", "fixed", *words])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_token_is_asked_for_and_a_load_balancer_gets_its_answer():
    with video_service(*FIXED, API_TOKEN="secret", HEALTH_CHECK_PATH="/ping") as (url, _):
        assert create(url).status == 401
        assert ask(url, f"{ROUTE}/{'f' * 32}").status == 401
        assert ask(url, ROUTE, "POST", '{"script": "x", "wait": true}', {"Authorization": "Bearer secret"}).json()["status"] == "done"
        assert ask(url, "/ping").status == 200
