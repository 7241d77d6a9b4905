"""locustfiles/examples: what each sends is what its worker takes, and each way to end has its outcome and cause."""

import importlib.util
import json
import sys
from contextlib import contextmanager
from dataclasses import replace

import gevent
import pytest

from coldburst.load import run_options
from coldburst.load.run_spec import RunKind, shared_options, spec_of
from coldburst.option import attribute
from coldburst.targets.address import infer
from coldburst.targets.cause import cause
from coldburst.targets.exchange import Exchange
from coldburst.targets.outcome import decide
from tests.support.emulators import emulator
from tests.support.handlers.worker_stubs import STUBS, answer
from tests.support.locusts import REPORTED, ROOT, locust
from tests.support.platform import RUNNING, platform
from tests.support.scripted import scripted
from tests.support.stores import moto

FOLDER = ROOT / "locustfiles" / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))
STUB = ROOT / "tests" / "support" / "handlers" / "worker_stubs.py"
MODES = ("good", "soft", "empty", "raise", "slow")
# Outcome, cause and a part of the error in each mode, and the units of a good answer.
ENDS = {"good": ("ok", ""), "soft": ("failed", "service_error"), "empty": ("wrong", "wrong_answer"), "raise": ("failed", "service_error")}
ENDS["slow"] = ("abandoned", "own_deadline")
WORDS = {
    "vllm_chat": ("maximum context length is 4096", "the stream has no text", None),
    "vllm_job": ("maximum context length is 4096", "expected output[].choices[].tokens[], found []", 3.0),
    "whisper_job": ("Failed to load audio", "expected output.segments, found []", None),
    "comfyui": ("Job processing failed", "expected length(output.images) >= 1, found 0", 1.0),
    "sdxl": ("RuntimeError: CUDA error", "expected length(output.images) == 2, found 0", 2.0),
    "embeddings": ("model is not served", "expected length(output.data) == 2, found 0", 14.0),
    "tts": ("voice 'narrator' is not there", 'expected output.audio_base64, found ""', 2.5),
    "own_handler": ("no seed", "COMPLETED with an empty output ([])", None),
}


class ArrivalUser:
    """In the place of coldburst's own, which imports Locust: it would change this process."""

    kind, host = RunKind(), None


def class_of(name):
    """The test class of an example."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8").replace("from coldburst import ArrivalUser\n", "")
    module = {"ArrivalUser": ArrivalUser, "__name__": name}
    exec(compile(source, name, "exec"), module)
    (found,) = [one for one in module.values() if isinstance(one, type) and one is not ArrivalUser]
    return found


def plan_of(name, host, tmp_path):
    """The checked plan of an example, as its run has it."""
    spec = spec_of(class_of(name))
    assert not spec.problem
    shared = shared_options([spec])
    values = spec.values({attribute(option): option.default for option in spec.options}, shared)
    return run_options.check(values | {"host": host, "runs": str(tmp_path), "poll": "status"})


def outcome_of(plan, host, deadline_s, seq=0):
    """Outcome, cause and columns of one request of a plan."""
    target = plan.make_target(infer(host, plan.kind), replace(plan.limits, total_s=deadline_s, first_byte_s=deadline_s), "")
    exchange = Exchange()
    evidence = target.send(seq, f"run-{seq}-1", exchange)
    target.close()
    outcome = decide(fault=exchange.fault, status=exchange.status, says=evidence.says)
    columns = evidence.measured
    return outcome, cause(outcome, deadline_s, exchange.status, columns.get("error", ""), (), evidence.cause), columns


def right(name, mode, found):
    """Whether a request in that mode ended as it should."""
    outcome, named, columns = found
    soft, empty, units = WORDS[name]
    words = {"good": "", "soft": soft, "empty": empty, "raise": "engine died", "slow": ""}[mode]
    assert (outcome, named) == ENDS[mode], columns
    assert words in columns.get("error", "")
    if mode == "good":
        assert columns.get("units") == units
        assert name != "vllm_chat" or columns["tokens_out"] == 3


def job_of(name, mode):
    """The job object after a stub's answer, as SDK and platform make it."""
    if mode == "slow":
        return RUNNING
    if mode == "raise":
        return {"status": "FAILED", "error": json.dumps({"error_type": "<class 'RuntimeError'>", "error_message": "engine died"})}
    output = STUBS[name][1][mode]
    if isinstance(output, dict) and output.get("error"):
        return {"status": "FAILED", "error": output["error"]}
    return {"status": "COMPLETED", "output": output}


@contextmanager
def chat_server(mode):
    """The same for a chat: the worker's texts are the body."""

    def send(sock, _request):
        if mode == "slow":
            return True
        if mode == "raise":
            status, kind, body = 500, "application/json", b'{"error": "engine died"}'
        else:
            parts = STUBS["vllm_chat"][1][mode]
            whole = json.dumps(parts[0]) if isinstance(parts[0], dict) else "".join(parts)
            status, kind, body = 200, "application/json" if isinstance(parts[0], dict) else "text/event-stream", whole.encode()
        sock.sendall(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    with scripted(send) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STUBS)
def test_each_way_to_end_has_its_outcome_and_cause(name, mode, tmp_path):
    deadline_s = 2.0 if mode == "slow" else 30.0  # enough to submit the job
    if name == "vllm_chat":
        with chat_server(mode) as server:
            host = f"{server.url}/v1"
            right(name, mode, outcome_of(plan_of(name, host, tmp_path), host, deadline_s))
            sent = {"openai_route": "/v1/chat/completions", "openai_input": json.loads(server.requests[0].partition(b"\r\n\r\n")[2])}
    else:
        with platform(job_of(name, mode)) as server:
            right(name, mode, outcome_of(plan_of(name, server.url, tmp_path), server.url, deadline_s))
            sent = json.loads(server.asked[0].body)["input"]
    assert STUBS[name][0](sent) == ""


