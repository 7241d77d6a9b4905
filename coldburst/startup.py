"""Locust's start with test classes: adds the options, creates the session, and refuses what cannot be done."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NoReturn, cast

import gevent
import psutil
from flask import jsonify, request
from locust import events, runners
from locust.argument_parser import ui_extra_args_dict
from werkzeug.datastructures import ImmutableMultiDict

from coldburst import locust_options, signals
from coldburst.distributed import frames
from coldburst.lines import one_line
from coldburst.load import events as run_events
from coldburst.load.checked_run import OptionChecker
from coldburst.load.run_spec import RunSpec, add_options, option_groups, shared_options, spec_of
from coldburst.option import OptionError
from coldburst.record.exit_codes import NOTHING_SENT
from coldburst.session import Session
from coldburst.shape import ScheduleShape

logger = logging.getLogger("coldburst")
WEB_ALLOWED_HOSTS = "--web-allowed-hosts"
STAY = "--stay"
# Fields of a form that are taken, besides the options that Locust shows in it.
FIELDS = ("host", "run_time", "profile", "user_classes")
IN_PROGRESS = "a run is in progress: stop it first"
# Locust's states of a run that has ended, or is about to.
ENDING = (runners.STATE_STOPPING, runners.STATE_STOPPED)
_tests: list[Any] = []


def register(test: Any) -> None:
    """Adds a test class; the first one also adds the options and listeners."""
    if not _tests:
        frames.install()
        on = cast("Any", events)
        on.init_command_line_parser.add_listener(_add_options)
        on.init.add_listener(_start)
    _tests.append(test)


def _specs() -> list[RunSpec]:
    """The specs of all test classes that were defined, even if no locustfile offers them."""
    return sorted(map(spec_of, _tests), key=lambda spec: spec.class_name)


def _add_options(parser: Any, **_: Any) -> None:
    add_options(parser, _specs())
    _check_master_port_after_parsing(parser)
    # coldburst's own progress lines replace Locust's table; Locust's web UI listens on every interface by default.
    parser.set_defaults(only_summary=True, web_host="127.0.0.1")
    parser.add_argument(
        WEB_ALLOWED_HOSTS,
        default="",
        metavar="NAMES",
        env_var="COLDBURST_WEB_ALLOWED_HOSTS",
        include_in_web_ui=False,
        help="Further names under which the web UI may be opened, behind a proxy for example: load.example,master",
    )
    parser.add_argument(
        STAY,
        action="store_true",
        env_var="COLDBURST_STAY",
        include_in_web_ui=False,
        help="Generator (--worker): after losing its master, wait for the next one at its address instead of ending",
    )


def _check_master_port_after_parsing(parser: Any) -> None:
    """Locust opens the master's port right after parsing, and prints a traceback if it is taken."""
    parse = parser.parse_args

    def parse_and_check(*args: Any, **kwargs: Any) -> Any:
        parsed = parse(*args, **kwargs)
        try:
            if parsed.master:
                _check_port_once(parsed.master_bind_host, parsed.master_bind_port, "--master-bind-port")
        except OptionError as error:
            parser.exit(NOTHING_SENT, f"{error}\n")
        return parsed

    parser.parse_args = parse_and_check


@cache
def _check_port_once(host: str, port: int, flag: str) -> None:
    """Locust parses its options again after it has opened the port itself."""
    locust_options.check_port(host, port, flag)


def _start(environment: Any, runner: Any, web_ui: Any, **_: Any) -> None:
    specs = {name: spec_of(test) for name, test in sorted(environment.available_user_classes.items()) if test in _tests}
    if not any(user in _tests for user in environment.user_classes):
        _leave_alone(environment)
        return
    _refusing(lambda: locust_options.refuse(environment.parsed_options))
    checker = OptionChecker(environment, specs, shared_options(_specs()))
    session = environment.coldburst = Session(environment, checker)
    if isinstance(runner, runners.WorkerRunner):
        _generate(session, environment)
        return
    if isinstance(runner, runners.MasterRunner):
        # Imported here because other runs do not need it.
        from coldburst.distributed.generator_registry import GeneratorRegistry  # noqa: PLC0415

        session.master = GeneratorRegistry(environment)
    _set_shape(environment, runner)
    _listen(session, environment)
    interrupt = partial(session.interrupt, gevent.getcurrent())
    if web_ui is None:
        _handle_signals(interrupt)
        _quieten(environment.parsed_options)
        _refusing(lambda: _agreeing(session.consent.confirm(checker.check())))
    else:
        parsed = environment.parsed_options
        _refusing(lambda: locust_options.check_port(parsed.web_host or "", parsed.web_port, "--web-port"))
        gevent.signal_handler(signal.SIGINT, interrupt, signals.NAMES[signal.SIGINT])
        # Locust handles SIGTERM itself.
        _handle_signals(session.terminate, but=(signal.SIGINT, signal.SIGTERM))
        picks = web_ui.userclass_picker_is_active and not environment.parsed_options.autostart
        if not picks:
            _refusing(checker.only)
        if parsed.autostart:
            _refusing(lambda: _agreeing(session.consent.confirm(checker.check())))
        _serve(session, environment, web_ui)


def _leave_alone(environment: Any) -> None:
    """Lets Locust run users that are not coldburst's as usual."""
    if isinstance(environment.shape_class, ScheduleShape):
        environment.shape_class = None


