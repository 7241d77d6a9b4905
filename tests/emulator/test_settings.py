"""The emulator's command line, its configuration file and the parts of it that have no process."""

import math
import random
import sys

import pytest

from coldburst.child_processes import groups_left
from coldburst.emulator.faults import FaultRules
from coldburst.emulator.settings.arguments import text_of
from coldburst.emulator.settings.endpoint_specs import service_time
from coldburst.emulator.settings.fault_notation import RESET, Fault, FaultError, FaultRule, parse_fault
from coldburst.emulator.settings.parsing import parse
from coldburst.emulator.workers.processes import outside, sdk_block, unexpected_end
from coldburst.serverless.platform_parameters import Platform


def refusal(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    output = capsys.readouterr().err
    assert output.count("\n") == 1
    return output


# command line


def test_without_words_there_is_one_endpoint_with_real_workers():
    options, (spec,) = parse([])
    assert (options.host, options.port, options.https, options.poll_hold_s) == ("127.0.0.1", 0, False, 20.0)
    assert (spec.name, spec.workers.kind, spec.workers.engine, spec.workers.extra_load_s) == ("demo", "sdk", "pocketsphinx", 0.0)
    assert (spec.policy.kind, spec.policy.scaler, spec.policy.workers_min, spec.policy.workers_max) == (
        "QUEUE",
        "QUEUE_DELAY",
        0,
        3,
    )
    assert spec.platform == Platform()


def test_every_setting_has_its_place():
    words = (
        "--kind balancer --workers-min 1 --workers-max 4 --idle-timeout 9 --scaler-value 2 --execution-timeout 0 --flashboot --price 0.5"
    )
    work = "--worker modelled --concurrency 3 --service-time exp:0.5 --first-extra 1 --card-gb 24 --shared-gb 6 --job-gb 4"
    platform = (
        "--pull 1 --start 2 --load 3 --platform hold_s=10 --platform per_worker=5 --platform limits_on=false --platform choose=round_robin"
    )
    _, (spec,) = parse([*words.split(), *work.split(), *platform.split(), "--fault", '{"throttle": 1}'])
    policy, one = spec.policy, spec.platform
    assert (policy.kind, policy.scaler, policy.scaler_value, policy.idle_timeout_s) == ("LOAD_BALANCER", "REQUEST_COUNT", 2.0, 9.0)
    assert (policy.workers_min, policy.workers_max, policy.execution_timeout_s, policy.flashboot) == (1, 4, 0.0, True)
    assert (one.pull_s, one.start_s, one.load_s, one.hold_s, one.per_worker, one.limits_on, one.choose) == (
        1,
        2,
        3,
        10,
        5,
        False,
        "round_robin",
    )
    assert (spec.workers.concurrency, spec.workers.first_extra_s, spec.workers.card_gb, spec.price_per_s) == (3, 1.0, 24.0, 0.5)
    assert spec.faults == (Fault("throttle", 1),)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--port", "x"], "'x' is not a whole number"),
        (["--workers-min", "5"], "workers_max 3"),
        (["--idle-timeout", "0"], "1 and 3600"),
        (["--kind", "balancer", "--scaler", "queue-delay"], "REQUEST_COUNT"),
        (["--scaler-value", "0.1"], "0.5"),
        (["--service-time", "gauss:1"], "'exp:0.5'"),
        (["--engine", "fixed", "--service-time", "exp:1"], "--service-time 0.5"),
        (["--engine", "whisper"], "'whisper'"),
        (["--worker", "command"], "--command"),
        (["--worker", "command", "--command", "no-such-program x"], "'no-such-program'"),
        (["--endpoint", "serverless"], "'serverless'"),
        (["--endpoint", "a/b"], "'a/b'"),
        (["--platform", "leese_s=1"], "lease_s"),
        (["--platform", "lease_s=soon"], "lease_s=soon"),
        (["--platform", "limits_on=1"], "limits_on=true"),
        (["--platform", "choose=best"], "round_robin"),
        (["--platform", "step=0.5"], "step=0.5"),
        (["--fault", "kill"], "'kill'"),
        (["--fault", '{"kil": "all"}'], "kill"),
        (["--config", "/no/such/file.toml"], "/no/such/file.toml"),
        (["--nothing"], "--nothing"),
        (["--host", ""], "use one such as 127.0.0.1"),
        (["--worker", "command", "--command", "it's"], "--command 'it's' cannot be parsed"),
        (["--kind", "balancer", "--health-path", "ping"], "as in '/ping'"),
        (["--platform", "ping_s=0"], "ping_s"),
        (["--platform", "check_s=1e-9"], "at least 0.001"),
        (["--platform", "purge_state=GONE"], "'GONE'"),
        (["--platform", "chunk_bytes=1"], "chunk_bytes"),
        (["--health-timeout", "0"], "at least 0.01"),
    ],
)
def test_what_is_not_right_is_told_in_one_sentence(capsys, words, part):
    assert part in refusal(capsys, *words)


