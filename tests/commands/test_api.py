"""What a user writes: a class with attributes; several of them at once; and what is wrong with one."""

import json
import re
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.support.generators import Crew, distributed
from tests.support.locusts import PLAIN, ROOT, locust
from tests.support.serving import reserved
from tests.support.transcribers import transcriber
from tests.support.web import WebUi

NOWHERE = "http://127.0.0.1:9"
FAST = ("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "50")
THREE_LINES = 'from coldburst import ArrivalUser\nclass Small(ArrivalUser):\n    schedule, max_in_flight = "burst 3", 2\n'
TWO = """from coldburst import ArrivalUser, ScheduleShape

class First(ArrivalUser):
    schedule = "burst 3"

class Second(ArrivalUser):
    schedule = "burst 4"
    deadline = 9
"""
PLAIN_LOCUST = """
from locust import User, task

class Ordinary(User):
    @task
    def wait(self):
        print("an ordinary user runs")
        self.environment.runner.quit()
"""


def python(*words):
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def locustfile(place, content, name="mine.py"):
    path = place / name
    path.write_text(content, encoding="utf-8")
    return path


def refused(run):
    """The one sentence with which a start ends that sends nothing."""
    assert run.wait() == 2, run.output
    lines = [line for line in run.output.splitlines() if "/ERROR/" in line]
    assert len(lines) == 1, run.output
    assert "Traceback" not in run.output
    assert list(run.runs.iterdir()) == []
    return lines[0].partition("coldburst: ")[2]


def test_the_package_imports_nothing_until_a_name_is_used():
    heavy = "{'locust', 'gevent', 'pandas', 'flask', 'numpy', 'coldburst.users'} & set(sys.modules)"
    done = python("-W", "error", "-c", f"import sys, coldburst; print(coldburst.__version__, {heavy} or '')")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+", done.stdout.strip())


# Asked of one process, as an import of Locust takes most of the time.
PUBLIC = """
import json, runpy, sys
import coldburst
from locust import User
from coldburst import *
from coldburst.load.run_spec import spec_of
from coldburst.option import attribute

tests = [type("T", (one,), {}) for one in (ArrivalUser, ReplayUser, ColdStartUser, ConcurrencyUser, ScalingUser, MatrixUser)]
try:
    coldburst.Burst
except AttributeError as error:
    missing = str(error)
print(json.dumps({
    "listed": set(coldburst.__all__) <= set(dir(coldburst)),
    "names": [str(getattr(coldburst, name)) for name in coldburst.__all__],
    "missing": missing,
    "hidden": sorted({attribute(o) for t in tests for o in spec_of(t).options} & set(dir(User))),
    "problems": [spec_of(t).problem for t in tests],
    "example": str(spec_of(runpy.run_path(sys.argv[1])["Evening"])),
}))
"""


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    done = python("-c", PUBLIC, str(locustfile(tmp_path_factory.mktemp("example"), example)))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_each_public_name_is_there_and_no_other(public):
    assert public["listed"]
    assert sum(name.startswith("<class 'coldburst.") for name in public["names"]) == 8
    assert public["missing"] == "module 'coldburst' has no attribute 'Burst'"


def test_no_option_hides_an_attribute_of_locusts_users(public):
    assert (public["hidden"], public["problems"]) == ([], [""] * 6)


def test_the_readmes_class_is_a_test(public):
    assert "name='evening'" in public["example"]
    assert "default='warm 30s 1/s, burst 200'" in public["example"]
    assert "problem=''" in public["example"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "",
        pytest.param("from coldburst import ScheduleShape\n", marks=pytest.mark.nightly),
        pytest.param("from coldburst import ScheduleShape\nclass Mine(ScheduleShape): ...\n", marks=pytest.mark.nightly),
    ],
)
def test_three_lines_are_a_test_with_or_without_the_shape(more, tmp_path):
    with transcriber(*FAST) as service, locust("--host", service.url, *PLAIN, file=locustfile(tmp_path, THREE_LINES + more)) as run:
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "3 planned = 3 ok"
        assert run.folder.name.endswith("-small")
        assert (run.about["question"], run.about["options"]["schedule"], run.about["max_in_flight"]) == ("small", "burst 3", 2)


