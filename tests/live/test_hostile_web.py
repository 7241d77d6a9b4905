"""A hostile client of the web UI: it changes nothing, gets no key sent anywhere, and has no file read outside."""

import json
import socket
import urllib.parse
from contextlib import contextmanager

import psutil
import pytest

from tests.support.locusts import PLAIN, ROOT, locust
from tests.support.serving import reserved
from tests.support.transcribers import DEADLINE_S
from tests.support.web import WebUi

KEY = "sesame-7c1f0e-of-tests"
SECRET = "secret-of-another-directory"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
CHANGES = ("/swarm", "/stop", "/stats/reset", "/user", "/nothing/here")
READS = ("/", "/coldburst/", "/coldburst/live.json", "/metrics", "/stats/requests", "/tasks", "/logs", "/exceptions", "/login", "/assets/x")
NAMES = (
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example",
    "127.0.0.1.evil.example:{port}",
    "evil.localhost",
    "localhost@evil.example",
    "127.0.0.1:{port}@evil.example",
    "127.0.0.1:{port}, evil.example",
    "127.0.0.1:{port}.evil.example",
    "[::1].evil.example",
    "[::ffff:127.0.0.1]x",
    "0.0.0.0",
    "169.254.169.254",
    "203.0.113.7:{port}",
    "２０３.0.113.7",
    "master",
    "*",
    ".",
    "",
)
OWN = ("127.0.0.1:{port}", "127.0.0.1", "localhost:{port}", "LocalHost", "[::1]:{port}", "127.0.0.2", "localhost:80")
LOCUSTFILE = f"""
import sys

from coldburst import {{kind}}


def opened(event, arguments):
    if event == "open" and "{SECRET}" in str(arguments[0]):
        print("opened a secret", flush=True)


sys.addaudithook(opened)


class Hostile({{kind}}):
    {{body}}
"""


class Foreign:
    """A server that is none of the test's: what it was sent, by anyone. ``url``: an address that no form may send a key to."""

    def __init__(self, listener):
        self._listener, self.seen = listener, b""
        self.url = f"http://0.0.0.0:{listener.getsockname()[1]}"

    def take(self, limit_s=0.0):
        """All that has arrived, within ``limit_s`` for the first connection."""
        self._listener.settimeout(limit_s)
        try:
            while True:
                with self._listener.accept()[0] as connection:
                    connection.settimeout(5)
                    self.seen += connection.recv(65536)
                self._listener.settimeout(0)
        except (BlockingIOError, TimeoutError):
            return self.seen


@contextmanager
def foreign():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Foreign(listener)


def asked(port, method, path, headers, body=b""):
    """Status and answer of a request whose headers are sent as they are; no Host but what they hold."""
    head = f"{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(b" ", 2)[1]), answer


def listening(run):
    """The addresses on which a process listens."""
    return [one.laddr for one in psutil.Process(run.process.pid).net_connections("tcp") if one.status == psutil.CONN_LISTEN]


def form(**fields):
    return urllib.parse.urlencode(fields).encode()


def unchanged(ui, away):
    """That nothing was started, and nothing left this machine."""
    assert (ui.state(), list(ui.locust.runs.iterdir()), away.take()) == ("ready", [], b"")
    assert "Traceback" not in ui.locust.output


@pytest.fixture(scope="module")
def away():
    with foreign() as server:
        yield server


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    file = tmp_path_factory.mktemp("hostile") / "hostile.py"
    file.write_text(LOCUSTFILE.format(kind="ArrivalUser", body='schedule = "burst 2"'), encoding="utf-8")
    keys = {"TRANSCRIPTION_API_KEY": KEY, "RUNPOD_API_KEY": KEY}
    with WebUi("--host", "http://service.example:9000", *PLAIN, file=file, **keys) as started:
        yield started


@pytest.fixture
def secret(tmp_path):
    """A file outside of every directory that the web UI was started with."""
    place = tmp_path / f"{SECRET}.json"
    place.write_text(json.dumps({"input": SECRET}), encoding="utf-8")
    return place


