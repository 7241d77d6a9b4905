"""The web UI in Chromium: a run by clicking, watched, stopped, its report read."""

import re

import pytest
from playwright.sync_api import expect

from coldburst.record.attempt import OUTCOMES
from tests.support.browsers import Watched, chromium, needs_chromium
from tests.support.emulators import MODELLED, emulator
from tests.support.locusts import PLAIN, ROOT
from tests.support.transcribers import DEADLINE_S, transcriber
from tests.support.web import WebUi

pytestmark = [pytest.mark.slow, needs_chromium]
CHARTS = ("load", "times", "endpoint", "lateness")
expect.set_options(timeout=DEADLINE_S * 1000)


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


def start(page, schedule):
    """Fills in Locust's form and clicks."""
    page.get_by_role("button", name="Custom parameters").click()
    page.locator('input[name="schedule"]').fill(schedule)
    page.get_by_role("button", name="Start", exact=True).click()


def tile(page, name):
    """A tile's figure."""
    return page.locator("#tiles > div", has=page.get_by_text(name, exact=True)).locator(".figure")


def drawn(page, name):
    """What a chart shows, as columns."""
    return page.evaluate(f"charts.find(([name]) => name === '{name}')[1].plot?.data ?? null")


def overlapping(page):
    """Texts of tiles, outcomes and table cells that are cut off, or wider than what they stand in."""
    return page.evaluate(
        """[...document.querySelectorAll("#tiles dd, #tiles dt, #equation, #outcomes li, .rows td, .rows th, h1, figcaption")]
           .filter((one) => one.offsetParent && one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline")
           .map((one) => one.textContent)"""
    )


def test_a_burst_by_clicking_from_start_to_report(browser, tmp_path):
    warm = ("--endpoint", "demo", "--workers-max", "2")
    with (
        emulator(*MODELLED, *warm) as platform,
        WebUi("--host", f"{platform.url}/v2/demo", *PLAIN, "--sample", "0.5", "--figures", "yes") as ui,
        Watched(browser, ui.url, 1280, tmp_path) as watched,
    ):
        page = watched.page
        page.goto(ui.url)
        start(page, "burst 12, steady 120s 2/s")
        page.get_by_role("link", name="Live page and reports").click()
        expect(page.locator("#state")).to_have_text("running")
        expect(tile(page, "Sent")).to_have_text(re.compile(r"^\d+ of 252$"))
        expect(tile(page, "Stage")).to_have_text("steady")
        ui.locust.until(lambda _: all(len((drawn(page, name) or [[]])[0]) >= 4 for name in CHARTS))
        shown = drawn(page, "load")
        told = ui.live()["samples"]  # after the page: never fewer
        assert shown[0] == told["at_s"][: len(shown[0])]
        assert shown[1] == told["offered_per_s"][: len(shown[0])]
        assert max(drawn(page, "endpoint")[6]) > 0  # jobs in the queue
        expect(tile(page, "Cold starts")).not_to_have_text("0")
        expect(page.locator("#equation")).to_have_text(re.compile(r"^252 planned = \d+ ok \+ \d+ not ended$"))
        assert (watched.fits(), overlapping(page)) == (True, [])
        watched.shot("live-1280")

        page.get_by_role("button", name="Stop the run").click()
        expect(page.locator("#state")).to_have_text("report ready")
        expect(page.get_by_role("button", name=re.compile("^Stop"))).to_be_hidden()
        expect(page.locator("#equation")).to_have_text(str(ui.locust.ledger))
        report = page.get_by_role("link", name="Report")
        expect(report).to_be_visible()
        expect(page.locator("#runs .pill")).to_have_text(re.compile("^(valid|degraded|invalid)$"))
        watched.shot("ended-1280")
        with page.expect_download() as downloading:
            page.get_by_role("link", name="Download (zip)").click()
        assert downloading.value.suggested_filename == f"{ui.locust.folder.name}.zip"
        report.click()
        expect(page.locator(".card .pill").first).to_have_text(re.compile("^(valid|degraded|invalid)$"))
        expect(page.locator("#figure-response_time svg").first).to_be_attached()
        watched.shot("report-1280")
        assert (watched.complaints, watched.elsewhere) == ([], [])


def test_the_live_page_starts_a_run_with_six_fields_first(browser, tmp_path):
    with WebUi(*PLAIN) as ui, Watched(browser, ui.url, 1280, tmp_path) as watched:
        page = watched.page
        page.goto(f"{ui.url}/coldburst/")
        shown = page.locator("#form input >> visible=true").evaluate_all("found => found.map(one => one.name)")
        assert shown == ["host", "schedule", "data", "max_in_flight", "price", "objectives"]
        page.locator("#form").get_by_text("Load and limits").click()
        assert page.locator('[name="deadline"]').is_visible()
        watched.shot("form-1280")
        page.locator('[name="schedule"]').fill("burst quickly")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#refused")).to_contain_text("'quickly'")
        page.locator('[name="schedule"]').fill("burst 2, steady 60s 1/s")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#state")).to_have_text("running")
        expect(page.locator("#form")).to_be_hidden()
        page.get_by_role("button", name="Stop the run").click()
        expect(page.locator("#state")).to_have_text("report ready")
        expect(page.get_by_text("Start another run")).to_be_visible()
        assert (watched.fits(), watched.complaints, watched.elsewhere) == (True, [], [])


