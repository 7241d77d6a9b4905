"""Whole sweeps over real sockets: services of known capacity, settings changed and put back, endings that are ugly."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import pytest

from tests.support.emulators import MODELLED, emulator
from tests.support.endings import numbers
from tests.support.locusts import PLAIN, REPORTED, ROOT, locust
from tests.support.needs import needs
from tests.support.transcribers import stop, transcriber, until
from tests.support.web import WebUi

CONCURRENCY, SCALING, MATRIX = (f"locustfiles/{name}.py" for name in ("concurrency", "scaling", "matrix"))
JSON = '{"input": {"seq": "{{seq}}"}}'


@pytest.fixture
def template(tmp_path):
    """A body that the client takes for any JSON."""
    path = tmp_path / "input.json"
    path.write_text(JSON, encoding="utf-8")
    return ("--input", str(path))


def stages(run, phase="measure"):
    """Rows of stages.csv in that phase, by stage."""
    return {row["stage"]: row for row in run.table("stages.csv") if row["phase"] == phase}


def throughput(run, stage):
    """ok ÷ (last done − first sent), from the rows on disk."""
    rows = [row for row in run.rows if row.stage == stage]
    wall_s = max(row.done_s for row in rows) - min(row.sent_s for row in rows)
    return sum(row.outcome == "ok" for row in rows) / wall_s


def while_sending(rows):
    """ok ÷ time, from the first sent to the answer before the last sent: then the places become free one by one."""
    begin_s, sent_s = min(row.sent_s for row in rows), max(row.sent_s for row in rows)
    done_s = [row.done_s for row in rows if row.done_s <= sent_s]
    return len(done_s) / (max(done_s) - begin_s)


def most_at_once(run, stage):
    """How many jobs of the stage ran at the same time, by the platform's times in its rows."""
    spans = [(row.sent_s + row.queue_s, row.execution_s) for row in run.rows if row.stage == stage]
    return max(sum(begun_s <= at_s < begun_s + took_s - 0.01 for begun_s, took_s in spans) for at_s, _ in spans)


def closed_loop_of(rows, number):
    """Whether ``number`` requests were in flight, and each further one was sent when another had ended."""
    sent, done = sorted(row.sent_s for row in rows), sorted(row.done_s for row in rows)
    at_once = max(sum(row.sent_s <= at_s < row.done_s for row in rows) for at_s in sent)
    return at_once == number and all(before <= at_s for before, at_s in zip(done, sent[number:], strict=False))


def settings(platform, endpoint="demo"):
    """What REST v2 shows of the endpoint that a sweep may change."""
    shown = platform.ask(f"/v2/serverless/{endpoint}").json()
    return {name: shown[name] for name in ("workers", "scaling", "env")}


def metrics(run):
    """What metrics.json has of the sweep."""
    return json.loads((run.folder / "report" / "metrics.json").read_text())["sweep"]


def efficiencies(found):
    """Scaling efficiency of each setting; None where it is refused."""
    said = [setting["relative"]["efficiency"] for setting in found["settings"]]
    return [None if efficiency is None else efficiency["value"] for efficiency in said]


def locked_wall_s(lanes, count, alone_s, locked_s):
    """When the last of ``count`` requests is answered, ``lanes`` at a time, each ``alone_s`` and then ``locked_s`` under the one lock."""
    due, free_s, ended_s = sorted([0.0] * lanes), 0.0, 0.0
    for _ in range(count):
        start_s = due.pop(0)
        free_s = max(free_s, start_s + alone_s) + locked_s
        ended_s = max(ended_s, free_s)
        due = sorted([*due, free_s])
    return ended_s


