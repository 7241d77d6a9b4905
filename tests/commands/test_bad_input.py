"""What cannot be done is said in one sentence, before anything is sent, and the process ends with an error."""

import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from coldburst.load import run_options
from tests.support.endings import numbers
from tests.support.locusts import PLAIN, ROOT, locust
from tests.support.needs import need
from tests.support.transcribers import transcriber

NOWHERE = "http://127.0.0.1:9"
QUEUE, BALANCER = f"{NOWHERE}/v2/abc", f"{NOWHERE}/lb/abc"
GOOD = {
    "host": NOWHERE,
    "schedule": "burst 30",
    "max_in_flight": 15,
    **{option.name.removeprefix("--").replace("-", "_"): option.default for option in run_options.OPTIONS},
    "clips": str(ROOT / "samples"),
}
BAD = [
    ({"schedule": "burst 30 quickly"}, ["'quickly'", "as in"]),
    ({"schedule": "steady 60s -3/s"}, ["'-3/s'", "negative"]),
    ({"schedule": "rest 9s 0/s"}, ["plans no requests"]),
    ({"host": "127.0.0.1:9"}, ["'127.0.0.1:9'", "scheme", "http://"]),
    ({"host": "ftp://127.0.0.1:9"}, ["'ftp://127.0.0.1:9'"]),
    ({"host": "http://127.0.0.1:port"}, ["'http://127.0.0.1:port'"]),
    ({"host": "http://me:secret@127.0.0.1:9"}, ["password", "TRANSCRIPTION_API_KEY"]),
    ({"runs": "/nowhere/at/all"}, ["'/nowhere/at/all'", "mkdir -p"]),
    ({"clips": "/nowhere"}, ["'/nowhere'", "--clips samples"]),
    ({"clips": __file__}, ["test_bad_input.py'", "as audio"]),
    ({"max_in_flight": 0}, ["--max-in-flight 0"]),
    ({"max_in_flight": 100_000_000}, ["open files", "ulimit"]),
    ({"deadline": 0.0}, ["--deadline 0", "positive duration"]),
    ({"deadline": float("nan")}, ["--deadline nan"]),
    ({"deadline": float("inf")}, ["--deadline inf"]),
    ({"host": "http://exa mple"}, ["'http://exa mple'"]),
    ({"host": "http://[::1"}, ["'http://[::1'"]),
    ({"schedule": "flood 1h 1e12/s"}, ["3.6e+15 requests", "10,000,000"]),
    ({"schedule": "flood 9999h 1e9/s poisson free"}, ["at most 10,000,000"]),
    ({"schedule": "flood 2s 5e6/s poisson free"}, ["1e+07 requests at random", "at most 1,000,000", "leave out 'free'"]),
    ({"schedule": f"steady 60s {'9' * 400}/s"}, ["'999999999999…' in stage 'steady' has 402 characters", "'3/s'"]),
    ({"schedule": f"burst {'9' * 5000}"}, ["has 5000 characters"]),
    ({"schedule": f"level 5s {'9' * 400} at a time"}, ["has 400 characters"]),
    ({"schedule": f"burst {'9' * 60}"}, ["1e+60 requests"]),
    ({"schedule": f"steady {'9' * 60}h {'9' * 60}/s"}, ["requests; a run sends at most 10,000,000"]),
    ({"schedule": "burst \u0663"}, ["'\u0663'"]),
    ({"host": "http://a..b"}, ["'http://a..b'"]),
    ({"auth": "telepathy"}, ["--auth 'telepathy'", "x-api-key"]),
    ({"max_wer": "much"}, ["'much'", "off"]),
    ({"expect": "output..images"}, ["--expect 'output..images'", "'.images'", "as in"]),
    ({"error_at": "lenght(error) > 0"}, ["--error-at 'lenght(error) > 0'", "lenght()", "as in output.detail"]),
    ({"target": "chat", "expect": "choices"}, ["--expect", '"stream": false']),
    ({"path": "v1/audio"}, ["'v1/audio'", "slash"]),
    ({"retries": -1}, ["--retries -1", "as in --retries 3"]),
    ({"backoff": 0.0}, ["--backoff 0", "positive duration"]),
    ({"target": "queue"}, ["no endpoint id", "https://api.runpod.ai/v2/"]),
    ({"host": "https://api.runpod.ai/v2/abc/run"}, ["'/run'", "https://api.runpod.ai/v2/abc"]),
    ({"host": "http://api.runpod.ai/v2/abc"}, ["unencrypted"]),
    ({"host": QUEUE, "input": "/nowhere.json"}, ["'/nowhere.json'"]),
    ({"host": QUEUE, "input": __file__}, ["test_bad_input.py'", "JSON"]),
    ({"host": QUEUE, "execution_timeout": 1.0}, ["--execution-timeout 1 s", "5 to"]),
    ({"host": QUEUE, "poll_share": 0.0}, ["--poll-share 0", "0.8"]),
    ({"host": BALANCER, "hold_from": 200.0}, ["200", "135"]),
    ({"input": "x.json"}, ["--input", "--clips"]),
]


