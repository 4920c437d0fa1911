"""The page of a cohort, the published table and the study of variety."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars
import pytest
from click.testing import CliRunner

from registry.dxa.cohort.charts import distribution_svg
from registry.dxa.cohort.commands import data
from registry.dxa.cohort.importing import import_cohort
from registry.dxa.cohort.measures import MEASURES
from registry.dxa.cohort.overview import cohort_overview, spread_examples
from registry.dxa.cohort.page import write_page
from registry.dxa.cohort.pictures import channel_images, r_picture, skeleton_image
from registry.dxa.cohort.published import QUANTITIES, REFERENCES, compare, compared_markdown
from registry.dxa.cohort.specification import PARTS, SPLITS
from registry.dxa.cohort.store import open_split
from registry.dxa.cohort.subject import Patient
from registry.dxa.cohort.variety import (
    RIDGE_COMPONENTS,
    TEST,
    TRAIN,
    VALIDATION,
    Variety,
    measure_variety,
    variety_markdown,
)
from registry.dxa.tasks.linear import PrincipalComponents, Ridge, mean_r2
from tests.registry.dxa.cohort.real_data import edit, write_layout


def test_the_page_loads_nothing_and_says_that_it_is_simulated(cohort: Path, tmp_path: Path) -> None:
    write_page(cohort, tmp_path / "page.html", examples=2)
    page = (tmp_path / "page.html").read_text()
    assert "Simulated: no result on this cohort is a clinical result" in page
    assert not re.findall(r'(?:src|href)="(?!data:image/png)', page)
    assert "default-src 'none'" in page
    # Two scans of two parts: skeleton, R image, three maps and six channels each.
    assert page.count("<img") == 2 * 2 * 11
    for text in ("Balance of the splits", "Age, years", "Body fat, %", "tissue lo", "bone mineral"):
        assert text in page


def test_what_is_imported_is_escaped(cohort: Path, tmp_path: Path) -> None:
    study = write_layout(cohort, tmp_path / "study")
    edit(study, 2, scan_id="<script>alert(1)</script>", sex="unknown")
    declaration = (study / "cohort.toml").read_text()
    (study / "cohort.toml").write_text(declaration.replace("Exported example", "<b>bold</b>"))
    import_cohort(study, tmp_path / "packed")
    write_page(tmp_path / "packed", tmp_path / "page.html", examples=60)
    page = (tmp_path / "page.html").read_text()
    assert "<script>" not in page
    assert "<b>bold" not in page
    assert "&lt;script&gt;" in page
    assert "sex unknown" in page


def test_the_command_writes_beside_the_cohort(own_cohort: Path) -> None:
    shown = CliRunner().invoke(data, ["show", str(own_cohort), "--examples", "1"])
    assert shown.exit_code == 0, shown.output
    assert own_cohort.with_name("cohort.html").exists()


def test_the_overview_counts_what_is_there(cohort: Path) -> None:
    overview = cohort_overview(cohort)
    train = next(s for s in overview.splits if (s.part, s.split) == ("paired", "train"))
    subjects = open_split(cohort, "paired", "train").subjects
    assert train.scans == subjects.height
    assert train.patients == subjects["patient"].n_unique()
    assert train.female_share == pytest.approx((subjects["sex"] == "female").mean())
    fat = 100 * subjects["total_fat_kg"] / subjects["total_mass_kg"]
    assert train.mean_and_sd("fat_percent") == pytest.approx((fat.mean(), fat.std()))
    assert (overview.imbalance("paired", "age_years") or 0) < 1.5


def test_examples_span_the_range_whatever_their_order() -> None:
    table = polars.DataFrame({"bmi_kg_m2": [30.0, 20.0, None, 25.0, 40.0]})
    assert spread_examples(table, 3) == [1, 0, 4] or spread_examples(table, 3) == [1, 3, 4]
    assert spread_examples(table.drop("bmi_kg_m2").with_columns(x=1), 2) == [0, 4]


def test_pictures_show_bone_bright_and_air_black(patients: list[Patient]) -> None:
    for patient in patients[:3]:
        visit = patient.visits[0]
        codes, density = visit.scan.codes, visit.composition.densities_g_cm2
        picture = skeleton_image(codes)
        air = visit.composition.thickness_cm == 0
        bone = (density[..., 2] > 0.8) & (visit.composition.region >= 4)
        flesh = (density[..., 2] == 0) & (density.sum(axis=-1) > 3)
        assert picture[air].max() < 0.05
        assert np.median(picture[bone]) > np.median(picture[flesh]) + 0.15
        assert set(channel_images(codes)) == {
            f"{p}_{e}" for p in ("air", "bone", "tissue") for e in ("hi", "lo")
        }
        assert r_picture(codes).shape == (150, 109, 3)
        assert r_picture(codes)[air].max() <= 20


def test_channels_share_one_window(patients: list[Patient]) -> None:
    visit = patients[0].visits[0]
    shown = channel_images(visit.scan.codes)
    air = visit.composition.thickness_cm == 0
    flesh = visit.composition.thickness_cm > 10
    for phase in ("air", "bone", "tissue"):
        assert np.median(shown[f"{phase}_lo"][flesh]) > np.median(shown[f"{phase}_hi"][flesh])
    assert shown["air_hi"][air].max() < 0.1
    assert np.median(shown["bone_lo"][air]) > np.median(shown["tissue_lo"][air]) > 0.05


def test_a_box_stands_where_the_quartiles_are() -> None:
    values = {"train": np.arange(101.0), "test": np.array([25.0, 25.0, 75.0, 75.0])}
    drawing = distribution_svg("Age", values)
    boxes = [
        tuple(map(float, found))
        for found in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="10"', drawing)
    ]
    (first, width), other = boxes
    assert other == (first, width)  # quartiles of both are 25 and 75
    bars = [float(found) for found in re.findall(r'<rect x="([\d.]+)"[^>]*class="all"', drawing)]
    assert len(bars) == 16
    # A quarter of the way along the axis.
    axis = re.search(r'<line x1="([\d.]+)" y1="134" x2="([\d.]+)"', drawing)
    assert axis is not None
    left, right = map(float, axis.groups())
    assert (first - left) / (right - left) == pytest.approx(0.25, abs=0.005)
    assert width / (right - left) == pytest.approx(0.5, abs=0.005)


def test_the_page_says_which_beams_were_declared(cohort: Path, tmp_path: Path) -> None:
    write_page(cohort, tmp_path / "page.html", examples=1)
    assert "high energy 140 kVp, low energy 100 kVp" in (tmp_path / "page.html").read_text()
    study = write_layout(cohort, tmp_path / "study")
    text = (study / "cohort.toml").read_text()
    (study / "cohort.toml").write_text(text.replace('energy = "high"', 'energy = "high"\nkilovolts = 120.0'))
    import_cohort(study, tmp_path / "packed")
    write_page(tmp_path / "packed", tmp_path / "page.html", examples=1)
    assert "high energy 120 kVp, low energy of undeclared kVp" in (tmp_path / "page.html").read_text()


def test_every_published_figure_has_a_source_and_a_row(cohort: Path) -> None:
    rows = compare(cohort)
    assert {row.quantity.column for row in rows} == {quantity.column for quantity in QUANTITIES}
    table = compared_markdown(rows)
    for quantity in QUANTITIES:
        assert f"| {quantity.label} |" in table
        for figure in (quantity.women, quantity.men):
            if figure is not None:
                assert figure.source in REFERENCES
                assert f"{figure.text} ({figure.source})" in table
    assert "unverified" in table
    tables = [open_split(cohort, part, split).subjects for part in PARTS for split in SPLITS]
    men = (polars.col("age_years") >= 18) & (polars.col("sex") == "male")
    subjects = polars.concat(tables).filter(men)
    mass = next(row for row in rows if (row.sex, row.quantity.column) == ("male", "total_mass_kg"))
    assert (mass.mean, mass.sd, mass.scans) == pytest.approx(
        (subjects["total_mass_kg"].mean(), subjects["total_mass_kg"].std(), subjects.height)
    )


def test_variety_agrees_with_our_own_linear_algebra() -> None:
    generator = np.random.default_rng(0)
    count = TRAIN + VALIDATION + TEST
    latent = generator.normal(size=(count, 20))
    scans = latent @ generator.normal(size=(20, 900)) + generator.normal(0, 0.5, (count, 900))
    measures = latent @ generator.normal(size=(20, len(MEASURES)))
    found = measure_variety((), scans.astype(np.float32), measures)
    values = np.linalg.svd(scans - scans.mean(axis=0), compute_uv=False) ** 2
    for components, share in found.variance.items():
        assert share == pytest.approx(values[:components].sum() / values.sum(), rel=1e-4)
    components = PrincipalComponents.fit(scans[:TRAIN].astype(np.float32), max(RIDGE_COMPONENTS))
    scores = components.scores(scans.astype(np.float32))
    test = slice(TRAIN + VALIDATION, None)
    for number in RIDGE_COMPONENTS:
        best = max(
            mean_r2(
                measures[test, :15],
                Ridge.fit(scores[:TRAIN, :number], measures[:TRAIN, :15], 10.0**power).predict(
                    scores[test, :number]
                ),
            )
            for power in range(-2, 4)
        )
        assert found.anthropometry_r2[number] == pytest.approx(best, abs=0.03)
    other = Variety(("pose",), found.variance, found.anthropometry_r2, {16: 0.5, 64: 0.4})
    table = variety_markdown([found, other])
    assert "| nothing |" in table
    assert "| pose |" in table
