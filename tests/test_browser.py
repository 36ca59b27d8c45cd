"""The report in Chromium: it fits, asks for nothing, runs nothing of others, and works without a mouse."""

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from acclimate.records import Measurement, Score
from acclimate.report.inputs import BenchmarkFacts, ReportInputs
from acclimate.report.pages import pages
from acclimate.report.stage import ReportConfig, write_report
from tests.small_reports import answer, example, picture, rich

CHROMIUM = Path("/usr/bin/chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright (pip install playwright)")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs axe (pip install axe-playwright-python)"
)
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Debian's chromium at {CHROMIUM}"),
    # Playwright's event loop warns of its own past.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
WIDTHS = (400, 800, 1600)
A4_PX = 688
"""Width of the printable part of a sheet of A4 with our margins, at 96 dots per inch."""
ATTACK = (
    "<script>window.owned = 1</script><svg onload='window.owned = 2'></svg></style></script></title>"
    '"><img src=x onerror="window.owned = 3"> {{7*7}} ${7*7} <a href="javascript:window.owned = 4">a</a> '
    "\u202egnp.exe\u202c `x` [a](javascript:window.owned=5) &lt;b&gt;"
)
NAME = "<img src=x onerror='window.owned = 6'> {{7*7}} ${7*7} \"><svg onload='window.owned = 7'> \u202eabc"
"""The same without the signs that part the keys of measurements."""


@dataclass
class Seen:
    """What a page said and asked for while it was open."""

    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"], timeout=300_000)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    write_report(rich(), out, ReportConfig(n_draws=200))
    return out / "index.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hostile")
    config = ReportConfig(n_draws=200, title=f"{ATTACK} report")
    write_report(rich(ATTACK, name=NAME), out, config)
    return out / "index.html"


def opened(browser, path: Path, **options: object):  # type: ignore[no-untyped-def]
    """Open a file and return the page with what it does."""
    context = browser.new_context(**options)
    context.set_default_timeout(300_000)
    page, seen = context.new_page(), Seen()
    page.on("request", lambda each: seen.requests.append(each.url))
    page.on("console", lambda each: seen.messages.append(each.text))
    page.on("pageerror", lambda each: seen.messages.append(str(each)))
    page.on("dialog", lambda each: (seen.dialogs.append(each.message), each.dismiss()))
    page.goto(path.resolve().as_uri())
    return page, seen


def overflow(page) -> list[object]:  # type: ignore[no-untyped-def]
    """Return how far the page is wider than the screen, and the elements that stick out of it."""
    return page.evaluate(
        """() => {
        const wide = document.documentElement.clientWidth;
        const out = [...document.querySelectorAll("main *, header *, nav *")].filter(
            (each) => !each.closest(".box table") && each.getBoundingClientRect().right > wide + 1);
        const named = out.map((each) => each.outerHTML.slice(0, 99));
        return [document.documentElement.scrollWidth - wide, ...named];
        }"""
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["report", "hostile"])
def test_nothing_is_wider_than_the_screen(browser, request, which: str, width: int):
    path = request.getfixturevalue(which)
    page, seen = opened(browser, path, viewport={"width": width, "height": 900})
    assert overflow(page) == [0]
    assert seen.messages == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [path.resolve().as_uri()]
    page.context.close()


def test_in_print_all_tables_fit_the_sheet(browser, report: Path):
    page, _ = opened(browser, report, viewport={"width": A4_PX, "height": 1000}, color_scheme="dark")
    page.emulate_media(media="print")
    widest = page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('table, img, pre, p')]"
        ".map((each) => each.getBoundingClientRect().right))"
    )
    assert widest <= A4_PX
    for gone in (".contents", ".skip", ".filters"):
        assert not page.locator(gone).first.is_visible()
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, report: Path, scheme: str):
    page, _ = opened(browser, report, viewport={"width": 1600, "height": 900}, color_scheme=scheme)
    found = axe.Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"][:120] for node in each["nodes"]][:3])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
    page.context.close()


def test_texts_of_others_are_shown_and_never_run(browser, hostile: Path):
    page, seen = opened(browser, hostile)
    for hidden in page.locator("select, summary").all():
        assert hidden.is_visible()
    page.evaluate("() => document.querySelectorAll('input, select, a').forEach((each) => each.focus())")
    assert seen.dialogs == []
    assert seen.messages == []
    assert page.evaluate("() => window.owned") is None
    counted = page.evaluate(
        """() => ({
        scripts: document.scripts.length,
        styles: document.querySelectorAll("style, link").length,
        drawn: document.querySelectorAll("svg:not(.bar)").length,
        frames: document.querySelectorAll("iframe, object, embed, base").length,
        broken: [...document.images].filter((each) => !each.src.startsWith("data:image/")).length,
        links: [...document.links].filter((each) => each.protocol !== "file:").length,
        handlers: [...document.querySelectorAll("*")].filter(
            (each) => each.getAttributeNames().some((name) => name.startsWith("on"))).length,
        })"""
    )
    assert counted == {
        "scripts": 1, "styles": 1, "drawn": 0, "frames": 0, "broken": 0, "links": 0, "handlers": 0,
    }  # fmt: skip
    text = page.evaluate("() => document.body.textContent")
    for shown in ("<script>window.owned = 1</script>", "{{7*7}}", "${7*7}", "[U+202E]", "&lt;b&gt;"):
        assert shown in text
    assert "\u202e" not in text
    page.context.close()