@pytest.mark.slow
def test_a_page_that_rebinds_its_name_gets_nothing(ui, away):
    start = form(host=away.url, schedule="burst 2", input="/etc/passwd")
    for name in NAMES:
        host = name.format(port=ui.port)
        for method, path in (*(("POST", path) for path in CHANGES), *(("GET", path) for path in READS)):
            status, answer = asked(ui.port, method, path, {"Host": host, **OWN_PAGE, **FORM}, start)
            assert status in (400, 403), (host, method, path, answer)
            assert (b"templateArgs" in answer, KEY.encode() in answer) == (False, False)
    assert asked(ui.port, "POST", "/swarm", OWN_PAGE | FORM, start)[0] in (400, 403)
    unchanged(ui, away)
    for name in OWN:
        assert asked(ui.port, "GET", "/coldburst/live.json", {"Host": name.format(port=ui.port)})[0] == 200, name


def test_pages_of_other_origins_change_nothing(ui, away):
    host = f"127.0.0.1:{ui.port}"
    start = form(host=away.url, schedule="burst 2")
    others = (
        *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "CROSS-SITE", "anything", "")),
        *(
            {"Origin": origin}
            for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://[", "", f"http://{host}@evil.example")
        ),
        *({"Origin": "http://evil.example", "Sec-Fetch-Site": site} for site in ("same-origin", "none")),
    )
    for headers in others:
        for path in ("/swarm", "/stop", "/stats/reset", "/user"):
            assert asked(ui.port, "POST", path, {"Host": host, **headers, **FORM}, start)[0] == 403, (headers, path)
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json"):
        assert asked(ui.port, "POST", "/swarm", {"Host": host, "Origin": "http://evil.example", "Content-Type": kind}, start)[0] == 403
    unchanged(ui, away)


@pytest.mark.parametrize("target", ["transcription", "queue", "balancer"])
def test_the_key_goes_to_no_host_that_only_a_form_names(ui, away, target):
    name = away.url.removeprefix("http://")
    hosts = (
        away.url,
        f"http://127.0.0.1.nip.example:{ui.port}",
        "http://service.example:9001",
        "https://service.example:9000",
        "http://service.example",
        "https://api.runpod.ai.evil.example",
        "https://evilrunpod.ai",
        "http://localhost.evil.example",
        f"http://[::ffff:0.0.0.0]:{name.partition(':')[2]}",
        "http://2130706433",
    )
    below = {"queue": "/v2/x", "balancer": "/lb/x"}.get(target, "")
    for host in (f"{host}{below}" for host in hosts):
        answer = ui.post("/swarm", host=host, target=target, schedule="burst 2")
        assert (answer["success"], "is not sent to" in answer["message"], host in answer["message"]) == (False, True, True), answer
        assert KEY not in str(answer)
    for host in (f"http://127.0.0.1:1@{name}", f"http://x:y@{name}", "http://api.runpod.ai/v2/x", f"{away.url}#@127.0.0.1", "http://["):
        assert not ui.post("/swarm", host=host, target=target, schedule="burst 2")["success"], host
    unchanged(ui, away)


def test_a_form_names_no_file_outside(ui, away, secret, tmp_path):
    link = ROOT / f"{tmp_path.name}-link.json"
    link.symlink_to(secret)
    up = "../" * len(ROOT.parts)
    paths = (
        str(secret),
        str(secret.parent / "missing.json"),
        up + str(secret).lstrip("/"),
        f"samples/{up}{str(secret).lstrip('/')}",
        f"/proc/self/root{secret}",
        f"/proc/self/cwd/{up}{str(secret).lstrip('/')}",
        link.name,
        "/etc/passwd",
        "/proc/self/environ",
        "/",
        "..",
    )
    try:
        for option in ("input", "clips", "objectives", "runs"):
            for path in paths:
                answer = ui.post("/swarm", **{option: path, "schedule": "burst 2", "target": "queue", "host": ""})
                assert not answer["success"], (option, path)
                assert f"--{option} '{path}' is outside" in answer["message"], answer
                assert SECRET not in answer["message"].replace(path, "")
            assert not ui.post("/swarm", **{option: f"{secret}\0", "schedule": "burst 2"})["success"]
    finally:
        link.unlink()
    assert "opened a secret" not in ui.locust.output
    assert secret.parent.exists()
    unchanged(ui, away)


