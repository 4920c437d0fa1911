"""`harness bodycomp analyse`: what it prints, draws and writes, and what it refuses before any work."""

import io
import runpy
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from registry.contracts import InputError
from registry.dxa.bodycomp import FLAGS, MEASURES, analyse, committed_calibration, picture
from registry.dxa.bodycomp.analysing import Batch, analyse_all
from registry.dxa.bodycomp.commands import bodycomp
from registry.dxa.bodycomp.scan_files import read_scans
from registry.dxa.bodycomp.wording import explained
from registry.dxa.imaging.geometry import GRID


def run(*arguments):
    return CliRunner().invoke(bodycomp, ["analyse", *map(str, arguments)])


@pytest.fixture
def blank():
    return np.zeros((*GRID.shape, 6), np.uint16)


def test_scans_are_printed_drawn_and_kept(codes, blank, tmp_path):
    np.save(tmp_path / "one.npy", codes[0])
    np.save(tmp_path / "many.npy", np.stack([codes[1], blank]))
    files = (tmp_path / "one.npy", tmp_path / "many.npy")
    kept = tmp_path / "new" / "table.parquet"
    done = run(*files, "--simulated", "--plot", tmp_path / "new" / "plots", "--output", kept)
    assert done.exit_code == 0, done.output
    names = ["one", "many-0000", "many-0001"]
    assert [line for line in done.output.splitlines() if line in names] == names
    assert "SIMULATED" in done.output
    assert "1 of 3 scans could not be analysed" in done.output
    assert "no_body (nothing in it has a body's outline)" in done.output
    assert "values from 0 to 0" in done.output
    expected = analyse(codes[:2], calibration=committed_calibration()).measures
    table = pl.read_parquet(kept)
    assert table["scan_id"].to_list() == names
    assert table["analysable"].to_list() == [True, True, False]
    np.testing.assert_array_equal(table[:2].select(MEASURES).to_numpy(), expected)
    printed = dict(zip(names, done.output.split("flags:")[1:], strict=True))
    for name, values in zip(names, expected, strict=False):
        assert all(f"{value:.3f}" in printed[name] for value in values)
    pictures = {path.stem: Image.open(path) for path in (tmp_path / "new" / "plots").iterdir()}
    assert sorted(pictures) == sorted(names)
    assert all("SIMULATED" in one.text["Description"] for one in pictures.values())
    assert not list(tmp_path.rglob("*.tmp"))


def test_scans_that_are_not_simulated_are_refused(codes, tmp_path):
    np.save(tmp_path / "one.npy", codes[0])
    refused = run(tmp_path / "one.npy")
    assert isinstance(refused.exception, InputError)
    assert "absolute masses and densities would be wrong" in str(refused.exception)


SCAN = (*GRID.shape, 6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((6, *GRID.shape), np.uint16), r"has the shape \(6, 150, 109\).*rows from head to feet"),
        (np.zeros(()), r"has the shape \(\)"),
        (np.zeros((0, *SCAN), np.uint16), "holds no scans"),
        (np.zeros((1, 1, *SCAN), np.uint16), "has the shape"),
        (np.zeros(SCAN, np.uint8), "holds uint8; give codes of 14 bits"),
        (np.zeros(SCAN, complex), "holds complex128"),
        (np.full(SCAN, np.nan, np.float32), "not finite"),
        (np.stack([np.zeros(SCAN), np.full(SCAN, np.inf)]), "scan 1, holds values that are not finite"),
    ],
)
def test_arrays_that_are_no_scans_are_refused_by_their_files_name(tmp_path, array, message):
    np.save(tmp_path / "mine.npy", array)
    with pytest.raises(InputError, match=f"mine.npy.*{message}"):
        read_scans([tmp_path / "mine.npy"])


