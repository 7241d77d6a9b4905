"""``coldburst plan``: predictions and recommendations, computed on this machine; nothing is sent."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from coldburst.installation import program
from coldburst.planner import answers, arguments, plan_file, run_directory
from coldburst.planner.arguments import PlanError, Question
from coldburst.planner.model.fit import FitError
from coldburst.planner.predict import PredictionError, predict, predict_all
from coldburst.planner.processes import processes
from coldburst.planner.questions import IDLED, SEARCHED, fixed_workers, idle_axes, over_rates, recommended_axes, whatif_rates
from coldburst.planner.search import Rated, grid, rate, read_objectives, recommend
from coldburst.record.objectives import ObjectiveError
from coldburst.record.prices import PriceError
from coldburst.record.run_json import RunJsonError
from coldburst.schedule.stages import ScheduleError
from coldburst.serverless.errors import PolicyError
from coldburst.serverless.platform_settings import parameter_rows
from coldburst.service.process import CommandParser, number

PROGRAM = "python -m coldburst.planner"
DESCRIPTION = """\
Predicts what an endpoint does under a load, and finds the settings that meet an objective, by the platform's model in virtual time.
Nothing is sent and nothing is billed, except by calibrate. What is known of the endpoint comes from one of its runs (--from), or from
the options."""
EXAMPLES = """examples:
  {0} calibrate https://api.runpod.ai/v2/ENDPOINT_ID --price 4090
      about ten requests of the endpoint that the others can start from, and what they would cost; --yes sends them
  {0} predict --from runs/20261121-091502-burst --schedule 'steady 10m 0.5/s poisson'
      what this endpoint would do under another load
  {0} recommend --from runs/20261121-091502-burst --schedule 'burst 30' --objective 'p95<60s, queue_timeouts<0.5%' --price 4090
      the cheapest setting that meets the objectives
  {0} sweep --service-time lognormal:5:0.2 --load 35 --workers-max 1..8 --idle-timeout 5,60 --schedule 'steady 10m 0.5/s poisson'
      every combination, with P95, rejected requests and cost
  {0} whatif --from RUN --rate 0.2..2
      how much traffic the present setting carries, and where it breaks
  {0} workers --from RUN --rate 3 --objective 'p95<10s'
      how many workers that are always on this rate needs
  {0} idle --from RUN --rate 0.02
      idle time-outs and a minimum of workers against the gaps in the traffic"""
PICTURE = ("sweep", "recommend", "whatif", "idle")
# As of a shell whose command Ctrl-C ended.
INTERRUPTED = 130
ERRORS = (PlanError, FitError, PredictionError, ObjectiveError, PriceError, RunJsonError, ScheduleError, PolicyError)


def main(words: Sequence[str] | None = None, draw: Callable[[Any, Path], object] | None = None) -> int:
    """Answers one question; 2 or, after Ctrl-C, 130, with one sentence on stderr, where it is not. ``draw`` makes an answer's picture."""
    asked = _parser().parse_args(list(sys.argv[1:] if words is None else words))
    if "help" in asked.platform:
        print("\n".join(parameter_rows()))
        return 0
    try:
        text, data = asked.answer(asked)
        if asked.json:
            asked.json.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        if picture := getattr(asked, "picture", None):
            _draw(draw, data, picture)
    except ERRORS as error:
        print(f"{program(PROGRAM)} {asked.verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program(PROGRAM)} {asked.verb}: interrupted; nothing was answered", file=sys.stderr)
        return INTERRUPTED
    except BrokenProcessPool:
        said = "a process that simulated was killed, perhaps for lack of memory: ask for fewer requests or settings at a time"
        print(f"{program(PROGRAM)} {asked.verb}: {said}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{program(PROGRAM)} {asked.verb}: {error.filename or 'the answer'}: {error.strerror}", file=sys.stderr)
        return 2
    print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    name = program(PROGRAM)
    parser = CommandParser(
        prog=name,
        description=DESCRIPTION,
        epilog=EXAMPLES.format(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="QUESTION")
    # Done by coldburst.doctor.calibrate, before this parser is reached; here for its line of help.
    elsewhere = verbs.add_parser("calibrate", help="send about ten requests, from which the others predict (--from)", add_help=False)
    elsewhere.set_defaults(answer=_calibrate, json=None, platform=())
    elsewhere.add_argument("words", nargs="*")
    for verb, (what, answer, shape) in VERBS.items():
        one = verbs.add_parser(verb, help=what, description=what[0].upper() + what[1:] + ".", allow_abbrev=False)
        one.set_defaults(answer=answer)
        shape(one)
        one.add_argument("--json", type=Path, metavar="FILE", help="write the answer as JSON too")
        if verb in PICTURE:
            one.add_argument("--picture", type=Path, metavar="FILE", help="draw the answer, as plan.svg, plan.png or plan.html")
    return parser


def _draw(draw: Callable[[Any, Path], object] | None, data: Any, path: Path) -> None:
    if draw is None:
        raise PlanError("--picture needs the whole program: use coldburst plan instead of python -m coldburst.planner")
    try:
        draw(data, path)
    except ValueError as error:
        raise PlanError(f"--picture {path}: {error}") from None


def _shape_predict(parser: argparse.ArgumentParser) -> None:
    arguments.add(parser)
    parser.add_argument("--runs", type=Path, metavar="DIR", help="write one simulated run below DIR, for report, compare and gate")


def _shape_sweep(parser: argparse.ArgumentParser) -> None:
    arguments.add(parser, many=True)
    parser.add_argument("--objective", default="", metavar="TEXT", help="objectives to mark, as in 'p95<60s, success>99%%'")


def _shape_recommend(parser: argparse.ArgumentParser) -> None:
    arguments.add(parser, many=True, tried=SEARCHED)
    parser.add_argument("--objective", required=True, metavar="TEXT", help="as in 'p95<60s, queue_timeouts<0.5%%'")


def _shape_whatif(parser: argparse.ArgumentParser) -> None:
    arguments.add(parser, traffic=False)
    parser.add_argument("--rate", required=True, metavar="LOW..HIGH", help="requests per second, as in 0.2..2")
    _shape_minutes(parser)


def _shape_workers(parser: argparse.ArgumentParser) -> None:
    arguments.add(parser, traffic=False)
    parser.add_argument("--rate", required=True, type=number(1e-6), metavar="N", help="requests per second, as in 3")
    parser.add_argument("--objective", default="p95<10s", metavar="TEXT", help="as in 'p95<10s' (default)")
    _shape_minutes(parser)


def _shape_idle(parser: argparse.ArgumentParser) -> None:
    arguments.add(parser, many=True, traffic=False, tried=IDLED)
    parser.add_argument("--rate", required=True, type=number(1e-6), metavar="N", help="requests per second, as in 0.02")
    parser.add_argument("--minutes", type=number(0.1), default=240.0, metavar="N", help="minutes of traffic to simulate (default: 240)")


def _shape_minutes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=number(0.1), default=20.0, metavar="N", help="minutes of traffic to simulate (default: 20)")


