"""Locust meets the schedule: the user class, the shape and the listeners of a locustfile.

A locustfile calls ``ask`` once and subclasses ``ArrivalUser`` and ``ScheduleShape``. Each process
has one user, which runs the whole schedule: load is arrivals, not users. The shape ends the run
when the schedule has ended, in the same way headless and in the web UI.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn, cast

import gevent
from flask import jsonify, request
from gevent.event import Event
from locust import LoadTestShape, User, events, runners, task
from locust.exception import StopUser

from coldburst.distributed.generator import Generator
from coldburst.distributed.generators import GeneratorRegistry
from coldburst.live import prometheus
from coldburst.live.run_monitor import RunMonitors
from coldburst.live.web import routes
from coldburst.load import events as run_events
from coldburst.load import run_options
from coldburst.option import OptionError
from coldburst.session import NOTHING_SENT, Session, TestSpec

logger = logging.getLogger("coldburst")
_asked: list[str] = []


class ArrivalUser(User):
    """Runs the schedule of its process. Subclasses need nothing but a name and a docstring."""

    abstract = True
    fixed_count = 1
    host = run_options.EMBEDDED

    @task
    def drive(self) -> None:
        """Sends the run's requests; ends with the last answer."""
        question: Session = cast("Any", self.environment).coldburst
        if question.current and question.generator is None:
            question.current.drive()
        elif question.generator:
            Event().wait()  # the load does not depend on Locust's users: they only stand for the generators
        raise StopUser


class ScheduleShape(LoadTestShape):
    """One user until the schedule has ended, or Locust's ``--run-time`` is over; then none."""

    abstract = True
    use_common_options = True  # or Locust says that it ignores --run-time

    def tick(self) -> tuple[int, float] | None:
        """(users, users per second) as Locust asks for it each second; None ends the run."""
        environment = cast("Any", self.runner).environment
        question: Session = environment.coldburst
        limit_s = environment.parsed_options.run_time
        if limit_s and question.elapsed_s >= limit_s:
            question.time_is_up()
            return None
        return None if question.over else (1, 1.0)


def ask(name: str, *, schedule: str, max_in_flight: int, **more: Any) -> None:
    """Makes Locust ask this question: its options, its listeners. Called once, by the locustfile.

    Args:
        name, schedule, max_in_flight, more: see ``coldburst.session.TestSpec``.

    Raises:
        SystemExit: a second locustfile in the same Locust.
    """
    if _asked:
        _refuse(f"two questions in one Locust, '{_asked[0]}' and '{name}': give one locustfile, as in -f locustfiles/burst.py")
    _asked.append(name)
    on: Any = events
    asked = TestSpec(name, schedule, max_in_flight, **more)
    on.init_command_line_parser.add_listener(_adder(asked))
    on.init.add_listener(_starter(asked))


def _adder(asked: TestSpec) -> Callable[..., None]:
    def add_options(parser: Any, **_: Any) -> None:
        run_options.add(parser, asked.name, asked.schedule, asked.max_in_flight, asked.more)
        parser.set_defaults(only_summary=True)  # this suite's own progress lines instead of Locust's table every two seconds

    return add_options


def _starter(asked: TestSpec) -> Callable[..., None]:
    def start(environment: Any, runner: Any, web_ui: Any, **_: Any) -> None:
        parsed = environment.parsed_options
        question = environment.coldburst = Session(asked, environment)
        if isinstance(runner, runners.WorkerRunner):
            _generate(question, environment)
            return
        if isinstance(runner, runners.MasterRunner):
            question.master = GeneratorRegistry(environment)
        _listen(question, environment)
        if parsed.num_users or parsed.spawn_rate:
            logger.warning("--users and --spawn-rate change nothing here: load is arrivals, as --schedule says")
        gevent.signal_handler(signal.SIGINT, question.interrupt, gevent.getcurrent(), "Ctrl-C")
        if web_ui is None:
            # Locust's own handler is there only after a headless run: until then SIGTERM would kill without a word.
            gevent.signal_handler(signal.SIGTERM, question.interrupt, gevent.getcurrent(), "SIGTERM")
            _quieten(parsed)
            try:
                run_options.key(question.plan())
            except ValueError as error:
                _refuse(str(error))
        else:
            environment.shape_class.use_common_options = False  # no fields for users in the form: nothing reads them
            _check_form(question, web_ui)
            prometheus.register(web_ui, lambda: question.current)
            feeds = RunMonitors()
            environment.events.test_start.add_listener(lambda **_: feeds.begin(question.current))  # after the one that begins it
            routes.register(web_ui, feeds, parsed.web_base_path or "", question.unreported)

    return start


def _generate(question: Session, environment: Any) -> None:
    """Makes this process a load generator of a distributed run, which a master leads."""
    generator = question.generator = Generator(environment, question)
    environment.events.quitting.add_listener(lambda **_: generator.quit())
    for kind in run_events.KINDS:
        getattr(environment.events, kind).add_listener(_recording(question, kind))
    for number, name in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")):
        gevent.signal_handler(number, generator.interrupt, name)


def _refuse(sentence: str) -> NoReturn:
    logger.error(sentence)
    sys.exit(NOTHING_SENT)


def _listen(question: Session, environment: Any) -> None:
    on = environment.events
    on.test_start.add_listener(lambda **_: question.start())
    on.test_stopping.add_listener(lambda **_: question.stop("stop"))
    on.test_stop.add_listener(lambda **_: question.stopped())
    on.quitting.add_listener(lambda **_: question.quit())
    for kind in run_events.KINDS:
        getattr(on, kind).add_listener(_recording(question, kind))


def _recording(question: Session, kind: str) -> Callable[..., None]:
    return lambda **about: question.current.event(kind, about) if question.current else None


def _quieten(parsed: Any) -> None:
    """Locust's talk of users and its final tables are left out: the report's figures are exact, its own are rounded."""
    logging.getLogger("locust.runners").setLevel(logging.WARNING)
    if not parsed.print_stats:
        logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)


def _check_form(question: Session, web_ui: Any) -> None:
    """Has the web UI's form answer with the sentence, where something in it cannot be done; behind the login, where there is one."""
    swarm = web_ui.app.view_functions["locust.swarm"]

    def check() -> Any:
        try:
            if question.current and question.current.ledger is None:
                raise OptionError("a run is going on: stop it first")
            question.check(request.form)
        except ValueError as error:
            return jsonify({"success": False, "message": str(error), "host": question.host})
        return swarm()

    web_ui.app.endpoint("locust.swarm")(web_ui.auth_required_if_enabled(check))