@pytest.mark.nightly
def test_a_class_may_name_its_host_and_the_command_line_goes_over_it(tmp_path):
    with transcriber(*FAST) as service, transcriber(*FAST) as other:
        file = locustfile(tmp_path, THREE_LINES + f'    host = "{service.url}"\n')
        with locust(*PLAIN, file=file) as run:
            assert run.wait() == 0, run.output
        with locust(*PLAIN, "--host", other.url, "--schedule", "burst 2", file=file) as run:
            assert run.wait() == 0, run.output
        assert (len(service.log()), len(other.log())) == (3, 2)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (THREE_LINES.replace("burst 3", "burst three"), "'three' in stage 'burst three' is neither a count nor a duration"),
        (THREE_LINES.replace(", 2", ", 0"), "--max-in-flight 0 sends nothing"),
        (THREE_LINES.replace("schedule", "shedule"), "Small.shedule is not an option: did you mean schedule?"),
        (THREE_LINES.replace(', max_in_flight = "burst 3", 2', ' = ""'), "Small has no schedule: give the class one"),
        (
            THREE_LINES.replace("ArrivalUser", "ScalingUser").replace('schedule, max_in_flight = "burst 3", 2', 'workers = "x"'),
            "--workers 'x'",
        ),
        (
            THREE_LINES + "from locust import LoadTestShape\nclass Own(LoadTestShape):\n    def tick(self): return 1, 1\n",
            "Own is a load shape, and --schedule shapes the load",
        ),
    ],
)
def test_a_wrong_attribute_ends_the_start_with_one_sentence(content, sentence, tmp_path):
    with locust("--host", NOWHERE, *PLAIN, file=locustfile(tmp_path, content)) as run:
        assert refused(run).startswith(sentence)


@pytest.mark.slow
def test_the_web_ui_does_not_start_with_a_wrong_attribute(tmp_path):
    file = locustfile(tmp_path, THREE_LINES.replace("schedule", "shedule"))
    with locust("--web-host", "127.0.0.1", "--web-port", "0", headless=False, file=file) as run:
        assert refused(run).startswith("Small.shedule is not an option")


@pytest.mark.slow
def test_several_tests_headless_are_named_and_one_is_asked_for():
    with locust("--host", NOWHERE, file="locustfiles/") as run:
        said = refused(run)
        assert "Burst, Calibrate, ColdStart, ComfyUI, Concurrency, Embeddings, Matrix, OwnHandler, Replay" in said
        assert "'locust -f locustfiles/ --headless Burst'" in said
    with locust("--web-port", "0", "--web-host", "127.0.0.1", headless=False, file="locustfiles/burst.py,locustfiles/sustained.py") as run:
        said = refused(run)
        assert "there are Burst, Sustained: name one" in said
        assert "--class-picker" in said
    with locust("--host", NOWHERE, "Burst", "Sustained", file="locustfiles/") as run:
        assert "one test runs at a time" in refused(run)


@pytest.mark.slow
def test_the_one_that_is_named_runs_with_its_own_defaults():
    with (
        transcriber(*FAST) as service,
        locust("--host", service.url, *PLAIN, "Sustained", file="locustfiles/", COLDBURST_SCHEDULE="steady 2s 4/s") as run,
    ):
        assert run.wait() == 0, run.output
        assert str(run.ledger) == "8 planned = 8 ok"
        assert (run.about["question"], run.about["max_in_flight"]) == ("sustained", 500)
        assert run.folder.name.endswith("-sustained")
    with locust("--host", NOWHERE, "Burst", "--levels", "1,2", file="locustfiles/") as run:
        assert refused(run) == "Burst has no --levels, which is an option of Concurrency: leave it out"


