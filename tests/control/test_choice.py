"""Which way changes which endpoint, how a change is awaited, and what a person is asked to do."""

import logging

import pytest

from coldburst.control.choice import WAYS, ControlError, DesiredState, NoControl, ObservedState, choose, make, wait_shown
from coldburst.control.manual import ManualControl
from coldburst.targets.address import EndpointAddress, infer
from tests.support.emulators import MODELLED, emulator

OPTIONS = {"concurrency_env": "CONCURRENCY", "replica_args": "", "compose_file": "docker-compose.yml"}
OPTIONS |= {"compose_service": "transcriber", "compose_proxy": ""}
ASKED = DesiredState(workers=2)


def made(way, where, options):
    return make(choose(way, where), where, "", options)


class Slow:
    """Shows what is wanted after so many looks."""

    way, where, harmless, every_s = "slow", "nowhere", True, 7.0

    def __init__(self, looks):
        self.looks = looks

    def observe(self, _wanted):
        self.looks -= 1
        return ObservedState(2 - (self.looks > 0), self.looks <= 0, "all serve" if self.looks <= 0 else "some serve")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "way"),
    [
        ("https://api.runpod.ai/v2/abc", "rest"),
        ("https://abc.api.runpod.ai", "rest"),
        ("http://127.0.0.1:8090/v2/demo", "rest"),
        ("http://127.0.0.1:8000", "hand"),
    ],
)
def test_auto_takes_what_the_endpoint_allows(host, way):
    assert choose("auto", infer(host)) == way
    control = make(way, infer(host), "", OPTIONS)
    assert control.way == way
    assert control.harmless == ("runpod" not in host)
    control.close()


def test_auto_starts_replicas_where_there_is_no_host():
    assert choose("auto", EndpointAddress("transcription", "")) == "replicas"


@pytest.mark.parametrize(
    ("way", "options", "sentence"),
    [
        ("magic", {}, "'magic' does not exist: use one of rest, replicas, restart, compose, hand, none"),
        ("rest", {}, "'http://127.0.0.1:1' cannot be changed through REST v2: use --control hand"),
        ("replicas", {}, "leave out --host 'http://127.0.0.1:1'"),
        ("compose", {"compose_file": "no.yml"}, "--compose-file 'no.yml' is not a file"),
    ],
)
def test_a_way_that_cannot_be_is_refused_in_a_sentence(way, options, sentence):
    with pytest.raises(ControlError, match=sentence.replace(".", r"\.")):
        made(way, infer("http://127.0.0.1:1"), OPTIONS | options)


@pytest.mark.parametrize(
    ("way", "options", "sentence"),
    [
        ("rest", {"concurrency_env": "A B"}, "--concurrency-env 'A B' is not a variable name"),
        ("replicas", {"replica_args": "--engine 'fixed"}, "could not be parsed"),
    ],
)
def test_options_that_cannot_be_are_refused_in_a_sentence(way, options, sentence):
    where = EndpointAddress("transcription", "") if way == "replicas" else infer("http://127.0.0.1:1/v2/x")
    with pytest.raises(ControlError, match=sentence):
        made(way, where, OPTIONS | options)


def test_a_change_is_awaited_and_each_new_sentence_said():
    said, rests = [], []
    seen = wait_shown(Slow(4), ASKED, timeout_s=100, rest=lambda s: rests.append(s) or True, say=said.append)
    assert seen == ObservedState(2, True, "all serve")
    assert said == ["some serve", "all serve"]
    assert rests == [7.0] * 3


def test_waiting_ends_with_the_run_and_with_the_time():
    assert wait_shown(Slow(4), ASKED, timeout_s=100, rest=lambda s: False, say=print) == ObservedState(1, False, "some serve")
    assert wait_shown(Slow(4), ASKED, timeout_s=0, rest=lambda s: True, say=print) == ObservedState(1, False, "some serve")


def test_none_changes_and_sees_nothing():
    control = make("none", infer("http://127.0.0.1:1"), "", OPTIONS)
    assert isinstance(control, NoControl)
    assert (control.settings(), control.observe(ASKED).workers, control.observe(ASKED).ready) == ({}, None, True)
    assert "none" in WAYS


def test_a_person_is_asked_and_a_file_says_go_on(tmp_path, caplog):
    hand = ManualControl(infer("http://127.0.0.1:8000"), "")
    hand.begin(tmp_path, lambda _: True)
    (tmp_path / "continue").touch()  # of a change before
    wanted = DesiredState(workers=3, concurrency=4)
    with caplog.at_level(logging.WARNING, "coldburst"):
        hand.change(wanted)
    assert "Now run exactly 3 workers behind http://127.0.0.1:8000 and reload its proxy" in caplog.text
    assert "let each worker take 4 requests at a time" in caplog.text
    assert "Max workers" not in caplog.text
    assert f"touch {tmp_path / 'continue'}" in caplog.text
    assert not hand.observe(wanted).ready
    (tmp_path / "continue").touch()
    assert hand.observe(wanted) == ObservedState(None, True, "the file 'continue' was found")
    assert not (tmp_path / "continue").exists()
    assert hand.restore(hand.settings()) == "http://127.0.0.1:8000: restore by hand what you changed"


@pytest.mark.slow
def test_of_a_runpod_endpoint_the_settings_have_runpods_names():
    steps = ManualControl(infer("https://api.runpod.ai/v2/abc"), "").describe([DesiredState(workers=3, concurrency=4, scaler_value=4)])
    assert "set Max workers and Active workers to 3" in steps
    assert "request count, 4" in steps
    assert "variable CONCURRENCY to 4" in steps


@pytest.mark.slow
def test_what_a_person_changed_is_seen_at_the_endpoint(tmp_path):
    with emulator(*MODELLED, "--workers-min", "1", "--workers-max", "1", "--ready") as there:
        hand = ManualControl(infer(f"{there.url}/v2/demo"), "")
        hand.begin(tmp_path, lambda _: True)
        wanted, before = DesiredState(workers=2), None
        before = hand.settings()
        assert hand.observe(wanted).text == "1 of 2 workers serve; not changed yet: workers"
        assert there.ask("/v2/serverless/demo", {"workers": {"min": 2, "max": 2}}, "PATCH").status == 200
        seen = wait_shown(hand, wanted, timeout_s=20, rest=lambda s: True, say=print)
        assert (seen.workers, seen.ready) == (2, True)
        assert "restore by hand these settings: workers 1 to 1, scaling QUEUE_DELAY 4, CONCURRENCY not set" in hand.restore(before)
        hand.close()


@pytest.mark.slow
def test_a_person_is_believed_where_the_endpoint_cannot_be_asked(tmp_path):
    with emulator(*MODELLED, RUNPOD_API_KEY="right") as there:
        hand = ManualControl(infer(f"{there.url}/v2/demo"), "wrong")
        hand.begin(tmp_path, lambda _: True)
        assert hand.settings() == {}
        assert not hand.observe(ASKED).ready
        (tmp_path / "continue").touch()
        assert hand.observe(ASKED).ready
        hand.close()
