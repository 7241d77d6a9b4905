"""What newcomers got wrong in their first minutes: each ends at once with one sentence that has the remedy, and nothing is sent."""

import json
import socket
import subprocess
import sys

import pytest

from tests.support.locusts import ROOT

# Name -> words after "locust -f locustfiles/burst.py", and what the sentence has. {url} and {port} are those of a service.
MISTAKES = {
    "a name that does not exist": (["--headless", "--host", "http://service.invalid"], ["service.invalid", "check --host"]),
    "nothing listens": (
        ["--headless", "--host", "http://127.0.0.1:9"],
        ["check --host, and whether the service runs"],
    ),
    "no scheme": (["--headless", "--host", "127.0.0.1:{port}"], ["is not an address", "as in http://127.0.0.1:8083"]),
    "an endpoint's id": (["--headless", "--host", "abc123def456"], ["write https://api.runpod.ai/v2/abc123def456, if it is the id"]),
    "the end of RunPod's address": (
        ["--headless", "--host", "https://api.runpod.ai/v2/abc/run"],
        ["'/run'", "https://api.runpod.ai/v2/abc"],
    ),
    "a typo in a stage": (["--headless", "--host", "{url}", "--schedule", "brust 30"], ["'brust 30'", "did you mean 'burst'?"]),
    "a rate without its unit": (["--headless", "--host", "{url}", "--schedule", "steady 60s 3"], ["'3'", "as in"]),
    "a duration without its unit": (["--headless", "--host", "{url}", "--schedule", "steady 60 3/s"], ["'60'", "write 'steady 60s 3/s'"]),
    "users": (["--headless", "--host", "{url}", "-u", "10", "-r", "2"], ["--users has no effect here", "use --schedule"]),
    "tags": (["--headless", "--host", "{url}", "--tags", "a"], ["--tags has no effect here", "name its class"]),
    "a wrong type": (["--headless", "--host", "{url}", "--max-in-flight", "ten"], ["--max-in-flight", "'ten'"]),
    "a wrong number": (["--headless", "--host", "{url}", "--deadline", "soon"], ["--deadline", "'soon'"]),
    "a typo in an option": (["--headless", "--hots", "{url}"], ["unrecognized arguments: --hots", "'--host'"]),
    "no clips": (["--headless", "--host", "{url}", "--clips", "nowhere"], ["'nowhere'", "--clips samples"]),
    "no folder for results": (["--headless", "--host", "{url}", "--runs", "no/where"], ["'no/where'", "mkdir -p no/where"]),
    "a taken port": (["--web-host", "127.0.0.1", "--web-port", "{port}"], ["127.0.0.1:{port}", "another with --web-port"]),
    "a folder of tests": (["-f", "locustfiles/", "--headless", "--host", "{url}"], ["one test runs at a time", "Burst"]),
    "a GPU that nobody rents": (["--headless", "--host", "{url}", "--price", "H101"], ["'H101'", "near ones are H100"]),
    "no data": (["--headless", "--host", "{url}", "--data", "nowhere.csv"], ["'nowhere.csv'", "as in --data prompts.jsonl"]),
    "no repeats": (["--headless", "--host", "{url}", "--repeats", "0"], ["--repeats 0 is not between 1 and 1,000"]),
    "a typo in a kind": (["--headless", "--host", "{url}", "--target", "quue"], ["'quue'", "choose from 'auto', 'queue'"]),
    "a demo of a host": (["--headless", "--host", "{url}", "--demo", "modelled"], ["--demo modelled", "leave out --host"]),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Exit code and output of each mistake, the words of each filled in, and whether anybody connected to the service."""
    runs = tmp_path_factory.mktemp("runs")
    with socket.create_server(("127.0.0.1", 0)) as service:
        port = service.getsockname()[1]
        filled = {
            name: [[word.format(url=f"http://127.0.0.1:{port}", port=port) for word in words] for words in pair]
            for name, pair in MISTAKES.items()
        }
        common = ["-f", "locustfiles/burst.py", "--runs", str(runs)]
        cases = [words if "-f" in words else [*common, *words] for words, _ in filled.values()]
        command = [sys.executable, "-m", "tests.support.locust_forks"]
        done = subprocess.run(command, cwd=ROOT, input=json.dumps(cases), capture_output=True, text=True, check=True)
        service.setblocking(False)
        try:
            connected = service.accept() is not None
        except BlockingIOError:
            connected = False
    said = json.loads(done.stdout)
    assert list(runs.iterdir()) == []
    return {name: (*one, words) for (name, (_, words)), one in zip(filled.items(), said, strict=True)} | {"": connected}


@pytest.mark.slow
def test_nothing_is_sent(outcomes):
    assert outcomes[""] is False
    assert len(outcomes) == len(MISTAKES) + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_one_sentence_has_the_remedy(name, outcomes):
    code, output, words = outcomes[name]
    assert code == 2, output
    told = [line for line in output.splitlines() if "/ERROR/" in line or ": error: " in line or "did you mean" in line.lower()]
    assert all(word in " ".join(told) for word in words), output
    assert len(told) <= 2 and "Traceback" not in output
    assert len(output) < 2000, output
