"""Faults against whole runs, each checked for its exit code, its ledger, its rows, the endpoint's settings and leaked keys.

python -m tests.chaos                       every fault; prints a table
python -m tests.chaos "kill -9"             those whose name contains the text
python -m tests.chaos --write               every fault, and the figures go to docs/reliability.md
"""

import argparse
import sys
import time
import traceback

from tests.support import faults_of_crews, faults_of_runs
from tests.support.locusts import ROOT
from tests.support.trials import FAULTS, Trial

PAGE = ROOT / "docs" / "reliability.md"
# Importing these modules adds their faults.
__all__ = ["faults_of_crews", "faults_of_runs"]


def tried(name: str) -> Trial:
    """The trial of one fault."""
    trial = Trial()
    try:
        FAULTS[name](trial)
    # Whatever it is: the other faults are to be tried, too.
    except Exception as error:
        traceback.print_exc()
        trial.notes.append(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200])
    return trial


def page(trials: dict[str, Trial], seconds: float) -> str:
    """docs/reliability.md."""
    survived = sum(not trial.notes for trial in trials.values())
    rows = [f"| {name} | {'survived' if not trial.notes else '; '.join(trial.notes)} |" for name, trial in trials.items()]
    return f"""# Reliability

`python -m tests.chaos` runs each of these faults against a whole run of its own. A fault is survived if

* the exit code is the documented one, and the output has no traceback,
* the ledger balances and agrees with the rows on disk, and no row is there twice,
* each request that reached the service has a row,
* the endpoint's settings are restored,
* no form of the API key (raw, JSON-escaped, percent-encoded, base64) is in the results or the output.

After kill -9 requests in flight are not counted as lost; all others are. CI runs a tenth of the faults.

Last run, `python -m tests.chaos --write` ({seconds / 60:.0f} minutes):

| faults tried | survived | requests lost | keys leaked |
|---|---|---|---|
| {len(trials)} | {survived} | {sum(trial.lost for trial in trials.values())} | {sum(trial.leaked for trial in trials.values())} |

| fault | result |
|---|---|
{chr(10).join(rows)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="TEXT", help="only faults whose name contains it")
    parser.add_argument("--write", action="store_true", help=f"write the figures to {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    names = [name for name in FAULTS if not options.names or any(text in name for text in options.names)]
    began_s, trials = time.monotonic(), {}
    for name in names:
        trials[name] = trial = tried(name)
        print(f"{'survived' if not trial.notes else 'FAILED  '}  {name}  {'; '.join(trial.notes)}", flush=True)
    if options.write:
        PAGE.write_text(page(trials, time.monotonic() - began_s), encoding="utf-8")
    return int(any(trial.notes for trial in trials.values()))


if __name__ == "__main__":
    sys.exit(main())
