"""The command line `harness weights`: thin, over the store of weights; click alone at import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from registry.dxa.models.weights_store import Stored

_FOLDER = click.option(
    "--weights-dir",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of weights.  [default: $HARNESS_WEIGHTS_DIR, else `weights` in the harness's cache]",
)


@click.group()
def weights() -> None:
    """List, fetch and verify pretrained weights, so that a machine without a network has what it needs."""


@weights.command(name="list")
@_FOLDER
def list_weights(folder: Path | None) -> None:
    """Show the weights that this machine has, in the order in which they are looked for."""
    from registry.dxa.models.weights_store import examine_bundled, stored_files  # noqa: PLC0415

    folder = _folder(folder)
    files = stored_files(folder)
    click.echo(f"{folder}: {len(files)} file{'' if len(files) == 1 else 's'}")
    for name, path in files.items():
        click.echo(f"  {name:<28}{path.stat().st_size / 2**20:8.0f} MiB  {path.name}")
    shipped = examine_bundled()
    click.echo(f"installation:\n  {shipped.name:<28}{shipped.problem or shipped.source}")
    click.echo("anything else: timm's hub or its cache, where there is a network")


@weights.command()
@click.argument("names", nargs=-1, required=True)
@_FOLDER
def fetch(names: tuple[str, ...], folder: Path | None) -> None:
    """Write the ImageNet weights of the timm models NAMES into the folder."""
    from registry.dxa.models.weights_store import examine  # noqa: PLC0415
    from registry.dxa.models.weights_store import fetch as fetch_one  # noqa: PLC0415

    folder = _folder(folder)
    for name in names:
        path = fetch_one(name, folder)
        _show(examine(name, path))


@weights.command()
@click.argument("names", nargs=-1)
@_FOLDER
def verify(names: tuple[str, ...], folder: Path | None) -> None:
    """Read every file, or those of NAMES, whole: its network, unchanged since it was written, or status 1."""
    from registry.contracts import InputError  # noqa: PLC0415
    from registry.dxa.models.pretrained import ENDINGS  # noqa: PLC0415
    from registry.dxa.models.weights_store import examine, examine_bundled, stored_files  # noqa: PLC0415

    folder = _folder(folder)
    files = stored_files(folder)
    for name in names:
        if name not in files:
            raise InputError(
                f"no file {folder / name}{ENDINGS[0]}", mend=f"harness weights fetch {name}, or copy it there"
            )
    examined = [examine(name, path) for name, path in files.items() if name in (names or files)]
    if not names:
        examined.append(examine_bundled())
    for one in examined:
        _show(one)
    if any(one.problem for one in examined):
        sys.exit(1)


def _show(one: Stored) -> None:
    state = f"NOT WELL: {one.problem}" if one.problem else f"sha256 {one.sha256}"
    click.echo(f"{one.name}: {state}\n  {one.place}{f', from {one.source}' if one.source else ''}")


def _folder(folder: Path | None) -> Path:
    from registry.dxa.models.pretrained import weights_folder  # noqa: PLC0415

    return folder or weights_folder()
