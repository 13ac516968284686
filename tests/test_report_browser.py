"""The report in headless Chromium; skipped where there is no Playwright or no browser."""

from __future__ import annotations

import itertools
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import main
from tests.report_helpers import HOSTILE, HOSTILE_TEXT, make_report, make_run

api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install '.[browser]'")

Matrix = tuple[tuple[float, ...], ...]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's own Chromium, else the system's."""
    # Chromium's sandbox does not work as root.
    options = {"args": ["--no-sandbox"] if os.geteuid() == 0 else []}
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium
        installed = next((path for name in NAMES if (path := shutil.which(name))), None)
        if Path(chromium.executable_path).exists():
            running = chromium.launch(**options)
        elif installed:
            running = chromium.launch(executable_path=installed, **options)
        else:
            pytest.skip("needs Chromium: 'playwright install chromium', or the system's package")
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report(tmp_path_factory.mktemp("browser"))


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Any, report: Path) -> Iterator[Any]:
    """The opened page; at the end nothing must have been complained of, asked of a network, or injected."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda asked: complaints.extend([] if asked.url.startswith(("file:", "data:")) else [asked.url]))
    opened.goto(report.as_uri())
    yield opened
    assert opened.evaluate("window.hacked") is None
    assert complaints == []
    context.close()


def test_it_opens_without_complaint_and_shows_hostile_text_as_text(page: Any) -> None:
    assert page.locator("h2").inner_text() == "made_up"
    assert HOSTILE in page.locator("#board1-audio").inner_text()
    assert HOSTILE_TEXT in page.locator("#board1-failures").inner_text()
    assert page.locator("img").count() == page.locator("img[src^='data:image/png;base64,']").count() > 0
    assert page.evaluate("Array.from(document.images).every((image) => image.naturalWidth > 0)")


def test_markup_that_got_in_would_not_run_either(browser: Any, report: Path) -> None:
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(report.as_uri())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=window.hacked=1>')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None and any("Content Security Policy" in text for text in refused)
    page.close()


def test_every_player_has_sound(page: Any) -> None:
    lengths = page.evaluate(
        """() => Promise.all(Array.from(document.querySelectorAll("audio"), (audio) => new Promise((done, failed) => {
            audio.onloadedmetadata = () => done(audio.duration);
            audio.onerror = () => failed(audio.error.message);
            audio.preload = "metadata";
            audio.load();
        })))"""
    )
    assert len(lengths) == 24 and all(abs(length - 0.6) < 0.1 for length in lengths)
    played = page.locator("audio").first.evaluate(
        """(audio) => new Promise((done) => {
            audio.ontimeupdate = () => audio.currentTime > 0 && done(audio.currentTime);
            audio.muted = true;
            audio.play();
        })"""
    )
    assert played > 0


def test_the_leaderboard_sorts_and_filters(page: Any) -> None:
    table = page.locator("table.leaderboard")
    heads = table.locator("thead th").all_inner_texts()
    column = next(index for index, text in enumerate(heads) if text.startswith("gap_closed"))

    def values() -> list[float]:
        shown = table.locator("tbody tr:visible")
        return [float(row.locator("th, td").nth(column).get_attribute("data-value")) for row in shown.all()]

    # It opens with each one's most shots and steps, the best on top.
    assert len(values()) == 4 and values() == sorted(values(), reverse=True)
    heading = table.locator("thead th").nth(column)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending" and values() == sorted(values())
    table.locator("thead button").first.click()
    names = table.locator("tbody tr:visible th").all_inner_texts()
    assert names == sorted(names) and heading.get_attribute("aria-sort") is None
    page.select_option("select[name=shots]", "")
    page.select_option("select[name=steps]", "")
    assert len(values()) == 2 * 2 * 3 + 2
    assert page.locator("form.filter output").inner_text() == "14 of 14 rows"
    page.check("input[name=more]")
    assert table.locator("thead th:visible").count() == table.locator("thead th").count() > len(heads) - 3


def test_the_legend_brings_series_to_the_front(page: Any) -> None:
    button = page.locator("#board1-curves .legend button").first
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.locator("#board1-curves.focused g.chosen").count() > 0
    button.click()
    assert page.locator("#board1-curves.focused").count() == 0


@pytest.mark.parametrize("page", ["dark"], indirect=True)
def test_it_fits_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cut = "(table) => table.scrollWidth > table.parentElement.clientWidth"
    assert not any(table.evaluate(cut) for table in page.locator("table.stacked").all())


