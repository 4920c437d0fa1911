"""A suite file that extends another suite: what it does not say is as there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from harness.resources import merged
from harness.table import SuiteTable
from registry.catalog import unknown_name
from registry.contracts import InputError

#: A file says these itself: they would be untrue of another suite.
OWN = ("schema", "name", "title", "description")
#: Replaced whole where a file has it, because half of one data set and half of another are none.
WHOLE = ("cohort",)


class Inheritance(SuiteTable):
    """Keys of a suite file that extends another suite; none of them stays in the suite that comes out.

    Attributes
    ----------
    extends
        Name of a suite that ships with the package, or a file, from where this file is. Tables are taken
        over key by key, everything else and `[cohort]` as a whole; `name`, `title` and `description` are
        the file's own.
    without
        Keys of that suite that are not taken over.
    """

    extends: str
    without: Annotated[tuple[str, ...], Field(strict=False)] = ()


def resolved(
    table: Mapping[str, Any], *, source: str, folder: Path, read: Callable[[str, Path], tuple[Any, str, Path]]
) -> dict[str, Any]:
    """The table of a suite with everything that it takes over.

    Parameters
    ----------
    source
        Names the file in errors.
    folder
        Where the file is.
    read
        From a name or file and the folder that it is relative to, to its table, source and folder.

    Raises
    ------
    InputError
        If a suite extends itself in the end, or `without` names what is not there.
    """
    return _resolved(table, source, folder, read, seen=(source,))


def _resolved(
    table: Mapping[str, Any],
    source: str,
    folder: Path,
    read: Callable[[str, Path], tuple[Any, str, Path]],
    seen: tuple[str, ...],
) -> dict[str, Any]:
    own = {key: value for key, value in table.items() if key not in Inheritance.model_fields}
    if "extends" not in table:
        if "without" in table:
            raise InputError(
                f"{source}: without is for a suite that extends another", mend="add extends = ..."
            )
        return own
    link = _link(table, source)
    base, base_source, base_folder = read(link.extends, folder)
    if base_source in seen:
        raise InputError(
            f"{source}: extends = {link.extends!r} leads back to {base_source}", mend="extend another suite"
        )
    inherited = _resolved(base, base_source, base_folder, read, (*seen, base_source))
    for key in link.without:
        if key not in inherited:
            hint = unknown_name("key", key, inherited)
            raise InputError(f"{source}: without names {key!r}, which {base_source} has not", mend=hint.mend)
    kept = {key: value for key, value in inherited.items() if key not in (*OWN, *link.without)}
    changes = {key: value for key, value in own.items() if key not in WHOLE}
    return {**merged(kept, changes), **{key: own[key] for key in WHOLE if key in own}}


def _link(table: Mapping[str, Any], source: str) -> Inheritance:
    try:
        return Inheritance.model_validate(
            {key: table[key] for key in Inheritance.model_fields if key in table}
        )
    except ValidationError as error:
        complaint = error.errors(include_url=False)[0]
        field = complaint["loc"][0]
        raise InputError(
            f"{source}: {field} = {complaint['input']!r} cannot be used",
            mend='write extends = "quick" and without = ["controls"]',
        ) from error