def _set_shape(environment: Any, runner: Any) -> None:
    """Sets the shape that ends the run, even if the locustfile does not import it."""
    shape = environment.shape_class
    if not isinstance(shape, ScheduleShape):
        if shape and all(test in _tests for test in environment.available_user_classes.values()):
            _refuse(f"{type(shape).__name__} is a load shape, and --schedule shapes the load: remove it from the locustfile")
        shape = environment.shape_class = cast("Any", ScheduleShape)()
    shape.runner = runner
    environment.available_shape_classes = {type(shape).__name__: shape}


def _serve(session: Session, environment: Any, web_ui: Any) -> None:
    """Makes Locust's web UI start this session's runs, and adds pages about them."""
    from coldburst.live import prometheus  # noqa: PLC0415
    from coldburst.live.run_monitor import RunMonitors  # noqa: PLC0415
    from coldburst.live.web import origin, routes, start_form  # noqa: PLC0415

    # Hides the form's fields for users, which nothing reads.
    environment.shape_class.use_common_options = False
    _check_form(session, environment, web_ui)
    prometheus.register(web_ui, lambda: session.current)
    monitors = RunMonitors()
    # After the listener that starts the run.
    environment.events.test_start.add_listener(lambda **_: monitors.begin(session.current))
    parsed = environment.parsed_options
    form = partial(start_form.StartForm, web_ui, option_groups(_specs()))
    routes.register(web_ui, monitors, parsed.web_base_path or "", session.unreported, form)
    origin.restrict(web_ui, origin.HostNames(parsed.web_host or "", parsed.web_allowed_hosts))


def _generate(session: Session, environment: Any) -> None:
    """Makes this process a load generator of a distributed run."""
    from coldburst.distributed.generator import Generator  # noqa: PLC0415

    generator = session.generator = Generator(environment, session)
    environment.events.quitting.add_listener(lambda **_: generator.quit())
    _record_events(session, environment)
    _handle_signals(generator.interrupt)


def _handle_signals(interrupt: Callable[[str], object], but: Sequence[int] = ()) -> None:
    for number, handle in signals.handlers(interrupt).items():
        if number not in but:
            gevent.signal_handler(number, handle)


def _refusing(check: Callable[[], object]) -> None:
    try:
        check()
    except ValueError as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        # At a question in the terminal: the signal's handler has said what it means.
        _end()


def _agreeing(sentence: str) -> None:
    if sentence:
        raise OptionError(sentence)


def _refuse(sentence: str) -> NoReturn:
    logger.error(sentence)
    _end()


def _end() -> NoReturn:
    """Ends the process before a run, and generators that it forked (--processes), which would wait for a silent master."""
    for child in psutil.Process().children():
        child.kill()
    sys.exit(NOTHING_SENT)


def _listen(session: Session, environment: Any) -> None:
    on = environment.events
    on.test_start.add_listener(lambda **_: session.start())
    on.test_stopping.add_listener(lambda **_: session.stop("stop"))
    on.test_stop.add_listener(lambda **_: session.stopped())
    on.quitting.add_listener(lambda **_: session.quit())
    _record_events(session, environment)


def _record_events(session: Session, environment: Any) -> None:
    for kind in run_events.KINDS:
        getattr(environment.events, kind).add_listener(_recording(session, kind))


def _recording(session: Session, kind: str) -> Callable[..., None]:
    return lambda **about: session.current.event(kind, about) if session.current else None


def _quieten(parsed: Any) -> None:
    """Hides Locust's messages about users and its final tables: its figures are rounded, the report's are exact."""
    logging.getLogger("locust.runners").setLevel(logging.WARNING)
    if not parsed.print_stats:
        logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)


def _check_form(session: Session, environment: Any, web_ui: Any) -> None:
    """Makes the web UI's form show what is wrong in it; only for logged-in users, if there is a login."""
    swarm = web_ui.app.view_functions["locust.swarm"]

    def check() -> Any:
        picked = request.form.getlist("user_classes") if web_ui.userclass_picker_is_active else None
        try:
            if session.current and session.current.ledger is None:
                raise OptionError(IN_PROGRESS)
            _await_last_shape(environment.runner)
            if picked == []:
                picked = list(environment.available_user_classes)
            _agreeing(session.consent.confirm_form(session.checker.check(request.form.to_dict(), picked)))
        except ValueError as error:
            logger.error("The form was refused: %s", one_line(str(error)))
            return jsonify({"success": False, "message": str(error), "host": session.checker.host})
        request.form = _for_locust(request.form, environment)
        return swarm()

    web_ui.app.endpoint("locust.swarm")(web_ui.auth_required_if_enabled(check))


def _await_last_shape(runner: Any) -> None:
    """Waits until Locust takes a start. It ignores one, without a word, until the last run's shape has ended, a second after the answers.

    Raises:
        OptionError: the shape belongs to a run that is just starting.
    """
    if (shape := runner.shape_greenlet) is None:
        return
    if runner.state not in ENDING:
        raise OptionError(IN_PROGRESS)
    shape.join()


def _for_locust(form: Any, environment: Any) -> Any:
    """The fields that the form shows, and the shape, which ends the run: Locust would set any other option of its own too."""
    shown = {*FIELDS, *ui_extra_args_dict()}
    kept = [(name, value) for name, value in form.items(multi=True) if name in shown]
    return ImmutableMultiDict([*kept, ("shape_class", next(iter(environment.available_shape_classes)))])
