"""The page in a real browser: it loads nothing, plots, fits a phone, and its controls work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reports import build_report
from tests.reports.records import TITLES, Records

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


def opened(browser: Any, path: Path, width: int) -> tuple[Any, list[str], list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.plot.drawn').length >= 4", timeout=60_000)
    return page, problems, requests


@pytest.mark.parametrize("width", [1400, 400])
def test_it_draws_without_a_request_or_an_error(browser: Any, page_path: Path, width: int) -> None:
    page, problems, requests = opened(browser, page_path, width)
    assert problems == []
    assert [url for url in requests if not url.startswith("data:")] == [page_path.as_uri()]
    visible = "[...document.querySelectorAll('.plot')].filter((one) => one.offsetParent !== null)"
    assert page.evaluate(f"{visible}.length") == page.evaluate(
        f"{visible}.filter((one) => one.querySelector('.interactive .main-svg .point')).length"
    )
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0
    assert page.title() == "SIMULATED DATA \N{EN DASH} Pretraining for imaging, in a quarter of an hour"
    page.close()


def test_switches_sort_and_filter_work(browser: Any, page_path: Path) -> None:
    page, problems, _ = opened(browser, page_path, 1200)
    task = page.locator("#task-anthropometry")
    task.get_by_role("button", name="RMSE").click()
    task.get_by_role("button", name="tuned").click()
    assert task.locator(".protocol:visible").count() == 1
    assert task.locator("table.results:visible caption strong").all_inner_texts() == ["RMSE"]
    page.wait_for_function(
        "[...document.querySelectorAll('.plot:not(.drawn)')].every((one) => one.offsetParent === null)"
    )
    page.locator("#trial-filter").fill("failed tune finite")
    assert page.locator("#trial-table tbody tr:visible").count() == 1
    page.locator("#trial-filter").fill("")
    page.locator("#trial-table thead button", has_text="Seconds").click()
    seconds = page.locator("#trial-table tbody tr td:nth-child(10)").all_inner_texts()
    assert [float(value) for value in seconds] == sorted(float(value) for value in seconds)
    task.locator("figure:visible select").first.select_option(index=2)
    assert problems == []
    page.close()


def test_without_scripts_everything_is_there(browser: Any, page_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_path.as_uri())
    assert page.locator("figure.plot svg:visible").count() == page.locator("figure.plot").count()
    assert page.locator("table.results:visible").count() == page.locator("table.results").count() == 9
    context.close()
