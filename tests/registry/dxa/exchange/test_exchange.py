"""A run's scans to other software and back; the software is a function of the pixels that a test repeats."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from harness.cli import cli
from registry.contracts import DataError, InputError
from registry.dxa.bodycomp import MEASURES
from registry.dxa.exchange.export import Chosen, export_run
from registry.dxa.exchange.measurement import import_run
from registry.dxa.tasks.composition import CLOSURE, TRUE, chosen_scans, to_scanner_grid
from registry.dxa.tasks.reconstruction import _reconstruct
from registry.dxa.training.scans import load_scans
from reports.errors import RecordsError
from reports.fillings import fillings
from reports.frame import read_run
from reports.measured import with_measurements
from reports.tables import compare
from tests.registry.dxa.exchange.conftest import TRIALS, Door, write_run
from tests.registry.dxa.stand_in import SETTINGS, open_split
from tests.registry.dxa.worksheets import A_PERSON, rows_of, write

RECONSTRUCTED = [key for key, (task, *_) in TRIALS.items() if task == "reconstruction"]
SOFTWARE = "APEX 5.6"
PREFIX = "measured.apex-5-6."


def measured(codes):
    """(13,) what the software says of a scan: what a person may have, scaled by the pixels."""
    return np.array([float(A_PERSON[name]) for name in MEASURES]) * np.rint(codes).mean() / 5000


def filled(folder):
    """The worksheet as the software fills it in, from the files that were handed over alone."""
    rows = rows_of(folder / "worksheet.csv")
    for row in rows:
        values = measured(np.load(folder / row["file"], allow_pickle=False))
        row |= {name: repr(float(value)) for name, value in zip(MEASURES, values, strict=True)}
    return rows


def blank(row):
    row |= dict.fromkeys(MEASURES, "")


@pytest.fixture(scope="module")
def handed_over(models, tmp_path_factory):
    """A run whose reconstructions were exported, the folder to hand over, and the door it went through."""
    folder, door = tmp_path_factory.mktemp("exported"), Door()
    run = write_run(folder / "run", models)
    chosen = Chosen(scans=5, training_scans=3)
    export_run(run, folder / "handed over", task="reconstruction", open_run=door, chosen=chosen)
    return run, folder / "handed over", door


@pytest.fixture
def exported(handed_over, tmp_path):
    """A copy of that run, the folder, and the key by blinded id."""
    run, folder, _ = handed_over
    own = shutil.copytree(run, tmp_path / "own run")
    return own, folder, {row["blinded_id"]: row for row in rows_of(own / "measured/reconstruction/key.csv")}


def test_one_pool_of_real_and_generated_scans_leaves_and_the_key_stays(exported, handed_over):
    _, folder, key = exported
    door = handed_over[-1]
    roles = [row["role"] for row in key.values()]
    assert {role: roles.count(role) for role in set(roles)} == {
        "real": 5, "training": 3, "generated": 5 * len(RECONSTRUCTED),
    }  # fmt: skip
    assert door.opened == [("pretraining", "train"), ("pretraining", "test")]
    assert sorted(path.name for path in folder.iterdir()) == ["README.txt", "scans", "worksheet.csv"]
    files = sorted((folder / "scans").iterdir())
    assert [path.stem for path in files] == sorted(key)
    assert len({path.stat().st_mtime for path in files}) == 1
    told = " ".join(path.read_text() for path in folder.glob("*.*"))
    test = open_split("pretraining", "test")
    assert not any(name in told for name in [*test.scan_ids, *test.patients, *RECONSTRUCTED])
    for row in key.values():
        assert (row["trial"] in RECONSTRUCTED) == (row["role"] == "generated")


def test_scans_are_those_that_the_trials_made(exported, models):
    _, folder, key = exported
    reduction = SETTINGS["scan_reduction"]
    test = open_split("pretraining", "test")
    real = load_scans(test, reduction)
    analysed = chosen_scans(len(real), 6)
    chosen = [test.scan_ids[index] for index in analysed[chosen_scans(6, 5)]]
    assert sorted({row["scan"] for row in key.values() if row["role"] == "real"}) == sorted(chosen)
    # what a final trial does
    made = {key: _reconstruct(models[key][1], models[key][2].state, real) for key in RECONSTRUCTED}
    for blinded, row in key.items():
        if row["role"] == "training":
            continue
        place = test.scan_ids.index(row["scan"])
        scan = to_scanner_grid((made[row["trial"]] if row["trial"] else real)[place], reduction)
        found = np.load(folder / "scans" / f"{blinded}.npy", allow_pickle=False)
        assert found.dtype == np.uint16
        np.testing.assert_allclose(found, np.clip(scan, 0, 16383), atol=0.51)


def test_surfaces_are_generated_from_too(run, door, models, tmp_path):
    done = export_run(run, tmp_path / "out", task="pseudo_dxa", open_run=door)
    assert (done.real, done.generated, done.trials) == (6, 6, 1)
    _, _, model = models["d" * 64]
    split = open_split("paired", "test")
    expected = model.state.predict(split.vertices)
    for row in rows_of(done.key / "key.csv"):
        if row["role"] == "generated":
            scan = to_scanner_grid(expected[split.scan_ids.index(row["scan"])], SETTINGS["scan_reduction"])
            found = np.load(tmp_path / "out" / "scans" / f"{row['blinded_id']}.npy")
            np.testing.assert_allclose(found, np.clip(scan, 0, 16383), atol=0.51)


def test_results_stand_in_the_tables_of_the_task(exported, tmp_path):
    run, folder, key = exported
    sheet = filled(folder)
    done = import_run(run, write(tmp_path / "back.csv", sheet), software=SOFTWARE)
    assert not done.replaced
    value = {row["blinded_id"]: {name: float(row[name]) for name in MEASURES} for row in sheet}
    named = {(row["role"], row["trial"], row["scan"]): value[name] for name, row in key.items()}
    scans = sorted({scan for role, _, scan in named if role == "real"})
    read = with_measurements(read_run(run))
    comparisons = {one.protocols: one for one in compare(read, draws=20) if one.task == "reconstruction"}
    assert set(comparisons) == {("matched",), ("tuned",)}
    for protocol, trial_of in {"matched": "c", "tuned": "b"}.items():
        comparison = comparisons[protocol,]
        tables = {table.key: table for table in comparison.tables}
        table = tables[PREFIX + "composition"]
        assert table.title.endswith("measured by APEX 5.6")
        own = tables["composition"]
        assert [one.name for one in table.statistics] == [one.name for one in own.statistics]
        assert [(line.label, line.unit) for line in table.statistics[0].lines] == [
            (line.label, line.unit) for line in own.statistics[0].lines
        ]
        numbers = {one.name: {line.key: line for line in one.lines} for one in table.statistics}
        for arm, trial in (("nodxa_vae", "a" * 64), ("dxa_vae", trial_of * 64)):
            for name in MEASURES:
                target = np.array([named["real", "", scan][name] for scan in scans])
                made = np.array([named["generated", trial, scan][name] for scan in scans])
                expected = {
                    "bias": (made - target).mean(),
                    "rmse": np.sqrt(((made - target) ** 2).mean()),
                    "r2": 1 - ((made - target) ** 2).sum() / ((target - target.mean()) ** 2).sum(),
                    "slope": np.polyfit(target, made, 1)[0],
                }
                for statistic, number in expected.items():
                    line = numbers[statistic][PREFIX + name]
                    assert line.cells[f"arm:{arm}"].value == pytest.approx(number, rel=1e-6, abs=1e-9)
                    assert line.scans == 5
        (contrast,) = table.statistics[0].contrasts
        assert (contrast.first, contrast.second) == ("arm:dxa_vae", "arm:nodxa_vae")
        assert all(one.verdict for one in contrast.differences)
        truth = dict(zip(MEASURES, open_split("pretraining", "test").measures(MEASURES).T, strict=True))
        places = [open_split("pretraining", "test").scan_ids.index(scan) for scan in scans]
        lines = {one.key: one for s in tables[PREFIX + "true_composition"].statistics if s.name == "bias"
                 for one in s.lines}  # fmt: skip
        made = np.array([named["generated", "a" * 64, scan]["total_fat_kg"] for scan in scans])
        assert lines[PREFIX + TRUE + "total_fat_kg"].cells["arm:nodxa_vae"].value == pytest.approx(
            (made - truth["total_fat_kg"][places]).mean()
        )
        assert PREFIX + "closure" in tables
        assert all(not column.baseline for column in comparison.shown_in(table))


def test_what_could_not_be_measured_is_counted_and_filled_never_dropped(exported, tmp_path):
    run, folder, key = exported
    sheet = filled(folder)
    by_role = {
        role: [row for row in sheet if key[row["blinded_id"]]["role"] == role]
        for role in ("real", "generated", "training")
    }
    blank(by_role["training"][0])
    blank(by_role["real"][0])
    lost = key[by_role["real"][0]["blinded_id"]]["scan"]
    failed = next(row for row in by_role["generated"] if key[row["blinded_id"]]["scan"] != lost)
    blank(failed)
    done = import_run(run, write(tmp_path / "back.csv", sheet), software=SOFTWARE)
    counts = done.counts
    assert (counts.real_not_measured, counts.generated_not_measured, counts.training_not_measured) == (
        1,
        1,
        1,
    )
    table = with_measurements(read_run(run)).predictions
    own = table.filter(pl.col("measure") == PREFIX + "total_fat_kg")
    assert len(own) == 4 * len(RECONSTRUCTED)  # the real scan that was not measured is judged under no arm
    assert lost not in set(own["scan"])
    (gap,) = own.filter(pl.col("prediction").is_null()).iter_rows(named=True)
    where = key[failed["blinded_id"]]
    assert (gap["key"], gap["scan"]) == (where["trial"], where["scan"])
    mean = np.mean([float(row["total_fat_kg"]) for row in by_role["training"][1:]])
    assert gap["fallback"] == pytest.approx(mean)
    closure = table.filter(pl.col("measure") == PREFIX + CLOSURE, pl.col("key") == where["trial"])
    assert closure.filter(pl.col("prediction").is_null())["scan"].to_list() == [where["scan"]]
    read = with_measurements(read_run(run))
    found = [one for comparison in compare(read, draws=20) for one in fillings(read, comparison, 20)]
    shown = next(one for one in found if one.table == PREFIX + "composition")
    lacking = {one.column: one.scans - one.analysable for one in shown.analysable}
    assert sum(lacking.values()) == 1
    assert {one.method for one in shown.tables} == {"training mean", "worst error"}
    footnote = next(
        table.footnotes[0] for table in compare(read, 20)[-1].tables if table.key == PREFIX + "composition"
    )
    assert "It could not measure 1, 1 and 1 of them" in footnote


def test_an_import_can_be_repeated_and_another_software_stands_beside_it(exported, tmp_path):
    run, folder, _ = exported
    sheet = filled(folder)
    before = {path: path.read_bytes() for path in (run / "results").iterdir()}
    first = import_run(run, write(tmp_path / "back.csv", sheet), software=SOFTWARE)
    for row in sheet:
        row["arm_bmd_g_cm2"] = str(float(row["arm_bmd_g_cm2"]) + 1)
    again = import_run(run, write(tmp_path / "back.csv", sheet), software=SOFTWARE)
    assert (again.replaced, again.path) == (True, first.path)
    other = import_run(run, tmp_path / "back.csv", software="enCORE")
    with pytest.raises(InputError, match=r"holds the results of 'APEX 5\.6'"):
        import_run(run, tmp_path / "back.csv", software="apex 5-6")
    read = with_measurements(read_run(run))
    keys = [layout["key"] for layout in read.layouts["reconstruction"]]
    assert [key for key in keys if key.endswith(".composition")] == [
        PREFIX + "composition", "measured.encore.composition",
    ]  # fmt: skip
    assert other.path.parent == first.path.parent
    assert {path: path.read_bytes() for path in (run / "results").iterdir()} == before
    assert not list(run.rglob("*.partial"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "1 of 23 ids are missing"),
        (lambda rows: [*rows, rows[0]], "ids repeat"),
        (lambda rows: [{**rows[0], "blinded_id": "Bdeadbeef"}, *rows[1:]], "'Bdeadbeef' is not in"),
        (lambda rows: [{**rows[0], "total_fat_kg": "24000"}, *rows[1:]], "not plausible in kg"),
        (lambda rows: [{**rows[0], "total_fat_kg": "much"}, *rows[1:]], "is 'much'"),
        (lambda rows: [{**rows[0], "total_fat_kg": ""}, *rows[1:]], "is empty but other measures are not"),
        (lambda rows: [{("total_fat_g" if k == "total_fat_kg" else k): v for k, v in row.items()}
                       for row in rows], "'total_fat_g' is not in kg"),
        (lambda rows: [{**row, **dict.fromkeys(MEASURES, "")} for row in rows], "all 23 scans are empty"),
    ],
)  # fmt: skip
def test_a_worksheet_that_is_wrong_changes_nothing(exported, tmp_path, change, message):
    run, folder, _ = exported
    with pytest.raises(InputError, match=message):
        import_run(run, write(tmp_path / "back.csv", change(filled(folder))), software=SOFTWARE)
    assert not list((run / "measured").glob("*/*.parquet"))


def test_nothing_can_be_compared_with_real_scans_that_were_not_measured(exported, tmp_path):
    run, folder, key = exported
    sheet = filled(folder)
    for row in sheet:
        if key[row["blinded_id"]]["role"] == "real":
            blank(row)
    with pytest.raises(InputError, match="0 of 5 real scans"):
        import_run(run, write(tmp_path / "back.csv", sheet), software=SOFTWARE)


def test_real_scans_have_to_be_plausible_and_generated_ones_need_not(exported, tmp_path):
    run, folder, key = exported
    sheet = filled(folder)
    for row in sheet:
        if key[row["blinded_id"]]["role"] == "generated":
            row["total_fat_kg"] = row["total_lean_kg"] = "0.1"
    assert import_run(run, write(tmp_path / "back.csv", sheet), software=SOFTWARE).remarks == ()
    pounds = [
        {name: str(2.2046 * float(value)) if name.endswith("_kg") else value for name, value in row.items()}
        for row in filled(folder)
    ]
    with pytest.raises(InputError, match="give masses in kg"):
        import_run(run, write(tmp_path / "back.csv", pounds), software=SOFTWARE)


def test_another_runs_results_and_a_second_key_are_refused(exported, door, models, tmp_path):
    run, _, _ = exported
    with pytest.raises(InputError, match="a second key"):
        export_run(run, tmp_path / "again", task="reconstruction", open_run=door)
    assert not (tmp_path / "again").exists()
    other = write_run(tmp_path / "other run", models)
    export_run(other, tmp_path / "theirs", task="reconstruction", open_run=door)
    back = write(tmp_path / "back.csv", filled(tmp_path / "theirs"))
    with pytest.raises(InputError, match="those of another export have another key"):
        import_run(run, back, software=SOFTWARE)
    # a file that was copied from another run names trials that this one does not have
    path = import_run(other, back, software=SOFTWARE).path
    frame = pl.read_parquet(path).with_columns(key=pl.lit("e" * 64))
    frame.write_parquet(
        run / "measured" / "reconstruction" / path.name, metadata=pl.read_parquet_metadata(path)
    )
    with pytest.raises(RecordsError, match="is of trial eeeeeeeeeeee"):
        with_measurements(read_run(run))


def test_several_exports_of_one_task_stay_apart(exported, door, tmp_path):
    run, folder, _ = exported
    chosen = Chosen(arms=("dxa_vae",), protocols=("tuned",), scans=2, training_scans=1)
    second = export_run(
        run, tmp_path / "out", task="reconstruction", open_run=door, chosen=chosen, name="second"
    )
    assert (second.trials, second.generated) == (1, 2)
    back = write(tmp_path / "back.csv", filled(tmp_path / "out"))
    with pytest.raises(InputError, match="has several exports"):
        import_run(run, back, software=SOFTWARE)
    with pytest.raises(InputError, match="no export 'third'"):
        import_run(run, back, software=SOFTWARE, name="third")
    import_run(run, back, software=SOFTWARE, name="second")
    import_run(run, write(tmp_path / "first.csv", filled(folder)), software=SOFTWARE, name="reconstruction")
    matched, tuned = (
        {table.key for table in one.tables}
        for one in compare(with_measurements(read_run(run)), 20)
        if one.task == "reconstruction"
    )
    assert PREFIX + "composition" in matched & tuned
    # the second holds scans of tuned arms alone: no empty table under the other protocol
    assert tuned - matched == {
        f"measured.second.apex-5-6.{name}" for name in ("composition", "true_composition", "closure")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "anthropometry"}, "generates no scans"),
        ({"task": "reconstruction", "chosen": Chosen(arms=("nobody",))}, "no final trial of arm 'nobody'"),
        ({"task": "reconstruction", "chosen": Chosen(seeds=(7,))}, "no final trial of an arm"),
        ({"task": "reconstruction", "name": "../up"}, "cannot be called"),
    ],
)
def test_a_wrong_export_opens_nothing(run, door, tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        export_run(run, tmp_path / "out", open_run=door, **arguments)
    assert door.opened == []
    assert not (tmp_path / "out").exists()


def test_models_that_were_not_kept_and_folders_in_use_open_nothing(run, door, tmp_path):
    with pytest.raises(InputError, match="inside the run"):
        export_run(run, run / "out", task="reconstruction", open_run=door)
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists"):
        export_run(run, tmp_path / "there", task="reconstruction", open_run=door)
    (run / "trials" / ("c" * 64) / "model.json").unlink()
    with pytest.raises(InputError, match="keeps no model"):
        export_run(run, tmp_path / "out", task="reconstruction", open_run=door)
    assert door.opened == []


def test_a_door_that_stays_shut_leaves_nothing_behind(run, tmp_path):
    def shut(folder, purpose):
        def opener(part, split):
            raise DataError("the cohort is damaged", mend="mend it")

        return opener

    with pytest.raises(DataError, match="damaged"):
        export_run(run, tmp_path / "out", task="reconstruction", open_run=shut)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert not (run / "measured").exists()


def test_damaged_records_are_named(exported, tmp_path):
    run, folder, _ = exported
    back = write(tmp_path / "back.csv", filled(folder))
    path = import_run(run, back, software=SOFTWARE).path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RecordsError, match=r"apex-5-6\.parquet cannot be read"):
        with_measurements(read_run(run))
    assert import_run(run, back, software=SOFTWARE).replaced  # importing anew mends it
    with_measurements(read_run(run))
    export = path.parent / "export.json"
    export.write_text(json.dumps({**json.loads(export.read_text()), "schema": 2}))
    with pytest.raises(DataError, match="schema 2 is not 1"):
        import_run(run, back, software=SOFTWARE)
    shutil.rmtree(path.parent)
    with pytest.raises(InputError, match=r"no scans of .* were exported"):
        import_run(run, back, software=SOFTWARE)
    with pytest.raises(InputError, match="cannot be called"):
        import_run(run, back, software="!?")


def test_the_command_line_tells_a_cohort_from_a_run(tmp_path):
    for arguments, message in (
        (["export", str(tmp_path / "x")], "either of a cohort or of a run"),
        (["export", str(tmp_path / "x"), "--run", "r", "--cohort", "c"], "either of a cohort or of a run"),
        (["import", "b.csv"], "nothing says whose scans"),
        (["import", "b.csv", "--run", "r", "--key", "k"], "has its own key"),
    ):
        result = CliRunner().invoke(cli, ["bodycomp", *arguments])
        assert isinstance(result.exception, InputError)
        assert message in str(result.exception)
