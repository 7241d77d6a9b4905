"""REST v2's billing: the emulator's own bill, by hours and days."""

import pytest

from tests.support.emulators import MODELLED, emulator


@pytest.fixture(scope="module")
def platform():
    with emulator(*MODELLED, "--endpoint", "queue", "--price", "0.001") as running:
        yield running


def test_billing_has_the_bill_by_hours_and_days(platform):
    platform.ended("queue", platform.submit("queue"))
    before = platform.inside("queue")["bill"]["usd"]
    by_hour = platform.ask("/v2/billing/serverless?serverlessId=queue&bucketSize=hour&lastN=2").json()
    by_day = platform.ask("/v2/billing/serverless?serverlessId=queue").json()
    after = platform.inside("queue")["bill"]["usd"]
    for found, size in ((by_hour, "hour"), (by_day, "day")):
        assert before - 1e-6 <= found["metadata"]["totals"]["totalAmount"] <= after + 1e-6
        assert found["metadata"]["query"]["bucketSize"] == size
        assert sum(one["totalAmount"] for one in found["records"]) == pytest.approx(found["metadata"]["totals"]["totalAmount"])
        assert {one["serverlessId"] for one in found["records"]} == {"queue"}
        assert found["records"][0]["startTime"].endswith(":00:00Z")
    every = platform.ask("/v2/billing/serverless").json()
    assert every["metadata"]["uniqueServerlessCount"] >= 1


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("bucketSize=minute", 422, "use hour or day"),
        ("lastN=0", 422, "a whole number from 1"),
        ("lastN=3&startTime=2026-01-01T00:00:00Z", 400, "one or the other"),
        ("startTime=yesterday", 422, "as in 2026-06-01T00:00:00Z"),
        ("startTime=2026-01-02T00:00:00Z&endTime=2026-01-01T00:00:00Z", 422, "startTime must be before endTime"),
    ],
)
def test_billing_refuses_a_period_that_is_none(platform, query, status, said):
    answer = platform.ask(f"/v2/billing/serverless?{query}")
    assert (answer.status, said in answer.json()["detail"]) == (status, True)
