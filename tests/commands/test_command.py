"""The command ``coldburst``: what it hands over to whom, what it refuses, and what it does not import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coldburst import cli, installation
from coldburst.control.desired_state import ControlError
from coldburst.control.replicas import ReplicaControl
from coldburst.record import provenance
from tests.support.kept import RUNS
from tests.support.locusts import REPORTED, ROOT, locust

KEPT = next(path for path in sorted(RUNS.iterdir()) if (path / "attempts.csv").exists())
AS_MODULE = (sys.executable, "-m", "coldburst")
# Stands for an installation without a package: nothing finds it.
WITHOUT = "import sys; sys.modules[sys.argv.pop(1)] = None; from coldburst.cli import main; sys.exit(main())"


# Their modules change the process that imports them.
SERVICES = ("emulator", "transcriber", "restore", "doctor", "bill")


def coldburst(*words, program=AS_MODULE, cwd=ROOT):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([*program, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_help_names_every_command_and_imports_none_of_them():
    script = "import sys; from coldburst.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = coldburst(program=(sys.executable, "-c", script))
    text, _, modules = done.stdout.rstrip().rpartition("\n")
    assert not {"locust", "gevent", "pandas", "numpy", "coldburst.session"} & set(modules.split())
    for verb, one in cli.VERBS.items():
        assert f"  {verb:12} {one.what}\n" in text
    assert text.startswith("usage: coldburst COMMAND ...\n")
    assert text.count("\n  coldburst ") == 3


def test_without_a_command_it_shows_its_help():
    done = coldburst()
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "usage: python -m coldburst COMMAND ...")


def test_the_version():
    assert coldburst("--version").stdout == f"coldburst {provenance.versions()['coldburst']}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["raport"], "'raport' is not a command: did you mean 'report'? python -m coldburst --help lists them"),
        (["xyz"], "'xyz' is not a command. python -m coldburst --help lists them"),
        (["run", "bursts"], "'bursts' is not a locustfile: did you mean 'burst'? Give one of burst, calibrate, coldstart, "),
        (["run", "mine.py"], "the file 'mine.py' does not exist: give one of burst, calibrate, coldstart, "),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(words, said):
    done = coldburst(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"coldburst: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb not in SERVICES])
def test_every_command_has_help_under_its_own_name(verb, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["coldburst/__main__.py"])
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m coldburst {verb} ")


@pytest.mark.slow
@pytest.mark.parametrize("verb", SERVICES)
def test_a_command_with_a_process_of_its_own_has_help_under_its_own_name(verb):
    done = coldburst(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m coldburst {verb} ")
    assert f"python -m coldburst.{verb}" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("module", ["emulator", "transcriber"])
def test_a_service_started_as_a_module_is_called_like_one(module):
    done = coldburst("--help", program=(sys.executable, "-m", f"coldburst.{module}"))
    assert done.stdout.startswith(f"usage: python -m coldburst.{module} ")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (["burst", "--headless", "--host", "http://x"], str(ROOT / "locustfiles" / "burst.py")),
        (["burst.py", "--processes", "2"], "burst.py"),
        (["own/mine.py"], "own/mine.py"),
    ],
)
def test_run_hands_over_to_locust(monkeypatch, tmp_path, given, path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["coldburst"])
    for own in ("burst.py", "own/mine.py"):
        (tmp_path / own).parent.mkdir(exist_ok=True)
        (tmp_path / own).touch()
    called = []
    monkeypatch.setattr(os, "execv", lambda program, words: called.append((program, words)))
    cli.main(["run", *given])
    assert called == [(sys.executable, [sys.executable, "-m", "locust", "-f", path, *given[1:]])]


@pytest.mark.slow
def test_analysis_exits_as_it_does_by_itself(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["coldburst"])
    assert cli.main(["report", str(KEPT), "--figures", "no", "--quiet", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "index.html").is_file()
    assert cli.main(["report", str(tmp_path)]) == 2


@pytest.mark.slow
def test_init_writes_a_locustfile_and_never_over_one(tmp_path):
    done = coldburst("init", cwd=tmp_path)
    assert done.stdout == "wrote burst.py; next: python -m coldburst run burst.py --headless\n"
    written = (tmp_path / "burst.py").read_text(encoding="utf-8")
    assert "locust -f burst.py --headless" in written
    assert "locustfiles/" not in written
    (tmp_path / "burst.py").write_text("mine", encoding="utf-8")
    again = coldburst("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "burst.py already exists and is not overwritten" in again.stderr
    assert (tmp_path / "burst.py").read_text(encoding="utf-8") == "mine"


@pytest.mark.slow
def test_init_writes_the_example_of_a_worker(tmp_path):
    done = coldburst("init", "sdxl", cwd=tmp_path)
    assert done.stdout == "wrote sdxl.py; next: python -m coldburst run sdxl.py --headless --host URL\n"
    written = (tmp_path / "sdxl.py").read_text(encoding="utf-8")
    assert "    coldburst run sdxl.py --headless --host https://api.runpod.ai/v2/ENDPOINT_ID" in written
    assert written.count("class Sdxl(ArrivalUser):") == 1
    refused = coldburst("init", "sdx", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("coldburst: 'sdx' is not a starter: did you mean 'sdxl'? Give one of burst, comfyui, ")


@pytest.mark.parametrize(
    ("module", "verb", "extra"),
    [
        ("pandas", "report", "report"),
        ("matplotlib", "gate", "report"),
        ("runpod", "emulator", "emulator"),
        ("fastapi", "transcriber", "emulator"),
    ],
)
def test_without_an_extra_one_sentence_names_it(module, verb, extra):
    done = coldburst(module, verb, "x", program=(sys.executable, "-c", WITHOUT))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"needs packages that are not installed ({module}): pip install 'coldburst[{extra}]'\n")
    assert done.stderr.count("\n") == 1


def test_replicas_are_not_started_without_their_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "runpod", None)
    with pytest.raises(ControlError, match=r"pip install 'coldburst\[emulator\]'"):
        ReplicaControl()


@pytest.mark.slow
def test_the_embedded_endpoint_is_not_started_without_its_extra(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['runpod'] = None\n", encoding="utf-8")
    with locust(PYTHONPATH=str(tmp_path)) as run:
        assert run.wait() == 2
        assert "(runpod): pip install 'coldburst[emulator]'; or name an endpoint with --host" in run.output


@pytest.mark.slow
def test_a_run_without_the_extra_for_its_report_keeps_its_rows_and_says_what_to_do(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pandas'] = None\n", encoding="utf-8")
    with locust("--host", "http://127.0.0.1:9", "--schedule", "burst 3", PYTHONPATH=str(tmp_path), **REPORTED) as run:
        assert run.wait() == 1
        said = "No report: a report needs packages that are not installed (pandas): pip install 'coldburst[report]'; then run: coldburst"
        assert said in run.output
        assert "Traceback" not in run.output
        assert str(run.ledger) == "3 planned = 3 unreachable"
        assert not (run.folder / "report").exists()


def test_the_samples_of_the_project_stand_in_where_the_directory_has_none(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert installation.own_or_given("samples") == ROOT / "samples"
    assert installation.own_or_given("samples/arrivals.csv") == ROOT / "samples" / "arrivals.csv"
    assert installation.own_or_given("clips") == Path("clips")
    assert installation.own_or_given("/samples") == Path("/samples")
    (tmp_path / "samples").mkdir()
    assert installation.own_or_given("samples") == Path("samples")


def test_processes_of_ours_find_this_package_first_and_what_was_there_after_it(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert provenance.environment()["PYTHONPATH"] == f"{ROOT}{os.pathsep}/elsewhere"
    monkeypatch.delenv("PYTHONPATH")
    assert provenance.environment()["PYTHONPATH"] == str(ROOT)


def test_a_commit_is_told_of_a_clone_alone(monkeypatch, tmp_path):
    assert len(provenance.commit()["commit"]) == 40
    monkeypatch.setattr(installation, "IMPORT_ROOT", tmp_path)
    assert provenance.commit() == {"commit": None, "dirty": None}


@pytest.mark.slow
def test_a_process_has_the_analysis_under_one_name(tmp_path):
    """Twice in one process it would have its classes twice."""
    script = (
        "import sys; from coldburst.cli import main; main(); print(sum(one in sys.modules for one in ('analysis', 'coldburst.analysis')))"
    )
    report = ("report", str(KEPT), "--figures", "no", "--quiet", "--out", str(tmp_path))
    done = coldburst(*report, program=(sys.executable, "-c", script))
    assert done.stdout.splitlines()[-1] == "1", done.stderr
