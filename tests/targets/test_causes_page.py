"""docs/reference/causes.md is true: the answer of each row gets the outcome, the cause and the error of that row."""

import re
from dataclasses import replace

import pytest

from coldburst.record.attempt import OUTCOMES
from coldburst.targets.cause import CAUSES, cause
from coldburst.targets.clips import Clip
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.load_balancer import LoadBalancerOptions, LoadBalancerTarget
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.queue import QueueTarget
from coldburst.targets.queue_options import QueueOptions
from coldburst.targets.transcription import TranscriptionOptions, TranscriptionTarget
from coldburst.targets.video import VideoOptions, VideoTarget
from tests.support.locusts import ROOT
from tests.support.scripted import scripted

PAGE = (ROOT / "docs" / "reference" / "causes.md").read_text(encoding="utf-8")
LIMITS, KEY = Timeouts(5, 5, 5), "sesame-7c1f0e-55aa"
QUICK = QueueOptions(poll="status", poll_s=0.005, lost_s=0.02)
JSON = Payload({"n": 1}, ())
CLIP = Clip("a.wav", 1.5, "", b"abc")


def rows(head):
    """The rows of the table below a heading; code in a cell may hold the character that separates cells."""
    lines = PAGE.partition(f"## {head}\n")[2].partition("\n## ")[0].splitlines()
    cells = [re.split(r"\|(?=(?:[^`]*`[^`]*`)*[^`]*$)", line)[1:-1] for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in cells[2:]]


ANSWERS = rows("Answers")


def answer_of(status, headers, body):
    head = headers or "Content-Type: application/json"
    return f"HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def send(target, url, key):
    """What comes back through the target of that kind."""
    if target in ("run", "job"):
        service = QueueTarget(f"{url}/v2/ep", JSON, replace(QUICK, cancel=False), LIMITS, key)
    elif target == "balancer":
        service = LoadBalancerTarget(url, JSON, LoadBalancerOptions(path="/generate"), LIMITS, key)
    elif target == "video":
        service = VideoTarget(url, Payload(None, ()), VideoOptions(), LIMITS, key)
    else:
        service = TranscriptionTarget(url, [CLIP], TranscriptionOptions(), LIMITS, key)
    exchange = Exchange()
    evidence = service.send(0, "run-0-1", exchange)
    service.close()
    return exchange, evidence


@pytest.mark.parametrize(("target", "status", "headers", "body", "outcome", "named", "error"), ANSWERS)
def test_an_answer_gets_the_outcome_and_the_cause_of_its_row(target, status, headers, body, outcome, named, error):
    kind, _, key = target.partition(", ")
    said = answer_of(status, headers, body.strip("`"))
    accepted = answer_of(200, "", '{"id": "job-1", "status": "IN_QUEUE"}')

    def answer(sock, request):
        sock.sendall(accepted if kind == "job" and request.startswith(b"POST") else said)
        return True

    with scripted(answer) as server:
        exchange, evidence = send(kind, server.url, KEY if key else "")
    found = decide(fault=exchange.fault, status=exchange.status, says=evidence.says)
    told = evidence.measured.get("error", "")
    assert (found, cause(found, 0.1, exchange.status, told, (), evidence.cause)) == (outcome, named)
    assert error in told
    assert bool(told) == (outcome != "ok")


def test_the_rows_are_of_each_target_and_name_outcomes_and_causes_that_there_are():
    assert len(ANSWERS) >= 70
    assert {row[0] for row in ANSWERS} >= {"run", "job", "balancer", "transcription", "run, key", "transcription, key"}
    assert {row[4] for row in ANSWERS} <= set(OUTCOMES)
    assert {row[5] for row in ANSWERS} - {""} <= set(CAUSES)


def test_each_cause_has_its_meaning_and_remedy_on_the_page():
    found = dict(rows("Causes and what to do"))
    assert {name.strip("`"): meaning.lower() for name, meaning in found.items()} == {name: text.lower() for name, text in CAUSES.items()}