def test_a_command_finds_its_files_from_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handler.py").touch()
    _, (spec,) = parse(["--worker", "command", "--command", f"{sys.executable} -u handler.py --x 1"])
    assert spec.workers.command == (sys.executable, "-u", str(tmp_path / "handler.py"), "--x", "1")
    assert spec.workers.health_path == "/ping"


def test_the_table_of_the_platform_names_every_parameter_with_how_it_is_known(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--platform", "help"])
    assert ended.value.code == 0
    output = capsys.readouterr().out
    for name in Platform.__dataclass_fields__:
        if name != "limits":
            assert f"| `{name}` |" in output
    for row in output.splitlines()[2:8]:
        assert row.split(" | ")[3] in ("documented", "measured", "inferred", "unverified")
    assert "| /run | 1000 | 200 |" in output


# configuration file


def test_a_file_has_a_table_for_each_endpoint_and_the_command_line_goes_before_its_top(tmp_path):
    file = tmp_path / "endpoints.toml"
    file.write_text("""
port = 8090
seed = 3
[endpoints.one]
worker = "command"
command = ["true", "a b"]
workers_max = 7
[endpoints.two]
kind = "balancer"
flashboot = true
platform = { hold_s = 5, hosts = 2, limits_on = false }
faults = [{ status = 429, share = 0.5 }, { throttle = 1 }]
""")
    options, (one, two) = parse(["--config", str(file), "--seed", "4", "--workers-max", "5", "--worker", "modelled"])
    assert (options.port, options.seed) == (8090, 4)
    assert (one.name, one.policy.workers_max, one.workers.command[1:]) == ("one", 7, ("a b",))
    assert (two.policy.kind, two.policy.workers_max, two.workers.kind, two.policy.flashboot) == ("LOAD_BALANCER", 5, "modelled", True)
    assert (two.platform.hold_s, two.platform.hosts, two.platform.limits_on) == (5.0, 2, False)
    assert [fault.kind for fault in two.faults] == ["rule", "throttle"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[endpoints.one]\nworker_max = 1", "did you mean 'workers-max'?"),
        ("prot = 1\n[endpoints.one]", "did you mean 'port'?"),
        ("port = 1", "[endpoints.demo]"),
        ("[endpoints.one", "not valid TOML"),
        ("[endpoints.one]\nworkers_max = -1", "'-1'"),
        ("[endpoints.one]\nconfig = 'x'", "'config'"),
        ("[endpoints.one]\nfaults = [{status = 1979-05-27}]", "1979-05-27"),
        ("[endpoints.one]\nworker = 'command'\ncommand = [3, 'x']", "program '3' not found"),
        ("[endpoints.one]\n[endpoints.one]", "twice"),
        ("[endpoints.'a b']", "'a b'"),
        ("[endpoints.one]\nworkers_max = {a = 1}", "not a whole number"),
        ("\udcff", "not valid TOML"),
    ],
)
def test_a_file_that_is_not_right_is_told_in_one_sentence(capsys, tmp_path, text, part):
    file = tmp_path / "endpoints.toml"
    file.write_text(text, errors="surrogateescape")
    assert part in refusal(capsys, "--config", str(file))


def test_a_value_stands_on_a_command_line_as_it_is_written_there():
    assert [text_of(value) for value in (True, 0.5, "x")] == ["true", "0.5", "x"]


# service times


def test_service_times():
    rng = random.Random(1)
    assert service_time("0.5").sample(rng) == service_time("0.5").fixed_s == 0.5
    drawn = [service_time("exp:2").sample(rng) for _ in range(20_000)]
    assert sum(drawn) / len(drawn) == pytest.approx(2, rel=0.05)
    spread = [service_time("uniform:1:3").sample(rng) for _ in range(1000)]
    assert (min(spread) >= 1, max(spread) <= 3, service_time("exp:2").fixed_s) == (True, True, None)


@pytest.mark.parametrize("text", ["", "x", "-1", "exp:", "exp:0", "exp:1:2", "uniform:3:1", "uniform:1", "nan", "0.5:1"])
def test_what_is_no_service_time(text):
    with pytest.raises(ValueError, match="is not a service time"):
        service_time(text)


# faults


def test_rules_hold_for_a_time_and_a_number_of_requests():
    rules = FaultRules(1)
    rules.add(FaultRule(429, until_s=10.0))
    rules.add(FaultRule(500, left=1))
    assert [getattr(rules.hit("run", now), "status", None) for now in (0.0, 9.9, 10.0, 10.0)] == [429, 429, 500, None]


def test_a_rule_for_health_leaves_requests_alone():
    rules = FaultRules(1)
    rules.add(FaultRule(0, health={"idle": 1}))
    assert rules.hit("health", 0.0) is None
    assert rules.hit("health", 0.0, health=True) is not None


