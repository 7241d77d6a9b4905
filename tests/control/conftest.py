"""What the tests of control share."""

import pytest

from coldburst.control.rest import RestControl
from coldburst.targets.address import infer


@pytest.fixture
def rest_of():
    made = []

    def make(there, key="", **where):
        made.append(RestControl(infer(f"{there.url.replace('localhost', '127.0.0.1')}/v2/demo"), key, **where))
        return made[-1]

    yield make
    for control in made:
        control.close()
