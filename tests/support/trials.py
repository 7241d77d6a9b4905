"""What a run is checked for after a fault, and the list of faults."""

import base64
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.support.locusts import PLAIN, Locust
from tests.support.transcribers import Transcriber

SECRET = "sesame-Chaos/7c1f+0e"
KEYED = {"TRANSCRIPTION_API_KEY": SECRET, "RUNPOD_API_KEY": SECRET}
FORMS = (SECRET, SECRET.replace("/", "\\/"), urllib.parse.quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode())
RATE = 20
FAST = ("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "100", "--queue", "1000")
STEADY = ("--schedule", f"steady 8s {RATE}/s", *PLAIN)
LONG = ("--schedule", f"steady 30s {RATE}/s", *PLAIN)


@dataclass
class Trial:
    """What one fault led to."""

    lost: int = 0
    leaked: int = 0
    notes: list[str] = field(default_factory=list)

    def ended(self, run: Locust, codes: Sequence[int], missing: bool = False) -> None:
        """Checks a run that had time to end."""
        code = run.wait()
        self.expect(code in codes, f"exit code {code}, not {codes}")
        self.expect("Traceback" not in run.output, "a traceback")
        about, book = run.about, run.ledger
        self.expect(about["state"] == "ended", f"run.json says {about['state']}")
        self.expect(about["ledger"]["counts"] == dict(book.counts), f"run.json has {about['ledger']}, the rows {book}")
        self.expect(missing or book.missing == 0, f"the ledger does not balance: {book}")
        self.expect(len({(row.seq, row.attempt) for row in run.rows}) == len(run.rows), "rows that are there twice")
        self.lost += 0 if missing else max(book.missing, 0)
        self.keys(run)

    def keys(self, run: Locust) -> None:
        """Counts the forms of the key in everything that the run left."""
        content = b"".join(path.read_bytes() for path in run.runs.rglob("*") if path.is_file()) + run.output.encode()
        self.leaked += sum(form.encode() in content for form in FORMS)
        self.expect(not self.leaked, "the key is in the results")

    def reached(self, run: Locust, service: Transcriber) -> None:
        """Checks that each request that the service saw has a row."""
        rows = sum(row.sent_s is not None for row in run.rows)
        self.lost += max(len(service.log()) - rows, 0)
        self.expect(len(service.log()) <= rows, f"{len(service.log())} requests reached the service, {rows} have rows")

    def expect(self, held: object, otherwise: str) -> None:
        """Notes what did not hold."""
        if not held:
            self.notes.append(otherwise)


FAULTS: dict[str, Callable[[Trial], None]] = {}


def fault(name: str, **more: object) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds a fault; ``more``: arguments of the function."""

    def add(run: Callable[..., None]) -> Callable[..., None]:
        FAULTS[name] = lambda trial: run(trial, **more)
        return run

    return add


def answered(run: Locust, number: int = RATE) -> None:
    """Waits until the run has so many rows."""
    run.until(lambda run: list(run.runs.glob("*/attempts.csv")) and len(run.rows) >= number)
