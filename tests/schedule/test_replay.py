"""Recorded arrivals: read from runs and from lists, at another speed, and sent as they were recorded."""

import re

import pytest

from coldburst.schedule.replay import recorded_arrivals
from coldburst.schedule.stages import ScheduleError, arrivals, parse, planned, text
from tests.support.locusts import PLAIN, ROOT, locust
from tests.support.transcribers import transcriber


def file_of(tmp_path, content):
    path = tmp_path / "trace.csv"
    path.write_text(content, encoding="utf-8")
    return path


def instants(stages):
    return [round(arrival.scheduled_s, 6) for arrival in arrivals(stages, seed=1)]


@pytest.mark.parametrize(
    "content",
    [
        "timestamp\n100\n100.5\n103\n",
        "at_s,what\n100,a\n103,b\n100.5,c",
        "anything\n2026-11-21T10:00:00Z\n2026-11-21T10:00:00.5Z\n2026-11-21T10:00:03Z\n",
        "\ufefftimestamp\n100\n100.5\n103\n",
        '\ufeffwhat,time\na,-3\nb,-2.5\n\n"c\nd",0\n',
        "timestamp,timestamp\n1,-3\n2,-2.5\n3,0\n",
        "when\n2026-03-29T01:59:59\n2026-03-29T01:59:59.5\n2026-03-29T02:00:02\n",  # over a change of the clocks in Europe
        "time\r\n2026-11-21T10:00:00+01:00\r\n2026-11-21T09:00:00.5Z\r\n2026-11-21 09:00:03+00:00\r\n",
    ],
)
def test_instants_count_from_the_first_whatever_they_are_written_in(tmp_path, content):
    stages = recorded_arrivals(file_of(tmp_path, content), 1.0)
    assert instants(stages) == [0, 0.5, 3]
    assert planned(stages, 1) == 3
    assert text(stages) == "replay 3 as recorded"


def test_twice_the_speed_is_half_the_time(tmp_path):
    assert instants(recorded_arrivals(file_of(tmp_path, "timestamp\n0\n1\n5\n"), 2.0)) == [0, 0.5, 2.5]


def test_a_run_is_replayed_with_its_stages_and_without_its_retries(tmp_path):
    rows = [
        "seq,attempt,stage,scheduled_s,outcome",
        "0,1,warm,0,ok",
        "1,1,warm,2,busy",
        "1,2,warm,2,ok",
        "2,1,burst,6,ok",
        "3,1,burst,6,ok",
    ]
    (tmp_path / "attempts.csv").write_text("\n".join([*rows, "4,1,bur"]), encoding="utf-8")
    stages = recorded_arrivals(tmp_path, 2.0)
    assert [(stage.name, stage.duration_s, stage.at) for stage in stages] == [("warm", 3.0, (0, 1)), ("burst", 0.0, (0, 0))]
    assert instants(stages) == [0, 1, 3, 3]


def test_stages_that_overlapped_become_one(tmp_path):
    content = "stage,scheduled_s\na,0\nb,1\na,2\n"
    (stage,) = recorded_arrivals(file_of(tmp_path, content), 1.0)
    assert (stage.name, stage.at) == ("replay", (0, 1, 2))


@pytest.mark.parametrize(
    ("content", "speed", "told"),
    [
        ("timestamp\n1\nsoon\n", 1, "'soon' in"),
        ("timestamp\n1\nnan\n", 1, "'nan' in"),
        ("timestamp\n1\ninf\n", 1, "'inf' in"),
        ('timestamp\n1\n"' + "x" * 200_000, 1, "is not a CSV file with a column of instants"),
        ("timestamp,what\n1,a\n,b\n", 1, "'' in"),
        ("what,timestamp\na,1\nb\n", 1, "line 3, column 'timestamp'"),
        ("1\n2\n3\n", 1, "its first line must name the columns, as in 'timestamp', but is '1'"),
        ("2026-11-21T10:00:00Z\n2026-11-21T10:00:01Z\n", 1, "but is '2026"),
        ("timestamp\n0\n1e300\n", 1, "last 1e+300 s at --speed 1, and a run lasts at most 2.59e+06 s"),
        ("timestamp\n1795275531000\n1795282731000\n", 1, "--speed 1000 replays milliseconds"),
        ("timestamp\n", 1, "no rows after its first line"),
        ("", 1, "first line must name the columns"),
        ("timestamp\n1\n", 0, "--speed 0 must be from 0.001 to 1000"),
        ("timestamp\n1\n", -1, "--speed -1 must be from 0.001 to 1000"),
        ("timestamp\n1\n", float("nan"), "--speed nan must be from 0.001 to 1000"),
        ("timestamp\n1\n", float("inf"), "--speed inf must be from 0.001 to 1000"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, content, speed, told):
    with pytest.raises(ScheduleError, match=re.escape(told)):
        recorded_arrivals(file_of(tmp_path, content), speed)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ScheduleError, match="cannot read the arrivals"):
        recorded_arrivals(tmp_path / "nowhere.csv", 1.0)


def test_the_notation_of_recorded_arrivals_points_to_the_locustfile():
    with pytest.raises(ScheduleError, match="replay"):
        parse("replay 36 as recorded")


@pytest.mark.slow
def test_a_trace_is_sent_as_it_was_recorded():
    asked = ("--speed", "10", "--target", "transcription", "--max-wer", "off")
    file = ROOT / "locustfiles" / "replay.py"
    with (
        transcriber("--engine", "fixed", "--service-time", "0.01") as service,
        locust("--host", service.url, *asked, *PLAIN, file=file) as run,
    ):
        assert run.wait() == 0, run.output
        due = [float(row["scheduled_s"]) for row in sorted(run.table("attempts.csv"), key=lambda row: int(row["seq"]))]
    trace = [float(line) for line in (ROOT / "samples" / "arrivals.csv").read_text(encoding="utf-8").split()[1:]]
    assert due == pytest.approx([at_s / 10 for at_s in trace], abs=1e-6)