def _calibrate(_asked: argparse.Namespace) -> tuple[str, Any]:
    raise PlanError("it needs the whole program: use coldburst plan calibrate instead of python -m coldburst.planner")


def _predict(asked: argparse.Namespace) -> tuple[str, Any]:
    question = arguments.question(asked)
    with processes(asked.seeds) as pool:
        prediction = predict(question.scenario, question.stages, seeds=asked.seeds, pool=pool)
    text = answers.predicted(question, prediction)
    if asked.runs:
        folder = run_directory.write(asked.runs, question.scenario, question.stages, seed=1)
        plan_file.write(folder, prediction)
        text += f"\nOne of these runs is in {folder}: coldburst report {folder}; against a real run: coldburst compare {folder} RUN"
    return text, answers.as_data(prediction)


def _axes(asked: argparse.Namespace) -> dict[str, Sequence[float]]:
    """The settings that were given more than one value, or one."""
    names = ("workers_min", "workers_max", "concurrency", "idle_timeout_s", "scaler_value")
    return {name: values for name in names if (values := getattr(asked, name)) is not None}


def _question(asked: argparse.Namespace, axes: Mapping[str, Sequence[float]]) -> Question:
    """The question with the first value of each axis, and the largest maximum, so that the present setting is a valid one."""
    first = {name: values[-1] if name == "workers_max" else values[0] for name, values in axes.items()}
    missing = dict.fromkeys(("workers_min", "workers_max", "concurrency", "idle_timeout_s", "scaler_value"))
    return arguments.question(asked, missing | first)


