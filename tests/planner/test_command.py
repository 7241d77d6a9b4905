"""``coldburst plan`` as a user runs it."""

import json

import pytest

from coldburst import cli
from coldburst.planner.command import main
from tests.planner.test_what_if import burst, warm
from tests.support.locusts import ROOT

BURST = str(ROOT / "tests/runs/queue")
KNOWN = ("--service-time", "5", "--start", "2", "--load", "6", "--seeds", "3")


def answer(capsys, *words):
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_predict_says_the_times_and_what_they_rest_on(capsys, tmp_path):
    file = tmp_path / "a.json"
    code, out, _ = answer(
        capsys,
        "predict",
        *KNOWN,
        "--spread",
        "0",
        "--schedule",
        "burst 3",
        "--workers-max",
        "1",
        "--price",
        "0.001",
        "--json",
        str(file),
    )
    assert code == 0
    assert out.splitlines()[0].startswith("P95 25.")  # 8 s of start, then three jobs that the SDK takes 6 s apart
    assert "3 of 3 requests ok" in out
    assert "service            5 s, as given" in out
    data = json.loads(file.read_text())
    assert data["planned"] == 3
    assert data["figures"]["start_s"]["median"] == 8.0
    assert data["figures"]["usd"]["median"] == pytest.approx(0.001 * data["figures"]["worker_s"]["median"], rel=1e-3)


@pytest.mark.slow
def test_a_predicted_run_is_a_run_for_the_report(capsys, tmp_path):
    code, out, _ = answer(capsys, "predict", *KNOWN, "--schedule", "burst 12", "--runs", str(tmp_path))
    (folder,) = tmp_path.iterdir()
    assert code == 0
    assert f"coldburst report {folder}" in out
    from analysis.__main__ import main as analyse

    assert analyse(["report", str(folder), "--figures", "no"]) == 0
    assert "12 planned = 12 ok" in " ".join(capsys.readouterr().out.split())


def test_a_run_is_predicted_again_from_its_own_rows(capsys):
    code, out, _ = answer(capsys, "predict", "--from", BURST, "--seeds", "3", "--workers-max", "3", "--schedule", "burst 30", "--load", "6")
    assert code == 0
    assert "measured values" in out


def test_the_settings_are_those_of_the_run_unless_given(capsys, tmp_path):
    run = burst(tmp_path, workers_max=2)
    code, out, _ = answer(capsys, "predict", "--from", str(run), "--seeds", "3", "--json", str(tmp_path / "a.json"))
    assert code == 0
    assert "other settings     those of the run" in out
    assert json.loads((tmp_path / "a.json").read_text())["settings"]["workers_max"] == 2
    answer(capsys, "predict", "--from", str(run), "--seeds", "3", "--workers-min", "4", "--json", str(tmp_path / "a.json"))
    settings = json.loads((tmp_path / "a.json").read_text())["settings"]
    assert (settings["workers_min"], settings["workers_max"]) == (4, 4)


@pytest.mark.slow
def test_sweep_marks_what_nothing_beats(capsys):
    code, out, _ = answer(capsys, "sweep", *KNOWN, "--schedule", "burst 10", "--workers-max", "1,2", "--objective", "p95<60s")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("2 settings; * marks")
    assert lines[0].endswith(" 1 meets p95 < 60 s in nine of ten runs: max workers 2.")
    assert sum(line.endswith("*") for line in lines) == 2


@pytest.mark.slow
def test_recommend_gives_a_setting_and_its_neighbours(capsys):
    code, out, err = answer(capsys, "recommend", *KNOWN, "--schedule", "burst 10", "--objective", "p95<45s", "--workers-max", "1..6")
    assert code == 0
    assert "the cheapest of" in out.splitlines()[0]
    assert "One step away from it" in out
    assert "settings looked at" in err


