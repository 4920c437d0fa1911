"""Exhibits as pictures: arrays of the records to PNG data URIs, the same window for every arm."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from reports.comparison import Comparison
from reports.errors import RecordsError
from reports.frame import Run, read_json
from reports.sample import final_trials

#: Colours at equal steps: gray; dark blue to yellow (cividis); blue over white to vermillion. All three keep
#: their order for colour-blind readers.
COLOURS: Mapping[str, tuple[str, ...]] = {
    "gray": ("#000000", "#ffffff"),
    "map": ("#00224e", "#2a3f6d", "#575c6d", "#7c7b78", "#a59c74", "#d2c060", "#fee838"),
    "difference": ("#053061", "#2f79b5", "#a7d0e4", "#ffffff", "#f7b799", "#c84440", "#67001f"),
}

#: Pictures beyond this many bytes are left out, and counted, so that the page stays below 8 MB.
BUDGET = 2_200_000

#: Facts of these names say whose scan it is; they are not shown.
IDENTIFIERS = frozenset({"patient", "patient id", "scan", "scan id", "subject", "subject id"})

KEY = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True)
class Picture:
    """One panel, ready to show."""

    label: str
    uri: str
    width: int
    height: int
    unit: str
    limits: tuple[float, float]
    gradient: str
    beyond: float


@dataclass(frozen=True)
class ArmPictures:
    """The panels of one arm that differ from the other arms', and facts about them."""

    title: str
    facts: Mapping[str, str]
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class ExhibitView:
    """One test scan under every arm; `shared` panels and `facts` are identical in all of them (the truth)."""

    key: str
    title: str
    rule: str
    facts: Mapping[str, str]
    shared: tuple[Picture, ...]
    arms: tuple[ArmPictures, ...]


def exhibits(run: Run, comparison: Comparison, budget: int = BUDGET) -> tuple[list[ExhibitView], int]:
    """The exhibits of a comparison, each arm from its first final trial that has any.

    Returns
    -------
    list, int
        The exhibits, and how many were left out to keep the page small.
    """
    found: dict[str, list[tuple[str, Mapping[str, Any], tuple[Picture, ...]]]] = {}
    trials = final_trials(run, comparison.task, comparison.protocols[0]).filter(pl.col("status") == "done")
    for column in comparison.columns:
        own = trials.filter(pl.col("baseline" if column.baseline else "strategy") == column.name)
        for exhibit, pictures in next(filter(None, map(_reader(run), own["key"])), []):
            found.setdefault(exhibit["key"], []).append((column.title, exhibit, pictures))
    views, left_out, size = [], 0, 0
    for key, arms in found.items():
        view = _view(key, arms)
        size += sum(len(one.uri) for one in (*view.shared, *(p for arm in view.arms for p in arm.pictures)))
        if size <= budget:
            views.append(view)
        else:
            left_out += 1
    return views, left_out


def _view(key: str, arms: Sequence[tuple[str, Mapping[str, Any], tuple[Picture, ...]]]) -> ExhibitView:
    first = arms[0]
    facts = [_impersonal(exhibit["facts"]) for _, exhibit, _ in arms]
    same = {name: text for name, text in facts[0].items() if all(one.get(name) == text for one in facts)}
    common = [p for p in first[2] if len(arms) > 1 and all(p in pictures for _, _, pictures in arms)]
    return ExhibitView(
        key,
        first[1]["title"],
        first[1]["rule"],
        same,
        tuple(common),
        tuple(
            ArmPictures(
                title,
                {name: text for name, text in own.items() if name not in same},
                tuple(p for p in pictures if p not in common),
            )
            for (title, _, pictures), own in zip(arms, facts, strict=True)
        ),
    )


def _impersonal(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts without identifiers: a page is passed on, and no reader needs to know whose scan it is."""
    return {name: text for name, text in facts.items() if name.lower() not in IDENTIFIERS}


def _reader(run: Run) -> Any:
    def read(key: str) -> list[tuple[Mapping[str, Any], tuple[Picture, ...]]]:
        if not KEY.fullmatch(key):
            raise RecordsError(
                f"trials.parquet: {key!r} is no key of a trial", mend="keys are SHA-256 in hex"
            )
        return read_exhibits(run.trial_folder(key))

    return read


def read_exhibits(folder: Path) -> list[tuple[Mapping[str, Any], tuple[Picture, ...]]]:
    """The exhibits of one trial, drawn; empty where it left none."""
    if not (folder / "exhibits.json").is_file():
        return []
    listed = read_json(folder / "exhibits.json")
    try:
        with np.load(folder / "exhibits.npz", allow_pickle=False) as arrays:
            return [
                (
                    exhibit,
                    tuple(
                        draw(panel, arrays[panel["array"]], exhibit["pixel_aspect"])
                        for panel in exhibit["panels"]
                    ),
                )
                for exhibit in listed
            ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordsError(
            f"{folder / 'exhibits.npz'} and exhibits.json do not fit together: {error!r}",
            mend="run the suite again; see docs/report.md for the format",
        ) from error


def draw(panel: Mapping[str, Any], image: NDArray[Any], pixel_aspect: float) -> Picture:
    """One array as a picture.

    Values beyond the limits take the end colours; their share is part of the result. Values that are not
    finite are drawn in green, which no scale contains, and count as beyond.
    """
    low, high = (float(limit) for limit in panel["limits"])
    if image.ndim != 2 or not high > low:
        raise ValueError(f"panel {panel['label']!r}: needs a (height, width) array and limits low < high")
    finite = np.isfinite(image)
    scaled = np.where(finite, (image - low) / (high - low), 0.0)
    beyond = 1 - float((finite & (scaled >= 0) & (scaled <= 1)).mean())
    indexed = np.where(finite, np.clip(np.round(scaled * 254), 0, 254), 255).astype(np.uint8)
    picture = Image.fromarray(indexed).convert("P")
    picture.putdata(indexed.ravel().tolist())
    colours = COLOURS[panel["kind"]]
    picture.putpalette([*palette(colours, 255).ravel().tolist(), 0, 255, 0])
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    height, width = image.shape
    return Picture(
        str(panel["label"]),
        "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
        width,
        round(height * float(pixel_aspect)),
        str(panel["unit"]),
        (low, high),
        ", ".join(colours),
        beyond,
    )


def palette(colours: Sequence[str], steps: int) -> NDArray[np.uint8]:
    """(steps, 3) colours, linear between the given ones."""
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours])
    where = np.linspace(0, len(colours) - 1, steps)
    channels = [np.interp(where, np.arange(len(colours)), anchors[:, channel]) for channel in range(3)]
    return np.asarray(np.round(np.stack(channels, 1)), dtype=np.uint8)
