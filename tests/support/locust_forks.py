"""Runs Locust's command line several times in forks of one process, which imports it once.

    python -m tests.support.locust_forks < CASES

CASES is a JSON list of lists of words; the answer is a JSON list of [exit code, output].
"""

import json
import os
import sys
import tempfile
import traceback
from importlib import import_module

import gevent.monkey

gevent.monkey.patch_all()

# After gevent's patches, and here, because each fork would import them.
main = import_module("locust.main").main
import_module("coldburst.users")


def run(words):
    """The exit code and output of one command line."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if not child:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os._exit(code_of(words))
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().decode()


def code_of(words):
    """Runs Locust in this process; its exit code."""
    sys.argv = ["locust", *words]
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    print(json.dumps([run(words) for words in json.load(sys.stdin)]))
