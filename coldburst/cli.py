"""The command ``coldburst``: runs each verb in the module that implements it, imported only when needed."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from coldburst import __version__
from coldburst.installation import IMPORT_ROOT, analysis_module, beside, missing

STARTER, EXAMPLES = "burst", "examples"
REFUSED = 2


@dataclass(frozen=True, slots=True)
class Verb:
    """One line of --help, and a function from the words after the verb to an exit code."""

    what: str
    do: Callable[[Sequence[str]], int]


def main(words: Sequence[str] | None = None) -> int:
    """Runs one verb and returns its exit code; 2 with a sentence on stderr if it cannot be run."""
    given = list(sys.argv[1:] if words is None else words)
    name = "python -m coldburst" if Path(sys.argv[0]).name == "__main__.py" else "coldburst"
    # Only the first word: the others belong to the verb.
    verb = _parser(name).parse_args(given[:1] or ["--help"]).command
    if verb not in VERBS:
        return _refuse(f"'{verb}' is not a command{_meant(verb, VERBS)} {name} --help lists them")
    # The verb's own parser shows this name.
    sys.argv = [f"{name} {verb}", *given[1:]]
    return VERBS[verb].do(given[1:])


def _analysis(verb: str) -> Callable[[Sequence[str]], int]:
    def do(words: Sequence[str]) -> int:
        if sentence := missing("report"):
            return _refuse(sentence)
        return int(_of_analysis("__main__").main([verb, *words], prog=sys.argv[0].rpartition(" ")[0]))

    return do


def _of_analysis(name: str) -> Any:
    """A module of the analysis, under the one name that this process knows it by."""
    if str(IMPORT_ROOT) not in sys.path:
        sys.path.insert(0, str(IMPORT_ROOT))
    return import_module(f"{analysis_module()}.{name}")


def _service(module: str) -> Callable[[Sequence[str]], int]:
    def do(words: Sequence[str]) -> int:
        if sentence := missing("emulator"):
            return _refuse(sentence)
        return int(import_module(module).main(words))

    return do


def _plan(words: Sequence[str]) -> int:
    """The planner, with the analysis to draw its pictures and its page. To calibrate, requests are sent, so that is done elsewhere."""
    if words[:1] == ["calibrate"]:
        sys.argv = [f"{sys.argv[0]} calibrate", *words[1:]]
        import_module("gevent.monkey").patch_all()
        return int(import_module("coldburst.doctor.calibrate").main(words[1:]))

    def draw(plan: object, path: Path) -> None:
        if sentence := missing("report"):
            raise ValueError(sentence)
        if path.suffix == ".html":
            _of_analysis("report.plan_page").write(plan, path)
        else:
            _of_analysis("figures.plans").save(plan, path)

    return int(import_module("coldburst.planner.command").main(words, draw))


def _restore(words: Sequence[str]) -> int:
    # As under Locust: TLS sockets are gevent's only if this comes before the first import of ssl.
    import_module("gevent.monkey").patch_all()
    return int(import_module("coldburst.control.restore").main(words))


def _bill(words: Sequence[str]) -> int:
    import_module("gevent.monkey").patch_all()
    return int(import_module("coldburst.control.later_bill").main(words))


def _doctor(words: Sequence[str]) -> int:
    import_module("gevent.monkey").patch_all()
    return int(import_module("coldburst.doctor.command").main(words))


def _run(words: Sequence[str]) -> int:
    """Replaces this process with Locust; returns only if it refuses."""
    files = _locustfiles("") | _locustfiles(EXAMPLES)
    names = ", ".join(files)
    parser = argparse.ArgumentParser(
        prog=sys.argv[0],
        usage="%(prog)s LOCUSTFILE [--headless] [--host URL] [options]",
        epilog="%(prog)s LOCUSTFILE --help shows the main options of a locustfile, --help-all all of them, locust --help those of Locust.",
    )
    parser.add_argument("locustfile", metavar="LOCUSTFILE", help=f"one of {names}, or your own file, as in ./burst.py")
    asked = parser.parse_args(words[:1]).locustfile
    own = Path(asked)
    path = own if own.suffix == ".py" or len(own.parts) > 1 else files.get(asked)
    if path is None:
        return _refuse(f"'{asked}' is not a locustfile{_meant(asked, files)} Give one of {names}, or your own file, as in ./{asked}.py")
    if not path.exists():
        return _refuse(f"the file '{path}' does not exist: give one of {names}, or your own file")
    sys.stdout.flush()
    options = ["--help-coldburst" if word in ("-h", "--help") else word for word in words[1:]]
    os.execv(sys.executable, [sys.executable, "-m", "locust", "-f", str(path), *options])


def _init(words: Sequence[str]) -> int:
    """Writes a starter locustfile: the project's burst.py or an example, with commands for the current directory."""
    files = {STARTER: beside("locustfiles") / f"{STARTER}.py"} | _locustfiles(EXAMPLES)
    names = ", ".join(files)
    parser = argparse.ArgumentParser(prog=sys.argv[0], description="Writes a starter locustfile into the current directory.")
    parser.add_argument("name", metavar="NAME", nargs="?", default=STARTER, help=f"one of {names} (default {STARTER})")
    name = parser.parse_args(words).name
    if name not in files:
        return _refuse(f"'{name}' is not a starter{_meant(name, files)} Give one of {names}")
    own = Path(f"{name}.py")
    program = sys.argv[0].rpartition(" ")[0]
    text = files[name].read_text(encoding="utf-8").replace(f"locustfiles/{own}", str(own)).replace(f"run {name} ", f"run {own} ")
    try:
        with own.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return _refuse(f"{own} already exists and is not overwritten: rename it, or run in another directory")
    except OSError as error:
        return _refuse(f"cannot write {own}: {error.strerror or error}")
    host = "" if name == STARTER else " --host URL"
    print(f"wrote {own}; next: {program} run {own} --headless{host}")
    return 0


