"""A hostile client: no request of it changes anything, runs a command or reaches another address."""

import json
import socket
import stat
import subprocess
import sys
import threading

import pytest

from coldburst import emulator_token
from coldburst.emulator.settings.parsing import parse
from coldburst.emulator_token import find, publish
from tests.support.emulators import MODELLED, emulator, netloc
from tests.support.transcribers import DEADLINE_S, ask, until

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PLAIN = {"Content-Type": "text/plain"}
JOB = b'{"input": {"echo": 1}}'
CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://[::1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8090",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "demo.api.evil.example",
    "evil.example@127.0.0.1",
    "127.0.0.1, evil.example",
    "169.254.169.254",
    "0.0.0.0",
    "[::ffff:10.0.0.1]",
    "runpod.ai.evil.example",
    "",
]
CHANGES = [
    ("POST", "/v2/demo/run", JOB),
    ("POST", "/v2/demo/runsync", JOB),
    ("POST", "/v2/demo/purge-queue", None),
    ("GET", "/v2/demo/status/JOB?ttl=0", None),
    ("POST", "/v2/demo/cancel/JOB", None),
    ("GET", "/v2/demo/job-take/WORKER", None),
    ("POST", "/v2/demo/job-done/WORKER/JOB", b'{"output": "forged"}'),
    ("PATCH", "/v2/serverless/demo", b'{"workers": {"max": 50}}'),
    ("PATCH", "/v2/serverless/demo", b'{"env": {"CONCURRENCY": "9"}}'),
    ("POST", "/emulator/demo/fault", b'{"status": 500}'),
    ("POST", "/lb/balanced/any", b"x"),
]
CONFIG = """
management-per-minute = 1000000
[endpoints.demo]
worker = "command"
command = "sleep 600"
workers_min = 1
workers_max = 1
start = 0
[endpoints.balanced]
kind = "balancer"
workers_max = 1
"""
RUNS_COMMANDS = ("BASH_ENV", "ENV", "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONWARNINGS", "BROWSER", "PATH")


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "emulator.toml"
    file.write_text(CONFIG)
    with emulator("--config", str(file), *MODELLED, "--platform", "limits_on=false") as running:
        until(lambda: running.states("demo") == ["LOADING"], "the worker")
        running.submit("demo")
        yield running


def state(running):
    """Everything that a request could change: settings, faults (by a request that one would hit), workers, jobs."""
    views = {name: running.inside(name) for name in ("demo", "balanced")}
    kept = {name: {key: view[key] for key in ("jobs", "policy")} for name, view in views.items()}
    workers = {name: [(worker["id"], worker["state"], worker["load"]) for worker in view["workers"]] for name, view in views.items()}
    shown = running.ask("/v2/serverless/demo").json()
    jobs = running.ask("/v2/demo/requests").json()
    return kept, workers, shown, jobs


def attack(running, method, path, body, headers):
    """The status of a change that a hostile client asks for with these headers."""
    job = running.ask("/v2/demo/requests").json()["requests"][0]["id"]
    worker = running.inside("demo")["workers"][0]["id"]
    path = path.replace("JOB", job).replace("WORKER", worker)
    before = state(running)
    status = ask(running.url, path, method, body, headers).status
    assert state(running) == before, (method, path, headers)
    return status


@pytest.mark.slow
@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_a_page_of_another_origin_changes_nothing(platform, headers):
    for method, path, body in CHANGES:
        for kind in (JSON, PLAIN, FORM):
            assert attack(platform, method, path, body, headers | kind) == 403, (path, kind)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_name_that_was_rebound_to_this_machine_changes_nothing(platform, host):
    token = {"Authorization": f"Bearer {platform.token}"}
    for method, path, body in CHANGES:
        status = attack(platform, method, path, body, {"Host": host, "Sec-Fetch-Site": "same-origin"} | JSON | token)
        assert status == 421, path
    assert ask(platform.url, "/v2/serverless/demo", headers={"Host": host}).status == 421


def test_requests_with_two_hosts_or_none_are_refused(platform):
    host, port = netloc(platform.url).split(":")
    for hosts in ("Host: localhost\r\nHost: evil.example\r\n", ""):
        with socket.create_connection((host, int(port)), DEADLINE_S) as sock:
            sock.sendall(f"POST /v2/demo/purge-queue HTTP/1.0\r\n{hosts}Content-Length: 0\r\n\r\n".encode())
            assert sock.recv(1000).split()[1] in (b"400", b"421")


