import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy import stats
from sklearn.metrics import r2_score, root_mean_squared_error

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp import MEASURES
from registry.dxa.bodycomp.commands import bodycomp
from registry.dxa.bodycomp.comparison import agreement, compare_tables


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    true = generator.normal(20, 5, 40)
    return true, 2 + 0.9 * true + generator.normal(0, 1, 40)


def test_every_number_by_another_library(pair):
    found = agreement("total_fat_kg", *pair)
    line = stats.linregress(*pair)
    assert found.r2 == pytest.approx(r2_score(*pair))
    assert found.rmse == pytest.approx(root_mean_squared_error(*pair))
    assert found.r2_pearson == pytest.approx(line.rvalue**2)
    assert found.slope == pytest.approx(line.slope)
    middle, spread = stats.norm.fit(pair[1] - pair[0])
    half = stats.norm.ppf(0.975) * spread * np.sqrt(40 / 39)
    assert (found.lower, found.upper) == pytest.approx((middle - half, middle + half), rel=1e-4)
    # Lin's definition, from moments with n in the denominator
    x, y = pair
    expected = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found.ccc == pytest.approx(expected)


def test_missing_values_are_left_out_and_counted(pair):
    x, y = pair
    gaps = y.copy()
    gaps[:3] = np.nan
    assert agreement("m", x, gaps) == agreement("m", x[3:], y[3:])
    with pytest.raises(InputError, match="2 scans have it in both"):
        agreement("m", x[:5], gaps[:5])


def write(path, ids, values, columns=MEASURES):
    marks = {"scan_id": ids, "analyser": path.stem, "simulated": path.stem == "a"}
    frame = pl.DataFrame({**marks, **dict.fromkeys(columns, values)})
    return frame.write_parquet(path) if path.suffix == ".parquet" else frame.write_csv(path)


def test_tables_are_joined_by_scan(tmp_path):
    write(tmp_path / "a.parquet", ["p", "q", "r", "s"], [1.0, 2.0, 4.0, None])
    write(tmp_path / "b.csv", ["s", "r", "q", "p", "t"], [9.0, 4.5, 2.5, 1.5, 7.0])
    found = compare_tables(tmp_path / "a.parquet", tmp_path / "b.csv")
    assert [one.measure for one in found.measures] == list(MEASURES)
    assert {(one.scans, one.bias) for one in found.measures} == {(3, 0.5)}
    assert (found.shared, found.incomplete, found.only_reference, found.only_other) == (4, 1, 0, 1)
    assert (found.analysers, found.simulated) == (("a", "b"), True)
    printed = CliRunner().invoke(bodycomp, ["compare", str(tmp_path / "a.parquet"), str(tmp_path / "b.csv")])
    assert printed.exit_code == 0
    for told in ("SIMULATED", "4 scans, b against a", "total_mass_kg", "1 of 4 shared scans", "1 in "):
        assert told in printed.output


def test_tables_that_say_nothing_about_each_other_are_refused(tmp_path):
    write(tmp_path / "a.csv", ["p", "q", "r"], [1.0, 2.0, 3.0])
    write(tmp_path / "blinded.csv", ["B1", "B2", "B3"], [1.0, 2.0, 3.0])
    write(tmp_path / "same.csv", ["p", "q", "r"], [2.0, 2.0, 2.0])
    with pytest.raises(InputError, match="no scan in common: they call theirs 'p' and 'B1'"):
        compare_tables(tmp_path / "a.csv", tmp_path / "blinded.csv")
    with pytest.raises(InputError, match="arm_bmc_kg is 2 in all 3 scans"):
        compare_tables(tmp_path / "same.csv", tmp_path / "a.csv")


def test_bad_tables_are_named(tmp_path):
    write(tmp_path / "good.csv", ["p", "q", "r"], [1.0, 2.0, 3.0])
    write(tmp_path / "short.csv", ["p", "q", "r"], [1.0, 2.0, 3.0], columns=MEASURES[1:])
    write(tmp_path / "twice.csv", ["p", "p", "r"], [1.0, 2.0, 3.0])
    for name, what in (
        ("short.csv", "arm_bmc_kg"),
        ("twice.csv", "'p' is there twice"),
        ("none.csv", "none"),
    ):
        with pytest.raises(DataError, match=what):
            compare_tables(tmp_path / "good.csv", tmp_path / name)
