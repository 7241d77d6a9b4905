"""Master and generator of a distributed run without a network between them. Run as ``python -m tests.support.leading SCENARIO DIRECTORY``.

They import Locust, which the tests do not: a scenario runs in a process of its own, and prints what came of it as JSON.
"""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from coldburst.option import attribute

ROOT = Path(__file__).resolve().parents[2]


def reported(scenario, place):
    """What the scenario prints, run in a process of its own."""
    command = [sys.executable, "-m", "tests.support.leading", scenario, str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Hall:
    """In the master's place towards a MasterRun: who is here, and how each answers to a plan."""

    def __init__(self):
        self.here, self.run, self._answers = [], None, {}

    def enter(self, name, answer):
        """A generator; ``answer(kind, peer, word)`` is called with each message to it."""
        from coldburst.distributed.generator_registry import GeneratorState

        peer = GeneratorState(name, name, len(self.here))
        self.here.append(peer)
        self._answers[name] = answer
        return peer

    def living(self):
        return list(self.here)

    gathered = living

    def silent_s(self, peer):
        return 0.0 if peer in self.here else 99.0

    def send(self, kind, data, peer):
        self._answers[peer.name](kind, peer, {**data, "session": "this one"})


def takes_part(_kind, peer, word):
    """Answers that it is ready."""
    peer.report = {"run": word["run"], "closed": False, "leaves": False}


def refuses(_kind, peer, word):
    """Answers that it cannot take part."""
    peer.report = {"run": "", "refused": word["run"], "why": f"{peer.name} cannot"}


def environment():
    """What there is of Locust's where nobody runs: its events, its tables, and a runner that is deaf and mute."""
    from coldburst.load import events
    from coldburst.record import run_directory

    mute = {name: lambda *_: None for name in ("register_message", "send_message", "_send_stats", "quit")}
    runner = SimpleNamespace(exceptions={}, user_count=0, **mute)
    return SimpleNamespace(events=events.events, stats=run_directory.stats.RequestStats(), runner=runner)


def plan_of(place):
    """A plan for a queue endpoint that nobody asks."""
    from coldburst.load import run_options

    given = {"schedule": "steady 60s 2/s", "max_in_flight": 10, "host": "http://127.0.0.1:9/v2/demo", "runs": str(place), "max_wer": "off"}
    return run_options.check({**{attribute(option): option.default for option in run_options.OPTIONS}, **given})


def master_of(place, hall):
    """A MasterRun whose generators are in that hall."""
    from coldburst.distributed.master import DistributedRun
    from coldburst.record.run_directory import Recorder
    from coldburst.targets.address import infer

    plan = plan_of(place)
    recorder = Recorder(place, {"question": "burst"}, generator="master")
    where = infer(plan.host, plan.kind)
    return DistributedRun(environment(), plan, recorder, master=hall, address=where, host=plan.host, question="burst")


def a_latecomer_that_refuses(place):
    """It stays alive, the one that takes part does not."""
    hall = Hall()
    hall.enter("g1", takes_part)
    run = master_of(place, hall)
    run.prepare()
    hall.enter("g2", refuses)
    run._update_members()
    before = run.load.is_cut
    del hall.here[0]
    run._update_members()
    return {"before": before, "after": run.load.is_cut, "ended_by": run.ended_by}


def generator_of(place):
    """A Generator whose messages go nowhere."""
    from coldburst.distributed import generator

    generator.get_parser = lambda: SimpleNamespace(parse_known_args=lambda: (SimpleNamespace(runs=str(place), stay=False), []))
    return generator.Generator(environment(), SimpleNamespace(part=lambda *_: plan_of(place), follow=lambda _: None))


def hearing(one):
    """How that Generator answers: by itself, with what would have gone back left out."""
    from coldburst.distributed.messages import BEAT, PLAN

    hears = {PLAN: one._on_plan, BEAT: one._on_beat}
    return lambda kind, _peer, word: hears[kind](SimpleNamespace(data=word))


def until_ready(one):
    import gevent

    while one.part is None:
        gevent.sleep(0)


def polls_that_generators_share(place):
    """How many polls may be open at one of them: alone, with another, alone again, and when it is given up itself."""
    one, hall = generator_of(place), Hall()
    hear = hearing(one)

    def answer(kind, peer, word):
        hear(kind, peer, word)
        takes_part(kind, peer, word)

    peer = hall.enter("g1", answer)
    run = master_of(place, hall)
    run.prepare()
    until_ready(one)
    places = []
    for change in (lambda: None, lambda: hall.enter("g2", takes_part), hall.here.pop, hall.here.clear):
        change()
        run._update_members()
        run._send_instructions(peer)
        places.append(one.part.run.target.limiter.places)
    return places


def given_up(place, ready):
    """Two generators, of which the second refuses; what becomes of the first, which is ``ready`` by then or not."""
    import gevent

    from coldburst.option import OptionError

    (place / "own").mkdir()
    (place / "master").mkdir()
    one, hall = generator_of(place / "own"), Hall()

    def refuses_then(kind, peer, word):
        if ready:
            until_ready(one)
        refuses(kind, peer, word)

    hall.enter("g1", hearing(one))
    hall.enter("g2", refuses_then)
    run = master_of(place / "master", hall)
    try:
        run.prepare()
    except OptionError as error:
        why = str(error)
    gevent.sleep(0)
    idle = one.idle.wait(10)
    parts = [json.loads((folder / "run.json").read_text()) for folder in (place / "own").iterdir()]
    ends = [{name: part[name] for name in ("state", "ended_by", "dispatched")} for part in parts]
    return {"why": why, "idle": idle, "parts": ends, "master": [path.name for path in (place / "master").iterdir()]}


def a_generator_that_has_not_spoken_yet(_place):
    """Who is gathered while one of two that Locust knows has said nothing, when both have, and when a third is missing."""
    from coldburst.distributed.generator_registry import GeneratorRegistry

    nodes = {name: SimpleNamespace(id=name, state="ready") for name in ("a", "b")}
    registry = GeneratorRegistry(environment())
    registry.runner.clients = nodes
    seen = []
    for name in ("a", "b"):
        report = {"session": "", "said_s": None, "asked_s": 0.0, "machine": name, "leaves": False, "refused": "", "why": "", "run": ""}
        registry._on_beat(SimpleNamespace(node_id=name, data=report))
        seen.append([peer.client_id for peer in registry.gathered()])
    nodes["c"] = SimpleNamespace(id="c", state="missing")
    return [*seen, [peer.client_id for peer in registry.gathered()]]


def cold_starts_that_two_have_seen(place):
    """Each generator tells of its own first answer of an endpoint worker; what the master counts, and writes."""
    from coldburst.record.batches import Outbox
    from coldburst.record.run_directory import Recorder

    about = {"question": "burst"}
    master = Recorder(place, about, generator="master")
    counts = []
    for name, workers in (("g1", "ab"), ("g2", "bc"), ("g3", "")):
        outbox = Outbox()
        part = Recorder(place, about, generator=name, name=name, outbox=outbox)
        part.event("queued", {"worker_id": "a"})
        for worker in workers:
            part.event("cold_start", {"worker_id": worker, "detail": 'a, "b"'})
        for batch in outbox.due():
            master.append(batch)
        counts.append([master.events["cold_start"], master.events["queued"]])
    lines = (master.folder / "events.csv").read_text().splitlines()
    return {"counts": counts, "rows": len(lines) - 1}


SCENARIOS = {
    "a latecomer that refuses": a_latecomer_that_refuses,
    "polls that generators share": polls_that_generators_share,
    "given up when one is ready": partial(given_up, ready=True),
    "given up before one is ready": partial(given_up, ready=False),
    "a generator that has not spoken yet": a_generator_that_has_not_spoken_yet,
    "cold starts that two have seen": cold_starts_that_two_have_seen,
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](Path(sys.argv[2]))))