def test_the_policy_stops_what_is_put_in_later(browser, report: Path, tmp_path: Path):
    spoilt = tmp_path / "spoilt.html"
    text = report.read_text(encoding="utf-8")
    added = (
        "<script>window.owned = 1</script><img src=x onerror='window.owned = 2'><p style='color: red'>p</p>"
    )
    spoilt.write_text(text.replace("</main>", f"{added}</main>"), encoding="utf-8")
    page, seen = opened(browser, spoilt)
    page.evaluate(
        "() => { const late = document.createElement('script'); late.textContent = 'window.owned = 3';"
        " document.body.append(late); }"
    )
    assert page.evaluate("() => window.owned") is None
    assert page.locator("#filters").is_visible()
    refused = [each for each in seen.messages if "Content Security Policy" in each]
    assert len(refused) >= 3
    page.context.close()


def test_without_scripts_everything_is_there(browser, report: Path):
    page, seen = opened(browser, report, java_script_enabled=False)
    assert seen.messages == []
    articles = page.locator("article")
    assert articles.count() == 15
    assert articles.first.is_visible()
    assert articles.last.is_visible()
    assert not page.locator("#filters").is_visible()
    page.context.close()


def test_the_filters_and_the_skip_link_work_by_keyboard(browser, report: Path):
    page, _ = opened(browser, report)
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("() => location.hash") == "#content"

    status, cards = page.locator("#filter-status"), page.locator("article.answer:visible")
    assert status.inner_text() == "9 of 9 shown"
    page.locator("#filter-text").focus()
    page.keyboard.type("Slide 3")
    assert status.inner_text() == "1 of 9 shown"
    assert cards.count() == 1
    assert "slide 3" in cards.first.inner_text()
    for _ in range(len("Slide 3")):
        page.keyboard.press("Backspace")
    # Benchmark, picture, base, adapted; items 0, 3 and 6 of nine are the base's right ones.
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.labels[0].textContent") == "base is"
    page.keyboard.type("right")
    assert status.inner_text() == "3 of 9 shown"
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("mismatch")
    assert status.inner_text() == "1 of 9 shown"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Show all"
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('filter-status').textContent === '9 of 9 shown'")
    assert cards.count() == 9
    page.context.close()


def large(n_items: int) -> ReportInputs:
    """Return scores of so many items, two models and three conditions, and a thousand examples."""
    items = [(f"i{at}", f"p{at // 2}", at) for at in range(n_items)]
    scores = tuple(
        Score(name, "wide", model, condition, "accuracy_strict", float(at % n == 0), True, "", cluster)
        for model, condition, n in (
            *(("base", "original", 3), ("base", "mismatch", 5), ("base", "blank", 6)),
            *(("adapted", "original", 2), ("adapted", "mismatch", 4), ("adapted", "blank", 7)),
        )
        for name, cluster, at in items
    )
    return ReportInputs(
        scores=scores,
        benchmarks=(BenchmarkFacts("wide", "accuracy_strict", n_items),),
        examples=tuple(example(at) for at in range(24)),
        answers=tuple(answer(at, "wide", picture_key=f"pic {at % 200}") for at in range(976)),
        n_answers=n_items,
        pictures={f"pic {at}": picture(at, (640, 480)) for at in range(200)},
    )


def seconds_to_open(browser, path: Path) -> float:
    """Return the quickest of three loads, from the call to the load event."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        page, seen = opened(browser, path)
        taken.append(time.perf_counter() - started)
        assert seen.messages == []
        page.context.close()
    return min(taken)


@pytest.mark.slow
def test_a_report_of_200k_items_is_small_and_opens_at_once(browser, tmp_path: Path, capsys):
    config = ReportConfig(n_draws=200, n_answers=976)
    started = time.perf_counter()
    write_report(large(200_000), tmp_path, config)
    written = time.perf_counter() - started
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    opening = {path.name: seconds_to_open(browser, path) for path in sorted(tmp_path.rglob("*.html"))}
    with capsys.disabled():
        sys.stdout.write(f"\nwritten in {written:.1f} s; {size / 1e6:.2f} MB; opened in {opening}\n")
    assert sorted(opening) == ["index.html", *(f"page-00{at}.html" for at in range(1, 5))]
    assert size < 10_000_000
    assert max(opening.values()) < 2.0


@pytest.mark.slow
def test_a_thousand_photographs_stay_below_ten_megabytes(tmp_path: Path):
    """Noise cannot be made smaller: the pages then hold as many examples as fit, and say so."""
    rng = np.random.default_rng(0)
    noisy = {}
    for at in range(100):
        file = tmp_path / "one.png"
        Image.fromarray(rng.integers(0, 255, (256, 256, 3), dtype="uint8")).save(file)
        noisy[f"pic {at}"] = file.read_bytes()
    given = replace(
        rich(),
        answers=tuple(answer(at, "bench open", picture_key=f"pic {at % 100}") for at in range(1000)),
        pictures=noisy,
    )
    found = [Measurement("macro/base/original", 0.5, 0.4, 0.6, 200_000, 100_000, 1.0, "cluster_bootstrap")]
    files = pages(given, found, ReportConfig(n_answers=1000))
    assert sum(len(text.encode("utf-8")) for text in files.values()) < 10_000_000
    shown = re.search(r"(\d+) of 1000 answers shown", files["index.html"])
    assert shown is not None
    assert 0 < int(shown[1]) < 1000
