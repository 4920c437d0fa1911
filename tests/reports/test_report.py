"""The report of a run: complete, escaped, marked, the same twice."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from reports import RecordsError, build_report
from reports.build import build
from tests.reports.reading import body_of, comparison, fail_finals
from tests.reports.records import TITLES, Records

EVIL = "<script>alert('x')</script>"


def test_failed_trials_and_na_cells_are_shown(page: str, twin: dict[str, Any]) -> None:
    body = body_of(page)
    assert "This run is incomplete" in body
    assert "N/A: ImageNet has no generator" in body
    assert "FloatingPointError: the loss is not finite at step 12" in body
    assert "MemoryError: &lt;b&gt;batch&lt;/b&gt; of 64 does not fit" in body
    assert any("noDXA-VAE has 1 of 2 final trials" in warning for warning in twin["warnings"])
    column = next(
        c for c in comparison(twin, "anthropometry", "tuned")["columns"] if c["name"] == "nodxa_vae"
    )
    assert (column["done"], column["planned"]) == (1, 2)


def test_an_arm_without_any_result_keeps_its_column(tmp_path: Path) -> None:
    records = Records(patients=12)
    folder = records.write(tmp_path / "run")
    fail_finals(folder, "dxa_vae")
    page = body_of(build(folder, draws=200).read_text())
    assert "failed (final): OSError: no space left" in page
    assert re.search(r'<td class="absent">failed</td>', page)


def test_simulated_data_are_marked_everywhere(folder: Path, page: str, twin: dict[str, Any]) -> None:
    assert "SIMULATED DATA" in page
    assert twin["simulated"] is True
    for path in (folder / "tables").glob("*.csv"):
        rows = list(csv.DictReader(path.open(encoding="utf-8")))
        assert rows
        assert {row["simulated"] for row in rows} == {"true"}
    for path in (folder / "tables").glob("*.tex"):
        assert path.read_text().count("SIMULATED DATA") == path.read_text().count(r"\begin{table}")


def test_real_data_carry_no_such_mark(tmp_path: Path) -> None:
    page = build(Records(patients=12, simulated=False).write(tmp_path / "run"), draws=200).read_text()
    assert "SIMULATED" not in body_of(page)


def test_every_name_is_escaped(tmp_path: Path) -> None:
    titles = dict(TITLES, dxa_vae=EVIL, nodxa_vae='"><img src=x onerror=alert(1)>')
    folder = Records(patients=12, titles=titles).write(tmp_path / "run")
    page = build(folder, draws=200).read_text()
    assert EVIL not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert" in page
    assert page.count("<script") == 1  # our own
    assert all(EVIL not in path.read_text() for path in (folder / "tables").glob("*.tex"))


def test_spreadsheets_do_not_run_names(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    layouts = json.loads((folder / "layouts.json").read_text())
    layouts["anthropometry"][0]["rows"][0]["label"] = "=HYPERLINK(1)"
    (folder / "layouts.json").write_text(json.dumps(layouts))
    build(folder, draws=200)
    text = (folder / "tables" / "anthropometry-matched-table3.csv").read_text()
    assert "'=HYPERLINK(1)" in text
    assert ",=HYPERLINK" not in text


def test_the_page_is_small_and_self_contained(page: str) -> None:
    assert len(page.encode()) < 8_000_000
    body = body_of(page)
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", body)
    assert "default-src 'none'" in html.unescape(page[:2000])


class _Outline(HTMLParser):
    """Ids, tables without caption, header cells without scope, pictures without alternative text."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.problems: list[str] = []
        self.captioned = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag == "table":
            self.captioned = False
        if tag == "caption":
            self.captioned = True
        if tag in ("tr", "tbody") and not self.captioned:
            self.problems.append("table without caption")
            self.captioned = True
        if tag == "th" and "scope" not in found:
            self.problems.append("th without scope")
        if tag == "img" and not found.get("alt"):
            self.problems.append("img without alt")
        if tag == "svg" and not ("aria-label" in found or found.get("aria-hidden") == "true"):
            self.problems.append("svg without a name")


def test_the_structure_is_accessible(page: str) -> None:
    outline = _Outline()
    outline.feed(body_of(page))
    assert outline.problems == []
    assert len(outline.ids) == len(set(outline.ids))
    anchors = set(re.findall(r'href="#([^"]+)"', body_of(page)))
    assert anchors <= set(outline.ids)
    assert '<html lang="en">' in page


def test_twice_the_same_bytes(folder: Path, page: str, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    before = (copy / "report.json").read_bytes()
    assert build_report(copy).read_text() == page
    assert (copy / "report.json").read_bytes() == before
    assert not list(copy.rglob("*.part"))


def test_one_seed_and_no_tuning_still_make_a_report(tmp_path: Path) -> None:
    folder = Records(patients=12, seeds=(5,), draws=0, failures=False, exhibits=False)
    folder.draws = 1
    path = folder.write(tmp_path / "run")
    build(path, draws=200)
    twin = json.loads((path / "report.json").read_text())
    found = comparison(twin, "anthropometry", "matched")
    assert {column["unit"] for column in found["columns"]} == {"none"}
    cell = found["endpoint"]["lines"][0]["cells"]["arm:dxa_vae"]
    assert cell["degrees_of_freedom"] == 11
    assert any("single trial" in warning for warning in twin["warnings"])


def test_a_run_that_stopped_before_any_final_trial_says_so(tmp_path: Path) -> None:
    folder = Records(patients=12, failures=False).write(tmp_path / "run")
    path = folder / "results" / "trials.parquet"
    pl.read_parquet(path).filter(pl.col("stage") != "final").write_parquet(path)
    page = body_of(build(folder, draws=200).read_text())
    assert "No arm has results" in page
    assert "missing: no final trial was recorded" in page


def test_exhibits_with_objects_inside_are_refused(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    npz = next((folder / "trials").glob("*/exhibits.npz"))
    arrays = {name: np.array([{"a": 1}], dtype=object) for name in np.load(npz)}
    np.savez(npz, **arrays)
    with pytest.raises(RecordsError, match="exhibits"):
        build(folder, draws=200)


def test_importing_the_package_is_cheap() -> None:
    code = (
        "import sys, reports; "
        "heavy = {'numpy', 'polars', 'scipy', 'jinja2', 'PIL', 'torch', 'ray'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_baselines_and_exhibits_read_well_and_name_nobody(page: str, twin: dict[str, Any]) -> None:
    columns = comparison(twin, "anthropometry", "matched")["columns"]
    assert [c["title"] for c in columns if c["baseline"]] == ["Mean", "PCA ridge"]
    body = body_of(page)
    assert "SCAN-0" not in body
    assert "PERSON-7" not in body
    assert body.count("Body mass: 61 kg.") == 2  # once per exhibit, not once per arm
    assert "PSNR 36.4 dB" in body