def test_a_template_without_audio_needs_no_clips(tmp_path):
    template = tmp_path / "input.json"
    template.write_text('{"input": {"seq": "{{seq}}"}}', encoding="utf-8")
    assert run_options.check(GOOD | {"host": QUEUE, "input": str(template), "clips": "/nowhere", "runs": str(tmp_path)}).kind == "queue"


def test_what_is_right_is_taken(tmp_path):
    plan = run_options.check(GOOD | {"runs": str(tmp_path)})
    assert (plan.planned, plan.host, plan.shed, plan.kind) == (30, NOWHERE, False, "transcription")


@pytest.mark.parametrize(("changed", "words"), BAD)
def test_one_sentence_names_what_is_wrong_and_what_would_be_right(changed, words, tmp_path):
    with pytest.raises(ValueError, match=r".") as told:
        run_options.check({**GOOD, "runs": str(tmp_path), **changed})
    said = str(told.value)
    assert all(word in said for word in words), said
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(BAD[0][0], id="schedule"),
        *(pytest.param(BAD[number][0], id=name, marks=pytest.mark.nightly) for number, name in ((3, "host"), (7, "runs"), (9, "clips"))),
    ],
)
def test_the_process_says_it_and_ends_with_an_error(changed):
    arguments = [word for name, value in {"host": NOWHERE, **changed}.items() for word in (f"--{name}", value)]
    with locust(*arguments) as run:
        assert run.wait() == 2
        lines = [line for line in run.output.splitlines() if "/ERROR/" in line]
        assert len(lines) == 1, run.output
        assert next(iter(changed.values())) in lines[0]
        assert "Traceback" not in run.output
        assert list(run.runs.iterdir()) == []


@pytest.mark.slow
def test_an_option_of_the_wrong_type_is_locusts_own_usage_message():
    with locust("--seed", "x") as run:
        assert run.wait() == 2
        assert "--seed" in run.output
        assert "Traceback" not in run.output


@pytest.mark.slow
def test_a_key_with_a_line_break_is_refused_without_showing_it():
    with locust("--host", NOWHERE, TRANSCRIPTION_API_KEY="sesame\r\nX-Evil: 1") as run:
        assert run.wait() == 2
        assert "the key in TRANSCRIPTION_API_KEY" in run.output
        assert "sesame" not in run.output


@contextmanager
def small_disk(size):
    """A file system of ``size`` of its own, for as long as the test lasts."""
    with tempfile.TemporaryDirectory() as place:
        command = [need("mount"), "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", place], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", numbers(signal.SIGINT))
