"""The command line `harness bodycomp`: thin, over the functions of this package; click alone at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--simulated", is_flag=True, help="The scans are simulated: use the package's calibration.")
@click.option("--cohort", type=_FILE, help="Folder of a cohort, in place of FILES.")
@click.option("--part", default="paired", show_default=True, help="Of the cohort.")
@click.option("--split", default="test", show_default=True, help="Of the cohort.")
@click.option(
    "--calibration", type=_FILE, help="Made by `harness bodycomp calibrate` for the scans' scanner."
)
@click.option("--plot", type=_FILE, help="Folder for one PNG per scan.")
@click.option("--output", type=_FILE, help="Write all measures as parquet or CSV, by the name's ending.")
@click.pass_context
def analyse(
    context: click.Context,
    files: tuple[Path, ...],
    *,
    simulated: bool,
    cohort: Path | None,
    part: str,
    split: str,
    calibration: Path | None,
    plot: Path | None,
    output: Path | None,
) -> None:
    r"""Analyse scans in .npy FILES of shape (150, 109, 6), one or several in a file, or those of a cohort.

    \b
    Examples:
      harness bodycomp analyse scan.npy --simulated --plot pictures
      harness bodycomp analyse --cohort cohorts/mine --output built-in.parquet
    """
    from registry.dxa.bodycomp import analysing  # noqa: PLC0415
    from registry.dxa.bodycomp.output import check_table_path, make_folder, write_table  # noqa: PLC0415
    from registry.dxa.bodycomp.wording import SIMULATED  # noqa: PLC0415

    if bool(files) == (cohort is not None):
        raise InputError("scans are read either from files or of a cohort", mend="give FILES or --cohort")
    if cohort is None:
        _refuse_given(context, ("part", "split"), "of a cohort, and scans are read from files")
        batch = analysing.of_files(files, simulated=simulated, calibration=_read_calibration(calibration))
    else:
        _refuse_given(context, ("simulated",), "of files; a cohort says itself what it is")
        batch = analysing.of_cohort(cohort, part, split, calibration=_read_calibration(calibration))
    if output is not None:
        check_table_path(output)
    if plot is not None:
        make_folder(plot)
    if batch.simulated:
        click.echo(SIMULATED)
    table = analysing.analyse_all(batch, say=click.echo, plot=plot, progress=_progress("scans"))
    failed = int((~table.analysable).sum())
    click.echo(f"\n{failed} of {len(table.scan_ids)} scans could not be analysed.")
    if output is not None:
        write_table(table.frame(), output)
        click.echo(f"wrote {output}")


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
@click.pass_context
def export(
    context: click.Context,
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
        _refuse_given(context, ("part", "split"), "of a cohort; a run's task says what it judges")
        _export_run(context.obj, run, folder, **chosen)
        return
    _refuse_given(context, tuple(chosen), "of a run")
    from registry.dxa.bodycomp.external import export_scans  # noqa: PLC0415
    from registry.dxa.cohort.store import open_split  # noqa: PLC0415

    opened = open_split(cohort, part, split)  # type: ignore[arg-type]  # one of the two is given
    key = export_scans(folder, opened.scan_ids, opened.scans, simulated=opened.simulated, grid=opened.grid)
    mark = "SIMULATED: " if opened.simulated else ""
    click.echo(f"{mark}{len(opened)} scans in {folder}; hand it over whole. {key} tells who is who: keep it.")


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
    if name is not None:
        raise InputError("--name is of a run's export", mend="leave out --name")
    from registry.dxa.bodycomp.external import read_results  # noqa: PLC0415
    from registry.dxa.bodycomp.output import check_table_path, write_table  # noqa: PLC0415

    check_table_path(output)
    table = read_results(results, key, analyser=software)
    write_table(table.frame(), output)
    _remark(table.remarks)
    failed = int((~table.analysable).sum())
    mark = "SIMULATED: " if table.simulated else ""
    click.echo(f"{mark}{len(table.scan_ids)} scans, of which {failed} could not be measured, in {output}")


def _import_run(run: Path, results: Path, software: str, name: str | None) -> None:
    from registry.dxa.exchange.measurement import import_run  # noqa: PLC0415

    done = import_run(run, results, software=software, name=name)
    _remark(done.remarks)
    count = done.counts
    click.echo(
        f"{count.real} real, {count.generated} generated and {count.training} training scans, of which "
        f"{count.real_not_measured}, {count.generated_not_measured} and {count.training_not_measured} could "
        f"not be measured, in {done.path}{', in the place of an earlier import' if done.replaced else ''}.\n"
        f"Show them: harness report {run}"
    )


def _remark(remarks: Sequence[str]) -> None:
    for remark in remarks:
        click.echo(f"look: {remark}", err=True)


@bodycomp.command()
@click.argument("reference", type=_FILE)
@click.argument("other", type=_FILE)
@click.option("--part", default="paired", show_default=True, help="Of a cohort.")
@click.option("--split", default="test", show_default=True, help="Of a cohort.")
def compare(reference: Path, other: Path, part: str, split: str) -> None:
    r"""Print how two tables of measures of the same scans agree, whoever measured them.

    In place of a table, the folder of a cohort stands for the measures that it knows of its subjects.

    \b
    Examples:
      harness bodycomp compare built-in.parquet apex.parquet
      harness bodycomp compare cohorts/study built-in.parquet
    """
    from registry.dxa.bodycomp.comparison import compare_tables  # noqa: PLC0415
    from registry.dxa.bodycomp.wording import SIMULATED  # noqa: PLC0415

    found = compare_tables(reference, other, part=part, split=split)
    if found.simulated:
        click.echo(SIMULATED)
    first, second = found.analysers
    click.echo(
        f"{found.shared} scans, {second} against {first} as reference; differences in the unit of the name\n"
    )
    titles = ("n", "R2", "r2", "RMSE", "bias", "from", "to", "slope", "CCC")
    click.echo(f"{'measure':<16}{titles[0]:>5}" + "".join(f"{title:>9}" for title in titles[1:]))
    for one in found.measures:
        numbers = (one.r2, one.r2_pearson, one.rmse, one.bias, one.lower, one.upper, one.slope, one.ccc)
        click.echo(f"{one.measure:<16}{one.scans:>5}" + "".join(f"{number:>9.3f}" for number in numbers))
    click.echo(
        "\nfrom, to: limits of agreement, within which 95 % of differences lie\n"
        f"{found.incomplete} of {found.shared} shared scans have no complete measures in one of the tables; "
        f"{found.only_reference} are in {reference} alone, {found.only_other} in {other} alone."
    )


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
            click.echo(f"wrote {calibrating.write_committed(_progress('subjects'))}")
        else:
            write_calibration(calibrating.calibrate_on_simulated(progress=_progress("subjects")), output)
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
        simulated=opened.simulated, grid=opened.grid, progress=_progress("scans"),
    )  # fmt: skip
    write_calibration(fitted, output)
    left_out = len(opened) - fitted.subjects
    click.echo(
        f"wrote {output}: fitted to {fitted.subjects} of {len(opened)} scans"
        + (f"; {left_out} could not be analysed or lack a measure" if left_out else "")
    )


@bodycomp.command()
@click.option("--subjects", default=100, show_default=True, help="Simulated subjects to analyse.")
@click.option("--keep-precision", is_flag=True, help="Keep the RMS-SD as the tasks' equivalence margins.")
@click.option("--arms", is_flag=True, help="Only what limits the arms: causes of error taken away in turn.")
def study(subjects: int, keep_precision: bool, arms: bool) -> None:
    """Print accuracy and precision on reserved simulated subjects as Markdown tables."""
    from registry.dxa.bodycomp import accuracy, precision, tables  # noqa: PLC0415

    if arms:
        limits = accuracy.accuracy_study(subjects, accuracy.LIMITS, progress=_progress("subjects"))
        click.echo(tables.causes_markdown(limits))
        return
    found = accuracy.accuracy_study(subjects, progress=_progress("subjects"))
    click.echo(tables.accuracy_markdown(found))
    click.echo(tables.limits_markdown(found))
    click.echo(tables.noise_markdown(accuracy.noise_cv_percent()))
    click.echo(tables.regions_markdown(found))
    repeated = precision.precision_study()
    click.echo(tables.precision_markdown(repeated))
    if keep_precision:
        click.echo(f"wrote {precision.write_committed_precision(repeated)}")


def _progress(what: str) -> Callable[[int, int], None]:
    """Tells how far it is on standard error, every twenty, where there are more."""

    def report(done: int, total: int) -> None:
        if total > 20 and (done % 20 == 0 or done == total):
            click.echo(f"{done} of {total} {what}", err=True)

    return report


def _refuse_given(context: click.Context, names: Sequence[str], why: str) -> None:
    """An option that would be left out of account is an error, not a surprise."""
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = next(one.opts[0] for one in context.command.params if one.name == name)
            raise InputError(f"{option} is {why}", mend=f"leave out {option}")


def _read_calibration(path: Path | None) -> Calibration | None:
    from registry.dxa.bodycomp.calibration import read_calibration  # noqa: PLC0415

    return None if path is None else read_calibration(path)