@contextmanager
def lockable(tmp_path, alone_s, locked_s=0.0):
    """A service of workers that share a lock; yields its address and the file that holds their number."""
    number = tmp_path / "workers"
    number.write_text("1")
    command = [sys.executable, "-m", "tests.support.lockable", "--workers", str(number), "--alone", str(alone_s), "--locked", str(locked_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1], number
        finally:
            stop(process)


@contextmanager
def by_hand(run, change):
    """Does what the run asks for by hand, time after time: calls ``change`` with the number asked for, then touches ``continue``."""

    def watch():
        for number in (1, 2, 3):
            run.until(lambda run, number=number: f"Now run exactly {number} worker" in run.output.rpartition("; then: touch")[0])
            change(number)
            (run.folder / "continue").touch()

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        except BaseException:
            run.process.kill()  # nothing more is asked for
            raise
        watching.result()


@pytest.mark.nightly
def test_a_service_of_three_slots_gives_the_smaller_of_level_and_slots():
    """1 s fixed, 3 slots: min(c, 3) answers a second at each level; six and twelve at a time bring nothing, so 24 is left out."""
    args = ("--levels", "1,2,3,6,12,24", "--level", "6", "--warm-up", "0", *PLAIN)
    with (
        transcriber("--engine", "fixed", "--service-time", "1", "--max-concurrent", "3", "--queue", "100") as service,
        locust("--host", service.url, *args, file=CONCURRENCY, **REPORTED) as run,
    ):
        assert run.wait() == 0, run.output
        for level in (1, 2, 3, 6, 12):
            assert throughput(run, f"c{level}") == pytest.approx(min(level, 3), rel=0.03)
        told = stages(run)
        assert [row["state"] for row in told.values()] == ["done"] * 5 + ["skipped"]
        assert "gained less than 5%" in told["c24"]["why"]
        assert run.ledger.balanced
        assert run.ledger.planned == 6 + 6 + 6 + 6 + 12
        rows = [row for row in told.values() if row["state"] == "done"]
        between_s = [float(row["start_s"]) - float(last["end_s"]) for last, row in pairwise(rows)]
        assert max(between_s) < 1  # what a level costs beyond its load; a bound that only a fault can reach
        found = metrics(run)
        assert [setting["throughput_per_s"]["value"] for setting in found["settings"][:5]] == pytest.approx([1, 2, 3, 3, 3], rel=0.03)
        assert found["knee"]["setting"] == "c3"


@pytest.mark.slow
def test_failures_end_the_climb():
    """Two slots and nobody waits: at 4 at a time half of what is asked is turned away."""
    args = ("--levels", "1,2,4,8", "--level", "8", "--warm-up", "0", *PLAIN)
    with (
        transcriber("--engine", "fixed", "--service-time", "0.2", "--max-concurrent", "2", "--fail-fast") as service,
        locust("--host", service.url, *args, file=CONCURRENCY) as run,
    ):
        assert run.wait() == 1, run.output
        told = stages(run)
        assert [row["state"] for row in told.values()] == ["done", "done", "done", "skipped"]
        assert "did not end ok" in told["c8"]["why"]
        assert {row.outcome for row in run.rows if row.stage == "c4"} == {"ok", "busy"}


@pytest.mark.nightly
def test_levels_on_the_way_down_are_all_measured():
    """Each brings less than the one before it, which is no reason to leave the next one out."""
    args = ("--levels", "8,4,2,1", "--level", "16", "--warm-up", "0", *PLAIN)
    with (
        transcriber("--engine", "fixed", "--service-time", "0.1", "--max-concurrent", "4", "--queue", "100") as service,
        locust("--host", service.url, *args, file=CONCURRENCY, **REPORTED) as run,
    ):
        assert run.wait() == 0, run.output
        assert [(row["stage"], row["state"]) for row in stages(run).values()] == [(f"c{c}", "done") for c in (8, 4, 2, 1)]
        assert metrics(run)["baseline"] == "c1"


@pytest.mark.nightly
def test_a_level_that_drops_words_does_not_win():
    """Twice the throughput at eight at a time, by leaving two words out of each answer."""
    args = ("--levels", "1,4,8", "--level", "40", "--warm-up", "0")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.forgetful", "--most", "4"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            with locust("--host", process.stdout.readline().split()[-1], *args, file=CONCURRENCY, **REPORTED) as run:
                assert run.wait() == 0, run.output
                found = metrics(run)
        finally:
            stop(process)
    rates = [setting["throughput_per_s"]["value"] for setting in found["settings"]]
    assert rates[2] > 1.5 * rates[1]
    assert [policy["setting"] for policy in found["policies"]] == ["c4"] * 3
    assert any(note.startswith("c8 cannot win: its word error rate is") for note in found["notes"])


@pytest.mark.nightly
def test_a_stage_that_is_cut_while_its_last_answers_are_awaited_is_not_whole():
    args = ("--levels", "4", "--level", "4", "--warm-up", "0", *PLAIN)
    with (
        transcriber("--engine", "fixed", "--service-time", "30", "--max-concurrent", "4") as service,
        locust("--host", service.url, *args, file=CONCURRENCY) as run,
    ):
        run.until(lambda run: "in flight 4" in run.output)
        run.interrupt()
        run.until(lambda run: "Ending the run" in run.output)
        run.interrupt()
        assert run.wait() == 1, run.output
        assert [row["state"] for row in stages(run).values()] == ["cut"]
        assert {row.outcome for row in run.rows} == {"unfinished"}


@pytest.mark.slow
@needs("nginx")
def test_workers_behind_nginx_share_the_load_and_their_efficiency_is_that_of_the_rows():
    """1, 2, 3 real services of one slot and a fixed time, started by the run behind a real nginx."""
    replicas = ("--target", "transcription", "--replica-args", "--engine fixed --service-time 0.8 --max-concurrent 1")
    load = ("--workers", "1,2,3", "--concurrency", "1", "--requests", "8", "--warm-up", "2")
    with locust(*replicas, *load, *PLAIN, file=SCALING, **REPORTED) as run:
        assert run.wait() == 0, run.output
        rows = {number: [row for row in run.rows if row.stage == f"w{number}"] for number in (1, 2, 3)}
        for number, of_stage in rows.items():
            assert [row.outcome for row in of_stage] == ["ok"] * 8 * number
            assert len({row.worker_id for row in of_stage}) == number
            assert closed_loop_of(of_stage, number)
        per_s = [while_sending(of_stage) for of_stage in rows.values()]
        assert all(rate <= number / 0.8 for number, rate in zip(rows, per_s, strict=True))
        found = metrics(run)
        assert [setting["throughput_per_s"]["value"] for setting in found["settings"]] == pytest.approx(per_s, rel=1e-4)
        assert efficiencies(found) == pytest.approx([rate / per_s[0] / number for number, rate in zip(rows, per_s, strict=True)], rel=1e-4)


@pytest.mark.nightly
def test_workers_that_share_a_lock_scale_as_arithmetic_says(tmp_path):
    """0.6 s alone and 0.4 s under a lock: 1, 2 and then 2.5 a second, which the lock allows; told by hand."""
    load = ("--workers", "1,2,3", "--concurrency", "1", "--requests", "6", "--warm-up", "3", "--control", "hand")
    with lockable(tmp_path, 0.6, 0.4) as (url, number), locust("--host", url, *load, *PLAIN, file=SCALING, **REPORTED) as run:
        with by_hand(run, lambda workers: number.write_text(str(workers))):
            assert run.wait() == 0, run.output
        per_s = [6 * workers / locked_wall_s(workers, 6 * workers, 0.6, 0.4) for workers in (1, 2, 3)]
        assert per_s == pytest.approx([1.0, 1.875, 2.308], abs=0.001)  # in the end 1, 2 and 2.5; the first ones wait for each other
        assert [throughput(run, f"w{workers}") for workers in (1, 2, 3)] == pytest.approx(per_s, rel=0.03)
        assert efficiencies(metrics(run)) == pytest.approx([1.0, per_s[1] / 2, per_s[2] / 3], abs=0.03)


@pytest.mark.slow
def test_one_worker_that_is_told_to_be_three_gets_no_efficiency(tmp_path):
    load = ("--workers", "1,2,3", "--concurrency", "1", "--requests", "5", "--warm-up", "0", "--control", "hand")
    with lockable(tmp_path, 0.1) as (url, _), locust("--host", url, *load, *PLAIN, file=SCALING, **REPORTED) as run:
        with by_hand(run, lambda workers: None):
            assert run.wait() == 0, run.output
        assert efficiencies(metrics(run))[1:] == [None, None]
        assert "3 workers requested, 1 seen" in (run.folder / "report" / "report.md").read_text()
        assert any("restore by hand what you changed" in note for note in metrics(run)["notes"])


@pytest.mark.slow
@pytest.mark.parametrize(("service_s", "together"), [("3", 2), pytest.param("6", 4, marks=pytest.mark.nightly)])
def test_a_matrix_on_workers_of_the_real_sdk(service_s, together):
    """Concurrency 1, 2 and 4 by a rolling release of real workers; a job takes longer than the second that the SDK rests between two looks.

    It counts a job that it has taken and not begun twice, so where the first two did not come together it rests before the second. All
    four are together where jobs are longer than its looks; on any machine at least two of them are.
    """
    worker = ("--engine", "fixed", "--service-time", service_s, "--idle-timeout", "60", "--management-per-minute", "10000")
    with emulator(*worker) as platform:
        before = settings(platform)
        load = ("--requests", "4", "--warm-up", "0", "--concurrency", "1,2,4")
        with locust("--host", f"{platform.url}/v2/demo", *load, *PLAIN, file=MATRIX) as run:
            assert run.wait() == 0, run.output
            told = stages(run)
            assert [(row["workers_seen"], row["scaler_value"], row["state"]) for row in told.values()] == [
                ("1", "1", "done"),
                ("1", "2", "done"),
                ("1", "4", "done"),
            ]
            workers = [{row.worker_id for row in run.rows if row.stage == stage} for stage in told]
            assert [len(seen) for seen in workers] == [1, 1, 1]
            assert len(set.union(*workers)) == 3  # each release has a worker of its own
            alone, two, four = (most_at_once(run, stage) for stage in told)
            assert alone == 1
            assert two <= 2
            assert together <= four <= 4
        assert settings(platform) == before


MODELLED_SWEEP = (*MODELLED, "--service-time", "0.5", "--management-per-minute", "10000", "--idle-timeout", "60")


@pytest.mark.slow
@pytest.mark.parametrize("number", numbers(signal.SIGHUP))
def test_a_sweep_cut_in_the_second_of_three_stages(number, template):
    """The first stage is whole, the second is marked cut, the third never began, and the settings are as they were."""
    with emulator(*MODELLED_SWEEP, "--workers-max", "2") as platform:
        before = settings(platform)
        load = ("--workers", "1,2,3", "--concurrency", "1", "--requests", "10", "--warm-up", "0")
        with locust("--host", f"{platform.url}/v2/demo", *load, *template, file=SCALING, **REPORTED) as run:
            run.until(lambda run: sum(row.stage == "w2" for row in run.rows) >= 3)
            run.interrupt(number)
            assert run.wait() == 1, run.output
            assert [row["state"] for row in stages(run).values()] == ["done", "cut", "skipped"]
            assert run.ledger.balanced
            assert json.loads((run.folder / "settings.json").read_text())["restored"] is True
            page = (run.folder / "report" / "report.md").read_text()
            assert "cut" in page
        assert settings(platform) == before


@pytest.mark.slow
def test_settings_are_put_back_after_a_kill(template):
    with emulator(*MODELLED_SWEEP) as platform:
        before = settings(platform)
        load = ("--workers", "2,3", "--concurrency", "1", "--requests", "50", "--warm-up", "0")
        with locust("--host", f"{platform.url}/v2/demo", *load, *template, file=SCALING) as run:
            run.until(lambda run: len(run.rows) >= 3)
            run.interrupt(signal.SIGKILL)
            run.wait()
            assert settings(platform) != before
            command = [sys.executable, "-m", "coldburst", "restore", str(run.folder)]
            said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
            assert said.returncode == 0, said.stderr
            assert settings(platform) == before


@pytest.mark.nightly
def test_settings_that_cannot_be_put_back_make_the_run_fail(template):
    """A variable turns up whose value is not shown: the environment cannot be changed without it; what costs money is restored."""
    with emulator(*MODELLED_SWEEP, "--env", "HF_TOKEN") as platform:
        before = settings(platform)
        load = ("--concurrency", "1", "--requests", "4", "--warm-up", "0")
        with locust("--host", f"{platform.url}/v2/demo", *load, *template, file=MATRIX, **REPORTED) as run:
            run.until(lambda run: len(run.rows) >= 1)
            env = settings(platform)["env"] | {"HF_TOKEN": "****"}
            assert platform.ask("/v2/serverless/demo", {"env": env}, "PATCH").status == 200
            assert run.wait() == 1, run.output
            assert run.ledger.counts == {"ok": 4}
            assert "Could not restore the endpoint's settings" in run.output
            assert any(f"python -m coldburst restore {run.folder}" in note for note in metrics(run)["notes"])
            assert [settings(platform)[name] for name in ("workers", "scaling")] == [before["workers"], before["scaling"]]


@pytest.mark.nightly
def test_a_sweep_without_a_measured_setting_fails(template):
    with emulator(*MODELLED_SWEEP, "--fault", '{"throttle": 0}') as platform:
        load = ("--workers", "1,2", "--concurrency", "1", "--requests", "2", "--warm-up", "1", "--settle-timeout", "1")
        with locust("--host", f"{platform.url}/v2/demo", *load, *template, file=SCALING, **REPORTED) as run:
            assert run.wait() != 0, run.output
            told = run.table("stages.csv")
            assert [(row["stage"], row["state"], row["ready_s"]) for row in told] == [
                (stage, "skipped", "") for stage in ("w1-warm", "w1", "w2-warm", "w2")
            ]
            assert metrics(run)["decision"]["setting"] is None


@pytest.mark.slow
def test_workers_that_do_not_come_leave_their_stage_out(template):
    """A second worker finds no host: after the settle time its stage is skipped, and told with what was seen."""
    with emulator(*MODELLED_SWEEP, "--fault", '{"throttle": 1}') as platform:
        load = ("--workers", "1,2", "--concurrency", "1", "--requests", "4", "--warm-up", "0", "--settle-timeout", "8")
        with locust("--host", f"{platform.url}/v2/demo", *load, *template, file=SCALING) as run:
            assert run.wait() == 0, run.output
            told = stages(run)
            assert told["w1"]["state"] == "done"
            assert told["w2"]["state"] == "skipped"
            assert "1 of 2 workers serve" in told["w2"]["why"]
            until(lambda: settings(platform)["workers"]["max"] == 3, "the settings put back")


@pytest.mark.slow
def test_an_endpoint_elsewhere_is_not_changed_unless_told_to(template):
    """An address that is not this machine's usual own: what would change is said, and nothing is done without --yes."""
    load = ("--workers", "1,2", "--concurrency", "1", "--requests", "2", "--warm-up", "0")
    with emulator(*MODELLED_SWEEP, "--host", "127.0.0.2") as platform:
        before = settings(platform)
        with locust("--host", f"{platform.url}/v2/demo", *load, *template, file=SCALING) as run:
            assert run.wait() == 2, run.output
            assert "workers, min = max, to 1, 2 (now 0 to 3" in run.output
            assert "--yes, or prevent" in run.output
            assert list(run.runs.iterdir()) == []
        assert settings(platform) == before
        with locust("--host", f"{platform.url}/v2/demo", *load, *template, "--yes", file=SCALING) as run:
            assert run.wait() == 0, run.output
        assert settings(platform) == before


@pytest.mark.slow
def test_a_sweep_from_the_web_ui(template):
    """The same options as fields; an endpoint elsewhere needs a yes in the form, and the settings are put back."""
    with emulator(*MODELLED_SWEEP, "--host", "127.0.0.2") as platform, WebUi(*template, file=SCALING) as ui:
        before = settings(platform)
        assert all(ui.field(name) for name in ("workers", "requests", "warm_up", "objective", "settle_timeout"))
        form = {"host": f"{platform.url}/v2/demo", "workers": "1,2", "requests": "3", "concurrency": "1", "warm_up": "0"}
        refused = ui.post("/swarm", **form)
        assert (refused["success"], "agree with 'yes'" in refused["message"]) == (False, True)
        assert "'x,y'" in ui.post("/swarm", **form | {"workers": "x,y"})["message"]
        assert ui.post("/swarm", **form, yes="yes")["success"]
        ui.locust.until(lambda run: (run.folder / "report" / "index.html").exists())
        assert [row["state"] for row in stages(ui.locust).values()] == ["done", "done"]
        assert settings(platform) == before
