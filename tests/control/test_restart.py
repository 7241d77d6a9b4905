"""The video service that a sweep starts: with each number of workers at the same address, and gone afterwards."""

import gevent
import psutil
import pytest

from coldburst.control.choice import choose, make, wait_shown
from coldburst.control.desired_state import ControlError, DesiredState
from coldburst.control.restart import RestartControl
from coldburst.targets.address import EndpointAddress
from tests.support.videos import create

VIDEO = EndpointAddress("video", "")
FIXED = "--engine fixed --tts 0 --video 0 --model-load 0"


def pause(seconds):
    gevent.sleep(seconds)
    return True


def test_it_is_the_way_of_a_video_service_without_an_address():
    assert choose("auto", VIDEO) == "restart"
    assert choose("auto", EndpointAddress("video", "http://127.0.0.1:1")) == "hand"
    with pytest.raises(ControlError, match="--control restart starts its own service: leave out --host"):
        choose("restart", EndpointAddress("video", "http://127.0.0.1:1"))


def test_what_it_cannot_set_is_refused_before_the_run():
    control = make("restart", VIDEO, "", {"replica_args": FIXED})
    with pytest.raises(ControlError, match="a video worker takes one job at a time"):
        control.describe([DesiredState(workers=1, concurrency=4)])
    assert "with 1, 2 workers" in control.describe([DesiredState(1), DesiredState(2)])
    with pytest.raises(ControlError, match="could not be parsed"):
        RestartControl("'")


@pytest.mark.slow
def test_each_number_of_workers_shows_at_the_same_address():
    control = RestartControl(FIXED)
    try:
        for workers in (1, 3):
            control.change(DesiredState(workers))
            seen = wait_shown(control, DesiredState(workers), timeout_s=60, rest=pause, say=lambda text: None)
            assert (seen.workers, seen.ready) == (workers, True)
            assert create(control.url, wait=True).json()["worker_id"].startswith(f"w{workers}-")
        control.change(DesiredState(5))
        with pytest.raises(ControlError, match="only 4 of 5 video workers fit into the memory"):
            wait_shown(control, DesiredState(5), timeout_s=60, rest=pause, say=lambda text: None)
    finally:
        control.close()
    assert not [child for child in psutil.Process().children(recursive=True) if "coldburst.video" in " ".join(child.cmdline())]
    with pytest.raises(ControlError, match="the video service ended"):
        control.observe(DesiredState(1))
