"""docs/guides/own-requests.md is true: its examples run, from the command line to rows and ledger, also on three generators."""

import json
import re

import pytest

from tests.support.emulators import MODELLED, emulator
from tests.support.generators import distributed
from tests.support.locusts import ROOT, locust
from tests.support.scripted import scripted

GUIDE = (ROOT / "docs" / "guides" / "own-requests.md").read_text(encoding="utf-8")
EXAMPLES = {re.search(r"class (\w+)", code)[1]: code for code in re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)}
PLAIN = ("--sample", "0", "--target", "balancer")


def service(sock, request):
    """Summaries, and photos that are edited."""
    head, _, body = request.partition(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
    status, content = 200, b""
    if path == "/summarise":
        content = json.dumps({"summary": "s", "usage": {"total_tokens": len(json.loads(body)["text"])}}).encode()
    elif method == "PUT":
        status = 201
    elif path == "/edits":
        content = json.dumps({"result": "/results/1" if json.loads(body)["prompt"] == "good" else "/results/gone"}).encode()
    elif path == "/results/1":
        content = b"photo"
    else:
        status, content = 404, b"gone"
    sock.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(content), content))
    return True


def written(place, name):
    path = place / f"{name.lower()}.py"
    path.write_text(EXAMPLES[name], encoding="utf-8")
    return path


def lines(place, name, rows):
    path = place / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_request_has_its_row_units_and_outcome(tmp_path):
    data = lines(tmp_path, "texts.jsonl", [{"text": "abc"}, {"text": "hello"}])
    asked = ("--schedule", "burst 4", "--data", str(data), *PLAIN)
    with scripted(service) as server, locust("--host", server.url, *asked, file=written(tmp_path, "Summaries")) as run:
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "4 planned = 4 ok"
        assert sorted((row.seq, row.units) for row in run.rows) == [(0, 3), (1, 5), (2, 3), (3, 5)]
        assert all(row.sent_s <= row.first_s <= row.done_s for row in run.rows)
        assert (run.about["options"]["unit"], run.about["data"]["rows"]) == ("tokens", 2)


@pytest.mark.slow
def test_files_go_up_and_down_in_phases_of_their_own(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x00photo")
    data = tmp_path / "photos.csv"
    data.write_text("photo,prompt\na.png,good\na.png,bad\n")
    with scripted(service) as server, locust("--host", server.url, "--data", str(data), *PLAIN, file=written(tmp_path, "Photos")) as run:
        assert run.wait() == 1, run.output
        assert str(run.ledger) == "4 planned = 2 ok + 2 wrong"
        assert {row.error for row in run.rows if row.outcome == "wrong"} == {"the result is empty or gone"}
        assert all(row.upload_s > 0 and row.download_s > 0 for row in run.rows)
        assert all(row.done_s - row.sent_s >= 0 for row in run.rows)
        assert sum(request.endswith(b"\x00photo") for request in server.requests) == 4


@pytest.mark.slow
def test_jobs_are_submitted_to_a_queue(tmp_path):
    with emulator(*MODELLED) as platform, locust("--host", f"{platform.url}/v2/demo", file=written(tmp_path, "Drafts")) as run:
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "3 planned = 3 ok"
        assert all(row.job_id and row.execution_s for row in run.rows)
        assert platform.inside("demo")["jobs"]["completed"] == 6


BROKEN = """from coldburst import ArrivalUser

class Broken(ArrivalUser):
    schedule = "burst 3"

    def request(self, job):
        answer = self.http.post("/summarise", json={"text": "abc"})
        answer.json()["nothing"] if job.seq else 1 / 0
"""


@pytest.mark.slow
def test_an_exception_ends_its_request_and_not_the_run(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    with scripted(service) as server, locust("--host", server.url, *PLAIN, file=file) as run:
        assert run.wait() == 1, run.output
        assert str(run.ledger) == "3 planned = 3 wrong"
        assert [row.error for row in sorted(run.rows, key=lambda row: row.seq)] == [
            "ZeroDivisionError (broken.py, line 8): division by zero",
            *["KeyError (broken.py, line 8): 'nothing'"] * 2,
        ]
        # The traceback of each kind once.
        assert run.output.count("Traceback") == 2


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("--input", "pyproject.toml"), "--input has no effect on a custom request: make its body in request(self, job)"),
        (("--expect", "output"), "--expect has no effect on a custom request: use job.check in request(self, job)"),
    ],
)
def test_options_of_the_usual_requests_are_refused(tmp_path, asked, sentence):
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    with locust("--host", "http://127.0.0.1:9", *PLAIN, *asked, file=file) as run:
        assert run.wait() == 2
        assert sentence in run.output


@pytest.mark.slow
def test_three_generators_send_each_row_once(tmp_path):
    count = 90
    data = lines(tmp_path, "texts.jsonl", [{"text": "x" * (number + 1)} for number in range(count)])
    asked = ("--schedule", f"steady 3s {count // 3}/s", "--data", str(data), "--data-order", "shuffle", *PLAIN)
    with (
        scripted(service) as server,
        distributed("--host", server.url, *asked, generators=3, file=str(written(tmp_path, "Summaries"))) as crew,
    ):
        assert crew.master.wait() == 0, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0, 0]
        assert str(crew.master.ledger) == f"{count} planned = {count} ok"
        assert {row.generator for row in crew.master.rows} == {"g1", "g2", "g3"}
        assert sorted(int(row.units) for row in crew.master.rows) == list(range(1, count + 1))
        texts = [json.loads(request.partition(b"\r\n\r\n")[2])["text"] for request in server.requests]
        assert sorted(map(len, texts)) == list(range(1, count + 1))