@pytest.mark.parametrize("page", ["light"], indirect=True)
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_the_width_is_used_and_nothing_stands_out(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The first answer is whole, without scrolling.
    first = "document.querySelector('.choices').parentElement"
    assert page.evaluate(f"{first}.scrollWidth <= {first}.clientWidth")
    assert page.locator("table.leaderboard").bounding_box()["width"] > 0.9 * width
    best, short = (page.locator(f"#board1-{name}").bounding_box() for name in ("best", "short"))
    assert (short["x"] > best["x"] + best["width"]) == (width > 390), "the two answers side by side, where there is room"
    pictures = [picture.bounding_box()["width"] for picture in page.locator(".pictures img:visible").all()]
    assert max(pictures) - min(pictures) < 1, "a second is as wide in one picture as in another"


SCALE = ("ground_truth", "copy_synthesis", "no_adaptation", "mean_speaker", "wrong_speaker", "same_sex_speaker", "same_sex_adults")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about as many methods, metrics, toplines and floors as a committed table has."""
    root = tmp_path_factory.mktemp("full")
    columns = ("gap_closed", "mcd", "pesq", "stoi", "naturalness", "per", "f0_rmse", "estoi", "gop")
    versions = dict.fromkeys(("speaker_similarity", "mcd", "pesq", "stoi", "naturalness", "per", "f0", "gop"), "1")
    speakers = [f"{number:04}" for number in range(20)]
    for name, shots in {"finetune": (1, 10), "maml_plus_plus": (1, 10), **dict.fromkeys(SCALE, (0,))}.items():
        make_run(root, name, shots=shots, speakers=speakers, audio=False, columns=columns, metric_versions=versions)
    assert main(["report", "--output", str(root), "--cache", str(root), "--workers", "1"]) == 0
    return root / "report.html"


@pytest.mark.parametrize("width", [390, 1265, 1920])  # 1280 less a scroll bar
def test_the_whole_table_fits_a_screen(browser: Any, full: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(full.as_uri())
    names = page.locator("table.leaderboard thead th:visible").all_inner_texts()
    assert {"shots", "per", "seeds", "stored"} <= {name.split()[0] for name in names}
    cut = "(table) => table.parentElement.scrollWidth > table.parentElement.clientWidth"
    for shown in ("table.leaderboard", "#board1-speakers details[open] table", ".fronts[open] table"):
        assert width == 390 or not any(table.evaluate(cut) for table in page.locator(shown).all()), shown
    # Text never leaves its chart.
    beyond = page.evaluate("""() => Array.from(document.querySelectorAll("svg[role=img] text"), (text) => {
        const [own, all] = [text, text.ownerSVGElement].map((element) => element.getBoundingClientRect());
        return own.width && (own.left < all.left || own.right > all.right) ? text.textContent : "";
    }).filter(Boolean)""")
    assert beyond == [] and page.locator("svg[role=img] text", has_text="same_sex_speaker").count() > 3
    # Speakers are read downwards.
    assert page.locator("#board1-speakers table").first.locator("tbody tr").count() == 20
    page.close()


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_the_fronts_are_seen_first_where_there_is_room(browser: Any, full: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 1400})
    page.goto(full.as_uri())
    fronts = page.locator(".fronts table")
    assert fronts.count() == 2 and [table.is_visible() for table in fronts.all()] == [width > 390] * 2
    if width > 390:
        first, second = (table.bounding_box() for table in fronts.all())
        assert second["x"] > first["x"] + first["width"] and first["y"] + first["height"] < 1400, "side by side, on the first screen"
        assert page.locator(".fronts").bounding_box()["y"] < page.locator("#board1-table").bounding_box()["y"]
    page.close()


def test_axe_finds_no_fault(browser: Any, report: Path) -> None:
    """WCAG 2.1 and best practices, by https://github.com/dequelabs/axe-core."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe: pip install '.[browser]'")
    for width, scheme in ((1280, "light"), (390, "dark")):
        # The page's policy forbids scripts that are not its own, axe too.
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        page.goto(report.as_uri())
        found = axe.Axe().run(page).response["violations"]
        assert [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in found] == []
        context.close()


def test_wide_tables_scroll_by_themselves_and_by_keyboard(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    region = page.locator("#board1-table .scroll")
    region.focus()
    page.keyboard.press("ArrowRight")
    for _ in range(100):  # in Python: the page's policy forbids what Playwright polls with
        if scrolled := page.evaluate("document.querySelector('#board1-table .scroll').scrollLeft"):
            break
        page.wait_for_timeout(50)
    assert scrolled > 0
    assert page.evaluate("document.documentElement.scrollLeft") == 0
    # The heading of a row stays in sight.
    assert region.locator("tbody tr:visible th").first.bounding_box()["x"] >= 0


def test_paper_shows_what_is_folded_and_is_light(page: Any) -> None:
    folded = page.locator("details:not([open])").count()
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0 < folded
    assert (
        page.locator("audio:visible").count() == 0
        and page.locator("svg[role=img]:visible").count() == page.locator("svg[role=img]").count()
    )
    # A4, landscape, within its margins.
    page.set_viewport_size({"width": 1030, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1030
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded


def test_colours_can_be_read(page: Any) -> None:
    """WCAG 2.1: text 4.5 to 1, lines and marks 3 to 1, against the page."""
    style = "getComputedStyle(document.documentElement).getPropertyValue"
    colours = {name: page.evaluate(f"{style}.call(getComputedStyle(document.documentElement), '--{name}')") for name in (
        "page", "raised", "text", "quiet", "link", *(f"c{number}" for number in range(10)))}  # fmt: skip
    for name, colour in colours.items():
        if name not in ("page", "raised"):
            least = 3.0 if name.startswith("c") else 4.5
            assert min(_contrast(colour, colours[ground]) for ground in ("page", "raised")) >= least, name

    # As if with protanopia and deuteranopia (Machado, Oliveira & Fernandes, IEEE TVCG 2009, severity 1), and without.
    for vision in VISIONS:
        seen = [_oklab(colours[f"c{number}"], vision) for number in range(10)]
        assert min(math.dist(one, other) for one, other in itertools.combinations(seen, 2)) > 0.08


VISIONS = (
    ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
)


def _oklab(colour: str, vision: Matrix) -> list[float]:
    """Ottosson's OKLab of what this vision makes of a colour."""
    seen = [min(1.0, max(0.0, channel)) for channel in _times(vision, _linear(colour))]
    cones = _times(((0.41222147, 0.53633254, 0.05144599), (0.2119035, 0.68069955, 0.10739696), (0.08830246, 0.28171884, 0.62997870)), seen)
    return _times(
        ((0.21045426, 0.79361779, -0.00407205), (1.9779985, -2.42859221, 0.45059371), (0.02590404, 0.78277177, -0.80867577)),
        [cone ** (1 / 3) for cone in cones],
    )


def _times(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), _linear(colour), strict=True))


def _linear(colour: str) -> list[float]:
    digits = colour.strip().removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    channels = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
