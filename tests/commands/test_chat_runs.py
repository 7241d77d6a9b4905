"""A run against a chat service, from the command line to its rows and its report."""

import json

import pytest

from tests.support.chat_server import chat_server, chunks_written
from tests.support.locusts import locust


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "body.json"
    messages = [{"role": "user", "content": "request {{seq}}"}]
    path.write_text(json.dumps({"model": "stream:8:0.01", "messages": messages, "stream": True, "stream_options": {"include_usage": True}}))
    return path


@pytest.mark.slow
def test_a_burst_of_streams_has_the_tokens_and_times_of_the_servers_log(tmp_path, body):
    log = tmp_path / "chunks.jsonl"
    with (
        chat_server(log) as url,
        locust(
            "--host", f"{url}/v1/chat/completions", "--input", str(body), "--schedule", "burst 6", "--exit-code-on-verdict", "no"
        ) as run,
    ):
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "6 planned = 6 ok"
        rows, written = run.rows, chunks_written(log)
        assert len(written) == 6
        for row in rows:
            (instants,) = (times for name, times in written.items() if name.endswith(f"-{row.seq}-1"))
            assert (row.tokens_in, row.tokens_out, row.tokens_from) == (11, 8, "usage")
            # Both ends of each gap are read after they were written; the whole cannot take longer than the request.
            assert instants[-1] - instants[0] <= row.done_s - row.sent_s
            assert 0 < row.itl_p50_s <= row.itl_max_s <= row.done_s - row.sent_s - row.ttft_s


@pytest.mark.slow
def test_chat_without_a_host_starts_a_language_model_and_reports_its_tokens(tmp_path):
    path = tmp_path / "body.json"
    message = {"role": "user", "content": "hi"}
    path.write_text(json.dumps({"messages": [message], "max_tokens": 5, "stream": True, "stream_options": {"include_usage": True}}))
    with locust("--target", "chat", "--input", str(path), "--schedule", "burst 3", "--exit-code-on-verdict", "no") as run:
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "3 planned = 3 ok"
        for row in run.rows:
            assert (row.tokens_out, row.tokens_from) == (5, "usage")
            # The worker starts for the first request: no token can arrive before it is ready.
            assert row.ttft_s >= 4.0
