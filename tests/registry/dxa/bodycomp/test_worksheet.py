"""Worksheets as they come back: from spreadsheets of any country, with the slips that people make."""

import csv
import io

import numpy as np
import pytest

from registry.contracts import InputError
from registry.dxa.bodycomp import MEASURES
from registry.dxa.bodycomp.external import read_results
from registry.dxa.bodycomp.plausibility import check_plausible
from registry.dxa.bodycomp.spreadsheet import csv_bytes, read_sheet
from tests.registry.dxa.worksheets import A_PERSON, write

IDS = {"B00000001": "anna-1", "B00000002": "anna-2", "B00000003": "bert-1"}
MASSES = [name for name in MEASURES if name.endswith("_kg")]


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.csv"
    rows = [[blinded, scan, "true"] for blinded, scan in IDS.items()]
    path.write_bytes(csv_bytes([["blinded_id", "scan_id", "simulated"], *rows]))
    return path


def filled():
    return [{"blinded_id": name, "file": f"scans/{name}.npy", **A_PERSON} for name in IDS]


def text_of(rows, **how):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\r\n", **how)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def commas(rows):
    return [{**row, **{name: row[name].replace(".", ",") for name in MEASURES}} for row in rows]


SAVED = {
    "as it was": lambda rows: text_of(rows).encode(),
    "with a byte order mark": lambda rows: text_of(rows).encode("utf-8-sig"),
    "everything quoted": lambda rows: text_of(rows, quoting=csv.QUOTE_ALL).encode(),
    "with semicolons": lambda rows: text_of(rows, delimiter=";").encode(),
    "with semicolons and decimal commas": lambda rows: text_of(commas(rows), delimiter=";").encode(),
    "with quoted decimal commas": lambda rows: text_of(commas(rows)).encode(),
    "as Unicode text": lambda rows: text_of(rows, delimiter="\t").encode("utf-16"),
    "with a line of its separator": lambda rows: b"sep=;\r\n" + text_of(rows, delimiter=";").encode(),
    "in an old code page": lambda rows: text_of([{**r, "note": "M\xfcller"} for r in rows]).encode("cp1252"),
    "with other lines": lambda rows: text_of(rows).replace("\r\n", "\r").encode(),
    "with empty rows": lambda rows: (text_of(rows) + ",,,\r\n\r\n").encode(),
    "in another order": lambda rows: text_of(
        [dict(reversed(row.items())) for row in reversed(rows)]
    ).encode(),
    "with more columns": lambda rows: text_of([{**row, "note": "a, b;\nc"} for row in rows]).encode(),
    "with spaces and capitals": lambda rows: text_of(
        [{f" {name.upper()} ": f" {value} " for name, value in row.items()} for row in rows]
    ).encode(),
}


@pytest.mark.parametrize("how", SAVED)
def test_what_spreadsheets_save_is_read_alike(key, tmp_path, how):
    (tmp_path / "back.csv").write_bytes(SAVED[how](filled()))
    table = read_results(tmp_path / "back.csv", key)
    assert table.scan_ids == tuple(IDS.values())
    expected = [float(A_PERSON[name]) for name in MEASURES]
    np.testing.assert_array_equal(table.values, [expected] * 3)
    assert table.remarks == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (b"blinded_id\n", "has no rows"),
        (b"PK\x03\x04 and so on", "is a workbook, not CSV"),
        (b"a,b\n1,2\0", "is no text"),
        (b"a,b,a\n1,2,3\n", "column 'a' is there twice"),
        (b"a,b\n1,5,2,5\n", "line 2, has 4 values under 2 columns; put values that contain the separator"),
        (b'a,b\n"' + b"x" * 200_000 + b'",2\n', "cannot be read"),
    ],
)
def test_what_is_no_sheet_is_refused(tmp_path, content, message):
    (tmp_path / "back.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_sheet(tmp_path / "back.csv")


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    (tmp_path / "back.csv").write_bytes(b'sep=;\na;b\n\n"two\nlines";1\n2;3\n')
    sheet = read_sheet(tmp_path / "back.csv")
    assert sheet.columns == ("a", "b")
    assert [(row.line, row.cells["b"]) for row in sheet.rows] == [(5, "1"), (6, "3")]


def rename(rows, old, new):
    return [{(new if key == old else key): value for key, value in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda rows: rows[:-1], "1 of 3 ids are missing"),
        (lambda rows: [*rows, rows[0]], "ids repeat: B00000001"),
        (lambda rows: [{**rows[0], "blinded_id": "Bother"}, *rows[1:]], "'Bother' is not in"),
        (lambda rows: rename(rows, "total_fat_kg", "total_fat_g"), "'total_fat_g' is not in kg"),
        (lambda rows: rename(rows, "arm_bmd_g_cm2", "nothing"), "no column 'arm_bmd_g_cm2'"),
        (lambda rows: rename(rows, "blinded_id", "id"), "no column 'blinded_id'"),
        (lambda rows: [{**rows[0], "leg_lean_kg": 15210}, *rows[1:]], "not plausible in kg"),
        (lambda rows: [{**rows[0], "leg_lean_kg": "nan"}, *rows[1:]], "not plausible"),
        (lambda rows: [{**rows[0], "leg_lean_kg": "1,500.5"}, *rows[1:]], "decimal point"),
        (lambda rows: [{**rows[0], "leg_lean_kg": ""}, *rows[1:]], "is empty but other"),
        (lambda rows: [{**rows[0], "leg_lean_kg": "-0.1"}, *rows[1:]], "-0.1 is negative"),
        (
            lambda rows: [{**row, "leg_lean_kg": "N/A"} for row in rows],
            "'N/A'.* 2 more lines are wrong",
        ),
        (lambda rows: [{**row, **dict.fromkeys(MEASURES, "")} for row in rows], "all 3 scans are empty"),
    ],
)
def test_wrong_results_are_refused_by_name(key, tmp_path, damage, what):
    path = write(tmp_path / "back.csv", damage(filled()))
    with pytest.raises(InputError, match=what):
        read_results(path, key)


def changed(**factors):
    return [{**row, **{name: str(float(row[name]) * by) for name, by in factors.items()}} for row in filled()]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (changed(**dict.fromkeys(MASSES, 2.2046)), "makes 4,241 cm2 of bone .*1 lb is 0.4536 kg"),
        (changed(total_fat_kg=100 / 74.003), "differ from total mass by .*percent fat"),
        (changed(total_lean_kg=0.4), "arms and legs together have more than 'total_lean_kg' in B00000001"),
        (changed(total_mass_kg=0.3), "'total_fat_kg' is more than 'total_mass_kg'"),
    ],
)
def test_slips_that_no_single_value_shows_are_refused(key, tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read_results(write(tmp_path / "back.csv", rows), key)


def test_lean_mass_with_the_bone_in_it_is_remarked(key, tmp_path):
    with_bone = changed(total_lean_kg=(47.763 + 2.037) / 47.763)
    (remark,) = read_results(write(tmp_path / "back.csv", with_bone), key).remarks
    assert "by +2.7%" in remark
    assert "does lean mass hold the bone" in remark


def test_nothing_is_asked_of_scans_that_were_not_measured():
    missing = np.full((2, len(MEASURES)), np.nan)
    assert check_plausible("back.csv", ["a", "b"], missing) == []


def test_simulated_people_of_all_ages_are_plausible(visits):
    values = [[visit.measures[name] for name in MEASURES] for visit in visits]
    assert check_plausible("back.csv", [str(number) for number in range(len(values))], values) == []
    for one in values:
        assert check_plausible("back.csv", ["a"], [one]) == []
