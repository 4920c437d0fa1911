import numpy as np
import pytest
from click.testing import CliRunner

from registry.contracts import InputError
from registry.dxa.bodycomp import MEASURES, ExternalAnalyser
from registry.dxa.bodycomp.blinding import BlindedFolder
from registry.dxa.bodycomp.commands import bodycomp
from registry.dxa.bodycomp.external import export_scans, read_results
from registry.dxa.imaging.channels import MAXIMUM_CODE
from registry.dxa.imaging.geometry import GRID
from tests.registry.dxa.worksheets import A_PERSON, rows_of, write

IDS = ["anna-1", "anna-2", "bert-1"]


@pytest.fixture
def exported(tmp_path):
    scans = np.random.default_rng(0).integers(0, 5000, (3, *GRID.shape, 6)).astype(np.uint16)
    folder = tmp_path / "out"
    key = export_scans(folder, IDS, scans, simulated=True, generator=np.random.default_rng(1))
    return folder, key, scans


def filled(folder):
    return [{**row, **A_PERSON} for row in rows_of(folder / "worksheet.csv")]


def test_scans_leave_blinded_and_whole(exported):
    folder, key, scans = exported
    text = (folder / "worksheet.csv").read_text() + (folder / "README.txt").read_text()
    names = " ".join(path.name for path in folder.rglob("*"))
    assert not any(scan_id in text or scan_id in names for scan_id in IDS)
    for row in rows_of(key):
        array = np.load(folder / "scans" / f"{row['blinded_id']}.npy", allow_pickle=False)
        assert array.dtype == np.uint16
        np.testing.assert_array_equal(array, scans[IDS.index(row["scan_id"])])
    assert "SIMULATED" in (folder / "README.txt").read_text()
    assert not folder.with_name("out.partial").exists()


def test_generated_values_are_rounded_and_limited(tmp_path):
    scans = np.full((1, *GRID.shape, 6), 1e6)
    scans[0, 0, 0] = -3.0
    scans[0, 0, 1] = 7.6
    key = export_scans(tmp_path / "out", ["a"], scans, simulated=True)
    name = rows_of(key)[0]["blinded_id"]
    array = np.load(tmp_path / "out" / "scans" / f"{name}.npy")
    assert array.max() == MAXIMUM_CODE
    assert array[0, 0].min() == 0
    assert array[0, 1].max() == 8


def test_what_a_killed_export_left_behind_does_not_get_into_the_next(tmp_path):
    rest = tmp_path / "out.partial" / "unordered"
    rest.mkdir(parents=True)
    (rest / "Bdeadbeef").write_bytes(b"half a scan")
    export_scans(tmp_path / "out", ["a"], np.zeros((1, *GRID.shape, 6)), simulated=True)
    assert len(list((tmp_path / "out" / "scans").iterdir())) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out-key.csv"]


def test_neither_a_files_header_nor_its_size_time_or_place_tells_which_scan_it_is(tmp_path):
    scans = np.random.default_rng(0).integers(0, 5000, (12, *GRID.shape, 6)).astype(np.float64)
    folder = tmp_path / "out"
    with BlindedFolder(folder, generator=np.random.default_rng(2)) as pool:
        for number, scan in enumerate(scans):  # generated ones come in other types and orders of memory
            pool.add(scan if number < 6 else np.asfortranarray(scan.astype(np.float32)))
        pool.finish(simulated=False)
    files = sorted((folder / "scans").iterdir())
    assert len({path.read_bytes()[:128] for path in files}) == 1
    assert len({(path.stat().st_size, path.stat().st_mtime, path.stat().st_mode) for path in files}) == 1
    numbers = [path.stat().st_ino for path in files]
    assert numbers == sorted(numbers)
    assert "SIMULATED" not in (folder / "README.txt").read_text()
    assert not list(tmp_path.glob("*.partial"))


def test_results_come_back_under_the_scans_own_ids(exported):
    folder, key, _ = exported
    rows = filled(folder)
    scan_of = {row["blinded_id"]: row["scan_id"] for row in rows_of(key)}
    for row in rows:
        row["arm_bmd_g_cm2"] = str(1 + IDS.index(scan_of[row["blinded_id"]]) / 10)
    rows[0] |= dict.fromkeys(MEASURES, "")
    table = read_results(write(folder / "back.csv", rows), key, analyser="other software")
    failed = scan_of[rows[0]["blinded_id"]]
    assert sorted(table.scan_ids) == sorted(IDS)
    assert table.simulated
    for scan_id, values, fine in zip(table.scan_ids, table.values, table.analysable, strict=True):
        assert fine == (scan_id != failed)
        if fine:
            assert values[MEASURES.index("arm_bmd_g_cm2")] == 1 + IDS.index(scan_id) / 10
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