@pytest.mark.parametrize("kind", [PLAIN, FORM, {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "text/json"}, {}])
def test_what_a_form_can_send_is_no_job_and_no_change(platform, kind):
    token = {"Authorization": f"Bearer {platform.token}"}
    for method, path, body in CHANGES:
        if body and path.startswith(("/v2/demo/run", "/v2/serverless", "/emulator")):
            assert attack(platform, method, path, body, kind | token) == 415, path
    assert attack(platform, "POST", "/v2/demo/cancel/JOB", b"x=1", kind) == 415


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", "Bearer \xff", "Basic eDp4"])
def test_settings_and_faults_need_the_token(platform, token):
    headers = JSON | ({"Authorization": token} if token else {})
    for method, path, body in CHANGES:
        if path.startswith(("/v2/serverless", "/emulator")):
            assert attack(platform, method, path, body, headers) == 401, path


def test_the_token_is_printed_and_left_for_this_user_alone(platform, tmp_path, monkeypatch):
    (line,) = [line for line in platform.lines if line.startswith("token ")]
    assert line.split()[1] == platform.token
    assert len(platform.token) >= 32
    assert all(platform.token not in row for row in platform.errors())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    publish(8090, "one")
    publish(8090, "two")
    (file,) = tmp_path.rglob("emulator-8090")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert find("http://127.0.0.1:8090/v2") == find("http://localhost:8090/v2") == find("http://[::1]:8090") == "two"
    assert find("http://10.0.0.1:8090/v2") == find("http://127.0.0.1:8091/v2") == ""
    file.parent.chmod(0o755)
    assert find("http://127.0.0.1:8090/v2") == ""
    monkeypatch.setenv(emulator_token.VARIABLE, "three")
    assert find("http://emulator:8090/v2") == "three"
    assert find("https://rest.runpod.io/v2") == find("https://api.runpod.ai/v2") == ""


