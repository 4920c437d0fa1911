"""The numbers of the page: against scikit-learn, which arm wins, how firm that is, what stands beside it."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import r2_score

from reports.build import build
from reports.contents import read_contents
from tests.reports.declared import MEASURES
from tests.reports.reading import body_of, comparison, fail_finals
from tests.reports.records import TITLES, Records


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