@pytest.mark.slow
def test_users_of_plain_locust_do_not_run_beside_a_test_but_by_their_own_name(tmp_path):
    file = locustfile(tmp_path, TWO + PLAIN_LOCUST)
    with locust("--host", NOWHERE, file=file) as run:
        assert "there are First, Second (and Ordinary, which coldburst does not run): name one" in refused(run)
    with locust("Ordinary", file=file) as run:
        assert run.wait() == 0, run.output
        assert "an ordinary user runs" in run.output
        assert list(run.runs.iterdir()) == []


@pytest.mark.slow
def test_the_class_picker_decides_schedule_options_and_name(tmp_path):
    with transcriber(*FAST) as service, WebUi("--class-picker", "--host", service.url, *PLAIN, file=locustfile(tmp_path, TWO)) as ui:
        for picked in ({}, {"user_classes": "Third"}):
            answer = ui.post("/swarm", shape_class="Default", user_count="1", spawn_rate="1", **picked)
            assert not answer["success"]
            assert "First, Second" in answer["message"]
        for number, (name, count, deadline) in enumerate((("Second", 4, "9.0"), ("First", 3, "300.0")), 1):
            users = {"user_count": "many", "spawn_rate": "-1"}  # Locust's fields, which nobody reads
            assert ui.post("/swarm", user_classes=name, shape_class="Default", schedule="", **users)["success"]
            ui.locust.until(lambda run, number=number: len(list(run.runs.glob("*/report/index.html"))) == number)
            (folder,) = ui.locust.runs.glob(f"*-{name.lower()}")
            assert (folder / "attempts.csv").read_text(encoding="utf-8").count("\n") - 1 == count
            assert f'"deadline": {deadline}' in (folder / "run.json").read_text(encoding="utf-8")
            ui.locust.until(lambda _: ui.state() == "stopped")


@pytest.mark.nightly
def test_a_master_with_the_class_picker_leads_generators_that_have_all_tests(tmp_path):
    file = str(locustfile(tmp_path, TWO))
    with (
        reserved() as port,
        transcriber(*FAST) as service,
        WebUi("--master", "--master-bind-port", str(port), "--class-picker", "--host", service.url, *PLAIN, file=file) as ui,
        ExitStack() as stack,
    ):
        Crew(ui.locust, "127.0.0.1", port, file, stack).add()
        ui.locust.until(lambda _: json.loads(ui.get("/worker-count"))["worker_count"] == 1)
        for number, (name, count) in enumerate((("Second", 4), ("First", 3)), 1):
            assert ui.post("/swarm", user_classes=name, shape_class="Default")["success"]
            ui.locust.until(lambda run, number=number: len(list(run.runs.glob("*/report/index.html"))) == number)
            (folder,) = ui.locust.runs.glob(f"*-{name.lower()}")
            assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["ledger"]["counts"] == {"ok": count}
            ui.locust.until(lambda _: ui.state() == "stopped")


@pytest.mark.slow
def test_tests_that_no_locustfile_offers_change_nothing_but_the_command_line(tmp_path):
    """The schedule's default is empty then: it stands for the class's own all the same."""
    locustfile(tmp_path, THREE_LINES.replace("burst 3", "burst 5"), "shared_tests.py")
    with (
        transcriber(*FAST) as service,
        locust("--host", service.url, *PLAIN, file=locustfile(tmp_path, "import shared_tests\n" + TWO.partition("class Second")[0])) as run,
    ):
        assert run.wait() == 0, run.output
        assert (run.about["question"], str(run.ledger)) == ("first", "3 planned = 3 ok")


@pytest.mark.slow
def test_generators_that_have_all_tests_run_the_masters():
    with (
        transcriber(*FAST) as service,
        distributed("--host", service.url, "--schedule", "burst 8", *PLAIN, "Burst", generators=0, file="locustfiles/") as crew,
    ):
        crew.add()
        assert crew.master.wait() == 0, crew.master.output
        assert str(crew.master.ledger) == "8 planned = 8 ok"
        assert (crew.master.about["question"], crew.master.about["max_in_flight"]) == ("burst", 500)
