"""The shipped Dockerfile and compose file, unmodified, in a real engine: an image built, containers started, killed and stopped.

Base images are stand-ins made of Debian's packages (see standins): what is proved is this project's own files. Where no engine can be
started, or pip reaches nobody, these tests are skipped and say why.
"""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.support.composed import IMAGE, LONG_S, PROMETHEUS, QUIET, OnHost, checkout, project
from tests.support.engine import compose, engine
from tests.support.standins import PYTHON
from tests.support.transcribers import until

V1, V2 = ("1", "docker-compose"), ("2", "docker", "compose")
UPSTREAM_BYTES = 135_000_000
"""For python:3.11-slim-bookworm itself, in whose place there is a smaller one."""
RATE, LASTS_S = 5, 30
ASKED = {"workers": "1,2", "requests": "4", "concurrency": "1", "warm_up": "1", "max_wer": "off"}
REPLICAS = {"host": "http://nginx:8083"} | QUIET


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    with engine(IMAGE, checkout(tmp_path_factory.mktemp("image"))) as started:
        yield started


@pytest.mark.slow
def test_the_image_is_small_cannot_be_written_to_and_lacks_nothing_that_a_run_reads(docker):
    assert 0 < docker.size(IMAGE) - docker.size(PYTHON.name) < 600_000_000 - UPSTREAM_BYTES
    in_image = ["docker", "run", "--rm", "--network=none", IMAGE]
    assert docker.run(*in_image, "sh", "-c", "id -un; touch x coldburst/x /venv/x 2>/dev/null || echo refused").split() == [
        "nobody",
        "refused",
    ]
    s3 = "boto3.client('s3', region_name='x', aws_access_key_id='x', aws_secret_access_key='x').meta.service_model.service_name"
    assert docker.run(*in_image, "python", "-c", f"import boto3; print({s3})").strip() == "s3"


@pytest.mark.slow
def test_a_burst_of_three_generators(docker, tmp_path):
    """By the older compose."""
    with project(docker, tmp_path, compose(*V1)) as services:
        services.compose("up", "-d", "--build", "--scale", "generator=3")
        burst = services.start(3, schedule="burst 6", **QUIET)
        until(lambda: burst.reported, "report of the burst", LONG_S)
        assert str(burst.ledger) == "6 planned = 6 ok"


@pytest.mark.nightly
def test_a_generator_killed_in_the_middle(docker, tmp_path):
    """By the older compose. A busy machine loses the other generators too for a while, and then nothing is left to be sent by them."""
    with project(docker, tmp_path, compose(*V1)) as services:
        services.compose("up", "-d", "--build", "--scale", "generator=3", "--scale", "transcriber=2")
        hurt = services.start(3, schedule=f"steady {LASTS_S}s {RATE}/s", **REPLICAS)
        until(lambda: {row.generator for row in hurt.rows} == {"g1", "g2", "g3"}, "answers of all three", LONG_S)
        killed = services.containers("generator")[0]
        docker.run("docker", "kill", killed)
        until(lambda: hurt.reported, "report of the run that lost a generator", LONG_S)
        told = {kind: [event for event in hurt.table("events.csv") if event["kind"] == kind] for kind in ("generator_lost", "share_dealt")}
        (lost,) = {event["generator"] for event in told["generator_lost"] if event["detail"].endswith(f" on {killed[:12]}")}
        dealt_s = max(float(event["at_s"]) for event in told["share_dealt"])  # a busy machine may have lost another for a moment
        later = [row for row in hurt.rows if row.scheduled_s > dealt_s]
        assert sorted(row.seq for row in later) == list(range(RATE * LASTS_S))[-len(later) :]  # the others send all of it
        assert {row.generator for row in later} <= {"g1", "g2", "g3"} - {lost}
        assert set(hurt.ledger.counts) == {"ok"}
        assert 0 < hurt.ledger.missing <= RATE * LASTS_S - len(later)


@pytest.mark.nightly
def test_everything_down_in_the_middle(docker, tmp_path):
    """By the older compose."""
    with project(docker, tmp_path, compose(*V1)) as services:
        services.compose("up", "-d", "--build", "--scale", "generator=2")
        down_in_the_middle(services, services.start(2, schedule=f"steady 120s {RATE}/s", **REPLICAS))


@pytest.mark.nightly
def test_sweeps_of_the_emulators_workers_and_of_replicas_that_compose_scales(docker, tmp_path):
    """By the newer compose. The second sweep is led from the host, which alone can tell compose anything."""
    with project(docker, tmp_path, compose(*V2)) as services:
        services.compose("--profile", "monitoring", "up", "-d", "--build", "--scale", "generator=3", QUESTION="scaling")
        emulated = services.start(3, **ASKED | QUIET, yes="yes")
        with sweep_of_replicas(services) as (process, output):
            until(lambda: scraped(services), "figures of the master in Prometheus", LONG_S)
            until(lambda: emulated.reported, "report of the sweep of the emulator's workers", LONG_S)
            assert process.wait(LONG_S) == 0, output.read_text()
        (replicas,) = (OnHost(path.parent) for path in tmp_path.glob("*/settings.json"))
        for swept in (emulated, replicas):
            assert swept.ledger.balanced
            assert set(swept.ledger.counts) == {"ok"}
            assert [found(stage) for stage in swept.table("stages.csv") if stage["phase"] == "measure"] == ["1 of 1: done", "2 of 2: done"]
        assert "back to 1 containers" in output.read_text()
        assert len(services.containers("transcriber")) == 1
        down_in_the_middle(services, services.start(3, **ASKED | QUIET | {"requests": "5000"}, yes="yes"))


def down_in_the_middle(services, cut):
    """The master goes first, and drains: what was sent is answered, and what was not is told."""
    until(lambda: len(cut.rows) >= RATE, "answers", LONG_S)
    services.compose("--profile", "monitoring", "down")
    assert cut.reported
    assert cut.ledger.balanced
    assert set(cut.ledger.counts) == {"ok", "not_sent"}


def found(stage):
    return f"{stage['workers_seen']} of {stage['workers']}: {stage['state']}"


def scraped(services):
    """Whether Prometheus has what the master tells it."""
    answer = json.loads(services.ask(f"{PROMETHEUS}/api/v1/query?query=up"))
    return [one["value"][1] for one in answer["data"]["result"]] == ["1"]


@contextmanager
def sweep_of_replicas(services):
    """Locust on the engine's machine, beside the containers, and the file with what it prints."""
    asked = [word for name, value in ASKED.items() for word in (f"--{name.replace('_', '-')}", value)]
    asked += [
        "--clips",
        str(services.folder / QUIET["clips"]),
        "--host",
        "http://127.0.0.1:8083",
        "--control",
        "compose",
        "--compose-file",
        str(services.folder / "docker-compose.yml"),
    ]
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/scaling.py", "--headless", "--runs", str(services.folder), *asked]
    output = services.folder / "output"
    with output.open("wb") as out:
        how = {"env": services.docker.environment, "stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}
        yield services.docker.machine.popen(command, **how), output