@pytest.mark.nightly
def test_on_a_phone_in_the_dark(browser, tmp_path):
    narrow = ("--engine", "fixed", "--service-time", "0.2", "--max-concurrent", "2", "--queue", "4")
    with (
        transcriber(*narrow) as service,
        WebUi("--host", service.url, *PLAIN) as ui,
        Watched(browser, ui.url, 390, tmp_path, "dark") as watched,
    ):
        page = watched.page
        page.goto(f"{ui.url}/coldburst/")
        expect(page.get_by_role("heading", level=1)).to_have_text("No run yet")
        watched.shot("empty-390")
        page.get_by_role("link", name="Locust’s page").click()
        start(page, "burst 12, steady 120s 12/s")
        page.get_by_role("link", name="Live page and reports").click()
        expect(tile(page, "Not ok")).to_have_text(re.compile(r"[1-9]\d*"))
        expect(page.locator("#problems td", has_text="busy").first).to_be_visible()
        page.get_by_text("What the outcomes mean").click()
        expect(page.locator("#endpoint")).to_have_text("This endpoint reports neither workers nor a queue.")
        ui.locust.until(lambda _: len((drawn(page, "load") or [[]])[0]) >= 4)
        assert (watched.fits(), overlapping(page)) == (True, [])
        page.emulate_media(color_scheme="light")
        assert page.locator("#load canvas").count() == 1
        page.emulate_media(color_scheme="dark")
        watched.shot("live-390")
        page.get_by_role("button", name="Stop the run").click()
        expect(page.locator("#runs .pill")).to_be_visible()
        assert (watched.fits(), overlapping(page)) == (True, [])
        watched.shot("ended-390")
        assert (watched.complaints, watched.elsewhere) == ([], [])


def test_the_tab_on_locusts_page_leads_to_the_live_page_and_its_stop_button_ends_the_run(browser, tmp_path):
    warm = ("--endpoint", "demo", "--workers-min", "1", "--workers-max", "2")
    with (
        emulator(*MODELLED, *warm) as platform,
        WebUi("--host", f"{platform.url}/v2/demo", *PLAIN, "--sample", "0.5") as ui,
        Watched(browser, ui.url, 1280, tmp_path) as watched,
    ):
        page = watched.page
        page.goto(ui.url)
        start(page, "burst 9, steady 120s 2/s")
        tab = page.get_by_role("tab", name="Live page", exact=True)
        expect(tab).to_be_visible()
        assert tab.evaluate("tab => tab.getBoundingClientRect().right <= innerWidth")
        watched.shot("tabs-1280")
        tab.click()
        expect(page).to_have_url(f"{ui.url}/coldburst/")
        expect(page.locator("#workers td", has_text="running")).to_be_visible()
        expect(tile(page, "Queue delay P50")).to_have_text(re.compile(r"\d m?s$"))
        expect(page.locator("#cold tbody tr")).not_to_have_count(0)
        assert (watched.fits(), overlapping(page)) == (True, [])
        watched.shot("tables-1280")
        page.get_by_role("link", name="Locust’s page").click()
        page.get_by_role("button", name="Stop").click()
        ui.locust.until(lambda run: ui.live()["run"]["finished"])
        page.goto(f"{ui.url}/coldburst/")
        expect(page.locator("#equation")).to_have_text(str(ui.locust.ledger))
        assert (watched.complaints, watched.elsewhere) == ([], [])
        ui.locust.process.kill()
        expect(page.locator("#lost")).to_be_visible()


def test_a_report_in_the_making_is_told_from_one_that_failed(browser, tmp_path):
    ended = {"finished": True, "ended_by": "stop", "ledger": "1 planned = 1 ok", "verdict": "", "report": "", "download": ""}
    fault = f"the report could not be made: python -m analysis report {'runs' * 40}/two says why"
    told = {"run": None, "samples": None, "runs": [{**ended, "id": "one", "fault": ""}, {**ended, "id": "two", "fault": fault}]}
    with WebUi(*PLAIN) as ui, Watched(browser, ui.url, 390, tmp_path) as watched:
        watched.page.route("**/live.json*", lambda asked: asked.fulfill(json=told))
        watched.page.goto(f"{ui.url}/coldburst/")
        expect(watched.page.locator("#runs td", has_text="making the report")).to_have_count(1)
        expect(watched.page.locator("#runs td", has_text=fault)).to_have_count(1)
        assert (watched.fits(), overlapping(watched.page)) == (True, [])


def test_each_outcome_has_a_colour_of_its_own():
    script = (ROOT / "coldburst" / "live" / "web" / "static" / "live.js").read_text(encoding="utf-8")
    colours = dict(re.findall(r'(\w+): "([\w-]+)"', script[script.index("const COLOURS") : script.index("};")]))
    assert list(colours) == list(OUTCOMES)
    assert len(set(colours.values())) == len(OUTCOMES)