def test_a_minimum_is_billed_until_the_traffic_comes_again(capsys):
    words = ("predict", *KNOWN, "--schedule", "burst 1", "--workers-min", "1", "--price", "0.001", "--spread", "0")
    _, once, _ = answer(capsys, *words)
    _, hourly, _ = answer(capsys, *words, "--every", "3600")
    assert "The minimum of 1 costs 86.4 USD a day, traffic or not" in once
    assert "3.6 USD" in hourly.splitlines()[0]  # 3,600 s of one worker


@pytest.mark.slow
def test_whatif_finds_the_cliff(capsys):
    code, out, _ = answer(
        capsys, "whatif", *KNOWN, "--workers-min", "2", "--workers-max", "2", "--rate", "0.05..1", "--minutes", "10", "--concurrency", "1"
    )
    assert code == 0
    assert "and breaks by" in out.splitlines()[0]
    cliff = next(line for line in out.splitlines() if line.endswith("cliff"))
    assert 0.25 < float(cliff.split()[0].removesuffix("/s")) < 0.6  # two workers of 5 s carry less than 0.4/s


@pytest.mark.slow
def test_workers_begins_at_littles_law(capsys):
    code, out, _ = answer(capsys, "workers", *KNOWN, "--rate", "1", "--objective", "p95<30s", "--minutes", "5")
    assert code == 0
    assert "Little's law: 1/s x 5 s of a worker = 5 workers busy on average" in out
    assert int(out.split()[0]) >= 6


@pytest.mark.slow
def test_idle_weighs_cold_starts_against_idle_time(capsys):
    code, out, _ = answer(capsys, "idle", *KNOWN, "--rate", "0.02", "--minutes", "60", "--price", "0.001", "--workers-max", "1")
    assert code == 0
    assert "USD a day" in out
    rows = [line.split() for line in out.splitlines() if line.strip()[:1] in ("0", "1")]
    usd = {(row[0], row[1]): float(row[-1]) for row in rows}
    assert usd["0", "5"] == min(usd.values())
    assert usd["1", "600"] == pytest.approx(86.4, rel=0.05)  # a worker that is always on: 86,400 s at 0.001 USD


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict",), "how long does a job take? Give --from RUN"),
        (("predict", "--service-time", "5"), "which traffic? Give --schedule 'burst 30'"),
        (("predict", "--service-time", "5", "--schedule", "burst 3", "--price", "H1"), "does not name one GPU"),
        (("sweep", "--service-time", "5", "--schedule", "burst 3"), "which settings? Give several values"),
        (("whatif", "--service-time", "5", "--rate", "3"), "write it as in '--rate 0.2..2'"),
        (
            ("workers", "--service-time", "5", "--rate", "0.5", "--objective", "p95<2s", "--minutes", "2", "--seeds", "2"),
            "4 times what the rate needs, do not meet p95 < 2 s: the P95 is 5.",
        ),
        (("predict", "--from", "nowhere"), "nowhere is not a run: it has no run.json; name a run directory"),
        (("recommend", "--service-time", "5", "--schedule", "burst 3", "--objective", "p95"), "is not METRIC OP VALUE"),
        (("predict", "--from", BURST, "--concurrency", "9", "--workers-max", "3"), "at a time cannot be predicted from it"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(capsys, words, said):
    code, out, err = answer(capsys, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_wrong_option_is_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["predict", "--service-time", "gauss:1:2"])
    assert ended.value.code == 2
    assert "cannot be read as a time" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("sweep", "--schedule", "burst 4", "--workers-max", "1,2"), ("worker-seconds", "max 1", "max 2")),
        (("whatif", "--rate", "0.05..0.2", "--minutes", "2", "--price", "0.001"), ("USD an hour", "requests per second")),
    ],
)
def test_an_answer_is_drawn(capsys, tmp_path, words, shown):
    from analysis.figures.plans import save

    code = main([*words, *KNOWN, "--picture", str(tmp_path / "plan.svg")], save)
    capsys.readouterr()
    assert code == 0
    drawn = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    assert [word for word in shown if word not in drawn] == []
    assert main([*words, *KNOWN, "--picture", str(tmp_path / "plan.xyz")], save) == 2
    assert "is not supported" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_is_a_page_whose_settings_move(capsys, tmp_path):
    words = ["--workers-min", "0,2", "--workers-max", "1,2", "--schedule", "burst 4", *KNOWN]
    page = tmp_path / "plan.html"
    assert cli.main(["plan", "sweep", *words, "--picture", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count('<input type="radio"') == 4
    assert text.count('<tr id="point_') == 4  # a minimum of 2 of at most 1 is a row that says so
    assert text.count("not predicted: the platform does not take this combination") == 1
    assert "default-src 'none'" in text and "Worker-hours a day" in text
    capsys.readouterr()
    assert cli.main(["plan", "whatif", "--rate", "0.1..0.2", "--minutes", "1", *KNOWN, "--picture", str(page)]) == 2
    assert "a page shows settings to move" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hold=3", "unknown platform parameter 'hold': did you mean hold_s? ('--platform help' lists all)"),
        ("hold_s=abc", "'--platform hold_s=abc' is not valid: the default is 120.0"),
        ("choose=any", "choose 'any' must be fill_first, least_in_flight or round_robin"),
        ("start_s=3", "'--platform start_s=3': in a plan this is --start, which takes distributions too"),
    ],
)
def test_a_wrong_parameter_of_the_platform_is_one_sentence(capsys, given, said):
    code, _, err = answer(capsys, "predict", *KNOWN, "--schedule", "burst 3", "--platform", given)
    assert (code, err.partition(": ")[2]) == (2, said + "\n")


