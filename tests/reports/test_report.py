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
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from reports import RecordsError, build_report
from reports.build import build
from reports.contents import read_contents
from reports.curves import pretraining_curves
from reports.figures import arm_styles
from reports.frame import read_run
from reports.svg import nice_ticks, tick_label
from tests.reports.records import CHANGES, MEASURES, TITLES, Records

EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Records(patients=40).write(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return build_report(folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def twin(folder: Path, page: str) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def body_of(page: str) -> str:
    """The page without the inlined library."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.S)


def comparison(twin: dict[str, Any], task: str, protocol: str) -> dict[str, Any]:
    return next(c for c in twin["comparisons"] if c["task"] == task and protocol in c["protocols"])


def test_numbers_are_those_of_sklearn_on_the_records(folder: Path, twin: dict[str, Any]) -> None:
    trials = pl.read_parquet(folder / "results" / "trials.parquet")
    predictions = pl.read_parquet(folder / "results" / "predictions.parquet")
    keys = trials.filter(
        (pl.col("strategy") == "dxa_vae")
        & (pl.col("stage") == "final")
        & (pl.col("protocols") == ["matched"])
    )["key"]
    assert len(keys) == 2
    rows = {
        measure: np.mean(
            [
                r2_score(own["target"], own["prediction"])
                for key in keys
                if len(own := predictions.filter((pl.col("key") == key) & (pl.col("measure") == measure)))
            ]
        )
        for measure in MEASURES
    }
    found = comparison(twin, "anthropometry", "matched")
    table = found["tables"][0]["statistics"][0]
    for line in table["lines"]:
        assert line["cells"]["arm:dxa_vae"]["value"] == pytest.approx(rows[line["key"]])
        assert line["patients"] == 40
    endpoint = found["endpoint"]["lines"][0]["cells"]["arm:dxa_vae"]
    assert endpoint["value"] == pytest.approx(np.mean(list(rows.values())))


def test_the_better_arm_wins_and_the_answer_says_by_how_much(page: str, twin: dict[str, Any]) -> None:
    answer = next(a for a in twin["answers"] if a["protocols"] == ["matched"])
    assert answer["verdict"] == "winner"
    assert answer["winner"] == "DXA-VAE"
    assert "40 test patients, the same 2 final seeds" in answer["sentences"][0]
    assert "smallest detectable difference" in answer["sentences"][0]
    assert answer["headline"] in page


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


def fail_finals(folder: Path, arm: str) -> None:
    """Let every final trial of an arm have failed."""
    path = folder / "results" / "trials.parquet"
    lost = (pl.col("strategy") == arm) & (pl.col("stage") == "final")
    pl.read_parquet(path).with_columns(
        status=pl.when(lost).then(pl.lit("failed")).otherwise("status"),
        error=pl.when(lost).then(pl.lit("OSError: no space left")).otherwise("error"),
    ).write_parquet(path)


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


def test_published_values_stand_beside_ours(page: str) -> None:
    body = body_of(page)
    assert "published 0.88" in body
    assert "† Hip, Pearson r²: suspect: repeats another row" in body


def test_published_values_of_other_arms_have_columns_of_their_own(
    folder: Path, page: str, twin: dict[str, Any]
) -> None:
    table = comparison(twin, "anthropometry", "matched")["tables"][0]
    found = {
        (statistic["name"], line["key"]): line["published_elsewhere"]
        for statistic in table["statistics"]
        for line in statistic["lines"]
        if line["published_elsewhere"]
    }
    assert found == {("r2_pearson", "Waist"): {"SomeoneElse": {"value": 0.5, "note": ""}}}
    body = body_of(page)
    assert body.count('<th scope="col" class="num published-only">SomeoneElse') == 2  # once per protocol
    assert len(re.findall(r'<td class="published-only">\s*<span[^>]*>published 0.5<', body)) == 2
    lines = csv.DictReader((folder / "tables" / "anthropometry-matched-table3.csv").open(encoding="utf-8"))
    printed = [one for one in lines if one["kind"] == "published"]
    assert [(one["row"], one["entry"], one["published"], one["value"]) for one in printed] == [
        ("Waist", "SomeoneElse", "0.5", "")
    ]
    assert r"\textit{SomeoneElse}" in (folder / "tables" / "anthropometry-matched-table3.tex").read_text()


def test_published_values_show_beside_a_failed_arm(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    fail_finals(folder, "imagenet")
    page = body_of(build(folder, draws=50).read_text())
    assert re.search(r'<td class="absent">failed<span class="published">published 0.88<', page)


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


@given(st.floats(-1e6, 1e6), st.floats(-18, 6))
def test_ticks_enclose_and_are_distinct(low: float, magnitude: float) -> None:
    high = low + 10.0**magnitude
    ticks = nice_ticks(low, high)
    assert len(ticks) >= 2
    assert ticks == sorted(set(ticks))
    if high > low:
        slack = 1e-6 * (ticks[1] - ticks[0]) + 1e-9 * abs(low)
        assert ticks[0] <= low + slack
        assert ticks[-1] >= high - slack
    assert all(tick_label(tick, ticks) for tick in ticks)


def test_arms_that_differ_by_rounding_alone_still_make_a_report(tmp_path: Path) -> None:
    folder = Records(patients=12, failures=False).write(tmp_path / "run")
    path = folder / "results" / "predictions.parquet"
    noise = pl.Series(1e-15 * np.random.default_rng(0).normal(size=len(pl.read_parquet(path))))
    pl.read_parquet(path).with_columns(prediction=pl.col("target") * 0.9 + noise).write_parquet(path)
    build(folder, draws=200)
    twin = json.loads((folder / "report.json").read_text())
    answers = [one["verdict"] for one in twin["answers"] if one["task"] == "anthropometry"]
    assert "winner" not in answers
    found = comparison(twin, "anthropometry", "matched")
    contrasts = [*found["endpoint"]["contrasts"], *found["tables"][0]["statistics"][0]["contrasts"]]
    assert {d["verdict"] for c in contrasts for d in c["differences"]} == {"not judged"}
    assert {d["p"] for c in contrasts for d in c["differences"]} == {None}


def test_baselines_and_exhibits_read_well_and_name_nobody(page: str, twin: dict[str, Any]) -> None:
    columns = comparison(twin, "anthropometry", "matched")["columns"]
    assert [c["title"] for c in columns if c["baseline"]] == ["Mean", "PCA ridge"]
    body = body_of(page)
    assert "SCAN-0" not in body
    assert "PERSON-7" not in body
    assert body.count("Body mass: 61 kg.") == 2  # once per exhibit, not once per arm
    assert "PSNR 36.4 dB" in body


def test_pretraining_curves_are_drawn_for_every_arm_that_recorded_them(folder: Path) -> None:
    run = read_run(folder)
    panels, unshown = pretraining_curves(run, arm_styles(run.arms))
    assert ([one.name for one in panels], unshown) == (["validation_loss"], 0)
    last = np.exp(-190 / 60)
    for title in TITLES.values():
        assert f"{title} from 1.000 to {last:.3f}" in panels[0].summary
    drawn = re.findall(r'<path d="(M[^"]+)" stroke="#[0-9a-f]+" stroke-width="1.5"', panels[0].svg)
    assert [one.count("L") for one in drawn] == [19] * 3


def test_curves_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    path = folder / "results" / "curves.parquet"
    broken = pl.when(pl.col("step") > 150).then(float("nan")).otherwise("value")
    pl.read_parquet(path).with_columns(value=broken).write_parquet(path)
    run = read_run(folder)
    assert pretraining_curves(run, arm_styles(run.arms))[0][0].lost == 12
    assert "12 values of validation_loss are not finite" in body_of(build(folder, draws=200).read_text())


def test_agreement_is_that_of_the_first_model_and_exports_no_single_person(
    folder: Path, page: str, twin: dict[str, Any]
) -> None:
    trials = pl.read_parquet(folder / "results" / "trials.parquet")
    key = trials.filter(
        (pl.col("strategy") == "dxa_vae")
        & (pl.col("stage") == "final")
        & (pl.col("protocols") == ["matched"])
        & (pl.col("seed") == 100)
    )["key"]
    hip = pl.read_parquet(folder / "results" / "predictions.parquet").filter(
        pl.col("key").is_in(key.to_list()) & (pl.col("measure") == "Hip")
    )
    error = (hip["prediction"] - hip["target"]).to_numpy()
    table = comparison(twin, "anthropometry", "matched")["tables"][0]
    found = next(one for one in table["agreement"] if one["column"] == "arm:dxa_vae")
    assert (found["seeds"], "pairs" in found) == ([7, 100], False)
    row = found["rows"][MEASURES.index("Hip")]
    assert row["bias"]["value"] == pytest.approx(error.mean())
    assert row["upper"]["value"] == pytest.approx(error.mean() + 1.959964 * error.std(ddof=1))
    assert row["people"] == 40
    assert found["within"][MEASURES.index("Hip")] == pytest.approx(np.mean(np.abs(error) <= CHANGES["Hip"]))
    assert [one is None for one in found["within"]] == [name not in CHANGES for name in MEASURES]
    path = folder / "tables" / "anthropometry-matched-table3-agreement.csv"
    lines = list(csv.DictReader(path.open(encoding="utf-8")))
    bias = next(
        one for one in lines if (one["entry"], one["row"], one["statistic"]) == ("arm:dxa_vae", "Hip", "bias")
    )
    assert float(bias["value"]) == pytest.approx(error.mean())
    of_change = {
        one["statistic"]: float(one["value"])
        for one in lines
        if (one["entry"], one["row"]) == ("arm:dxa_vae", "Hip")
    }
    assert of_change["least_significant_change"] == CHANGES["Hip"]
    assert of_change["share_within_it"] == pytest.approx(np.mean(np.abs(error) <= CHANGES["Hip"]))
    assert {one["row"] for one in lines if one["statistic"] == "share_within_it"} == set(CHANGES)
    assert body_of(page).count("Agreement person by person") == 6  # three arms, two protocols
    assert not (folder / "tables" / "reconstruction-matched-tuned-table1-agreement.csv").exists()


def test_every_row_has_its_predictions_beside_its_errors(folder: Path) -> None:
    block = read_contents(folder, draws=50).blocks[-1]
    pairs = block.agreement["table3", "arm:dxa_vae"]
    assert len(pairs) == len(MEASURES)
    for name, (identity, errors) in zip(MEASURES, pairs, strict=True):
        assert identity.count("h0") == errors.count("h0") == 40  # a dot per person
        assert f"{name}: predictions over targets" in identity
        assert errors.count('stroke-dasharray="1 3"') == (2 if name in CHANGES else 0)
        assert ("least significant change" in errors) == (name in CHANGES)


def test_records_without_least_significant_changes_show_none(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    layouts = json.loads((folder / "layouts.json").read_text())
    for layout in (one for own in layouts.values() for one in own):
        del layout["least_significant_changes"]
    (folder / "layouts.json").write_text(json.dumps(layouts))
    page = body_of(build(folder, draws=50).read_text())
    assert "Agreement person by person" in page
    assert "east significant change" not in page


def test_agreement_counts_people_not_scans(tmp_path: Path) -> None:
    folder = Records(patients=15, scans_per_patient=3).write(tmp_path / "run")
    build(folder, draws=200)
    twin = json.loads((folder / "report.json").read_text())
    table = comparison(twin, "anthropometry", "matched")["tables"][0]
    assert table["statistics"][0]["lines"][0]["scans"] == 45
    assert {row["people"] for one in table["agreement"] for row in one["rows"]} == {15}


def test_companions_stand_beside_the_primary_interval(folder: Path, page: str, twin: dict[str, Any]) -> None:
    found = comparison(twin, "anthropometry", "matched")
    contrast = next(
        c
        for c in found["endpoint"]["contrasts"]
        if (c["first"], c["second"]) == ("arm:dxa_vae", "arm:imagenet")
    )
    more = contrast["differences"][0]["companions"]
    estimate = contrast["differences"][0]["estimate"]
    assert more["bca_low"] < estimate["value"] < more["bca_high"]
    assert more["p_flip"] == pytest.approx(1 / 10_000)
    by_name = {one["name"]: one for one in found["tables"][0]["statistics"]}
    tests = {
        name: [d["companions"]["p_max_t"] for c in one["contrasts"] for d in c["differences"]]
        for name, one in by_name.items()
    }
    assert tests["r2"] == tests["rmse"]  # the same squared errors
    assert all(0 < p <= 1 for p in tests["r2"])
    assert set(tests["bias"]) == set(tests["r2_pearson"]) == {None}
    path = folder / "tables" / "anthropometry-matched-table3-differences.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    assert all(row["p_flip"] for row in rows if row["statistic"] == "r2")
    assert "Patients alone, seeds as they are" in body_of(page)


def test_the_page_says_how_firm_the_order_is(page: str, twin: dict[str, Any]) -> None:
    found = comparison(twin, "anthropometry", "matched")
    assert found["ranks"][0]["column"] == "arm:dxa_vae"
    assert found["ranks"][0]["best"] > 0.99
    assert len(found["ranks"]) == 3  # baselines are no arms
    drawn = re.search(r'<figure class="plot" id="ranks-anthropometry-matched".*?</figure>', page, re.S)
    assert drawn
    titles = re.findall(r"<title>([^,<]*), rank 1: ([\d.]+) %</title>", drawn[0])
    assert [title for title, _ in titles] == list(TITLES.values())  # declared order, not by rank
    best = {one["column"].removeprefix("arm:"): one["best"] for one in found["ranks"]}
    assert [float(share) for _, share in titles] == pytest.approx(
        [100 * best[name] for name in TITLES], abs=0.06
    )
    assert sum(one["best"] for one in found["ranks"]) == pytest.approx(1)
    pair = found["variances"][0]
    assert (pair["kind"], pair["variance"]["seed_count"], pair["variance"]["patient_count"]) == (
        "seed",
        2,
        40,
    )
    body = body_of(page)
    assert "How firm is the order" in body
    assert "The standard error would be" in body
    reconstruction = comparison(twin, "reconstruction", "matched")
    assert reconstruction["variances"][0]["variance"] is None  # one trial per arm
    assert "Seeds cannot be told from patients here" in body


def test_rows_that_carry_a_mean_are_named(tmp_path: Path) -> None:
    made = Records(patients=40, failures=False).write(tmp_path / "run")
    assert "lowest rows" not in str(read_contents(made, 50).answers)
    table = made / "results" / "predictions.parquet"
    biased = MEASURES[0]
    shift = pl.when(pl.col("measure") == biased).then(20 * pl.col("target").std()).otherwise(0.0)
    pl.read_parquet(table).with_columns(pl.col("prediction") + shift).write_parquet(table)
    (one,) = [
        found
        for found in read_contents(made, 50).answers
        if found.task == "anthropometry" and "tuned" in found.protocols
    ]
    (sentence,) = [words for words in one.sentences if "lowest rows" in words]
    trials = pl.read_parquet(made / "results" / "trials.parquet").filter(
        pl.col("protocols").list.contains("tuned"), strategy="dxa_vae", stage="final", task="anthropometry"
    )
    values = {}
    for measure in MEASURES:
        frames = [pl.read_parquet(table).filter(key=key, measure=measure) for key in trials["key"]]
        values[measure] = np.mean([r2_score(frame["target"], frame["prediction"]) for frame in frames])
    assert f"({biased} {values[biased]:.2f}, ".replace("-", "\N{MINUS SIGN}") in sentence
    assert f"the median of the {len(MEASURES)} rows is {np.median(list(values.values())):.2f}" in sentence
    assert f"{sum(value < 0 for value in values.values())} of them lie below 0" in sentence