def test_a_form_sets_no_option_of_locust_that_it_does_not_show(ui, away, tmp_path):
    lost = {name: str(tmp_path / name) for name in ("html_file", "csv_prefix", "json_file", "logfile", "locustfile")}
    assert not ui.post("/swarm", schedule="burst quickly", **lost, web_allowed_hosts="evil.example")["success"]
    assert "'quickly'" in ui.locust.output
    assert asked(ui.port, "GET", "/", {"Host": "evil.example"})[0] == 403
    assert list(tmp_path.iterdir()) == []
    unchanged(ui, away)


@pytest.mark.slow
def test_the_same_holds_for_recorded_arrivals_and_for_sweeps(secret, tmp_path, away):
    for kind, body, options in (
        ("ReplayUser", "speed = 100", ("arrivals",)),
        ("ScalingUser", "workers = (1, 2)", ("compose_file",)),
    ):
        file = tmp_path / f"{kind.lower()}.py"
        file.write_text(LOCUSTFILE.format(kind=kind, body=body), encoding="utf-8")
        with WebUi(*PLAIN, file=file) as ui:
            for option in options:
                answer = ui.post("/swarm", **{option: str(secret)})
                assert (answer["success"], "is outside" in answer["message"]) == (False, True)
            if kind == "ScalingUser":
                answer = ui.post("/swarm", replica_args=f"--access-log {secret}")
                assert (answer["success"], "on the command line" in answer["message"]) == (False, True)
            assert "opened a secret" not in ui.locust.output
            unchanged(ui, away)


@pytest.mark.slow
def test_what_was_named_at_the_start_may_be_named_in_the_form(secret, tmp_path):
    """The controls of the tests above: the same address and the same file, given at the start, are used."""
    objectives = tmp_path / "objectives.toml"
    objectives.write_text('[[objective]]\nthat = "success >= 0%"\n', encoding="utf-8")
    with (
        foreign() as away,
        WebUi("--host", away.url, *PLAIN, "--objectives", str(objectives), "--input", str(secret), TRANSCRIPTION_API_KEY=KEY) as ui,
    ):
        assert ui.post("/swarm", host=f"{away.url}/below", input="", schedule="burst 1", deadline="2")["success"]
        assert KEY.encode() in away.take(DEADLINE_S)
        ui.locust.until(lambda run: ui.live()["run"]["finished"])
    with foreign() as away, WebUi(*PLAIN) as ui:
        assert ui.post("/swarm", host=away.url, schedule="burst 1", deadline="2")["success"]
        assert b"/v1/audio/transcriptions" in away.take(DEADLINE_S)


@pytest.mark.slow
def test_names_that_were_allowed_and_addresses_that_are_bound_are_answered():
    with WebUi(*PLAIN, "--web-allowed-hosts", "Load.example, master") as ui:
        for host in ("load.example", "load.example:443", "master:8089", f"127.0.0.1:{ui.port}"):
            assert asked(ui.port, "GET", "/", {"Host": host})[0] == 200
        assert asked(ui.port, "GET", "/", {"Host": "example"})[0] == 403
        proxied = {"Host": "127.0.0.1", "Origin": "https://load.example", **OWN_PAGE}
        assert asked(ui.port, "POST", "/stop", proxied)[0] == 200
        assert asked(ui.port, "POST", "/stop", {**proxied, "Sec-Fetch-Site": "cross-site"})[0] == 403


MASTER = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", "{}")


@pytest.mark.slow
@pytest.mark.parametrize("role", [(), MASTER])
def test_the_web_ui_listens_on_this_machine_alone_unless_told(role):
    with reserved() as port, locust(*PLAIN, "--web-port", "0", *(word.format(port) for word in role), headless=False) as run:
        run.until(lambda run: len(listening(run)) == 1 + len(role) // 5)
        assert {address.ip for address in listening(run)} == {"127.0.0.1"}


@pytest.mark.slow
def test_a_web_host_that_was_named_is_honoured():
    own = [one.address for found in psutil.net_if_addrs().values() for one in found if one.family == socket.AF_INET]
    with locust(*PLAIN, "--web-port", "0", "--web-host", "0.0.0.0", headless=False) as run:
        run.until(listening)
        ((ip, port),) = listening(run)
        assert ip == "0.0.0.0"
        for host in own:
            assert asked(port, "GET", "/", {"Host": f"{host}:{port}"})[0] == 200
        for host in ("evil.example", "203.0.113.7", "169.254.169.254", "0.0.0.0.evil.example"):
            assert asked(port, "GET", "/", {"Host": f"{host}:{port}"})[0] == 403
