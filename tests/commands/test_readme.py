"""The README and the reference pages are true: their commands run, their tables are the program's own."""

import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import psutil
import pytest

from coldburst import cli
from coldburst.record.attempt import COLUMNS, OUTCOMES
from coldburst.serverless.platform_parameters import Platform
from tests.support.emulators import emulator
from tests.support.locusts import REPORTED, ROOT, locust
from tests.support.needs import found, needs
from tests.support.transcribers import silence, transcriber
from tests.support.web import WebUi

README = (ROOT / "README.md").read_text(encoding="utf-8")
SWEEPS = (ROOT / "docs" / "guides" / "sweeps.md").read_text(encoding="utf-8")
RESULTS = (ROOT / "docs" / "reference" / "results.md").read_text(encoding="utf-8")
EMULATOR = (ROOT / "docs" / "reference" / "emulator.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README + SWEEPS, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(part, comments=True) for block in BLOCKS for line in block.splitlines() for part in line.split("&&")]
INSTALLS = [command for command in COMMANDS if command[0] in ("pip", "pytest") and command[-1] != ".[all]"]
PACKAGE = [command for command in COMMANDS if command[0] == "pip" and command[-1] == ".[all]"]
HEADLESS = [command for command in COMMANDS if command[0] == "locust" and "--headless" in command]
WEB = [command for command in COMMANDS if command[0] == "locust" and len(command) == 3]
HELP = [command for command in COMMANDS if command[-1].startswith("--help")]
COMMAND = [command for command in COMMANDS if command[0] == "coldburst" and command not in HELP]
REPORTS = [command for command in COMMANDS if command[:3] == ["python", "-m", "analysis"]]
SERVICES = [command for command in COMMANDS if command[:4] == ["python", "-m", "coldburst", "transcriber"] and command not in HELP]
EMULATORS = [command for command in COMMANDS if command[:4] == ["python", "-m", "coldburst", "emulator"] and command not in HELP]
REPLICAS = [command for command in HEADLESS if "transcription" in command and "--host" not in command]
OWN = "http://127.0.0.1:8083"
EMULATED = {"http://127.0.0.1:8090/v2/demo": ("/v2/demo", "queue"), "http://127.0.0.1:8091/lb/balanced": ("/lb/balanced", "balancer")}


def name(command):
    return " ".join(command)


def marked(command):
    """The command as a parameter; skipped where it would start replicas and there is no nginx to stand before them."""
    return pytest.param(command, id=name(command), marks=[needs("nginx")] if command in REPLICAS else [])


def rows(head, text=README):
    """The cells of the table in ``text`` that begins with ``head``."""
    lines = text.partition(head)[2].partition("\n\n")[0].strip().splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_two_commands_stand_first_and_every_command_is_of_a_kind_that_is_tested():
    first = README.partition("```sh\n")[2].splitlines()[:2]
    assert first[0].startswith("pip install -r requirements.txt && locust -f locustfiles/burst.py --headless")
    assert first[1].startswith("pip install -r requirements-dev.txt && pytest")
    kinds = (INSTALLS, PACKAGE, COMMAND, HEADLESS, WEB, HELP, REPORTS, SERVICES, EMULATORS)
    assert all(kinds)
    assert sorted(map(name, COMMANDS)) == sorted(name(command) for kind in kinds for command in kind)


def test_the_installs_are_what_ci_does():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line.split(" #")[0].strip().removeprefix("alone ") for line in script.splitlines()]
    places = [
        next(i for i, line in enumerate(lines) if line.startswith(name(command))) for command in (*INSTALLS[:1], HEADLESS[0], *INSTALLS[1:])
    ]
    assert places == sorted(places)  # the two lines of the README, in their order