def test_a_rule_for_one_operation_leaves_the_others_alone():
    rules = FaultRules(1)
    rules.add(FaultRule(0, operation="status"))
    assert rules.hit("run", 0.0) is None
    assert rules.hit("status", 0.0) is not None


def test_faults_are_read_with_their_defaults():
    read = parse_fault({"status": 429}).rule
    assert (read.status, read.share, read.until_s, read.left, read.operation, read.retry_after_s) == (
        429,
        1.0,
        math.inf,
        math.inf,
        "",
        None,
    )
    assert parse_fault({"reset": True, "share": 0.1}).rule.status == RESET
    assert parse_fault({"stall_s": 2, "status": 502}).rule == FaultRule(502, stall_s=(2, 2))
    assert parse_fault({"stall_s": [2, 14]}).rule == FaultRule(0, stall_s=(2, 14))
    assert parse_fault({"health": {"idle": 1}}).rule == FaultRule(0, health={"idle": 1})
    assert parse_fault({"kill": "all"}).kind == "kill"
    assert parse_fault({"crash_starts": True}).value is True
    assert parse_fault({"throttle": None}).value is None


@pytest.mark.parametrize(
    "asked",
    [
        *({}, {"kill": 1}, {"kill": "all", "throttle": 1}, {"throttle": -1}, {"throttle": True}, {"crash_starts": -1}),
        *({"memory": {"gpu_gb": 1}}, {"memory": {"card_gb": "a"}}, {"clear": False}, {"status": 200}, {"status": 429, "share": 2}),
        *({"stall_s": [3, 2]}, {"health": {"asleep": 1}}, {"health": {"idle": 1}, "status": 429}),
        *({"status": 429, "reset": True}, {"reset": False}, {"status": 429, "kill": "all"}, {"status": 429, "for_s": -1}),
    ],
)
def test_what_is_no_fault_is_told_in_one_sentence(asked):
    with pytest.raises(FaultError) as told:
        parse_fault(asked)
    assert str(told.value).count("\n") == 0
    assert any(help_ in str(told.value) for help_ in ("as in", ": use ", "leave"))


# processes


def test_what_is_left_over_is_what_began_and_did_not_end():
    assert groups_left(["+1\n", "+2\n", "-1\n", "+3\n", "-3\n", "-9\n"]) == {2}
    assert groups_left([]) == set()


def test_a_line_says_how_a_worker_ended_and_what_it_ran():
    assert unexpected_end("w1", 2, ["python", "my handler.py"]) == "worker w1 ended by itself, with exit code 2: python 'my handler.py'"
    assert unexpected_end("w1", -9, ["run"]) == "worker w1 ended by itself, by signal 9: run"


def test_workers_see_no_key_and_no_other_platform(monkeypatch):
    for name in ("RUNPOD_API_KEY", "RUNPOD_WEBHOOK_GET_JOB", "API_TOKEN", "TRANSCRIPTION_API_KEY", "RUNPOD_LOG_LEVEL", "OTHER"):
        monkeypatch.setenv(name, "x")
    seen = outside()
    assert seen.keys() & {"RUNPOD_API_KEY", "RUNPOD_WEBHOOK_GET_JOB", "API_TOKEN", "TRANSCRIPTION_API_KEY"} == set()
    assert (seen["RUNPOD_LOG_LEVEL"], seen["OTHER"]) == ("x", "x")
    assert "127.0.0.1" in seen["no_proxy"]


def test_the_sdk_finds_its_platform_by_the_urls_of_production():
    block = sdk_block("http://h:1", "demo", "w1", "NVIDIA RTX A5000", "k", 10.0)
    assert block["RUNPOD_WEBHOOK_GET_JOB"] == "http://h:1/v2/demo/job-take/$ID?gpu=NVIDIA+RTX+A5000&key=k"
    assert block["RUNPOD_WEBHOOK_POST_OUTPUT"] == "http://h:1/v2/demo/job-done/$RUNPOD_POD_ID/$ID?gpu=NVIDIA+RTX+A5000&key=k"
    assert block["RUNPOD_WEBHOOK_POST_STREAM"] == "http://h:1/v2/demo/job-stream/$RUNPOD_POD_ID/$ID?gpu=NVIDIA+RTX+A5000&key=k"
    assert block["RUNPOD_WEBHOOK_PING"] == "http://h:1/v2/demo/ping/$RUNPOD_POD_ID?gpu=NVIDIA+RTX+A5000&key=k"
    assert (block["RUNPOD_POD_ID"], block["RUNPOD_PING_INTERVAL"]) == ("w1", "10000")
    assert sdk_block("b", "e", "w", "g", "k", 0.1)["RUNPOD_PING_INTERVAL"] == "1000"  # the SDK counts whole seconds
