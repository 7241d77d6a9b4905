"""The live page /coldburst, its figures as JSON, and the files of this process's runs: part of Locust's web UI, behind its login."""

from __future__ import annotations

import json
from collections.abc import Callable, Set
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, cast

import gevent
from flask import Blueprint, Response, abort, render_template, request, send_file, send_from_directory
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from coldburst.installation import analysis_program
from coldburst.live.run_monitor import RunMonitor, RunMonitors
from coldburst.live.snapshot import RunSnapshot
from coldburst.live.web import files
from coldburst.live.web.start_form import StartForm
from coldburst.record.attempt import OUTCOMES

HERE = Path(__file__).parent
PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'"
# A report needs no script; with this policy, a text in it that became one could do nothing to the web UI.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'none'; sandbox allow-popups allow-downloads"
)
COLD_START = ("at_s", "worker_id", "seconds", "stage", "seq")
# A tab of Locust's page can hold a table, but no link: tab.js opens the live page when the tab is clicked.
TAB = {"key": "coldburst", "title": "Live page"}
TABLE = {"key": "coldburst", "structure": [{"key": "page", "title": "The live page is at /coldburst/"}]}
LINK = (
    '<p style="position:fixed;left:1rem;bottom:3.6rem;z-index:1300;max-width:22rem;margin:0;font:.8rem system-ui,sans-serif;opacity:.75">'
    "Users and ramp up do nothing here: the schedule sets the load. The live page has a shorter form.</p>"
    '<a href="./coldburst/" style="position:fixed;left:1rem;bottom:1rem;z-index:1300;padding:.55rem .9rem;border-radius:2rem;'
    'background:#0072b2;color:#fff;font:600 .9rem system-ui,sans-serif;text-decoration:none">Live page and reports</a>'
    '<script src="./coldburst/static/tab.js"></script>'
)
View = Callable[..., ResponseReturnValue]


def register(web_ui: Any, monitors: RunMonitors, base: str, unreported: Set[str], form: Callable[[], StartForm]) -> None:
    """Adds the live page and its routes, with a tab and a link on Locust's page.

    Args:
        web_ui: Locust's, before it listens.
        monitors: the runs of this process.
        base: value of --web-base-path, or "".
        unreported: ids of runs whose report is not made yet.
        form: the fields to start a run with.
    """
    guard = cast("Callable[[View], View]", web_ui.auth_required_if_enabled)
    pages = Blueprint("coldburst", __name__, template_folder=str(HERE / "templates"), url_prefix=f"{base.rstrip('/')}/coldburst")
    for rule, view in _views(monitors, unreported, form).items():
        pages.add_url_rule(rule, view.__name__, guard(_answering(view)))
    web_ui.app.register_blueprint(pages)
    web_ui.template_args |= {"extended_tabs": [TAB], "extended_tables": [TABLE]}

    @web_ui.app.after_request  # type: ignore[untyped-decorator]
    def add_link(response: Response) -> Response:
        if request.endpoint == "locust.index" and response.mimetype == "text/html":
            response.set_data(response.get_data(as_text=True).replace("</body>", f"{LINK}</body>"))
        return response


def _views(monitors: RunMonitors, unreported: Set[str], form: Callable[[], StartForm]) -> dict[str, View]:
    """The views by their route below /coldburst."""
    verdicts: dict[str, str] = {}

    def page() -> ResponseReturnValue:
        return _guarded(Response(render_template("coldburst.html", outcomes=OUTCOMES, form=form())), PAGE_POLICY)

    def static(name: str) -> ResponseReturnValue:
        return _guarded(send_from_directory(HERE / "static", name), PAGE_POLICY)

    def figures() -> ResponseReturnValue:
        found = _figures(monitors, unreported, verdicts, request.args.get("run", ""), request.args.get("since", -1.0, float))
        return _guarded(Response(json.dumps(found, allow_nan=False), mimetype="application/json"), PAGE_POLICY)

    def report(run: str, name: str) -> ResponseReturnValue:
        path = files.offered(_folder(monitors, run)).get(name)
        return abort(404) if path is None else _guarded(send_file(path.resolve(), max_age=0), REPORT_POLICY)

    def download(run: str) -> ResponseReturnValue:
        folder = _folder(monitors, run)
        if any(not one.finished for one in monitors.runs):
            return Response("packing would delay the current run: download when it has ended", 409, mimetype="text/plain")
        file = gevent.get_hub().threadpool.apply(files.packed, (folder,))
        return _guarded(send_file(file, "application/zip", as_attachment=True, download_name=f"{folder.name}.zip"), REPORT_POLICY)

    return {
        "/": page,
        "/static/<path:name>": static,
        "/live.json": figures,
        "/report/<run>/<path:name>": report,
        "/download/<run>.zip": download,
    }


def _figures(monitors: RunMonitors, unreported: Set[str], verdicts: dict[str, str], known: str, since_s: float) -> dict[str, Any]:
    """The figures of the page: of the run ``known``, only the points after ``since_s``. ``verdicts`` keeps those that were read."""
    for one in monitors.runs:
        if one.finished and one.id not in verdicts and files.reported(one.folder):
            verdicts[one.id] = files.verdict(one.folder)
    monitor = monitors.latest
    now = monitor.snapshot if monitor else None
    return {
        "run": _current(monitor, now) if monitor and now else None,
        "samples": monitor.history.columns(since_s if known == now.id else -1.0) if monitor and now else None,
        "runs": [_listed(one, verdicts.get(one.id), one.id in unreported) for one in monitors.runs],
    }


def _current(monitor: RunMonitor, now: RunSnapshot) -> dict[str, Any]:
    return {
        **{key: value for key, value in asdict(now).items() if key not in ("folder", "due", "usd_per_s")},
        **{name: getattr(now, name) for name in ("ok", "not_ok", "view", "paid_workers")},
        **asdict(monitor.live_rates),
        "problems": sorted(map(asdict, monitor.events.problems.values()), key=lambda one: -one["count"]),
        "last_cold_starts": [{name: row[name] for name in COLD_START} for row in reversed(monitor.events.cold_starts)],
    }


def _listed(one: RunSnapshot, verdict: str | None, due: bool) -> dict[str, Any]:
    """A run in the list of runs; ``verdict`` is None without a report, and ``due`` says that one is still being made."""
    failed = verdict is None and not due
    return {
        **{name: getattr(one, name) for name in ("id", "question", "finished", "ended_by", "ledger", "elapsed_s")},
        "verdict": verdict or "",
        "report": "" if verdict is None else f"report/{one.id}/{files.PAGE}",
        "fault": f"the report could not be made: {analysis_program()} report {one.folder} says why" if failed else "",
        "download": f"download/{one.id}.zip" if one.finished else "",
    }


def _answering(view: View) -> View:
    """``view`` with its 404 as a response: behind a login, Locust treats every exception as a failed login."""

    @wraps(view)
    def answer(**names: str) -> ResponseReturnValue:
        try:
            return view(**names)
        except HTTPException as error:
            return _guarded(cast("Response", error.get_response()), PAGE_POLICY)

    return answer


def _folder(monitors: RunMonitors, run: str) -> Path:
    """The directory of a run of this process; 404 for any other name."""
    folder = next((one.folder for one in monitors.runs if one.id == run), None)
    return folder if folder is not None else abort(404)


def _guarded(response: Response, policy: str) -> Response:
    response.headers["Content-Security-Policy"] = f"{policy}; base-uri 'none'; frame-ancestors 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response