def test_the_package_is_what_ci_installs_and_its_commands_follow_each_other(tmp_path, monkeypatch, capsys):
    assert PACKAGE == [["pip", "install", ".[all]"]]
    assert "-*.whl)[all]" in (ROOT / ".ci" / "installed").read_text(encoding="utf-8")
    first, second = COMMAND
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", first)
    assert cli.main() == 0
    assert capsys.readouterr().out.endswith(f"next: {' '.join(second)}\n")


def test_the_tables_are_the_programs_own():
    columns = rows("| column | kind | unit | meaning | source |\n", RESULTS)
    assert columns == [[f"`{c.name}`", c.kind.__name__, c.unit, c.meaning, c.source] for c in COLUMNS]
    assert rows("| outcome | meaning |\n", RESULTS) == [[f"`{outcome}`", meaning] for outcome, meaning in OUTCOMES.items()]


def test_every_locustfile_is_there():
    files = {f"`locustfiles/{path.name}`" for path in (ROOT / "locustfiles").glob("*.py")}
    assert {row[0] for row in rows("| locustfile | question |\n")} == files


def test_every_address_is_one_that_a_command_serves():
    served = {f"http://127.0.0.1:{port_of(command)}{below_of(command)}" for command in (*EMULATORS, *SERVICES)}
    hosts = {command[command.index("--host") + 1] for command in HEADLESS if "--host" in command}
    assert hosts == {OWN, *EMULATED} and hosts <= served


def port_of(command):
    return command[command.index("--port") + 1]


def below_of(command):
    """Where a service of the README has its endpoint."""
    if command[3] != "emulator":
        return ""
    name = command[command.index("--endpoint") + 1] if "--endpoint" in command else "demo"
    return f"/lb/{name}" if "balancer" in command else f"/v2/{name}"


def test_every_link_leads_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            place = target.partition("#")[0]
            assert target.startswith("https://") or not place or (page.parent / place).exists(), f"{page.name}: {target}"


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.slow
@pytest.mark.parametrize("command", HELP, ids=name)
def test_help(command):
    program = [sys.executable, *command[1:]] if command[0] == "python" else [sys.executable, "-m", *command]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.startswith("usage: ")


@pytest.mark.slow
def test_the_main_command_from_start_to_report():
    """With fewer requests than by itself: CI runs it whole."""
    with locust(*HEADLESS[0][4:], "--schedule", "burst 6", "--figures", "yes", **REPORTED) as run:
        assert HEADLESS[0] == ["locust", "-f", "locustfiles/burst.py", "--headless"]
        run.until(lambda run: "The embedded endpoint is ready" in run.output)
        run.until(lambda run: "  ok " in run.output)
        services = psutil.Process(run.process.pid).children(recursive=True)
        commands = [" ".join(service.cmdline()) for service in services]
        assert any("coldburst.emulator" in command for command in commands)
        assert any("coldburst.emulator.workers.sdk_worker" in command for command in commands)
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "6 planned = 6 ok"
        assert psutil.wait_procs(services, timeout=300)[1] == []
        assert re.search(r"^ +\d+\.\d s  burst  sent \d+ of 6  in flight \d+  ", run.output, re.MULTILINE)
        assert re.search("^verdict: (valid|degraded|invalid)$", run.output, re.MULTILINE)  # which of them is this machine's doing
        assert {path.suffix for path in (run.folder / "report" / "figures").iterdir()} == {".svg", ".png", ".csv"}
        workers = {row.worker_id for row in run.rows}
        assert {event["worker_id"] for event in run.table("events.csv") if event["kind"] == "worker_ready"} >= workers
        assert all(row.job_id and row.queue_s is not None and row.execution_s is not None for row in run.rows)
        assert {row["view"] for row in run.table("endpoint.csv")} == {"health", "workers"}
        assert all(row.wer is not None and row.wer <= 0.5 for row in run.rows)
        assert len({row.audio_s for row in run.rows}) == len(list((ROOT / "samples").glob("*.wav")))


