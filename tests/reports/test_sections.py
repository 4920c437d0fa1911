"""What stands beside the tables: a figure and a table for every analysis, or what it would need."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import html5lib
import pytest

from reports.analyses import NEEDS
from reports.build import build
from reports.charts import Mark, Row, interval_chart, shown_range
from reports.contents import Contents, read_contents
from reports.figures import BASELINE_STYLE, STYLES
from reports.page import render
from reports.plane import Dot, Series, plane
from reports.svg import BAND, GRID, INK, MUTED, PAPER
from tests.reports.designs import DesignRecords
from tests.reports.records import NOISE, Records

CSS = Path(__file__).parents[2] / "reports" / "page" / "assets" / "report.css"


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    records = DesignRecords(patients=25, draws=8, unanalysable={"imagenet": 0.1})
    return read_contents(records.write(tmp_path_factory.mktemp("designs") / "run"), draws=100)


@pytest.fixture(scope="module")
def page(contents: Contents) -> str:
    return render(contents)


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    assert found, name
    return found[0]


def test_every_analysis_has_its_figure(contents: Contents, page: str) -> None:
    keys = [figure.key for figure in contents.figures()]
    assert len(keys) == len(set(keys))
    for start in ("labels-", "removals-", "ladder-", "order-means-", "factorial-", "dose-", "children-"):
        assert any(key.startswith(start) for key in keys), start
    for start in ("cost-", "trials-", "splits-", "search-", "parallel-", "draws-", "pretraining-curves"):
        assert any(key.startswith(start) for key in keys), start
    drawn = set(re.findall(r'<figure class="plot" id="([^"]+)"', page))
    assert drawn == {key for key in keys if not key.startswith(("agreement-", "pretraining-curves"))}


def test_numbers_of_the_figures_stand_in_the_tables(contents: Contents, page: str) -> None:
    one, _ = contents.labels[0]
    text = section(page, "labels")
    for curve in one.curves:
        for point in curve.points:
            assert point.estimate.value is not None
            assert f"{point.estimate.value:.3f}".replace("-", "\N{MINUS SIGN}") in text
    (control,) = [one for one in contents.analyses.controls if one.name == "dxa_vae.aa" and one.value][:1]
    assert control.sentence in section(page, "robustness")


def test_sections_without_data_say_what_they_need(tmp_path: Path) -> None:
    page = build(Records(patients=12, draws=1).write(tmp_path / "run"), draws=50).read_text()
    assert NEEDS["labels"] in section(page, "labels")
    assert NEEDS["controls"] in section(page, "robustness")
    assert "two or more splits" in section(page, "robustness")


def test_the_page_is_valid_html(page: str) -> None:
    parser = html5lib.HTMLParser(strict=False, namespaceHTMLElements=False)
    parser.parse(page)
    assert [(place, code) for place, code, _ in parser.errors] == []


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_of_charts_are_told_apart_from_light_and_dark_paper() -> None:
    counterparts = dict(
        re.findall(r'svg \[fill="(#[0-9a-f]{6})"\] \{ fill: (#[0-9a-f]{6}); \}', CSS.read_text())
    )
    strokes = dict(
        re.findall(r'svg \[stroke="(#[0-9a-f]{6})"\] \{ stroke: (#[0-9a-f]{6}); \}', CSS.read_text())
    )
    assert counterparts == strokes
    assert counterparts.keys() == {one for one, _ in (*STYLES, BASELINE_STYLE)} | {
        INK,
        MUTED,
        GRID,
        BAND,
        PAPER,
    }
    for colour in (*(one for one, _ in STYLES), BASELINE_STYLE[0]):
        assert contrast(colour, "#ffffff") >= 3  # WCAG 1.4.11
        assert contrast(counterparts[colour], counterparts[PAPER]) >= 3
    for colour in (INK, MUTED):
        assert contrast(colour, "#ffffff") >= 4.5  # WCAG 1.4.3
        assert contrast(counterparts[colour], counterparts[PAPER]) >= 4.5


def test_an_interval_that_dwarfs_the_others_is_cut_with_an_arrow() -> None:
    marks = [Mark(0.1 * i, 0.1 * i - 0.05, 0.1 * i + 0.05, "#000000", "circle") for i in range(5)]
    wild = Mark(0.2, -5000.0, 0.25, "#000000", "circle")
    low, high = shown_range([*marks, wild], zero=True)
    assert -1 < low < -0.05
    assert high == pytest.approx(0.45)
    drawn = interval_chart(
        [Row(str(i), [mark]) for i, mark in enumerate([*marks, wild])], "x", "s", zero=True
    )
    assert drawn.count("<polygon") == 1
    assert "<polygon" not in interval_chart([Row("one", marks)], "x", "s", zero=True)


def test_a_logarithmic_axis_puts_equal_factors_at_equal_distances() -> None:
    dots = [Dot(x, 1.0 + x) for x in (1.0, 10.0, 100.0)]
    drawn = plane([Series("a", STYLES[0], dots)], ("x", "y"), "summary", log=True)
    places = [float(x) for x in re.findall(r'<circle cx="([0-9.]+)"', drawn)][1:]  # the first is the legend's
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)


def test_names_in_figures_are_escaped() -> None:
    drawn = plane([Series("<script>", STYLES[0], [Dot(1.0, 2.0, words='"><b>')])], ("<x>", "<y>"), '"<s>')
    assert "<script>" not in drawn
    assert "<b>" not in drawn
    assert 'aria-label="&quot;&lt;s&gt;"' in drawn


def test_checklists_hold_what_the_run_proves_and_no_more(contents: Contents, page: str) -> None:
    lists = {one.key: one for one in contents.checklists}
    assert {key: len(one.items) for key, one in lists.items()} == {
        "claim": 44,
        "tripod": 27,
        "reforms": 20,
        "leakage": 8,
    }
    assert [item.number for item in lists["claim"].items] == [str(number) for number in range(1, 45)]
    (disjoint,) = [item for item in lists["claim"].items if item.number == "20"]
    assert disjoint.answer.startswith("No patient in two splits")
    text = section(page, "checklists")
    silent = sum(len(one.items) - one.recorded for one in lists.values())
    assert text.count("not recorded</span>") == silent > 30
    anchors = {item.anchor for one in lists.values() for item in one.items if item.answer}
    assert all(f'id="{anchor}"' in page for anchor in anchors)


def test_a_patient_in_two_splits_is_shown(tmp_path: Path) -> None:
    folder = Records(patients=12, draws=1).write(tmp_path / "run")
    meta = json.loads((folder / "run.json").read_text())
    meta["cohort"]["overlap"] = [{"first": "paired train", "second": "paired test", "patients": 3}]
    (folder / "run.json").write_text(json.dumps(meta))
    page = build(folder, draws=50).read_text()
    assert "paired train and paired test share 3 patients" in page
    assert "paired train and paired test: 3" in section(page, "provenance")
    del meta["cohort"]["overlap"]
    (folder / "run.json").write_text(json.dumps(meta))
    assert "Patients in two splits</dt><dd>not recorded" in build(folder, draws=50).read_text()


def test_weights_lead_to_the_trial_that_made_them(contents: Contents, page: str) -> None:
    made = contents.weights[0]
    assert f'<a href="#trial-{made["key"]}">' in section(page, "trials")
    assert f'id="trial-{made["key"]}"' in section(page, "trials")
    assert made["artifact"][:16] in section(page, "provenance")


def test_files_that_would_make_the_page_heavy_are_named_instead(
    contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.page.DOWNLOADS", 30_000)
    text = section(render(contents), "downloads")
    carried, named = text.count('href="data:'), text.count("<code>tables/")
    assert carried > 0
    assert named > 0
    assert len(text) < 50_000


def test_margins_are_said_where_they_were_declared(tmp_path: Path) -> None:
    folder = Records(patients=40, draws=1, noise={**NOISE, "nodxa_vae": 0.3}).write(tmp_path / "run")
    meta = json.loads((folder / "run.json").read_text())
    assert "No margin of equivalence" in section(build(folder, draws=50).read_text(), "methods")
    meta["suite"]["margins"] = {"anthropometry": {"r2": 0.5}}
    (folder / "run.json").write_text(json.dumps(meta))
    page = build(folder, draws=200).read_text()
    assert "Declared margins, shown as gray bands: Anthropometry, r²: ±0.5" in section(page, "methods")
    assert "margin ±0.5</title><rect" in page
    assert "≈</span> equivalent" in page


@pytest.mark.slow
def test_an_outside_validator_finds_no_error(page: str, tmp_path: Path) -> None:
    jar, java = os.environ.get("VNU_JAR"), shutil.which("java")
    if not jar or not java:
        pytest.skip("needs java and VNU_JAR, the path of vnu.jar (npm: vnu-jar)")
    path = tmp_path / "page.html"
    path.write_text(page)
    done = subprocess.run(
        [java, "-jar", jar, "--errors-only", "--format", "json", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    errors = [one["message"] for one in json.loads(done.stderr)["messages"] if one["type"] == "error"]
    # Its style checker lags behind container queries, which every present browser has.
    assert [one for one in errors if not one.startswith("CSS: ")] == []
