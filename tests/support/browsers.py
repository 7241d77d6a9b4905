"""Chromium, as a person has it before them: nothing but the pages of this machine, and what it complains about is kept."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.needs import found, needs

ARTEFACTS = "COLDBURST_ARTEFACTS"
"""The environment variable that names a directory for screenshots; without it they go where the test's other files go."""
CHROMIUM = found("chromium")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
needs_chromium = needs("chromium")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; its pages and their processes end with it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page of ``width`` × 900, what it complained about, and where else than to ``origin`` it turned; ``with`` closes it."""

    def __init__(self, browser: Browser, origin: str, width: int, artefacts: Path, scheme: str = "light") -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self._artefacts = Path(os.environ.get(ARTEFACTS) or artefacts)
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: None if asked.url.startswith((f"{origin}/", "data:")) else self.elsewhere.append(asked.url))

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *raised: object) -> None:
        self.page.close()

    def shot(self, name: str) -> None:
        """Keeps a picture of the whole page."""
        self._artefacts.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._artefacts / f"{name}.png", full_page=True)

    def fits(self) -> bool:
        """Whether nothing is wider than the window: neither the page, nor anything of it that cannot be scrolled."""
        return self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
