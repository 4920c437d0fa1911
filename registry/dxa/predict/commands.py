"""The command line `harness predict`: thin, over the functions of this package; click alone at import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.contracts import InputError

if TYPE_CHECKING:
    from registry.dxa.predict.kept import KeptModel

_FILE = click.Path(path_type=Path)
#: Files whose values are shown; all are written.
_PRINTED = 5


@click.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--run", required=True, type=_FILE, help="A run that kept its models (run-all --keep-models).")
@click.option("--arm", required=True, help="Whose model.")
@click.option("--task", required=True, help="Of which task.")
@click.option(
    "--protocol", type=click.Choice(["matched", "tuned"]), default="tuned", show_default=True,
    help="How its hyperparameters were chosen.",
)  # fmt: skip
@click.option("--seed", type=int, help="Final seed.  [default: the best on validation]")
@click.option("--output", type=_FILE, default=Path("predictions"), show_default=True, help="Folder to write.")
@click.option("--calibration", type=_FILE, help="Of the analyser, for models of real scans.")
@click.option("--conventions", is_flag=True, help="Reconstruction: image metrics under other conventions.")
@click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE|MODULE",
    help="Register what it declares: where the task is your own.",
)  # fmt: skip
def predict(
    files: tuple[Path, ...], *, run: Path, task: str, output: Path, plugins: tuple[str, ...], **options: Any
) -> None:
    r"""Apply a trained model to new scans (.npy) or, for pseudo_dxa, to body surfaces (.ply, .obj, .off).

    Generated scans are written as .npy (counts, as large as those of training) and PNG, with their body
    composition in predictions.csv; measures go to predictions.csv alone. predictions.json says which model
    they are of. A task of a plug-in reads either kind of file, with its own predict() and the model that its
    restore() builds again.

    \b
    Examples:
      harness predict --run runs/quick --arm dxa_vae --task pseudo_dxa me.ply
      harness predict --run runs/quick --arm imagenet --task anthropometry scans/*.npy
    """
    from registry.dxa.predict.apply import generator_of, measures_of, task_of  # noqa: PLC0415
    from registry.dxa.predict.files import names_of  # noqa: PLC0415
    from registry.dxa.predict.kept import find_model  # noqa: PLC0415

    names = names_of(files)
    if options["conventions"] and task != "reconstruction":
        raise InputError("--conventions compares a reconstruction with its scan", mend="leave it out")
    which = {"task": task, **{name: options[name] for name in ("arm", "protocol", "seed")}}
    kept = find_model(run, **which)
    trained_for = task_of(task, kept, plugins)
    if kept.simulated:
        click.echo("SIMULATED: this model learned from simulated scans; no value below is a clinical result.")
    generate = generator_of(trained_for, kept)
    rows: list[dict[str, Any]]
    if generate is None:
        measures = measures_of(trained_for, kept, files)
        rows = [{"file": name, **found} for name, found in zip(names, measures, strict=True)]
        output.mkdir(parents=True, exist_ok=True)
    else:
        made = {name: generate(path) for name, path in zip(names, files, strict=True)}
        output.mkdir(parents=True, exist_ok=True)
        rows = _compositions(made, output, kept, options["calibration"])
        if options["conventions"]:
            _print_conventions(files, list(made.values()), kept)
    _write_rows(
        [{**row, "simulated": str(kept.simulated).lower()} for row in rows], output / "predictions.csv"
    )
    _write_origin({"run": run.name, **which}, kept, output / "predictions.json")
    _print_rows(rows)
    click.echo(f"\n{_origin_in_words(kept)}; wrote {output}")


def _print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows[:_PRINTED]:
        click.echo("")
        for key, value in row.items():
            click.echo(f"  {key:<28}{value if isinstance(value, str) else format(value, '10.3f')}")
    if len(rows) > _PRINTED:
        click.echo(f"\n  and {len(rows) - _PRINTED} more in predictions.csv")


def _origin_in_words(kept: KeptModel) -> str:
    score = kept.validation_score
    words = f"model of trial {kept.key[:12]}; on validation: {kept.metric} {score:.3f}"
    if "R²" in kept.metric and score < 0:
        words += ", worse than giving everybody the mean"
    return words


def _write_origin(which: Mapping[str, Any], kept: KeptModel, path: Path) -> None:
    """Which model the predictions beside it come from."""
    import json  # noqa: PLC0415

    from registry.dxa.cohort.manifest import write_atomically  # noqa: PLC0415

    record = {
        "simulated": kept.simulated,
        **which,
        "seed": kept.seed,
        "trial": kept.key,
        "task_version": kept.task_version,
        "validation": {"metric": kept.metric, "value": kept.validation_score},
        "hyperparameters": dict(kept.hyperparameters),
        "settings": dict(kept.settings),
    }
    write_atomically(path, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())


def _compositions(
    made: Mapping[str, Any], output: Path, kept: KeptModel, calibration: Path | None
) -> list[dict[str, Any]]:
    """Write each scan as .npy and PNG; its flags and measures as the analyser finds them."""
    import numpy as np  # noqa: PLC0415

    from registry.dxa.bodycomp.analysis import MEASURES, analyse  # noqa: PLC0415
    from registry.dxa.bodycomp.calibration import calibration_for, read_calibration  # noqa: PLC0415
    from registry.dxa.predict.apply import settings_of  # noqa: PLC0415
    from registry.dxa.predict.picture import write_channels  # noqa: PLC0415
    from registry.dxa.tasks.composition import to_scanner_grid  # noqa: PLC0415

    given = None if calibration is None else read_calibration(calibration)
    try:
        used = calibration_for(given, simulated=kept.simulated, grid=kept.grid)
    except InputError as error:
        click.echo(f"no body composition: {error.message}. {error.mend}", err=True)
        used = None
    rows = []
    for name, scan in made.items():
        full = to_scanner_grid(scan, settings_of(kept).scan_reduction, kept.grid)
        np.save(output / f"{name}.npy", full, allow_pickle=False)
        mark = "SIMULATED. " if kept.simulated else ""
        description = f"{mark}Generated by the model of trial {kept.key}"
        write_channels(full, output / f"{name}.png", description, kept.grid)
        row: dict[str, Any] = {"file": name}
        if used is not None:
            (found,) = analyse(full[None], calibration=used, grid=kept.grid).scans
            row["flags"] = " ".join(sorted(found.flags)) or "none"
            row |= {measure: found.measures.get(measure, float("nan")) for measure in MEASURES}
        rows.append(row)
    return rows


def _print_conventions(files: Sequence[Path], made: Sequence[Any], kept: KeptModel) -> None:
    import numpy as np  # noqa: PLC0415

    from registry.dxa.predict.apply import as_trained  # noqa: PLC0415
    from registry.dxa.tasks.image_metrics import sweep_conventions  # noqa: PLC0415

    real = np.stack([as_trained(path, kept) for path in files])
    for key, scores in sweep_conventions(real, np.stack(made)).items():
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
        click.echo(f"{numbers}  {key}")


def _write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import csv  # noqa: PLC0415
    import io  # noqa: PLC0415

    from registry.dxa.cohort.manifest import write_atomically  # noqa: PLC0415

    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