def test_the_token_of_an_emulator_that_was_killed_is_not_found(monkeypatch, tmp_path):
    """Another service may have its port by then, and its own key."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    killed = "import os, signal; from coldburst import emulator_token as t; t.publish(8090, 'one'); os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    assert [path.read_text() for path in tmp_path.glob("*/emulator-8090")] == ["one"]
    assert find("http://127.0.0.1:8090/v2") == ""
    publish(8090, "two")
    assert find("http://127.0.0.1:8090/v2") == "two"
    publish(8090, "")
    assert find("http://127.0.0.1:8090/v2") == ""


@pytest.mark.parametrize("name", RUNS_COMMANDS)
def test_a_variable_that_the_endpoint_does_not_declare_reaches_no_worker(platform, name, tmp_path):
    mark = tmp_path / "mark"
    before = state(platform)
    answer = platform.ask("/v2/serverless/demo", {"env": {name: f"$(touch {mark})", "CONCURRENCY": "1"}}, "PATCH")
    assert (answer.status, name in answer.json()["detail"]) == (422, True)
    assert state(platform) == before
    assert not mark.exists()


@pytest.mark.slow
def test_a_declared_variable_reaches_the_workers_and_can_be_changed(tmp_path):
    out, script = tmp_path / "out", tmp_path / "worker.py"
    script.write_text(f"import os, time; open({str(out)!r}, 'a').write(os.environ.get('MODE', 'none') + '\\n'); time.sleep(600)\n")
    words = ("--worker", "command", "--command", f"python {script}", "--start", "0", "--workers-min", "1", "--workers-max", "1")
    with emulator(*words, "--env", "MODE=slow", "--env", "OTHER") as running:
        until(lambda: out.read_text() == "slow\n", "the first worker")
        assert running.ask("/v2/serverless/demo").json()["env"] == {"MODE": "slow"}
        assert running.ask("/v2/serverless/demo", {"env": {"MODE": "fast", "OTHER": "1"}}, "PATCH").status == 200
        until(lambda: out.read_text() == "slow\nfast\n", "the second worker")


def test_variables_are_declared_on_the_command_line_and_in_the_file(tmp_path, capsys):
    file = tmp_path / "emulator.toml"
    options = 'allow-host = ["Proxy.example"]\nwebhook-hosts = "a.example, b.example"\n'
    file.write_text(options + '[endpoints.one]\nenv = ["MODE=a,b=c", "OTHER"]\n')
    options, (spec,) = parse(["--config", str(file)])
    assert (spec.workers.env_names, spec.workers.env) == (("MODE", "OTHER"), {"MODE": "a,b=c"})
    assert (options.allow_host, options.webhook_hosts) == (("proxy.example",), ("a.example", "b.example"))
    with pytest.raises(SystemExit):
        parse(["--env", "A B"])
    assert "'--env A B' is not a variable: write NAME or NAME=VALUE" in capsys.readouterr().err


WEBHOOKS = [
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/",
    "http://evil.example/",
    "http://localhost.evil.example/",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.1@10.0.0.1/",
    "http://0.0.0.0:1/",
    "http://[::ffff:10.0.0.1]/",
    "http://[fe80::1]/",
    "https://metadata.google.internal/",
    "file://evil.example/etc/passwd",
]


@pytest.mark.parametrize("url", WEBHOOKS)
def test_a_webhook_beyond_this_machine_is_refused_with_the_job(platform, url):
    for operation in ("run", "runsync"):
        body = json.dumps({"input": {"echo": 1}, "webhook": url}).encode()
        assert attack(platform, "POST", f"/v2/demo/{operation}", body, JSON) == 400


@pytest.mark.slow
def test_a_redirect_of_a_webhook_is_not_followed():
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, socket.create_server(("127.0.0.1", 0)) as hook:
        target = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
        answered = threading.Event()

        def redirect():
            with hook.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(f"HTTP/1.1 307 Go\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
                answered.set()

        threading.Thread(target=redirect, daemon=True).start()
        with emulator(*MODELLED, "--webhook-waits", "") as running:
            url = f"http://127.0.0.1:{hook.getsockname()[1]}/"
            running.ended("demo", running.ask("/v2/demo/run", {"input": {"a": 1}, "webhook": url}).json()["id"])
            assert answered.wait(DEADLINE_S)
            elsewhere.settimeout(0.5)
            with pytest.raises(TimeoutError):
                elsewhere.accept()


@pytest.mark.slow
def test_with_a_key_neither_clients_nor_workers_get_in_without_it():
    words = ("--worker", "command", "--command", "sleep 600", "--start", "0", "--workers-min", "1")
    with emulator(*words, RUNPOD_API_KEY="sesame") as closed:
        assert not [line for line in closed.lines if "token" in line or "sesame" in line]
        shown = {"Authorization": "Bearer sesame"}
        job = closed.ask("/v2/demo/run", {"input": {"echo": 1}}, headers=shown).json()["id"]
        workers = until(lambda: closed.ask("/v2/serverless/demo/workers", headers=shown).json()["workers"], "the worker")
        for path, method in ((f"job-take/{workers[0]['id']}", "GET"), (f"job-done/{workers[0]['id']}/{job}", "POST")):
            assert closed.ask(f"/v2/demo/{path}?gpu=X&key=guess", method=method).status == 401
        assert closed.ask(f"/v2/demo/status/{job}", headers=shown).json()["status"] == "IN_QUEUE"
        for method, path, body in CHANGES:
            if "job-" not in path:
                assert ask(closed.url, path.replace("JOB", job), method, body, JSON).status == 401, path
        assert closed.ask("/v2/serverless/demo", {"workers": {"max": 2}}, "PATCH", shown).status == 200


@pytest.mark.slow
def test_what_users_are_told_to_do_works():
    """Own names, a name allowed by option, as Host and as Origin, and requests that name the page's own origin."""
    with emulator(*MODELLED, "--allow-host", "emulator,App.example", "--endpoint", "queue") as running:
        port = netloc(running.url).split(":")[1]
        for host in ("localhost", f"127.0.0.1:{port}", "[::1]", "emulator:8090", "EMULATOR", "queue.localhost", "other.api.runpod.ai"):
            assert ask(running.url, "/v2/queue/health", headers={"Host": host}).status in (200, 400, 404), host
        for origin in ("https://app.example", f"http://127.0.0.1:{port}"):
            site = "cross-site" if "app" in origin else "same-origin"
            assert ask(running.url, "/v2/queue/run", "POST", JOB, JSON | {"Origin": origin, "Sec-Fetch-Site": site}).status == 200
        with_charset = {"Content-Type": "application/json; charset=utf-8"}
        assert ask(running.url, "/v2/queue/run", "POST", JOB, with_charset).status == 200


@pytest.mark.slow
def test_the_address_that_a_client_connected_to_is_a_name_of_the_emulator():
    with emulator(*MODELLED, "--host", "0.0.0.0") as running:
        port = netloc(running.url).split(":")[1]
        address = own_address()
        assert ask(f"http://{address}:{port}", "/v2/demo/health").status == 200
        assert ask(f"http://127.0.0.1:{port}", "/v2/demo/health", headers={"Host": "192.0.2.7"}).status == 421


def own_address():
    """An address of this machine that is not loopback, if it has one; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
