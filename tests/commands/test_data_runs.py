"""Runs with a data set, from the command line to the rows that reached the endpoint."""

import json
from pathlib import Path

import pytest

from tests.support.locusts import REPORTED, locust
from tests.support.scripted import scripted


def bodies(server):
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]


def answer(sock, _request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    return True


def rows_of(tmp_path, *rows) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_each_request_of_a_run_has_its_row(tmp_path):
    path = rows_of(tmp_path, *({"n": number} for number in range(4)))
    asked = ("--target", "balancer", "--data", str(path), "--data-order", "shuffle", "--schedule", "burst 8", "--sample", "0")
    with scripted(answer) as server, locust("--host", server.url, *asked) as run:
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "8 planned = 8 ok"
        assert sorted(body["n"] for body in bodies(server)) == [0, 0, 1, 1, 2, 2, 3, 3]
        about = run.about["data"]
        assert (about["file"], about["order"], about["rows"], about["checked"]) == (str(path), "shuffle", 4, 4)


@pytest.mark.slow
def test_a_row_that_stops_fitting_during_the_run_is_not_sent_and_says_why(tmp_path):
    clip = tmp_path / "a.bin"
    clip.write_bytes(b"audio")
    path, template = rows_of(tmp_path, {"f": "a.bin"}, {"f": "a.bin"}), tmp_path / "job.json"
    template.write_text(json.dumps({"data": "{{file:f}}"}))

    def remove(sock, request):
        clip.unlink()
        return answer(sock, request)

    asked = ("--target", "balancer", "--data", str(path), "--input", str(template), "--schedule", "level 2 1 at a time", "--sample", "0")
    with scripted(remove) as server, locust("--host", server.url, *asked, **REPORTED) as run:
        assert run.wait() == 1, run.output
        assert [(row.outcome, row.sent_s is None) for row in run.rows] == [("ok", False), ("not_sent", True)]
        assert "rows.jsonl', line 2: cannot read 'a.bin', the file in column 'f'" in run.rows[1].error


def test_a_row_that_does_not_fit_is_told_before_anything_is_sent(tmp_path):
    path = rows_of(tmp_path, {"n": 1}, [])
    with scripted(answer) as server, locust("--host", server.url, "--target", "balancer", "--data", str(path)) as run:
        assert run.wait() == 2
        assert f"'{path}', line 2: not an object" in run.output
        assert server.requests == []
