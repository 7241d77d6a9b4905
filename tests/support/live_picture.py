"""The screenshots of the live page in docs/: ``python -m tests.support.live_picture DIR`` (docs/picture.sh calls it)."""

import sys
from pathlib import Path

from playwright.sync_api import expect

from tests.support.browsers import Watched, chromium
from tests.support.emulators import MODELLED, emulator
from tests.support.locusts import PLAIN
from tests.support.web import WebUi

ENDPOINT = ("--endpoint", "demo", "--workers-max", "3")
SCHEDULE = "burst 12, steady 30s 3/s"
# Seconds of the run that the charts show.
SECONDS = 12


def write_pictures(folder: Path) -> None:
    """Starts a run from the form and keeps form.png and live.png."""
    with (
        emulator(*MODELLED, *ENDPOINT) as platform,
        WebUi("--host", f"{platform.url}/v2/demo", *PLAIN, "--sample", "0.5") as ui,
        chromium() as browser,
        Watched(browser, ui.url, 1100, folder) as watched,
    ):
        page = watched.page
        page.goto(f"{ui.url}/coldburst/")
        page.locator('[name="schedule"]').fill(SCHEDULE)
        watched.shot("form")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator("#state")).to_have_text("running", timeout=60_000)
        ui.locust.until(lambda _: page.evaluate("known.columns?.at_s.length ?? 0") >= SECONDS)
        watched.shot("live")


if __name__ == "__main__":
    write_pictures(Path(sys.argv[1]))
    print("\n".join(f"{sys.argv[1]}/{name}.png" for name in ("form", "live")))
