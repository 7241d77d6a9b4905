"""Master and generator of a distributed run without a network between them. Run as ``python -m tests.support.leading SCENARIO DIRECTORY``.

They import Locust, which the tests do not: a scenario runs in a process of its own, and prints what came of it as JSON.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.support import preloaded
from tests.support.run_views import plan_of
from tests.support.transcribers import DEADLINE_S


def reported(scenario, place):
    """What the scenario prints, run in a process of its own."""
    with preloaded.start("tests.support.leading", scenario, str(place), env=os.environ, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read()
        assert process.wait(DEADLINE_S) == 0
    return json.loads(said)


class Hall:
    """In the master's place towards a MasterRun: who is here, and how each answers to a plan."""

    def __init__(self):
        self.here, self.run, self._answers = [], None, {}
        self.silence_s = 99.0

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
        return 0.0 if peer in self.here else self.silence_s

    def send(self, kind, data, peer):
        self._answers[peer.name](kind, peer, {**data, "session": "this one"})


def takes_part(_kind, peer, word):
    """Answers that it is ready."""
    peer.report = {"run": word["run"], "closed": False, "leaves": False}


def refuses(_kind, peer, word):
    """Answers that it cannot take part."""
    peer.report = {"run": "", "refused": word["run"], "why": f"{peer.name} cannot"}


class Runner:
    """In the place of Locust's runner: messages reach the listeners that registered for them, and none leaves the process."""

    def __init__(self):
        self.clients, self.exceptions, self.user_count, self._listeners = {}, {}, 0, {}

    def register_message(self, kind, listener):
        self._listeners[kind] = listener

    def hear(self, kind, data, node_id=""):
        """A message arrives, as Locust hands it over."""
        self._listeners[kind](environment=None, msg=Arrived(data, node_id))

    def send_message(self, *_):
        pass

    def quit(self):
        pass


@dataclass
class Arrived:
    data: dict
    node_id: str


@dataclass
class Environment:
    """What there is of Locust's where nobody runs: its events and its tables."""

    runner: Runner
    events: Any
    stats: Any


def environment():
    from coldburst.load import events
    from coldburst.record import run_directory

    return Environment(Runner(), events.events, run_directory.stats.RequestStats())


def master_of(place, hall):
    """A MasterRun whose generators are in that hall."""
    from coldburst.distributed.master import DistributedRun
    from coldburst.record.run_directory import Recorder
    from coldburst.targets.address import infer

    plan = plan_of(schedule="steady 60s 2/s", runs=str(place))
    recorder = Recorder(place, {"question": "burst"}, generator="master")
    where = infer(plan.host, plan.kind)
    return DistributedRun(environment(), plan, recorder, master=hall, address=where, host=plan.host, question="burst")


def a_latecomer_that_refuses(place):
    """It stays alive, the one that takes part does not."""
    import gevent
    from gevent.event import Event

    hall, asked = Hall(), Event()
    hall.enter("g1", takes_part)
    run = master_of(place, hall)
    run.prepare()

    def refuses_and_says_so(kind, peer, word):
        refuses(kind, peer, word)
        asked.set()

    course = gevent.spawn(run.drive)
    hall.enter("g2", refuses_and_says_so)
    asked.wait(60)
    before = run.load.is_cut
    del hall.here[0]
    course.join(30)
    return {"before": before, "after": run.load.is_cut, "ended_by": run.ended_by}


def one_ends_while_the_other_is_lost(place, leaves):
    """Whether all is over when one has ended, when the other is lost for 3 s, and when that was back and has ended, too."""
    import gevent
    from gevent.event import Event

    hall, beat, left, ended, found = Hall(), Event(), [], [], []

    def answer(_kind, peer, word):
        peer.report = {"run": word["run"], "closed": peer in left + ended, "leaves": leaves and peer in left, "last": 0, "ended": 0}
        beat.set()

    def over():
        for _ in range(2):
            beat.clear()
            beat.wait(60)
        found.append(run.has_closed())

    one, other = (hall.enter(name, answer) for name in ("g1", "g2"))
    hall.silence_s = 3.0
    run = master_of(place, hall)
    run.prepare()
    course = gevent.spawn(run.drive)
    left.append(one)
    over()
    hall.here.remove(other)
    over()
    hall.here.append(other)
    ended.append(other)
    over()
    course.join(30)
    return {"closed": found, "ended_by": run.ended_by}


