"""The report page in Chromium: at both widths nothing sticks out, no text of a figure touches another, and the console is empty."""

from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.report.report import report, write
from analysis.runs.load import load
from tests.planner.test_what_if import burst, real
from tests.support.browsers import Watched, chromium, needs_chromium

RUNS = Path(__file__).parents[1] / "runs"
SHOWN = ("queue",)
SHOWN_BY_NIGHT = ("sweep-scaling", "burst", "mixed", "retries", "sweep-whisper", "locust/plain")
pytestmark = [pytest.mark.slow, needs_chromium]

WIDE = """() => {
  const most = document.documentElement.clientWidth;
  const out = [...document.querySelectorAll("main *")].filter(e => !e.closest(".scroll") && !e.closest("svg"));
  const wide = out.filter(e => e.getBoundingClientRect().right > most + 0.5).map(e => `${e.tagName} ${e.className}`);
  return document.documentElement.scrollWidth > most ? ["the page scrolls sideways", ...wide] : wide;
}"""
TEXTS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll(".drawing svg")) {
    const frame = svg.getBoundingClientRect(), scale = frame.width / svg.viewBox.baseVal.width;
    if (!frame.width) continue;
    const texts = [...svg.querySelectorAll("text")].filter(t => t.textContent.trim()).map(
      t => [t.textContent.trim(), t.getBoundingClientRect(), parseFloat(getComputedStyle(t).fontSize) * scale]);
    const outside = texts.filter(([, r]) =>
      r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top - 1 || r.bottom > frame.bottom + 1);
    const touching = texts.flatMap(([t, a], i) => texts.slice(i + 1).filter(([, b]) =>
      Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2
    ).map(([u]) => `${t} | ${u}`));
    const small = texts.filter(([, , px]) => px < 9.5).map(([t, , px]) => `${t}: ${px} px`);
    found.push({name: svg.getAttribute("aria-label"), texts: texts.length, outside: outside.map(([t]) => t), touching, small});
  }
  return found;
}"""


ASIDES = """() => [...document.querySelectorAll(".aside td:last-child span:not(.none)")].filter(e => e.textContent).map(e => {
  const table = e.closest(".scroll"), row = e.closest("tr").firstElementChild.getBoundingClientRect();
  table.scrollLeft = 1000;
  const at = e.getBoundingClientRect();
  return {beneath: at.top >= row.bottom - 1, within: at.left >= 0 && at.right <= document.documentElement.clientWidth};
})"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes the page of a small run, once."""
    folder = tmp_path_factory.mktemp("pages")
    return cache(lambda name: write(report(load(RUNS / name)), folder / name.replace("/", "-")))


@pytest.fixture(scope="module")
def browser():
    with chromium() as one:
        yield one


@pytest.fixture
def look(browser, made, tmp_path):
    """Opens a run's page, watched; with all that is folded, unless it is asked for as a reader finds it."""
    with ExitStack() as opened:

        def at(name, width, scheme="light", unfolded=True):
            watched = opened.enter_context(Watched(browser, "file://", width, tmp_path, scheme))
            watched.page.goto(made(name).as_uri())
            if unfolded:
                watched.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            return watched

        yield at


MOST_PX = 6000


def test_the_answer_is_in_the_first_window_and_the_page_is_short(look):
    watched = look("burst", 1280, unfolded=False)
    page = watched.page
    watched.shot("burst-1280")
    assert page.evaluate("document.documentElement.scrollHeight") <= MOST_PX
    assert page.evaluate("document.querySelector('.card').getBoundingClientRect().bottom") < 900
    assert page.locator("#ledger").is_hidden()
    page.get_by_text("Can I trust this?").last.click()
    assert page.locator("#ledger").is_visible()
    page.get_by_text("Contents", exact=True).click()
    page.get_by_role("link", name="Where the time goes, over the run").first.click()
    assert page.locator("#figure-anatomy").is_visible()  # a link unfolds what it leads to
    assert (watched.complaints, watched.elsewhere) == ([], [])


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", [*SHOWN, *(pytest.param(name, marks=pytest.mark.nightly) for name in SHOWN_BY_NIGHT)])
def test_nothing_sticks_out_touches_or_complains(look, name, width):
    watched = look(name, width)
    page = watched.page
    assert page.evaluate(WIDE) == []
    found = page.evaluate(TEXTS)
    assert len(found) >= 1
    for drawing in found:
        assert drawing["texts"] >= 4, drawing["name"]
        assert (drawing["outside"], drawing["touching"], drawing["small"]) == ([], [], []), drawing["name"]
    assert (watched.complaints, watched.elsewhere) == ([], [])


