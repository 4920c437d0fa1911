"""Reading records: what is wrong is named, what is right becomes arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from reports import RecordsError
from reports.frame import Run, read_run
from reports.sample import Sample, build_sample, entries_of, final_trials, replicates, shared_seeds
from tests.reports.declared import MEASURES
from tests.reports.records import Records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Records(patients=12, scans_per_patient=2).write(tmp_path / "run")


def change(folder: Path, **fields: object) -> None:
    meta = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(meta | fields))


def test_unknown_schema_is_refused(folder: Path) -> None:
    change(folder, schema=2)
    with pytest.raises(RecordsError, match=r"schema 2.*reads 1"):
        read_run(folder)


def test_a_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match=r"no run\.json"):
        read_run(tmp_path)


def test_broken_json_names_the_file(folder: Path) -> None:
    (folder / "layouts.json").write_text("{")
    with pytest.raises(RecordsError, match=r"layouts\.json"):
        read_run(folder)


def test_nothing_is_shown_without_knowing_whether_it_is_simulated(folder: Path) -> None:
    cohort = json.loads((folder / "run.json").read_text())["cohort"]
    change(folder, cohort=cohort | {"simulated": None})
    with pytest.raises(RecordsError, match="simulated"):
        read_run(folder)


def test_missing_columns_and_tables_are_named(folder: Path) -> None:
    path = folder / "results" / "trials.parquet"
    pl.read_parquet(path).drop("status", "seed").write_parquet(path)
    with pytest.raises(RecordsError, match=r"trials\.parquet lacks the columns seed, status"):
        read_run(folder)
    path.write_bytes(b"not parquet")
    with pytest.raises(RecordsError, match=r"trials\.parquet cannot be read"):
        read_run(folder)
    path.unlink()
    with pytest.raises(RecordsError, match=r"trials\.parquet is missing"):
        read_run(folder)


def test_optional_tables_may_be_absent(folder: Path) -> None:
    (folder / "results" / "curves.parquet").unlink()
    assert read_run(folder).curves.is_empty()


def sample_of(run: Run) -> Sample | None:
    trials = final_trials(run, "anthropometry", "matched")
    entries = [entry.key for entry in entries_of(run, run.tasks["anthropometry"])]
    return build_sample(run, trials, "predictions", MEASURES, entries)


def test_arrays_hold_what_the_long_records_hold(folder: Path) -> None:
    run = read_run(folder)
    sample = sample_of(run)
    assert sample is not None
    assert sample.counts(0) == (12, 24)
    assert sample.seeds["arm:dxa_vae"] == ((7, None, 100), (7, None, 101))
    assert sample.values["arm:dxa_vae"].shape == (2, 24, len(MEASURES))
    trial = run.trials.filter(
        (pl.col("strategy") == "dxa_vae") & (pl.col("seed") == 101) & (pl.col("protocols") == ["matched"])
    )
    own = run.predictions.filter((pl.col("key") == trial["key"][0]) & (pl.col("measure") == "Hip")).sort(
        "scan"
    )
    assert np.array_equal(
        np.sort(sample.values["arm:dxa_vae"][1, :, 3]), np.sort(own["prediction"].to_numpy())
    )
    assert sample.targets is not None
    errors = sample.values["arm:dxa_vae"][1, :, 3] - sample.targets[:, 3]
    assert np.abs(errors).mean() == pytest.approx((own["prediction"] - own["target"]).abs().mean())


def test_a_scan_that_one_arm_lacks_counts_for_none(folder: Path) -> None:
    path = folder / "results" / "predictions.parquet"
    table = pl.read_parquet(path)
    run = read_run(folder)
    key = run.trials.filter((pl.col("strategy") == "dxa_vae") & (pl.col("seed") == 100))["key"].to_list()
    gone = pl.col("key").is_in(key) & (pl.col("scan") == "s0003") & (pl.col("measure") == "Hip")
    table.filter(~gone).write_parquet(path)
    sample = sample_of(read_run(folder))
    assert sample is not None
    assert sample.counts(3) == (12, 23)
    assert sample.left_out(3) == 1
    assert sample.left_out(0) == 0


def test_contradictions_between_trials_are_errors(folder: Path) -> None:
    path = folder / "results" / "predictions.parquet"
    table = pl.read_parquet(path)
    first = table["key"][0]
    shifted = pl.when(pl.col("key") == first).then(pl.col("target") + 1).otherwise(pl.col("target"))
    table.with_columns(target=shifted).write_parquet(path)
    with pytest.raises(RecordsError, match="disagree about a target"):
        sample_of(read_run(folder))
    pl.concat([table, table.head(1)]).write_parquet(path)
    with pytest.raises(RecordsError, match="twice"):
        sample_of(read_run(folder))
    other = pl.when(pl.col("key") == first).then(pl.lit("p9999")).otherwise(pl.col("patient"))
    table.with_columns(patient=other).write_parquet(path)
    with pytest.raises(RecordsError, match="two patients"):
        sample_of(read_run(folder))


def test_seeds_are_paired_where_both_arms_have_them() -> None:
    vae = [(7, None, 1), (7, None, 2), (7, None, 3)]
    assert shared_seeds(vae, [(None, None, 2), (None, None, 3), (None, None, 9)]) == [(1, 0), (2, 1)]
    several = [(7, None, 1), (7, None, 2), (8, None, 1), (8, None, 2)]
    assert shared_seeds(several, [(7, None, 1), (8, None, 1)]) == [(0, 0), (2, 1)]
    assert shared_seeds(several, vae) is None
    assert shared_seeds(vae, [(None, None, None)]) is None
    assert shared_seeds(vae, [(7, None, 4), (7, None, 5)]) is None


def test_units_are_pretraining_seeds_where_there_are_several() -> None:
    nested = replicates([(7, None, 1), (8, None, 1), (8, None, 2)])
    assert nested.averaging().tolist() == [[1, 0, 0], [0, 0.5, 0.5]]
    assert replicates([(None, None, None)]).kind == "none"
    assert replicates([(7, None, None), (8, None, None)]).kind == "pretraining"