class Session:
    """In the place of a locustfile's session: any options are those of one plan."""

    def __init__(self, place):
        self.place = place

    def part(self, *_):
        return plan_of(schedule="steady 60s 2/s", runs=str(self.place))

    def follow(self, _run):
        pass


def generator_of(place):
    """A Generator whose messages go nowhere, and the runner on which it listens."""
    from coldburst.distributed import generator
    from coldburst.load import events

    def own_options(parser):
        parser.add_argument("--runs")
        parser.add_argument("--stay", action="store_true")

    events.events.init_command_line_parser.add_listener(own_options)
    sys.argv[1:] = ["--runs", str(place)]
    where = environment()
    return generator.Generator(where, Session(place)), where.runner


def until_ready(one):
    import gevent

    while one.part is None:
        gevent.sleep(0)


def polls_that_generators_share(place):
    """How many polls may be open at one of them: alone, with another, alone again, and when it is given up itself."""
    import gevent
    from gevent.event import Event

    from coldburst.distributed.messages import BEAT

    (one, runner), hall, beat = generator_of(place), Hall(), Event()

    def answer(kind, peer, word):
        runner.hear(kind, word)
        takes_part(kind, peer, word)
        if kind == BEAT:
            beat.set()

    hall.enter("g1", answer)
    run = master_of(place, hall)
    run.prepare()
    until_ready(one)
    course = gevent.spawn(run.drive)
    places = []
    for change in (lambda: None, lambda: hall.enter("g2", takes_part), hall.here.pop, hall.here.clear):
        change()
        beat.clear()
        beat.wait(60)
        places.append(one.part.run.target.limiter.places)
    course.kill()
    return places


def given_up(place, ready):
    """Two generators, of which the second refuses; what becomes of the first, which is ``ready`` by then or not."""
    import gevent

    from coldburst.option import OptionError

    (place / "own").mkdir()
    (place / "master").mkdir()
    (one, runner), hall = generator_of(place / "own"), Hall()

    def refuses_then(kind, peer, word):
        if ready:
            until_ready(one)
        refuses(kind, peer, word)

    hall.enter("g1", lambda kind, _peer, word: runner.hear(kind, word))
    hall.enter("g2", refuses_then)
    run = master_of(place / "master", hall)
    try:
        run.prepare()
    except OptionError as error:
        why = str(error)
    gevent.sleep(0)
    idle = one.idle.wait(60)
    parts = [json.loads((folder / "run.json").read_text()) for folder in (place / "own").iterdir()]
    ends = [{name: part[name] for name in ("state", "ended_by", "dispatched")} for part in parts]
    return {"why": why, "idle": idle, "parts": ends, "master": [path.name for path in (place / "master").iterdir()]}


@dataclass
class Node:
    """A generator as Locust lists it."""

    id: str
    state: str


def a_generator_that_has_not_spoken_yet(_place):
    """Who is gathered while one of two that Locust knows has said nothing, when both have, and when a third is missing."""
    from coldburst.distributed.generator_registry import GeneratorRegistry
    from coldburst.distributed.messages import BEAT

    where = environment()
    registry, runner = GeneratorRegistry(where), where.runner
    runner.clients = {name: Node(name, "ready") for name in ("a", "b")}
    seen = []
    for name in ("a", "b"):
        report = {"session": "", "said_s": None, "asked_s": 0.0, "machine": name, "leaves": False, "refused": "", "why": "", "run": ""}
        runner.hear(BEAT, report, node_id=name)
        seen.append([peer.client_id for peer in registry.gathered()])
    runner.clients["c"] = Node("c", "missing")
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
    "one leaves while the other is lost": partial(one_ends_while_the_other_is_lost, leaves=True),
    "one has sent all while the other is lost": partial(one_ends_while_the_other_is_lost, leaves=False),
    "polls that generators share": polls_that_generators_share,
    "given up when one is ready": partial(given_up, ready=True),
    "given up before one is ready": partial(given_up, ready=False),
    "a generator that has not spoken yet": a_generator_that_has_not_spoken_yet,
    "cold starts that two have seen": cold_starts_that_two_have_seen,
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](Path(sys.argv[2]))))
