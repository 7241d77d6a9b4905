"""Videos: phases and real-time factors, fleets, and the speed-up beside its projection, against published arithmetic."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis.figures.endpoint_resources import endpoint_resources
from analysis.report.metrics_json import metrics
from analysis.report.report import report
from analysis.report.run_sheets import run_sheets
from analysis.runs.load import load
from analysis.tables.run_tables import Tables
from analysis.tables.videos import fleets, videos
from coldburst.record.attempt import COLUMNS, ENDPOINT, Attempt, line
from tests.analysis.test_metrics_schema import content, wrong
from tests.support.sweeps import Measure, write
from tests.support.swept import answered, sheet

CARD = {"vram_gb": 24.0, "shared_gb": 3.4, "per_worker_gb": 3.3, "headroom": 0.8}


def test_the_phases_of_the_avatar_system():
    """28.10 s of video: speech 19.90 s, pictures 134.86 s; processing ÷ audio 0.708 and 4.799."""
    rows = pd.DataFrame(
        {
            "outcome": ["ok", "failed"],
            "tts_s": [19.90, 1.0],
            "video_s": [134.86, np.nan],
            "audio_s": [28.10, 5.0],
            "service_s": [160.0, 2.0],
        }
    )
    found = videos(rows)
    assert (found.n, found.audio_s, found.work_s) == (1, 28.10, pytest.approx(154.76))
    assert [1 / phase.factor for phase in found.phases] == pytest.approx([0.708, 4.799, 5.507], abs=0.0005)
    assert [phase.share for phase in found.phases] == pytest.approx([0.129, 0.871, 1.0], abs=0.0005)
    assert videos(rows[1:]) is None


def test_a_burst_of_twenty_on_5_and_20_workers():
    """60 s a video at $1.39 an hour: 240 s and 60 s; $6.95 and $27.80 an hour; $0.0232 a video in both cases."""
    _, five, twenty = fleets(20, 60.0, 1.39 / 3600)
    assert (five.makespan_s, five.per_hour, twenty.makespan_s, twenty.per_hour) == (240, 300, 60, 1200)
    assert (five.usd_per_hour, twenty.usd_per_hour) == pytest.approx((6.95, 27.80))
    assert (five.usd_per_video, twenty.usd_per_video) == pytest.approx((0.02317, 0.02317), abs=0.00001)
    assert fleets(20, 60.0, None)[0].usd_per_video is None


def sweep(folder, slow, card=None):
    """1, 2 and 3 workers with one job of 1.55 s each at a time, slowed down by ``slow(n)``."""
    measures = [Measure(f"w{n}", 30 * n, n, 30 * 1.55 * slow(n), workers=n, per_worker=1, ids=n) for n in (1, 2, 3)]
    path = write(folder, measures, "scaling", **({"card": card} if card else {}))
    rows = pd.read_csv(path / "attempts.csv")
    rows.assign(audio_s=4.0, tts_s=0.2, video_s=1.35).to_csv(path / "attempts.csv", index=False)
    return answered(path)


@pytest.mark.slow
def test_a_contention_of_15_percent_stands_beside_the_projection(tmp_path):
    found = sweep(tmp_path / "s", lambda n: 1 + 0.15 * (n - 1), CARD)
    rows = list(next(one for one in found.sheets() if one.title == "Videos").rows)
    assert [row[0] for row in rows] == ["w1", "w2", "w3"]
    assert [row[1:5] for row in rows] == [
        ("2,323", "2,323", "1.00 ×", "1.00 ×"),
        ("4,039", "4,645", "1.74 ×", "2.00 ×"),
        ("5,360", "6,968", "2.31 ×", "3.00 ×"),
    ]
    assert [row[5:7] for row in rows] == [("0 %", "–"), ("13 %", "15 %"), ("23.1 %", "15 %")]
    assert {row[7:] for row in rows} == {("20.0 ×", "2.96 ×")}
    remark = next(one for one in found.sheets() if one.title == "Videos").remark
    assert "Recommendation: 3 workers per card" in remark and "(4 fit into 80 % of 24.0 GB)" in remark
    said = json.loads(json.dumps(found.metrics()))
    assert wrong(content(tmp_path / "s")) == []
    made = [cell["videos"] for cell in said["settings"]]
    assert [one["speed_up"] for one in made] == pytest.approx([1.0, 1.739, 2.308], rel=0.03)
    assert [one["projected"] for one in made] == [1, 2, 3]
    assert [one["slow_down"] for one in made[1:]] == pytest.approx([0.15, 0.15], abs=0.01)
    assert [(one["speech"], one["pictures"]) for one in made] == [(pytest.approx(20.0), pytest.approx(4 / 1.35))] * 3
    plan = said["memory"]["plan"]
    assert [(one["workers"], round(one["gb"], 3), one["fits"]) for one in plan[:3]] == [(1, 6.7, True), (2, 10.0, True), (3, 13.3, True)]
    assert (said["memory"]["fit"], said["memory"]["recommended_workers"], plan[-1]["fits"]) == (4, 3, False)
    memory = sheet(found, "Memory plan")
    assert [memory[n]["Usage"] for n in "123"] == ["6.70 GB", "10.0 GB", "13.3 GB"]
    assert [memory[n]["Share of the card"] for n in "123"] == ["27.9 %", "41.7 %", "55.4 %"]


@pytest.mark.slow
def test_the_recommendation_stays_on_the_card_and_with_the_rule(tmp_path):
    small = sweep(tmp_path / "small", lambda n: 1.0, {**CARD, "vram_gb": 13.0})
    assert "Recommendation: 2 workers per card" in next(one for one in small.sheets() if one.title == "Videos").remark
    slow = sweep(tmp_path / "slow", lambda n: 1 + 0.6 * (n - 1), CARD)
    assert "Recommendation: 1 worker per card" in next(one for one in slow.sheets() if one.title == "Videos").remark


@pytest.fixture
def burst(tmp_path):
    """Twenty at once on five workers of 60 s, with samples of the service's resources."""
    rows = [
        Attempt(n, 1, "burst", 0.0, "ok", sent_s=0.0, first_s=60.0 * (n // 5 + 1), done_s=60.0 * (n // 5 + 1), status=200,
                queue_s=60.0 * (n // 5), execution_s=60.0, tts_s=10.0, video_s=50.0, audio_s=12.0, generator="local")
        for n in range(20)
    ]  # fmt: skip
    head = line(column.name for column in COLUMNS)
    (tmp_path / "attempts.csv").write_text(
        head + "".join(line(getattr(row, column.name) for column in COLUMNS) for row in rows), encoding="utf-8"
    )
    looks = [{"at_s": 2.0 * n, "view": "health", "cpu": 1.5, "rss_bytes": 2e8, "gpu_memory_bytes": 1e10} for n in range(120)]
    endpoint = [line(column.name for column in ENDPOINT), *(line(look.get(column.name, "") for column in ENDPOINT) for look in looks)]
    (tmp_path / "endpoint.csv").write_text("".join(endpoint), encoding="utf-8")
    about = {"format": 1, "id": "b", "state": "ended", "planned": 20, "schedule": "burst 20", "elapsed_s": 240.0,
             "started": "2026-11-30T09:00:00+00:00",
             "ended_by": "schedule", "target": {"kind": "video", "host": "http://127.0.0.1:1"},
             "options": {"price": "0.000386"}}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(about), encoding="utf-8")
    return Tables(load(tmp_path))


def test_a_burst_reports_phases_cost_and_four_batches(burst):
    sheets = {one.title: one for one in run_sheets(burst)}
    assert [row[0:2] + row[4:] for row in sheets["Phases of a video"].rows] == [
        ("speech", "10.0 s", "16.7 %", "1.20 ×"),
        ("pictures", "50.0 s", "83.3 %", "0.240 ×"),
        ("both", "60.0 s", "100 %", "0.200 ×"),
    ]
    assert sheets["Workers and cost of videos"].rows[1] == ("5", "240 s", "300", "$6.95", "$0.0232")
    assert sheets["Queue and execution"].rows[0][:2] == ("queue delay", "20")
    assert burst.queue_and_execution["queue delay"].maximum == 180.0
    assert report(burst.run).headline.startswith("20 requests (burst 20): 20 of 20 ok")


def test_metrics_json_has_the_videos_of_a_burst(burst):
    made = report(burst.run)
    found = metrics(made.tables, made.verdict, made.answer)
    assert wrong(found) == []
    videos = found["videos"]
    assert (videos["n"], videos["seconds"], videos["per_hour"]) == (20, 240.0, 300.0)
    phases = {name: (phase["time_s"]["mean"], round(phase["real_time_factor"], 6)) for name, phase in videos["phases"].items()}
    assert phases == {"speech": (10.0, 1.2), "pictures": (50.0, 0.24), "both": (60.0, 0.2)}
    five = videos["projection"][1]
    assert (five["workers"], five["makespan_s"], five["per_hour"]) == (5, 240.0, 300.0)
    assert (five["usd_per_hour"], five["usd_per_video"]) == pytest.approx((6.95, 0.02316), rel=0.001)


def test_the_resources_of_the_service_are_drawn(burst):
    (plot,) = endpoint_resources(burst)
    assert plot.data["gpu_memory_bytes"].to_list() == [1e10] * 120
    assert plot.caption.startswith("120 samples of /health")