def test_the_validators_refuse_what_the_workers_refuse():
    refused = {
        "whisper_job": {"audio_base64": "UklGRg==", "name": "a.wav"},
        "sdxl": {"prompt": "a", "seed": "7"},
        "comfyui": {"workflow": {"1": {"class_type": "SaveImage"}}},
        "tts": {},
        "embeddings": {"input": "a"},
        "vllm_job": {"sampling_params": {}},
    }
    for name, given in refused.items():
        with pytest.raises(ValueError, match=r"\w"):
            answer(name, "good", given)


@pytest.mark.slow
def test_the_default_clips_pass_the_validator_of_faster_whisper(tmp_path):
    options = {attribute(option): option.default for option in run_options.OPTIONS}
    with platform(job_of("whisper_job", "good")) as server:
        plan = run_options.check(options | {"host": server.url, "schedule": "burst 1", "max_in_flight": 1, "runs": str(tmp_path)})
        assert outcome_of(plan, server.url, 30.0)[0] == "ok"
    assert STUBS["whisper_job"][0](json.loads(server.asked[0].body)["input"]) == ""


def test_a_rest_service_is_asked_for_its_json(tmp_path):
    body = json.dumps({"text": "hi", "usage": {"total_tokens": 5}}).encode()

    def send(sock, _request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return True

    with scripted(send) as server:
        outcome, _, columns = outcome_of(plan_of("rest_service", server.url, tmp_path), server.url, 30.0)
    assert (outcome, columns["units"]) == ("ok", 5.0)
    assert server.requests[0].startswith(b"POST /generate HTTP/1.1\r\n")


@pytest.mark.slow
def test_a_rest_service_gets_a_file_through_a_bucket_and_leaves_its_result_there(tmp_path, monkeypatch):
    def send(sock, request):
        given = json.loads(request.partition(b"\r\n\r\n")[2])
        store.client.copy_object(Bucket=given["bucket"], Key="results/1", CopySource={"Bucket": given["bucket"], "Key": given["input_key"]})
        body = b'{"result_key": "results/1"}'
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return True

    with moto() as store, scripted(send) as server:
        store.client.create_bucket(Bucket="my-bucket")
        for name, value in store.env().items():
            monkeypatch.setenv(name, value)
        outcome, _, columns = outcome_of(plan_of("rest_through_s3", server.url, tmp_path), server.url, 30.0)
        left = [one["Key"] for one in store.client.list_objects_v2(Bucket="my-bucket")["Contents"]]
    assert (outcome, columns["upload_s"] > 0) == ("ok", True)
    assert left == ["results/1"], "what the service wrote elsewhere stays"


def test_every_example_is_short_and_names_its_command():
    assert set(EXAMPLES) == {*STUBS, "rest_service", "rest_through_s3"}
    for name in EXAMPLES:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 40
        assert f"    coldburst run {name} --headless --host " in text
        assert not importlib.util.find_spec(name), "Locust registers it under its bare name"


@pytest.mark.slow
def test_a_run_of_an_example_has_its_checks_and_its_unit():
    with platform(job_of("sdxl", "good")) as server:
        options = (
            "--host",
            server.url,
            "--schedule",
            "burst 3",
            "--sample",
            "0",
            "--expect",
            "output.images",
            "--expect",
            "output.seed > 99",
        )
        with locust(*options, file=FOLDER / "sdxl.py", **REPORTED) as run:
            run.wait()
            assert str(run.ledger) == "3 planned = 3 wrong"
            assert {row.error[:34] for row in run.rows} == {"expected output.seed > 99, found 7"}
            assert json.loads((run.folder / "run.json").read_text())["options"]["expect"] == "output.images; output.seed > 99"
        with locust(*options[:-4], file=FOLDER / "sdxl.py", **REPORTED) as run:
            assert run.wait() == 0, run.output
            assert [row.units for row in run.rows] == [2.0] * 3
            assert "images per request  2.00 images" in run.output
    assert all(STUBS["sdxl"][0](json.loads(one.body)["input"]) == "" for one in server.to("run"))


@pytest.mark.slow
def test_stubs_on_the_real_sdk_end_as_they_should(tmp_path):
    """Eight workers at once, each with one process."""
    tables = [
        f"[endpoints.{name}]\nworkers_min = 1\nworkers_max = 1\ncommand = '''{sys.executable} {STUB} {name} {','.join(MODES)}'''\n"
        for name in STUBS
    ]
    config = tmp_path / "emulator.toml"
    config.write_text("\n".join(tables), encoding="utf-8")
    seen = []

    def ask(name, url):
        path = f"/v2/{name}{'/openai/v1' if name == 'vllm_chat' else ''}"
        plan = plan_of(name, url + path, tmp_path)
        for seq, mode in enumerate(MODES):
            right(name, mode, outcome_of(plan, url + path, 2.0 if mode == "slow" else 60.0, seq))
            seen.append((name, mode))

    with emulator("--config", str(config), "--worker", "command", "--port", "0") as service:
        gevent.joinall([gevent.spawn(ask, name, service.url) for name in STUBS], raise_error=True)
    assert len(seen) == 40