@pytest.mark.parametrize(
    ("name", "width"), [("queue", 390), pytest.param("sweep-scaling", 390, marks=pytest.mark.nightly), ("queue", 1280)]
)
def test_sentences_of_a_table_stand_beneath_their_rows_where_it_is_narrow(look, name, width):
    """Also where the figures before them have been scrolled."""
    page = look(name, width).page
    found = page.evaluate(ASIDES)
    assert len(found) >= 4
    assert {(one["beneath"], one["within"]) for one in found} == {(width == 390, True)}
    assert page.locator(".aside .none >> visible=true").count() == (0 if width == 390 else page.locator(".aside .none").count())
    whole = "[...document.querySelectorAll('.scroll:has(.about), #key-figures .scroll')].map(e => e.scrollWidth <= e.clientWidth)"
    # A sweep has no key figures.
    assert page.evaluate(whole) == [True] * (2 if name == "queue" else 1)


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.nightly), 390])
def test_a_comparison_fits_too(browser, tmp_path, width):
    """Its many columns go into a wide page; why there is no interval stands beneath a row at each width."""
    assert main(["compare", str(RUNS / "burst"), str(RUNS / "queue"), "--anyway", "--out", str(tmp_path / "out")]) == 0
    with Watched(browser, "file://", width, tmp_path) as watched:
        watched.page.goto((tmp_path / "out" / "index.html").as_uri())
        watched.shot(f"comparison-{width}")
        assert watched.page.evaluate(WIDE) == []
        found = watched.page.evaluate(ASIDES)
        assert {(one["beneath"], one["within"]) for one in found} == {(True, True)}
        sideways = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert (watched.page.evaluate(sideways) == 0) == (width == 1280)
        assert (watched.complaints, watched.elsewhere) == ([], [])


def test_each_figure_is_drawn_once_at_each_width(look):
    for width, shown, hidden in ((1280, "wide", "narrow"), (390, "narrow", "wide")):
        page = look("queue", width).page
        drawings = page.locator("figure .drawing")
        assert drawings.count() == 9
        assert page.locator(f".drawing .{shown} >> visible=true").count() == 9
        assert page.locator(f".drawing .{hidden} >> visible=true").count() == 0


def test_a_dark_page_has_light_text_and_a_light_one_dark(look):
    brightness = """() => [getComputedStyle(document.body).backgroundColor,
      getComputedStyle([...document.querySelectorAll(".drawing .wide svg text")][0]).fill].map(
      colour => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"""
    for scheme in ("light", "dark"):
        ground, text = look("queue", 1280, scheme).page.evaluate(brightness)
        assert (ground > text) == (scheme == "light")
        assert abs(ground - text) > 200


def test_the_contents_lead_to_every_figure(look):
    page = look("queue", 390, unfolded=False).page
    page.get_by_text("Contents", exact=True).click()
    page.get_by_role("link", name="Outcomes over time").first.click()
    assert page.url.endswith("#figure-outcomes")
    top = page.evaluate("document.getElementById('figure-outcomes').getBoundingClientRect().top")
    assert -5 < top < 900


def test_a_print_shows_the_wide_figures_without_the_contents(look):
    page = look("queue", 1280, unfolded=False).page
    page.emulate_media(media="print")
    assert page.locator(".contents").is_hidden()
    assert page.locator("#ledger").is_visible()  # paper cannot be unfolded
    assert page.locator(".drawing .wide >> visible=true").count() == 9
    assert page.evaluate(WIDE) == []


ROWS = """() => [...document.querySelectorAll(".moves tbody tr")].filter(e => e.offsetParent).map(e => e.firstElementChild.innerText)"""
PICKED = """() => [...document.querySelectorAll('.drawing svg [id*="-pick_"]')].filter(
  e => e.getClientRects().length && getComputedStyle(e.querySelector("path")).strokeOpacity === "1").map(e => e.id.split("-pick")[1])"""


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """The page of a burst with predictions."""
    folder = tmp_path_factory.mktemp("predicted")
    return write(report(load(real(burst(folder), options={"price": "0.001"}))), folder / "out")


