"""Pages of hostile runs in Chromium: their texts are seen as texts, nothing runs, nothing is fetched, and nothing sticks out."""

import shutil
from functools import cache

import pytest

from analysis.__main__ import main
from tests.support.browsers import Watched, chromium, needs_chromium
from tests.support.hostile import HTML, RUNS, STYLE, SVG, copied, filled, planted

pytestmark = [pytest.mark.slow, needs_chromium]
BAIT = """() => [
  document.scripts.length,
  document.querySelectorAll("img, iframe, object, embed, link, base, form, foreignObject").length,
  [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => a.name.startsWith("on"))).length,
  [...document.querySelectorAll("[href], [*|href]")].filter(e => /^\\s*(javascript|data|http)/i.test(e.getAttribute("href") || "")).length,
]"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Makes a report, a comparison, a report of a sweep or one of plain Locust's files, by name."""
    folder = tmp_path_factory.mktemp("hostile")
    run = planted(copied(RUNS / "queue", folder / "run"))
    sweep = planted(copied(RUNS / "sweep-matrix", folder / "sweep"))
    for file in (RUNS / "locust-2.47").glob("one_*.csv"):
        shutil.copy(file, folder / file.name.replace("one", HTML))
    filled(folder / f"{HTML}_stats.csv", Name=[SVG, "Aggregated"])
    filled(folder / f"{HTML}_failures.csv", Name=STYLE, Error=SVG)
    asked = {
        "report": ("report", run),
        "compare": ("compare", RUNS / "queue", run, "--anyway"),
        "sweep": ("report", sweep),
        "plain": ("report", folder / HTML),
        "scaling": ("scaling", f"1={folder / HTML}", f"2={RUNS / 'locust-2.47' / 'two'}"),
    }

    @cache
    def made(name):
        assert main([*map(str, asked[name]), "--quiet", "--out", str(folder / name)]) == 0
        return folder / name / "index.html"

    return made


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture
def watched(browser, tmp_path):
    """A page of a width; dialogs that it opened are among its complaints."""
    opened = []

    def at(width):
        seen = Watched(browser, "file://", width, tmp_path)
        seen.page.on("dialog", lambda dialog: (seen.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        opened.append(seen.page)
        return seen

    yield at
    for page in opened:
        page.close()


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.nightly), 390])
@pytest.mark.parametrize(
    "name", ["report", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("compare", "sweep", "plain", "scaling"))]
)
def test_hostile_texts_are_seen_and_not_obeyed(watched, pages, name, width):
    seen = watched(width)
    seen.page.goto(pages(name).as_uri())
    assert seen.page.evaluate(BAIT) == [0, 0, 0, 0]
    assert HTML in seen.page.inner_text("main")
    assert seen.fits()
    assert (seen.complaints, [url for url in seen.elsewhere if not url.startswith("file://")]) == ([], [])


def test_a_page_with_a_script_in_it_would_be_noticed(watched, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text(f"<main>{HTML}{STYLE}</main>", encoding="utf-8")
    seen = watched(1280)
    seen.page.goto(bad.as_uri())
    seen.page.wait_for_function("document.images.length === 1 && document.images[0].complete")
    assert seen.page.evaluate(BAIT)[:3] == [1, 1, 1]
    assert any(said.startswith("dialog") for said in seen.complaints)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["report", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("sweep", "compare"))])
def test_a_figure_opened_by_itself_is_a_drawing_and_nothing_else(watched, pages, name):
    seen = watched(1280)
    files = sorted((pages(name).parent / "figures").glob("*.svg"))
    assert files
    for file in files:
        seen.page.goto(file.as_uri())
        assert seen.page.evaluate("[document.documentElement.tagName, document.querySelectorAll('script, image[href^=http]').length]") == [
            "svg",
            0,
        ]
    assert seen.complaints == []