def test_parameters_of_the_platform_change_the_answer_and_are_named(capsys, tmp_path):
    balancer = ("--kind", "balancer", "--scaler-value", "1", "--workers-max", "1", "--spread", "0", "--schedule", "burst 3")
    code, out, _ = answer(
        capsys, "predict", *KNOWN, *balancer, "--platform", "hold_s=10", "--platform", "slot_s=0", "--runs", str(tmp_path)
    )
    assert code == 0
    # The first is taken after 8 s; its place is free 5 s later, and the others have gone by then.
    assert "1 of 3 requests ok, 2 given up by the platform" in out
    assert "platform           its default parameters but hold_s=10, slot_s=0" in out
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "run.json").read_text())["plan"]["platform"] == {"hold_s": "10", "slot_s": "0"}
    assert "| `hold_s` | 120 |" in answer(capsys, "predict", "--platform", "help")[1]


def test_a_closed_loop_can_be_planned_and_multiplied(capsys):
    fixed = (
        "--workers-min",
        "2",
        "--workers-max",
        "2",
        "--spread",
        "0",
        "--kind",
        "balancer",
        "--scaler-value",
        "1",
        "--platform",
        "slot_s=0",
    )
    code, out, _ = answer(capsys, "predict", *KNOWN, *fixed, "--schedule", "level 12s 1 at a time", "--times", "2")
    assert code == 0
    assert "P95 5 s, P50 5 s; 6 of 6 requests ok" in out


def test_a_plan_from_a_run_without_a_start_wants_one_measured_or_stated(capsys, tmp_path):
    folder = str(warm(tmp_path))
    code, _, err = answer(capsys, "predict", "--from", folder, "--seeds", "3")
    assert code == 2
    assert "measure one with coldburst run coldstart, or state what a start takes, as in --start 40 or --start range:10:120" in err
    code, out, _ = answer(capsys, "predict", "--from", folder, "--workers-min", "2", "--workers-max", "2", "--seeds", "3")
    assert code == 0  # no worker starts
    code, out, _ = answer(capsys, "predict", "--from", folder, "--start", "range:20:60", "--seeds", "3")
    assert "start of a worker  20 to 60 s and load 0 s, as given" in out
