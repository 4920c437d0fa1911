"""The command line `harness bodycomp`: thin, over the functions of this package; click alone at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.contracts import InputError

if TYPE_CHECKING:
    from registry.contracts.context import OpenRun
    from registry.dxa.bodycomp.calibration import Calibration

_FILE = click.Path(path_type=Path)


@click.group()
def bodycomp() -> None:
    """Measure body composition, or exchange scans with software that does."""


@bodycomp.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--simulated", is_flag=True, help="The scans are simulated: use the package's calibration.")
@click.option(
    "--calibration", type=_FILE, help="Made by `harness bodycomp calibrate` for the scans' scanner."
)
@click.option("--plot", type=_FILE, help="Folder for one PNG per scan.")
@click.option("--output", type=_FILE, help="Write all measures as parquet or CSV, by the name's ending.")
def analyse(
    files: tuple[Path, ...], simulated: bool, calibration: Path | None, plot: Path | None, output: Path | None
) -> None:
    """Analyse scans in .npy FILES of shape (150, 109, 6), or several scans in one file."""
    import numpy as np  # noqa: PLC0415

    from registry.dxa.bodycomp import analyser, picture  # noqa: PLC0415
    from registry.dxa.bodycomp.analysis import analyse as analyse_scans  # noqa: PLC0415

    used = analyser.calibration_for(_read_calibration(calibration), simulated=simulated)
    scan_ids, scans = _read_scans(files)
    analysis = analyse_scans(scans, calibration=used)
    flags = tuple(frozenset(str(flag) for flag in scan.flags) for scan in analysis.scans)
    marked = simulated or used.simulated
    table = analyser.CompositionTable(tuple(scan_ids), analysis.measures, flags, "built-in", marked)
    if table.simulated:
        click.echo("SIMULATED: no value below is a clinical result.")
    for number, scan_id in enumerate(scan_ids):
        click.echo(f"\n{scan_id}")
        click.echo(f"  flags: {' '.join(sorted(table.flags[number])) or 'none'}")
        for name, value in analysis.scans[number].measures.items():
            click.echo(f"  {name:<20}{value:10.3f}")
    failed = int(np.count_nonzero(~table.analysable))
    if failed:
        click.echo(f"\n{failed} of {len(scan_ids)} scans could not be analysed.")
    if plot is not None:
        plot.mkdir(parents=True, exist_ok=True)
        for scan_id, scan in zip(scan_ids, analysis.scans, strict=True):
            if scan.maps is not None:
                picture.write_picture(scan, plot / f"{scan_id}.png")
    if output is not None:
        _write_table(table.frame(), output)


@bodycomp.command()
@click.argument("folder", type=_FILE)
@click.option("--cohort", type=_FILE, help="Folder of a cohort, for its real scans.")
@click.option("--part", default="paired", show_default=True, help="Of the cohort.")
@click.option("--split", default="test", show_default=True, help="Of the cohort.")
@click.option(
    "--run", type=_FILE, help="A run that kept its models, for its generated scans and their real ones."
)
@click.option("--task", default="reconstruction", show_default=True, help="Of the run.")
@click.option("--arm", "arms", multiple=True, help="Of the run; repeatable.  [default: all]")
@click.option(
    "--protocol", "protocols", type=click.Choice(["matched", "tuned"]), multiple=True,
    help="Of the run.  [default: both]",
)  # fmt: skip
@click.option("--seed", "seeds", type=int, multiple=True, help="Final seed; repeatable.  [default: all]")
@click.option(
    "--scans", type=click.IntRange(min=2), help="At most so many test scans.  [default: all judged]"
)
@click.option(
    "--training-scans", type=click.IntRange(min=1), default=20, show_default=True,
    help="Real scans of the run's train split, whose mean stands in for what could not be measured.",
)  # fmt: skip
@click.option("--name", help="Of this export in the run.  [default: the task's]")
@click.pass_obj
def export(
    open_run: OpenRun,
    /,
    folder: Path,
    *,
    cohort: Path | None,
    run: Path | None,
    part: str,
    split: str,
    **chosen: Any,
) -> None:
    r"""Write scans, blinded, with a worksheet, into a new FOLDER for other software to measure.

    Of a cohort: the scans of a split. Of a run: the test scans and what each final model generated of them,
    in one pool, so that nobody who measures them knows which are real; what comes back is imported with --run
    and stands in the run's report.

    \b
    Examples:
      harness bodycomp export for-apex --cohort cohorts/mine
      harness bodycomp export for-apex --run runs/paper --task pseudo_dxa --protocol tuned --scans 20
    """
    if (cohort is None) == (run is None):
        raise InputError("scans are exported either of a cohort or of a run", mend="give --cohort or --run")
    if run is not None:
        _export_run(open_run, run, folder, **chosen)
        return
    from registry.dxa.bodycomp.external import export_scans  # noqa: PLC0415
    from registry.dxa.cohort.store import open_split  # noqa: PLC0415

    opened = open_split(cohort, part, split)  # type: ignore[arg-type]  # one of the two is given
    key = export_scans(folder, opened.scan_ids, opened.scans, simulated=opened.simulated, grid=opened.grid)
    click.echo(f"{len(opened)} scans in {folder}; hand it over whole. {key} tells who is who: keep it.")


def _export_run(
    open_run: OpenRun, run: Path, folder: Path, *, task: str, name: str | None, **chosen: Any
) -> None:
    from registry.dxa.exchange.export import Chosen, export_run  # noqa: PLC0415

    def progress(done: int, total: int) -> None:
        click.echo(f"scans of {done} of {total} trials generated", err=True)

    done = export_run(
        run, folder, task=task, open_run=open_run, chosen=Chosen(**chosen), name=name, progress=progress
    )
    click.echo(
        f"{done.real} real test scans, {done.generated} generated by {done.trials} trials and "
        f"{done.training} real training scans in {folder}; hand it over whole. {done.key} tells who is who: "
        "it stays in the run."
    )


@bodycomp.command(name="import")
@click.argument("results", type=_FILE)
@click.option("--key", type=_FILE, help="The key that the export of a cohort wrote.")
@click.option("--output", type=_FILE, help="With --key: parquet or CSV file to write, by the name's ending.")
@click.option("--run", type=_FILE, help="The run whose scans were exported: its report shows the results.")
@click.option("--name", help="Of the run's export, where it has several.")
@click.option("--software", default="external", show_default=True, help="Name of what measured the scans.")
def import_results(
    results: Path, *, key: Path | None, output: Path | None, run: Path | None, name: str | None, software: str
) -> None:
    r"""Read a filled-in worksheet RESULTS, check it, and put it where it belongs under the scans' own ids.

    \b
    Examples:
      harness bodycomp import back.csv --key for-apex-key.csv --output measured.parquet
      harness bodycomp import back.csv --run runs/paper --software "APEX 5.6" && harness report runs/paper
    """
    if run is not None:
        if key is not None or output is not None:
            raise InputError("a run has its own key and place", mend="leave out --key and --output")
        _import_run(run, results, software, name)
        return
    if key is None or output is None:
        raise InputError(
            "nothing says whose scans these are", mend="give --run, or --key and --output for a cohort's"
        )
    from registry.dxa.bodycomp.external import read_results  # noqa: PLC0415

    table = read_results(results, key, analyser=software)
    _write_table(table.frame(), output)
    failed = int((~table.analysable).sum())
    click.echo(f"{len(table.scan_ids)} scans, {failed} not analysable, in {output}")


def _import_run(run: Path, results: Path, software: str, name: str | None) -> None:
    from registry.dxa.exchange.measurement import import_run  # noqa: PLC0415

    done = import_run(run, results, software=software, name=name)
    count = done.counts
    click.echo(
        f"{count.real} real, {count.generated} generated and {count.training} training scans, of which "
        f"{count.real_not_measured}, {count.generated_not_measured} and {count.training_not_measured} could "
        f"not be measured, in {done.path}{', in the place of an earlier import' if done.replaced else ''}.\n"
        f"Show them: harness report {run}"
    )


@bodycomp.command()
@click.argument("reference", type=_FILE)
@click.argument("other", type=_FILE)
def compare(reference: Path, other: Path) -> None:
    """Print how two tables of measures of the same scans agree, whoever measured them."""
    from registry.dxa.bodycomp.comparison import compare_tables  # noqa: PLC0415

    found, incomplete = compare_tables(reference, other)
    head = f"{'measure':<18}{'n':>5}{'R2':>9}{'r2':>9}{'RMSE':>10}{'bias':>10}{'slope':>9}{'CCC':>9}"
    click.echo(head)
    for one in found:
        click.echo(
            f"{one.measure:<18}{one.scans:>5}{one.r2:>9.3f}{one.r2_pearson:>9.3f}{one.rmse:>10.4f}"
            f"{one.bias:>10.4f}{one.slope:>9.3f}{one.ccc:>9.3f}"
        )
    click.echo(f"{incomplete} shared scans have no complete measures in one of the tables.")


@bodycomp.command()
@click.option("--cohort", type=_FILE, help="Fit to a cohort's scans of known composition.")
@click.option("--part", default="paired", show_default=True)
@click.option("--split", default="train", show_default=True, help="Never the split that is judged.")
@click.option("--output", type=_FILE, help="Calibration to write; needed with --cohort.")
def calibrate(cohort: Path | None, part: str, split: str, output: Path | None) -> None:
    """Fit one straight line per measure.

    With --cohort, to scans whose composition is known; without, to the simulated subjects that are reserved
    for it, which makes the package's own calibration anew.
    """
    from registry.dxa.bodycomp import calibrating  # noqa: PLC0415
    from registry.dxa.bodycomp.analysis import MEASURES  # noqa: PLC0415
    from registry.dxa.bodycomp.calibration import write_calibration  # noqa: PLC0415

    if cohort is None:
        if output is None:
            click.echo(f"wrote {calibrating.write_committed(_report)}")
        else:
            write_calibration(calibrating.calibrate_on_simulated(progress=_report), output)
            click.echo(f"wrote {output}")
        return
    if output is None:
        raise InputError("--cohort needs --output", mend="name the calibration file to write")
    if split == "test":
        raise InputError(
            "a calibration must not see the test split", mend="calibrate with --split train or validation"
        )
    from registry.dxa.cohort.store import open_split  # noqa: PLC0415

    opened = open_split(cohort, part, split)
    fitted = calibrating.calibrate_on_known(
        opened.scans, opened.measures(MEASURES), source=f"{len(opened)} scans, {part}/{split}",
        simulated=opened.simulated, grid=opened.grid,
    )  # fmt: skip
    write_calibration(fitted, output)
    click.echo(f"wrote {output}: {fitted.subjects} subjects")


@bodycomp.command()
@click.option("--subjects", default=100, show_default=True, help="Simulated subjects to analyse.")
@click.option("--keep-precision", is_flag=True, help="Keep the RMS-SD as the tasks' equivalence margins.")
@click.option("--arms", is_flag=True, help="Only what limits the arms: causes of error taken away in turn.")
def study(subjects: int, keep_precision: bool, arms: bool) -> None:
    """Print accuracy and precision on reserved simulated subjects as Markdown tables."""
    from registry.dxa.bodycomp import accuracy, precision, tables  # noqa: PLC0415

    if arms:
        limits = accuracy.accuracy_study(subjects, accuracy.LIMITS, progress=_report)
        click.echo(tables.causes_markdown(limits))
        return
    found = accuracy.accuracy_study(subjects, progress=_report)
    click.echo(tables.accuracy_markdown(found))
    click.echo(tables.limits_markdown(found))
    click.echo(tables.noise_markdown(accuracy.noise_cv_percent()))
    click.echo(tables.regions_markdown(found))
    repeated = precision.precision_study()
    click.echo(tables.precision_markdown(repeated))
    if keep_precision:
        click.echo(f"wrote {precision.write_committed_precision(repeated)}")


def _report(done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        click.echo(f"{done} of {total} subjects", err=True)


def _read_calibration(path: Path | None) -> Calibration | None:
    from registry.dxa.bodycomp.calibration import read_calibration  # noqa: PLC0415

    return None if path is None else read_calibration(path)


def _read_scans(files: tuple[Path, ...]) -> tuple[list[str], list[Any]]:
    """Scans and their ids: the file's stem, numbered where a file holds several."""
    import numpy as np  # noqa: PLC0415

    from registry.dxa.bodycomp.analyser import check_ids  # noqa: PLC0415

    scan_ids: list[str] = []
    scans: list[Any] = []
    for path in files:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{path} cannot be read as a scan ({error})", mend="give .npy files of shape (150, 109, 6)"
            ) from error
        if array.ndim == 3:
            scan_ids.append(path.stem)
            scans.append(array)
        else:
            scan_ids += [f"{path.stem}-{number:04d}" for number in range(len(array))]
            scans += list(array)
    check_ids(scan_ids)
    return scan_ids, scans


def _write_table(frame: Any, path: Path) -> None:
    import io  # noqa: PLC0415

    from registry.dxa.cohort.manifest import write_atomically  # noqa: PLC0415

    buffer = io.BytesIO()
    if path.suffix == ".parquet":
        frame.write_parquet(buffer)
    elif path.suffix == ".csv":
        frame.write_csv(buffer)
    else:
        raise InputError(f"{path} ends neither in .parquet nor in .csv", mend="choose one of these endings")
    write_atomically(path, buffer.getvalue())
