"""What the billing API's records say of a run's hours."""

from dataclasses import replace

import pytest

from coldburst.record.bill import Bill, hours

# 2026-11-30 13:00 UTC.
HOUR = 1_796_043_600
ONE = {"serverlessId": "abc", "totalAmount": 0.25, "startTime": "2026-11-30T13:00:00Z"}


def test_whole_hours_hold_the_run():
    assert hours(HOUR + 1800, HOUR + 1900) == Bill(HOUR, HOUR + 3600)
    assert hours(HOUR, HOUR + 3600) == Bill(HOUR, HOUR + 3600)
    assert hours(HOUR + 3599, HOUR + 3601) == Bill(HOUR, HOUR + 7200)
    assert hours(HOUR, HOUR) == Bill(HOUR, HOUR + 3600)


def test_the_query_has_the_endpoint_and_its_hours():
    assert Bill(HOUR, HOUR + 3600).query("a b") == (
        "/billing/serverless?serverlessId=a%20b&bucketSize=hour&startTime=2026-11-30T13%3A00%3A00Z&endTime=2026-11-30T14%3A00%3A00Z"
    )


def test_an_answers_records_of_the_endpoint_are_added_up():
    found = Bill(HOUR, HOUR + 3600, before_usd=0.125).answered({"records": [ONE, ONE, {**ONE, "serverlessId": "other"}]}, "abc")
    assert (found.usd, found.records, found.run_usd) == (0.5, 2, 0.375)
    assert found.words == "the billing API has 0.5 USD for 2026-11-30 13:00 to 14:00 UTC, 0.125 of them before the run"


def test_no_record_is_not_no_cost():
    found = Bill(HOUR, HOUR + 3600).answered({"records": []}, "abc")
    assert found.run_usd is None
    assert found.words == "the billing API has no record for 2026-11-30 13:00 to 14:00 UTC yet"


def test_what_could_not_be_read_is_said():
    assert replace(Bill(HOUR, HOUR + 3600), trouble="403: no").words == "the billing API could not be read (403: no)"
    assert Bill(HOUR, HOUR + 12 * 3600).hours == "2026-11-30 13:00 to 2026-12-01 01:00 UTC"


@pytest.mark.parametrize(
    "records", [None, {}, [1], [{}], [{**ONE, "totalAmount": "1"}], [{**ONE, "totalAmount": -1}], [{**ONE, "totalAmount": 1e9}]]
)
def test_another_answer_is_refused(records):
    with pytest.raises(ValueError, match="without"):
        Bill(HOUR, HOUR + 3600).answered({"records": records}, "abc")
