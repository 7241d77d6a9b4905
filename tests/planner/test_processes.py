"""Simulated runs over processes: the same answers from any number of them, and none is left behind."""

import signal
import subprocess
import sys

import psutil
import pytest

from coldburst.planner.model.distributions import parse
from coldburst.planner.model.scenario import Scenario
from coldburst.planner.predict import predict_all
from coldburst.planner.processes import cores, processes
from coldburst.planner.search import grid
from coldburst.schedule import stages
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from tests.support.transcribers import DEADLINE_S, until

# Minutes of work, for a process that is ended as soon as it has begun.
LONG = (
    *("sweep", "--service-time", "lognormal:2:0.3", "--workers-max", "1..40", "--idle-timeout", "5,60"),
    *("--schedule", "steady 600m 1/s poisson"),
)


def settings():
    one = Scenario(Policy(workers_max=2), Platform(), parse("lognormal:2:0.3"), parse("2"), parse("6"))
    return grid(one, {"workers_max": (1, 2, 3), "idle_timeout_s": (5.0, 60.0)})


@pytest.mark.slow
def test_answers_and_their_order_do_not_depend_on_the_number_of_processes():
    load = stages.parse("burst 10, steady 30s 1/s poisson")
    found = []
    for count in (1, 2, 3):
        with processes(24, count) as pool:
            assert (pool is None) == (count == 1)
            found.append(predict_all(settings(), load, seeds=4, pool=pool))
    assert [one.scenario for one in found[0]] == settings()
    assert found[0] == found[1] == found[2]


def test_little_work_stays_in_this_process():
    with processes(3, 2) as pool:
        assert pool is None


@pytest.mark.slow
def test_an_error_of_a_task_is_raised_here_and_ends_the_processes():
    children = psutil.Process().children
    before = children()
    with pytest.raises(ZeroDivisionError), processes(8, 2) as pool:
        pool(_fail, list(range(8)))
    until(lambda: children() == before, "the end of the processes")


def _fail(number):
    return 1 // (number - 5)


@pytest.fixture
def sweep():
    """A sweep that has processes, and those."""
    words = [sys.executable, "-m", "coldburst.planner", *LONG]
    program = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        begun = psutil.Process(program.pid).children
        until(lambda: len(begun()) >= cores() or program.poll() is not None, "processes of the sweep")
        yield program, begun()
    finally:
        program.kill()
        program.communicate()


@pytest.mark.slow
@pytest.mark.skipif(cores() < 2, reason="one core: no processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_processes_end_with_the_sweep(sweep, number):
    program, children = sweep
    assert children
    program.send_signal(number)
    _, said = program.communicate(timeout=DEADLINE_S)
    _, alive = psutil.wait_procs(children, timeout=DEADLINE_S)
    assert not alive
    if number == signal.SIGINT:
        assert (program.returncode, said) == (130, "python -m coldburst.planner sweep: interrupted; nothing was answered\n")
