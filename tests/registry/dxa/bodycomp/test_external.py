import numpy as np
import pytest
from click.testing import CliRunner

from registry.contracts import InputError
from registry.dxa.bodycomp import MEASURES, ExternalAnalyser
from registry.dxa.bodycomp.commands import bodycomp
from registry.dxa.bodycomp.external import export_scans, read_results
from registry.dxa.bodycomp.failures import count_failures, fill_with_training_mean, fill_with_worst_error
from registry.dxa.imaging.channels import MAXIMUM_CODE
from registry.dxa.imaging.geometry import GRID
from tests.registry.dxa.worksheets import rows_of, write

IDS = ["anna-1", "anna-2", "bert-1"]


@pytest.fixture
def exported(tmp_path):
    scans = np.random.default_rng(0).integers(0, 5000, (3, *GRID.shape, 6)).astype(np.uint16)
    folder = tmp_path / "out"
    key = export_scans(folder, IDS, scans, simulated=True, generator=np.random.default_rng(1))
    return folder, key, scans


def filled(folder, value=1.0):
    return [{**row, **dict.fromkeys(MEASURES, value)} for row in rows_of(folder / "worksheet.csv")]


def test_scans_leave_blinded_and_whole(exported):
    folder, key, scans = exported
    text = (folder / "worksheet.csv").read_text() + (folder / "README.txt").read_text()
    names = " ".join(path.name for path in folder.rglob("*"))
    assert not any(scan_id in text or scan_id in names for scan_id in IDS)
    for row in rows_of(key):
        array = np.load(folder / "scans" / f"{row['blinded_id']}.npy", allow_pickle=False)
        assert array.dtype == np.uint16
        np.testing.assert_array_equal(array, scans[IDS.index(row["scan_id"])])
    assert not folder.with_name("out.partial").exists()


def test_generated_values_are_rounded_and_limited(tmp_path):
    scans = np.full((1, *GRID.shape, 6), 1e6)
    scans[0, 0, 0] = -3.0
    scans[0, 0, 1] = 7.6
    key = export_scans(tmp_path / "out", ["a"], scans, simulated=True)
    name = rows_of(key)[0]["blinded_id"]
    array = np.load(tmp_path / "out" / "scans" / f"{name}.npy")
    assert (array[0, 0, 0], array[0, 1, 0] if False else array[0, 0, 1]) != ()
    assert array.max() == MAXIMUM_CODE
    assert array[0, 0].min() == 0
    assert array[0, 1].max() == 8


def test_results_come_back_under_the_scans_own_ids(exported):
    folder, key, _ = exported
    rows = filled(folder)
    scan_of = {row["blinded_id"]: row["scan_id"] for row in rows_of(key)}
    for row in rows:
        row["total_fat_kg"] = str(10 + IDS.index(scan_of[row["blinded_id"]]))
    rows[0] |= dict.fromkeys(MEASURES, "")
    table = read_results(write(folder / "back.csv", rows), key, analyser="other software")
    failed = scan_of[rows[0]["blinded_id"]]
    assert sorted(table.scan_ids) == sorted(IDS)
    assert table.simulated
    for scan_id, values, fine in zip(table.scan_ids, table.values, table.analysable, strict=True):
        assert fine == (scan_id != failed)
        if fine:
            assert values[MEASURES.index("total_fat_kg")] == 10 + IDS.index(scan_id)
    analyser = ExternalAnalyser(folder / "back.csv", key, "other software")
    again = analyser.measure(list(reversed(IDS)), np.empty(0), simulated=True)
    assert again.scan_ids == tuple(reversed(IDS))
    np.testing.assert_array_equal(
        again.values, table.values[[table.scan_ids.index(key) for key in again.scan_ids]]
    )
    assert again.frame()["total_fat_kg"].null_count() == 1
    with pytest.raises(InputError, match="no measures of 1 scans: carl"):
        analyser.measure(["carl"], np.empty(0), simulated=True)
    with pytest.raises(InputError, match="simulated"):
        analyser.measure(IDS, np.empty(0), simulated=False)