def _locustfiles(folder: str) -> dict[str, Path]:
    """The project's own locustfiles in a folder, by name."""
    return {path.stem: path for path in sorted((beside("locustfiles") / folder).glob("*.py"))}


VERBS: Mapping[str, Verb] = {
    "run": Verb("run a locustfile with Locust: one of this project's or your own", _run),
    "doctor": Verb("look at an endpoint before its first test: type, key, health, price, one request", _doctor),
    "init": Verb("write a starter locustfile, for bursts or a common worker, into the current directory", _init),
    "report": Verb("make the report of a run: ledger, verdict, times, figures", _analysis("report")),
    "compare": Verb("compare runs with a baseline, with confidence intervals", _analysis("compare")),
    "gate": Verb("check a run against its objectives in a CI job", _analysis("gate")),
    "scaling": Verb("compute scaling efficiency and P95 from CSV files of plain Locust", _analysis("scaling")),
    "merge": Verb("add rows that a lost generator kept on its disk", _analysis("merge")),
    "emulator": Verb("start RunPod's serverless platform on this machine", _service("coldburst.emulator.command")),
    "transcriber": Verb("start a transcription service on this machine", _service("coldburst.transcriber.command")),
    "video": Verb("start a service that makes talking videos on this machine", _service("coldburst.video.command")),
    "plan": Verb("predict, and find the cheapest setting that meets an objective; only calibrate sends requests", _plan),
    "bill": Verb("read what RunPod's billing API has for a run; its records come late", _bill),
    "restore": Verb("restore an endpoint's settings after a run that was killed", _restore),
}


def _parser(name: str) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {verb:12} {one.what}" for verb, one in VERBS.items())
    parser = argparse.ArgumentParser(
        prog=name,
        usage="%(prog)s COMMAND ...",
        description="Load tests for serverless GPU endpoints and transcription services, on Locust.",
        epilog=f"""\
commands ({name} COMMAND --help shows the options of one):
{lines}

examples:
  {name} run burst --headless
  {name} run burst --headless --host https://api.runpod.ai/v2/ENDPOINT_ID
  {name} report runs/20261121-091502-burst""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"coldburst {__version__}")
    return parser


def _meant(word: str, names: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, names, n=1)
    return f": did you mean '{close[0]}'?" if close else "."


def _refuse(sentence: str) -> int:
    print(f"coldburst: {sentence}", file=sys.stderr)
    return REFUSED
