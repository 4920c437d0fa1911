"""The page in a real browser: it loads nothing, fits every width, and its controls work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports import build_report
from reports.build import build
from reports.diff import diff
from reports.diff.page import write_diff
from tests.reports.records import NOISE, TITLES, Records

pytestmark = pytest.mark.browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    if not CHROMIUM.is_file():
        pytest.skip(f"needs {CHROMIUM}: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    titles = dict(TITLES, dxa_vae="<b>DXA</b><script>document.title='broken'</script>")
    return build_report(Records(patients=40, titles=titles).write(tmp_path_factory.mktemp("runs") / "run"))


class Opened:
    """A page with what it said and what it asked for."""

    def __init__(self, browser: Any, path: Path, *, place: str = "", **options: Any) -> None:
        options.setdefault("viewport", {"width": 1200, "height": 900})
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri() + place)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize("width", [1400, 400, 320])
def test_it_fits_without_a_request_or_an_error(browser: Any, page_path: Path, width: int) -> None:
    with Opened(browser, page_path, viewport={"width": width, "height": 900}) as one:
        one.page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
        assert one.problems == []
        assert [url for url in one.requests if not url.startswith("data:")] == [page_path.as_uri()]
        assert one.page.evaluate(OVERFLOW) <= 0
        assert (
            one.page.title() == "SIMULATED DATA \N{EN DASH} Pretraining for imaging, in a quarter of an hour"
        )


def test_switches_sort_and_filter_work(browser: Any, page_path: Path) -> None:
    with Opened(browser, page_path) as one:
        page = one.page
        task = page.locator("#task-anthropometry")
        task.get_by_role("button", name="RMSE").click()
        task.get_by_role("button", name="tuned").click()
        assert task.locator(".protocol:visible").count() == 1
        assert task.locator("table.results:visible caption strong").all_inner_texts() == ["RMSE"]
        page.locator("#trial-list-filter").fill("failed tune finite")
        assert page.locator("#trial-list tbody tr:visible").count() == 1
        assert page.locator("#trial-list-said").inner_text().startswith("1 of ")
        page.locator("#trial-list-filter").fill("")
        page.locator("#trial-list thead button", has_text="Seconds").click()
        assert page.locator("#trial-list [aria-sort]").count() == 1
        seconds = seconds_of(page)
        assert seconds == sorted(seconds)
        page.locator("#trial-list thead button", has_text="Seconds").click()
        assert seconds_of(page) == sorted(seconds, reverse=True)
        assert one.problems == []


def test_a_table_without_the_chosen_statistic_shows_its_own(browser: Any, tmp_path: Path) -> None:
    folder = Records(patients=12, draws=1).write(tmp_path / "run")
    layouts = json.loads((folder / "layouts.json").read_text())
    (table,) = layouts["anthropometry"]
    errors = [one for one in table["statistics"] if one["name"] in ("rmse", "bias")]
    layouts["anthropometry"] += [
        table | {"key": "single", "statistics": errors[:1]},
        table | {"key": "errors", "statistics": errors},
    ]
    (folder / "layouts.json").write_text(json.dumps(layouts))
    with Opened(browser, build(folder, draws=50)) as one:
        task = one.page.locator("#task-anthropometry")
        shown = task.locator("table.results:visible caption strong")
        assert shown.all_inner_texts() == ["r²", "RMSE", "RMSE"]
        task.get_by_role("button", name="Bias").click()
        assert shown.all_inner_texts() == ["Bias", "RMSE", "Bias"]
        assert one.problems == []


def seconds_of(page: Any) -> list[float]:
    heads = page.locator("#trial-list thead th").all_inner_texts()
    column = next(index for index, head in enumerate(heads) if head.startswith("Seconds"))
    cells = page.locator(f"#trial-list tbody tr > :nth-child({column + 1})").all_inner_texts()
    return [float(cell) for cell in cells]


def test_the_address_keeps_what_was_chosen(browser: Any, page_path: Path) -> None:
    with Opened(browser, page_path) as one:
        one.page.locator("#task-anthropometry").get_by_role("button", name="tuned").click()
        one.page.locator("#trial-list-filter").fill("failed")
        one.page.locator("#trial-list thead button", has_text="Seconds").click()
        place = one.page.evaluate("location.hash")
        order = seconds_of(one.page)
    with Opened(browser, page_path, place=place) as again:
        shown = again.page.locator("#task-anthropometry .protocol:visible")
        assert shown.evaluate_all("all => all.map((one) => one.dataset.choice)") == ["tuned"]
        assert again.page.locator("#trial-list tbody tr:visible").count() == 2
        assert seconds_of(again.page) == order
        assert again.problems == []


def test_a_link_opens_what_hides_its_target(browser: Any, page_path: Path) -> None:
    with Opened(browser, page_path) as one:
        figure = one.page.locator("figure[id^=forest-anthropometry-tuned-table3-rmse]").first
        assert not figure.is_visible()
        one.page.evaluate("id => { location.hash = id }", figure.get_attribute("id"))
        figure.wait_for(state="visible", timeout=5_000)


def test_every_control_is_reached_with_the_keyboard(browser: Any, page_path: Path) -> None:
    with Opened(browser, page_path) as one:
        one.page.keyboard.press("Tab")
        assert one.page.evaluate("document.activeElement.className") == "skip"
        one.page.keyboard.press("Enter")
        assert one.page.evaluate("location.hash") == "#answer"
        head = one.page.locator("#trial-list thead button").first
        head.focus()
        one.page.keyboard.press("Enter")
        assert one.page.locator("#trial-list thead th").first.get_attribute("aria-sort") == "ascending"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert one.page.evaluate(outline) == "solid"


def test_without_scripts_everything_is_there(browser: Any, page_path: Path) -> None:
    with Opened(browser, page_path, java_script_enabled=False) as one:
        page = one.page
        assert page.locator("figure.plot svg:visible").count() == page.locator("figure.plot").count() > 5
        assert page.locator("table.results:visible").count() == page.locator("table.results").count() == 9


def test_print_shows_every_table_and_no_control(browser: Any, page_path: Path) -> None:
    with Opened(browser, page_path) as one:
        one.page.emulate_media(media="print")
        tables = one.page.locator("table.results")
        assert one.page.locator("table.results:visible").count() == tables.count()
        assert one.page.locator(".switch:visible, .filter:visible, nav:visible").count() == 0
        assert one.page.locator(".banner").is_visible()
        one.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert one.page.locator("table.checklist:visible").count() == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, page_path: Path, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # axe is run by the browser's debugger, which a page's policy does not bind
    with Opened(browser, page_path, color_scheme=scheme, bypass_csp=True) as one:
        one.page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
        found = axe.run(one.page).response
    assert len(found["passes"]) > 20
    serious = [
        (rule["id"], rule["nodes"][0]["html"][:200], rule["nodes"][0]["failureSummary"])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.fixture(scope="module")
def diff_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("diff")
    noise = {**NOISE, "dxa_vae": 0.6}
    sizes: dict[str, Any] = {"patients": 25, "exhibits": False}
    before = Records(**sizes).write(root / "before")
    return write_diff(diff(before, Records(**sizes, noise=noise, draws=5).write(root / "after"), 200), root)


@pytest.mark.parametrize("width", [1400, 320])
def test_a_diff_fits_without_a_request_or_an_error(browser: Any, diff_path: Path, width: int) -> None:
    with Opened(browser, diff_path, viewport={"width": width, "height": 900}) as one:
        assert one.problems == []
        assert one.requests == [diff_path.as_uri()]
        assert one.page.evaluate(OVERFLOW) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_diff(browser: Any, diff_path: Path, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with Opened(browser, diff_path, color_scheme=scheme, bypass_csp=True) as one:
        found = axe.run(one.page).response
    assert [f"{one['id']}: {one['help']}" for one in found["violations"]] == []