def test_files_that_hold_no_array_are_refused_by_name(tmp_path):
    np.save(tmp_path / "whole.npy", np.zeros(SCAN, np.uint16))
    (tmp_path / "half.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:5000])
    (tmp_path / "text.npy").write_text("no array")
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "folder.npy").mkdir()
    for name, message in (
        ("half.npy", "damaged"), ("text.npy", "is no .npy file of numbers"), ("several.npz", "is an archive"),
        ("objects.npy", "is no .npy file of numbers"), ("folder.npy", "Is a directory"),
        ("none.npy", "No such file"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"{name}.*{message}"):
            read_scans([tmp_path / name])
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "whole.npy", np.zeros(SCAN, np.uint16))
    with pytest.raises(InputError, match="both hold a scan 'whole'"):
        read_scans([tmp_path / "whole.npy", tmp_path / "other" / "whole.npy"])


def test_what_cannot_be_written_is_refused_before_any_work(codes, tmp_path):
    np.save(tmp_path / "one.npy", codes[0])
    (tmp_path / "file").write_text("")
    common = (tmp_path / "one.npy", "--simulated")
    for arguments, message in (
        (("--output", tmp_path / "table.xlsx"), "ends neither in .parquet nor in .csv"),
        (("--plot", tmp_path / "file"), "cannot be made"),
        (("--cohort", tmp_path), "either from files or of a cohort"),
        (("--split", "test"), "--split is of a cohort"),
    ):
        refused = run(*common, *arguments)
        assert isinstance(refused.exception, InputError)
        assert message in str(refused.exception)
        assert "Total" not in refused.output
    unwritable = run(*common, "--output", tmp_path / "file" / "table.csv")
    assert "cannot be written" in str(unwritable.exception)


def test_an_id_that_is_a_path_leads_no_picture_out_of_its_folder(blank, tmp_path):
    batch = Batch(["../outside", "inside"], [blank, blank], committed_calibration(), simulated=True)
    told = []
    analyse_all(batch, say=told.append, plot=tmp_path / "plots")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["inside.png", "scan-00001.png"]
    assert "../outside" in told
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]


def test_every_flag_is_explained():
    assert [line.split(" (")[0] for line in explained(FLAGS)] == list(FLAGS)


def test_a_flag_says_how_far_it_goes():
    (told,) = explained({"implausible"}, {"implausible": 0.031, "saturated": 0.5})
    assert told.startswith("implausible (3.1% of the body: pixels without a physical solution")


def test_the_picture_of_the_documentation_can_be_drawn_anew(tmp_path):
    root = Path(__file__).parents[4]
    script = runpy.run_path(str(root / "scripts" / "draw_analysed_scan.py"))
    script["draw"](tmp_path / "drawn.png")
    drawn, shown = (Image.open(path) for path in (tmp_path / "drawn.png", script["PATH"]))
    assert (
        script["PATH"].relative_to(root / "docs").as_posix()
        in (root / "docs" / "body-composition.md").read_text()
    )
    assert drawn.size == shown.size
    assert drawn.text == shown.text
    assert "SIMULATED" in shown.text["Description"]


def pixels_near(image, colour, reach=6):
    return np.abs(np.asarray(image, np.int64) - colour).max(axis=-1) <= reach


def test_a_picture_shows_maps_regions_and_bone_in_true_proportions(codes):
    (found,) = analyse(codes[:1], calibration=committed_calibration()).scans
    shown = picture.draw("somebody", codes[0], found, simulated=True)
    image = np.asarray(shown)
    # regions: as many pixels of each colour as the region has, but for the bone and the legend's square
    body = round(GRID.rows * 2 * GRID.row_spacing_cm / GRID.column_spacing_cm)
    per_pixel = 2 * body / GRID.rows
    for number, colour in enumerate(picture._REGION_COLOURS[1:]):
        inside = np.count_nonzero((found.regions == number) & ~found.bone)
        drawn = np.count_nonzero(pixels_near(image, colour, 0)) - 14 * 14
        assert drawn == pytest.approx(inside * per_pixel, rel=0.05, abs=60)
    unmarked = picture.draw("somebody", codes[0], found, simulated=False)
    mark = pixels_near(shown, picture._WARNING) & ~pixels_near(unmarked, picture._WARNING)
    assert mark.any()
    content = picture.png(shown, "somebody")
    assert content == picture.png(picture.draw("somebody", codes[0], found, simulated=True), "somebody")
    assert Image.open(io.BytesIO(content)).size == shown.size
