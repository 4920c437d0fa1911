"""Agreement on the page: errors of the first model, by person, without a single person in what leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from reports.build import build
from reports.contents import read_contents
from tests.reports.declared import CHANGES, MEASURES
from tests.reports.reading import body_of, comparison
from tests.reports.records import Records


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
