"""``coldburst bill RUN``: what the billing API has by now, kept in run.json."""

import json

import pytest

from coldburst.control import later_bill
from tests.support.scripted import replies, reply, scripted

ABOUT = {
    "format": 1,
    "id": "20261130-131500-burst",
    "state": "ended",
    "started": "2026-11-30T13:15:00.000+00:00",
    "elapsed_s": 60.0,
    "target": {"kind": "queue", "embedded": False},
    "platform": {"settings": {"idle_timeout_s": 5}, "price": None, "workers": [], "bill": {"before_usd": 0.25}},
}
RECORD = {"serverlessId": "abc", "totalAmount": 0.75}


@pytest.fixture
def bill(tmp_path, monkeypatch, capsys):
    """Runs the command for a run with these changes; its exit code, output and run.json."""
    monkeypatch.setenv("RUNPOD_API_KEY", "sesame-sesame")

    def run(host, **changed):
        about = {**ABOUT, **changed}
        about["target"] = {**about["target"], "host": host}
        (tmp_path / "run.json").write_text(json.dumps(about))
        code = later_bill.main([str(tmp_path)])
        out, err = capsys.readouterr()
        return code, out, err, json.loads((tmp_path / "run.json").read_text())

    return run


def test_a_record_is_kept_with_what_was_there_before(bill):
    with scripted(replies(reply(200, {"records": [RECORD]}))) as server:
        code, out, _, about = bill(f"{server.url}/v2/abc")
        (request,) = server.requests
    assert b"startTime=2026-11-30T13%3A00%3A00Z&endTime=2026-11-30T14%3A00%3A00Z" in request
    assert code == 0
    assert out.startswith("The billing API has 0.75 USD for 2026-11-30 13:00 to 14:00 UTC, 0.25 of them before the run; for the report: ")
    assert (about["platform"]["bill"]["usd"], about["platform"]["bill"]["before_usd"]) == (0.75, 0.25)
    assert about["platform"]["settings"] == {"idle_timeout_s": 5}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(200, {"records": []}), "The billing API has no record for 2026-11-30 13:00 to 14:00 UTC yet"),
        (reply(403, {"detail": "access denied to sesame-sesame"}), "The billing API could not be read (403: access denied to [key])"),
        (reply(200, {"rows": []}), "The billing API could not be read (an answer without records)"),
    ],
)
def test_without_a_record_it_says_so_and_ends_with_1(bill, answer, said):
    with scripted(replies(answer)) as server:
        code, out, err, about = bill(f"{server.url}/v2/abc")
    assert (code, out) == (1, "")
    assert err.startswith(said)
    assert about["platform"]["bill"]["before_usd"] == 0.25


@pytest.mark.parametrize(
    ("host", "changed", "said"),
    [
        ("http://127.0.0.1:9", {"target": {"kind": "transcription"}}, "is not of a RunPod endpoint"),
        ("http://127.0.0.1:9/v2/abc", {"target": {"kind": "queue", "embedded": True}}, "is of an embedded endpoint"),
        ("http://127.0.0.1:9/v2/abc", {"started": "then"}, "does not say when the run started"),
    ],
)
def test_a_run_without_a_bill_is_refused_in_one_sentence(bill, host, changed, said):
    code, out, err, _ = bill(host, **changed)
    assert (code, out) == (1, "")
    assert said in err
