"""The command line `harness data`: thin, over the functions of this package; click alone at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.contracts import InputError

if TYPE_CHECKING:
    from registry.dxa.cohort.defects import Findings

_FOLDER = click.Path(path_type=Path)
_PART = click.option(
    "--part",
    type=click.Choice(["pretraining", "paired"]),
    help="Part of all scans, where the table does not say.",
)


@click.group()
def data() -> None:
    """Make, import, check and show cohorts."""


@data.command()
@click.argument("output", type=_FOLDER)
@click.option(
    "--suite", type=str, help="Make the cohort of a suite: its name or its file. Sizes and seed come from it."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--pretraining", "pretraining", type=int, default=480, show_default=True, help="Scans.")
@click.option("--paired", "paired", type=int, default=250, show_default=True, help="Scans with surfaces.")
@click.option("--workers", type=int, default=2, show_default=True, help="Processes.")
def make(output: Path, *, suite: str | None, seed: int, pretraining: int, paired: int, workers: int) -> None:
    """Simulate a cohort into the folder OUTPUT; the same call goes on where an earlier one stopped."""
    from registry.dxa.cohort.build import build_cohort  # noqa: PLC0415
    from registry.dxa.cohort.specification import CohortSpecification  # noqa: PLC0415

    table: dict[str, Any] = {
        "seed": seed,
        "pretraining": {"scans": pretraining},
        "paired": {"scans": paired},
    }
    if suite is not None:
        table = _cohort_of_suite(suite)
    specification = CohortSpecification.read(table, suite or "options")
    manifest = build_cohort(specification, output, workers=workers, progress=_progress())
    click.echo(f"{output}: simulated, {_counts(manifest)}")


@data.command(name="import")
@click.argument("folder", type=_FOLDER)
@click.argument("output", type=_FOLDER)
@_PART
def import_(folder: Path, output: Path, part: str | None) -> None:
    """Check the scans that a table in FOLDER lists and pack them into the folder OUTPUT.

    A suite runs on it with `[cohort] kind = "imported"` and `folder = "OUTPUT"`.
    """
    from registry.dxa.cohort.importing import pack_layout  # noqa: PLC0415
    from registry.dxa.cohort.layout import read_layout  # noqa: PLC0415

    layout = read_layout(folder, part=part, progress=_progress())
    _list(layout.findings)
    manifest = pack_layout(layout, output, progress=_progress())
    click.echo(f"{output}: {_counts(manifest)}")


@data.command()
@click.argument("folder", type=_FOLDER)
@_PART
def validate(folder: Path, part: str | None) -> None:
    """Read everything in FOLDER, a layout to import or a packed cohort, and list every defect."""
    from registry.dxa.cohort.defects import overview  # noqa: PLC0415
    from registry.dxa.cohort.layout import read_layout  # noqa: PLC0415
    from registry.dxa.cohort.manifest import MANIFEST_NAME  # noqa: PLC0415

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", mend="name a cohort, or a folder with a table of scans")
    if (folder / MANIFEST_NAME).exists():
        from registry.dxa.cohort.defects import Findings  # noqa: PLC0415
        from registry.dxa.cohort.inspection import inspect_cohort  # noqa: PLC0415

        findings = Findings()
        manifest = inspect_cohort(folder, findings, progress=_progress())
        found = f"{_counts(manifest)}; every file is as the manifest says" if manifest else ""
    else:
        layout = read_layout(folder, part=part, progress=_progress())
        findings, found = layout.findings, f"{len(layout.rows)} scans, no defects"
    _list(findings)
    if findings.defects:
        raise InputError(f"{folder} has {overview(findings.defects)}", mend="mend them and validate again")
    click.echo(f"{folder}: {found}")


@data.command()
@click.argument("cohort", type=_FOLDER)
@click.argument("calibration", type=click.Path(path_type=Path))
def calibrate(cohort: Path, calibration: Path) -> None:
    """Let the imported COHORT carry the body-composition CALIBRATION of its scanner.

    `harness bodycomp calibrate --cohort COHORT --output CALIBRATION` fits one to known composition.
    """
    from registry.dxa.cohort.importing import attach_calibration  # noqa: PLC0415

    manifest = attach_calibration(cohort, calibration)
    click.echo(f"{cohort} carries {calibration}; its fingerprint is now {manifest.fingerprint[:16]}")


@data.command()
@click.argument("cohort", type=_FOLDER)
@click.argument("output", type=_FOLDER)
@click.option("--split", type=click.Choice(["train", "validation", "test"]), default="train")
def meshes(cohort: Path, output: Path, split: str) -> None:
    """Write the body surfaces of a split of COHORT into the folder OUTPUT, one PLY file per scan."""
    from registry.dxa.cohort.meshes import write_meshes  # noqa: PLC0415
    from registry.dxa.cohort.store import open_split  # noqa: PLC0415

    written = sum(1 for _ in write_meshes(open_split(cohort, "paired", split), output))
    click.echo(f"{output}: {written} meshes, in centimetres")


@data.command()
@click.argument("cohort", type=_FOLDER)
@click.option("--output", type=_FOLDER, help="HTML file; unless given, COHORT.html beside the folder.")
@click.option("--examples", type=click.IntRange(1, 60), default=6, show_default=True, help="Scans per part.")
def show(cohort: Path, output: Path | None, examples: int) -> None:
    """Write a page about COHORT: example scans, distributions, balance of the splits."""
    from registry.dxa.cohort.page import write_page  # noqa: PLC0415

    path = output or cohort.with_name(f"{cohort.name}.html")
    write_page(cohort, path, examples=examples)
    click.echo(f"wrote {path}")


@data.command()
@click.argument("cohort", type=_FOLDER)
def published(cohort: Path) -> None:
    """Print the adults of COHORT beside published ones, with the source of every figure, as Markdown."""
    from registry.dxa.cohort.published import compare, compared_markdown  # noqa: PLC0415

    click.echo(compared_markdown(compare(cohort)))


@data.command()
@click.option("--workers", type=int, default=2, show_default=True, help="Processes.")
def variety(workers: int) -> None:
    """Print how linear the simulated cohort is, and what each source of variation adds; takes minutes."""
    from registry.dxa.cohort.variety import variety_markdown, variety_study  # noqa: PLC0415

    def report(done: int, total: int) -> None:
        click.echo(f"{done} of {total} settings", err=True)

    click.echo(variety_markdown(list(variety_study(workers, report))))


def _cohort_of_suite(name: str) -> dict[str, Any]:
    """The `[cohort]` table of a bundled suite or of a file."""
    import tomllib  # noqa: PLC0415
    from importlib import resources  # noqa: PLC0415

    bundled = resources.files("registry").joinpath("suites", f"{name}.toml")
    path = Path(name)
    if not path.suffix and bundled.is_file():
        text = bundled.read_text(encoding="utf-8")
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"suite {name!r} cannot be read ({error})", mend="`harness list` shows the suites"
            ) from error
    try:
        table = tomllib.loads(text).get("cohort", {})
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name} is no TOML ({error})", mend="correct the file") from error
    if table.get("kind") == "imported":
        raise InputError(f"the cohort of {name} is imported", mend="import it with `harness data import`")
    return dict(table)


def _list(findings: Findings) -> None:
    for remark in findings.remarks:
        click.echo(f"note: {remark}")
    for defect in findings.defects:
        click.echo(str(defect))


def _counts(manifest: Any) -> str:
    parts = [
        f"{part} {' + '.join(str(record.scans) for record in splits.values())} scans"
        for part, splits in manifest.parts.items()
    ]
    return ", ".join(parts)


def _progress() -> Any:
    """Print progress to standard error, every twentieth of the work."""
    last = [-1]

    def show(done: int, total: int, activity: str) -> None:
        step = 20 * done // max(total, 1)
        if step != last[0] or done == total:
            last[0] = step
            click.echo(f"{activity}: {done} of {total}", err=True)

    return show