def rename(rows, old, new):
    return [{(new if key == old else key): value for key, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda rows: rows[:-1], "1 of 3 ids are missing"),
        (lambda rows: [*rows, rows[0]], "ids repeat: B"),
        (lambda rows: [{**rows[0], "blinded_id": "Bother"}, *rows[1:]], "'Bother' is not in"),
        (lambda rows: rename(rows, "total_fat_kg", "total_fat_g"), "'total_fat_g' is not in kg"),
        (lambda rows: rename(rows, "arm_bmd_g_cm2", "nothing"), "no column 'arm_bmd_g_cm2'"),
        (lambda rows: rename(rows, "blinded_id", "id"), "no column 'blinded_id'"),
        (lambda rows: [{**rows[0], "leg_lean_kg": 15210}, *rows[1:]], "not plausible in kg"),
        (lambda rows: [{**rows[0], "leg_lean_kg": "nan"}, *rows[1:]], "not plausible"),
        (lambda rows: [{**rows[0], "leg_lean_kg": "1,5"}, *rows[1:]], "decimal point"),
        (lambda rows: [{**rows[0], "leg_lean_kg": ""}, *rows[1:]], "is empty but other"),
    ],
)
def test_wrong_results_are_refused_by_name(exported, damage, what):
    folder, key, _ = exported
    path = write(folder / "back.csv", damage(filled(folder)))
    with pytest.raises(InputError, match=what):
        read_results(path, key)


def test_wrong_keys_and_files_are_refused(exported, tmp_path):
    folder, key, scans = exported
    with pytest.raises(InputError, match="has no column 'scan_id'"):
        read_results(folder / "worksheet.csv", folder / "worksheet.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_results(tmp_path / "none.csv", key)
    with pytest.raises(InputError, match="exists"):
        export_scans(folder, IDS, scans, simulated=True)
    with pytest.raises(InputError, match="shape"):
        export_scans(tmp_path / "other", IDS[:2], scans, simulated=True)
    with pytest.raises(InputError, match="repeat"):
        export_scans(tmp_path / "other", ["a", "a", "b"], scans, simulated=True)
    assert not (tmp_path / "other").exists()


def test_failed_scans_are_counted_and_filled_in_both_ways():
    nan = np.nan
    true = np.array([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])
    arms = {"a": [[11.0, 1.0], [nan, nan], [30.0, 3.0]], "b": [[10.0, 1.0], [15.0, 2.5], [nan, nan]]}
    assert count_failures(arms["a"]) == 1
    np.testing.assert_array_equal(fill_with_training_mean(arms["a"], true[:2])[1], [15.0, 1.5])
    filled_tables = fill_with_worst_error(arms, true)
    np.testing.assert_array_equal(filled_tables["a"][1], [15.0, 2.5])
    np.testing.assert_array_equal(filled_tables["b"][2], [25.0, 3.5])
    np.testing.assert_array_equal(fill_with_worst_error({"a": [[nan]]}, [[4.0]])["a"], [[0.0]])


def test_the_command_line_analyses_and_refuses(codes, tmp_path):
    np.save(tmp_path / "one.npy", codes[0])
    np.save(tmp_path / "many.npy", codes[:2])
    runner = CliRunner()
    refused = runner.invoke(bodycomp, ["analyse", str(tmp_path / "one.npy")])
    assert isinstance(refused.exception, InputError)
    arguments = ["analyse", str(tmp_path / "one.npy"), str(tmp_path / "many.npy"), "--simulated"]
    arguments += ["--plot", str(tmp_path / "plots"), "--output", str(tmp_path / "table.csv")]
    done = runner.invoke(bodycomp, arguments)
    assert done.exit_code == 0, done.output
    assert "SIMULATED" in done.output
    assert "total_fat_kg" in done.output
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "many-0000.png",
        "many-0001.png",
        "one.png",
    ]
    assert [row["scan_id"] for row in rows_of(tmp_path / "table.csv")] == ["one", "many-0000", "many-0001"]
    (tmp_path / "bad.npy").write_bytes(b"no array")
    broken = runner.invoke(bodycomp, ["analyse", str(tmp_path / "bad.npy"), "--simulated"])
    assert isinstance(broken.exception, InputError)
    assert "bad.npy" in str(broken.exception)


def test_the_command_line_imports(exported, tmp_path):
    folder, key, _ = exported
    back = write(tmp_path / "back.csv", filled(folder))
    arguments = ["import", str(back), "--key", str(key), "--output", str(tmp_path / "results.parquet")]
    done = CliRunner().invoke(bodycomp, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "results.parquet").exists()
    wrong = CliRunner().invoke(bodycomp, [*arguments[:-1], str(tmp_path / "results.xlsx")])
    assert isinstance(wrong.exception, InputError)


def test_the_test_split_calibrates_nothing(tmp_path):
    arguments = [
        "calibrate",
        "--cohort",
        str(tmp_path),
        "--split",
        "test",
        "--output",
        str(tmp_path / "c.json"),
    ]
    assert isinstance(CliRunner().invoke(bodycomp, arguments).exception, InputError)