def test_an_interrupt_before_anything_was_sent_is_no_success(number):
    with locust() as run:
        run.until(lambda run: "starting the embedded endpoint" in run.output)
        run.interrupt(number)
        run.interrupt(number)
        assert run.wait() == 2
        assert "before anything was sent" in run.output
        assert "Traceback" not in run.output
        assert list(run.runs.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_keeps_the_rows_that_were_written():
    with (
        small_disk("64k") as place,
        transcriber("--engine", "fixed", "--service-time", "0.001", "--max-concurrent", "10") as service,
        locust("--host", service.url, "--schedule", "steady 60s 100/s", "--max-in-flight", "50", "--runs", str(place), *PLAIN) as run,
    ):
        assert run.wait() == 1
        assert "No space left on device" in run.output
        assert "free some space" in run.output
        assert "Traceback" not in run.output
        run.runs = place
        rows = run.rows  # a torn last line would be left out
        assert len(rows) > 20
        assert len(rows) <= len(service.log()) + 1
        seqs, logged = {row.seq for row in rows}, {int(line["request_id"].rsplit("-", 2)[1]) for line in service.log()}
        assert len(seqs) == len(rows) and seqs <= logged
        assert max(seqs) - len(seqs) <= 50  # what is not among them was in flight
        assert (run.about["state"], run.about["ended_by"]) == ("ended", "a disk that cannot be written")
        assert run.about["ledger"]["missing"] > 0


@pytest.mark.slow
def test_a_directory_that_is_removed_during_the_run_ends_it_in_one_sentence():
    """Its rows go nowhere: "40 ok" would be a claim without evidence."""
    with (
        transcriber("--engine", "fixed", "--service-time", "0.001", "--max-concurrent", "10") as service,
        locust("--host", service.url, "--schedule", "steady 60s 10/s", *PLAIN) as run,
    ):
        run.until(lambda run: len(service.log()) > 20)
        shutil.rmtree(run.folder)
        assert run.wait() == 1, run.output
        assert run.output.count("it was removed during the run): leave it in place until the run has ended") == 1
        assert "Traceback" not in run.output
        assert " ok" not in run.output.partition("it was removed")[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("--web-port",),
        pytest.param(("--headless", "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port"), marks=pytest.mark.nightly),
    ],
)
def test_a_taken_port_is_one_sentence(words):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with locust(*words, str(taken.getsockname()[1]), headless=False) as run:
            assert run.wait() == 2
            said = f"cannot listen on 127.0.0.1:{taken.getsockname()[1]} (Address already in use): stop the program there"
            assert run.output.count(said) == 1, run.output
            assert f"choose another with {words[-1]}" in run.output
            assert "Traceback" not in run.output


@pytest.mark.slow
def test_without_file_descriptors_the_generator_still_reports_each_second():
    """psutil opens a file to read CPU and memory; without one the rest of the row is still known."""
    with (
        transcriber("--engine", "fixed", "--service-time", "0.001") as service,
        locust("--host", service.url, "--schedule", "steady 120s 5/s", *PLAIN) as run,
    ):
        run.until(lambda run: len(service.log()) > 5)
        process = psutil.Process(run.process.pid)
        whole = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (3, whole[1]))
        run.until(lambda run: any(not row["cpu"] for row in run.table("generator.csv")))
        process.rlimit(psutil.RLIMIT_NOFILE, whole)
        run.until(lambda run: run.table("generator.csv")[-1]["cpu"])
        run.interrupt()
        assert run.wait() == 1


@pytest.mark.slow
def test_a_run_directory_is_private():
    with (
        transcriber("--engine", "fixed", "--service-time", "0.001") as service,
        locust("--host", service.url, "--schedule", "burst 1", *PLAIN) as run,
    ):
        assert run.wait() == 0
        assert stat.S_IMODE(run.folder.stat().st_mode) == 0o700


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_start_is_one_sentence():
    with small_disk("4k") as place:
        (place / "ballast").write_bytes(b"x" * 4096)
        with locust("--host", NOWHERE, "--runs", str(place), *PLAIN) as run:
            assert run.wait() == 2
            assert "No space left on device" in run.output
            assert "Traceback" not in run.output