def _sweep(asked: argparse.Namespace) -> tuple[str, Any]:
    axes = _axes(asked)
    if not axes:
        raise PlanError("which settings? Give several values, as in --workers-max 1..8 or --idle-timeout 5,60")
    question = _question(asked, axes)
    objectives = read_objectives(asked.objective)
    settings = grid(question.scenario, axes)
    with processes(len(settings) * asked.seeds) as pool:
        found = predict_all(settings, question.stages, seeds=asked.seeds, pool=pool)
    rated = [rate(one, objectives) for one in found]
    return answers.swept(question, rated, tuple(axes), objectives), [answers.as_data(one.prediction) | {"met": one.met} for one in rated]


def _recommend(asked: argparse.Namespace) -> tuple[str, Any]:
    objectives = read_objectives(asked.objective)
    given = _axes(asked)
    question = _question(asked, given)
    axes = recommended_axes(question, given)
    with processes(1000) as pool:
        found = recommend(question.scenario, question.stages, objectives, axes, seeds=asked.seeds, pool=pool, progress=_progress)
    data = {
        "best": _rated(found.best) if found.best else None,
        "verified": list(map(_rated, found.verified)),
        "neighbours": list(map(_rated, found.neighbours)),
        "tried": found.tried,
        "limit": found.limit,
    }
    return answers.recommended(question, found, objectives), data


def _whatif(asked: argparse.Namespace) -> tuple[str, Any]:
    rates = whatif_rates(asked.rate)
    asked.schedule, asked.arrivals, asked.times, asked.speed = "steady 1s 1/s", None, 1.0, 1.0
    question = arguments.question(asked)
    with processes(len(rates) * asked.seeds) as pool:
        found = over_rates(question.scenario, rates, asked.minutes, asked.seeds, pool)
    return answers.rates(question, found), [{"rate_per_s": one_rate, **answers.as_data(one)} for one_rate, one in found]


def _workers(asked: argparse.Namespace) -> tuple[str, Any]:
    asked.schedule, asked.arrivals, asked.times, asked.speed = f"steady {asked.minutes:g}m {asked.rate:g}/s poisson free", None, 1.0, 1.0
    question = arguments.question(asked)
    objectives = read_objectives(asked.objective)
    with processes(1000) as pool:
        found = fixed_workers(question, asked.rate, objectives, asked.seeds, pool)
    return answers.workers(question, asked.rate, found, objectives), list(map(_rated, found))


def _idle(asked: argparse.Namespace) -> tuple[str, Any]:
    asked.schedule, asked.arrivals, asked.times, asked.speed = f"steady {asked.minutes:g}m {asked.rate:g}/s poisson free", None, 1.0, 1.0
    given = _axes(asked)
    question = _question(asked, given)
    settings = grid(question.scenario, idle_axes(given))
    with processes(len(settings) * asked.seeds) as pool:
        found = predict_all(settings, question.stages, seeds=asked.seeds, pool=pool)
    return answers.idle(question, asked.rate, found), [answers.as_data(one) for one in found]


def _rated(one: Rated) -> dict[str, Any]:
    return answers.as_data(one.prediction) | {"met": one.met}


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


VERBS: Mapping[str, tuple[str, Callable[[argparse.Namespace], tuple[str, Any]], Callable[[argparse.ArgumentParser], None]]] = {
    "predict": ("what one setting does under a load", _predict, _shape_predict),
    "sweep": ("compare settings: every combination of the values given", _sweep, _shape_sweep),
    "recommend": ("the cheapest setting that meets the objectives", _recommend, _shape_recommend),
    "whatif": ("how much traffic a setting carries, and where it breaks", _whatif, _shape_whatif),
    "workers": ("how many workers that are always on a rate needs", _workers, _shape_workers),
    "idle": ("idle time-outs and a minimum of workers against the gaps in the traffic", _idle, _shape_idle),
}