@pytest.mark.slow
def test_the_embedded_endpoint_does_not_outlive_a_killed_run():
    with locust() as run:
        run.until(lambda run: "The embedded endpoint is ready" in run.output)
        services = psutil.Process(run.process.pid).children(recursive=True)
        assert services
        run.process.kill()
        _, alive = psutil.wait_procs(services, timeout=300)
        assert alive == []


def headless(command, clip):
    """Runs a command of the README, with what it aims at on a port of its own, and a clip of nothing: the main command's are recognised."""
    with ExitStack() as stack:
        if OWN in command:
            quick = ("--engine", "fixed", "--service-time", "0.5")
            service = stack.enter_context(transcriber(*quick, "--max-concurrent", "2", "--queue", "1000"))
            command = [service.url if word == OWN else word for word in command]
        for place in EMULATED.keys() & set(command):
            below, kind = EMULATED[place]
            warm = ("--endpoint", below.rpartition("/")[2], "--kind", kind, "--workers-min", "2", "--ready")
            platform = stack.enter_context(emulator(*warm, *(("--scaler-value", "4") if kind == "balancer" else ())))
            command = [platform.url + below if word == place else word for word in command]
        quiet = ("--clips", str(clip), "--max-wer", "off")
        run = stack.enter_context(locust(*command[4:], *quiet, file=command[2], **REPORTED))
        assert command[3] == "--headless"
        assert run.wait() == 0, run.output
        assert run.ledger.balanced
        assert (run.folder / "report" / "index.html").is_file()


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """What became of each of the README's runs, three at a time: nothing is asked of their times."""
    clip = tmp_path_factory.mktemp("clips") / "quiet.wav"
    clip.write_bytes(silence(0.2))
    with ThreadPoolExecutor(3) as pool:
        yield {name(command): pool.submit(headless, command, clip) for command in HEADLESS[1:] if command not in REPLICAS or found("nginx")}


@pytest.mark.slow
@pytest.mark.parametrize("command", [marked(command) for command in HEADLESS[1:]])
def test_headless_runs(command, ended):
    ended[name(command)].result()


@pytest.mark.slow
@pytest.mark.parametrize("command", WEB, ids=name)
def test_the_web_ui_comes_up_and_goes(command):
    assert command == ["locust", "-f", "locustfiles/burst.py"]
    with WebUi() as ui:
        assert b"Locust" in ui.get("/")
        ui.locust.interrupt(signal.SIGINT)
        assert ui.locust.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", REPORTS, ids=name)
def test_reports(command, tmp_path):
    words = [str(tmp_path / "out") if word.startswith("/tmp/") else word for word in command[1:]]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert Path(done.stdout.splitlines()[-1].partition(": ")[2]).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("command", SERVICES, ids=name)
def test_services(command):
    words = list(command[4:])
    if "--port" in words:
        words[words.index("--port") + 1] = "0"
    if "-" in words:
        words[words.index("-")] = "/dev/null"
    with transcriber(*words) as service:
        assert service.health()[1]["status"] == "healthy"


@pytest.mark.slow
@pytest.mark.parametrize("command", EMULATORS, ids=name)
def test_emulators(command):
    words = list(command[4:])
    words[words.index("--port") + 1] = "0"
    with emulator(*words) as platform:
        assert platform.ask(f"/v2/{below_of(command).rpartition('/')[2]}/health").json()["jobs"]["inQueue"] == 0


def test_the_parameters_are_the_programs_own():
    known = {}
    for one in fields(Platform):
        if "known" in one.metadata:
            known.setdefault(one.metadata["known"], []).append(f"`{one.name}`")
    assert {row[0]: row[1] for row in rows("| known | parameters |\n", EMULATOR)} == {how: ", ".join(names) for how, names in known.items()}


def test_the_traces_of_parameters_are_the_programs_own():
    traced = [(f"`{one.name}`", one.metadata["source"]) for one in fields(Platform) if one.metadata["known"] in ("measured", "inferred")]
    assert [(row[0], row[-1]) for row in rows("| parameter | default | trace |\n", EMULATOR)] == traced
