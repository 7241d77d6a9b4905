"""The web UI behind Locust's login: who is not in is told nothing, who is in gets what is there."""

import json

import pytest

from tests.support.locusts import PLAIN
from tests.support.web import WebUi

pytestmark = pytest.mark.slow
FORM = {"Content_Type": "application/x-www-form-urlencoded"}
LOGIN = """
from flask import redirect
from flask_login import UserMixin, login_user
from locust import events

class Member(UserMixin):
    id = "member"

@events.init.add_listener
def add(web_ui, **_):
    web_ui.app.secret_key = "of tests"
    web_ui.auth_args = {"username_password_callback": "/enter"}
    web_ui.login_manager.user_loader(lambda name: Member())

    @web_ui.app.route("/enter")
    def enter():
        login_user(Member())
        return redirect("/")
"""


@pytest.fixture
def login(tmp_path):
    """A locustfile with a login beside it: who asks for /enter is in."""
    beside = tmp_path / "login.py"
    beside.write_text(LOGIN, encoding="utf-8")
    return f"locustfiles/burst.py,{beside}"


def test_behind_the_login_nothing_of_it_can_be_read():
    with WebUi(*PLAIN, "--web-login") as ui:
        for path in (
            "/coldburst/",
            "/coldburst/live.json",
            "/coldburst/static/live.js",
            "/coldburst/report/x/y",
            "/coldburst/download/x.zip",
        ):
            body = ui.ask(path)[2]
            assert b"auth" in body
            assert not any(word in body for word in (b'"runs"', b"live.json", b"Runs of this process"))


@pytest.mark.nightly
def test_a_form_that_is_posted_without_the_login_is_told_nothing(login):
    with WebUi("--host", "http://inside.example", *PLAIN, "--web-login", file=login) as ui:
        for objectives in ("/etc/passwd", "/nowhere/at/all"):
            status, headers, body = ui.ask("/swarm", "POST", f"objectives={objectives}", **FORM)
            assert (status, headers["Location"].partition("?")[0]) == (302, "/login")
            assert not any(word in body for word in (b"inside.example", b"objectives", b"message"))
        member = {"Cookie": ui.ask("/enter")[1]["Set-Cookie"].partition(";")[0], **FORM}
        answer = json.loads(ui.ask("/swarm", "POST", "schedule=burst quickly", **member)[2])
        assert (answer["success"], "'quickly'" in answer["message"]) == (False, True)
        assert ui.ask("/swarm", "POST", "schedule=burst quickly", Sec_Fetch_Site="cross-site", **member)[0] == 403
        assert list(ui.locust.runs.iterdir()) == []


@pytest.mark.nightly
def test_behind_the_login_what_is_not_there_is_not_there(login):
    with WebUi(*PLAIN, "--web-login", file=login) as ui:
        member = {"Cookie": ui.ask("/enter")[1]["Set-Cookie"].partition(";")[0]}
        assert ui.ask("/coldburst/live.json", **member)[0] == 200
        for path in ("/coldburst/report/x/y", "/coldburst/download/x.zip", "/coldburst/static/nothing.js"):
            assert ui.ask(path)[0] == 302
            status, headers, body = ui.ask(path, **member)
            assert (status, b"auth" in body) == (404, False), path
            assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Traceback" not in ui.locust.output