@pytest.mark.parametrize("width", [1280, 390])
def test_settings_are_moved_without_a_script(browser, predicted, tmp_path, width):
    """A row beside that of the present setting, and one mark in the picture, follow what is picked, by pointer and by keyboard."""
    now = "as it is: min 0, max 3, idle 5 s, scaler 4"
    with Watched(browser, "file://", width, tmp_path) as watched:
        page = watched.page
        page.goto(predicted.as_uri())
        assert (page.evaluate("document.scripts.length"), page.evaluate(ROWS), page.evaluate(PICKED)) == (0, [now], ["_0x0_1x1_2x0_3x1_"])
        page.locator("fieldset", has_text="Max workers").get_by_text("4", exact=True).click()
        assert page.evaluate(ROWS) == [now, "min 0, max 4, idle 5 s, scaler 4"]
        assert page.evaluate(PICKED) == ["_0x0_1x2_2x0_3x1_"]
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(ROWS) == [now]
        page.locator("fieldset", has_text="Idle time-out").get_by_text("120", exact=True).click()
        assert page.evaluate(ROWS) == [now, "min 0, max 3, idle 120 s, scaler 4"]
        assert page.evaluate(WIDE) == []
        found = {drawing["name"]: drawing for drawing in page.evaluate(TEXTS)}
        drawing = found["Predicted: cost and P95 of this load under other settings"]
        assert (drawing["outside"], drawing["touching"], drawing["small"]) == ([], [], [])
        page.get_by_label("all points").check()
        assert len(page.evaluate(ROWS)) == page.locator(".moves tbody tr").count() > 50
        page.emulate_media(media="print")
        assert page.locator(".dials").is_hidden()
        assert (watched.complaints, watched.elsewhere) == ([], [])


SCRIPTS = """<script>window.ran = 'inline'</script><script src="data:text/javascript,window.ran='source'"></script>
<img src="missing.png" onerror="window.ran = 'handler'"><a id="bait" href="javascript:window.ran = 'link'">bait</a>
<svg><script>window.ran = 'drawing'</script></svg><iframe srcdoc="<script>parent.ran = 'frame'</script>"></iframe>
<form action="https://elsewhere.example/"><button id="sent">send</button></form><img src="https://elsewhere.example/pixel.png">"""


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_page_allows_its_own_styles_and_pictures_and_no_script(browser, made, tmp_path, name):
    page = made("queue")
    if name == "comparison":
        assert main(["compare", str(RUNS / "burst"), str(RUNS / "queue"), "--anyway", "--out", str(tmp_path / "out")]) == 0
        page = tmp_path / "out" / "index.html"
    text = page.read_text(encoding="utf-8")
    injected = tmp_path / "injected.html"
    injected.write_text(text.replace("<main>", f"<main>{SCRIPTS}", 1), encoding="utf-8")
    with Watched(browser, "file://", 1280, tmp_path) as watched:
        watched.page.goto(page.as_uri())
        assert watched.complaints == []
        assert (
            "style=" in text and watched.page.evaluate("getComputedStyle(document.querySelector('section')).borderTopLeftRadius") == "12px"
        )
        watched.page.goto(injected.as_uri())
        watched.page.evaluate("for (const name of ['bait', 'sent']) document.getElementById(name).click()")
        watched.page.wait_for_timeout(300)
        complaints = " ".join(watched.complaints).lower()
        assert watched.page.evaluate("window.ran ?? null") is None
        assert watched.page.url == injected.as_uri()
        for refused in ("inline script", "inline event handler", "javascript:", "form-action", "elsewhere.example/pixel.png", "script-src"):
            assert refused in complaints, refused


@pytest.mark.nightly
def test_hostile_texts_run_no_script(look):
    watched = look("mixed", 1280)
    page = watched.page
    assert "<script>alert(1)</script>" in page.content().replace("&lt;", "<").replace("&gt;", ">")
    assert page.evaluate("document.scripts.length") == 0
    assert (watched.complaints, watched.elsewhere) == ([], [])
