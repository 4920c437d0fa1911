"""Figures as files: SVG that stands on its own, and PDF."""

from __future__ import annotations

import re

from reports.errors import RecordsError
from reports.figures import Figure
from reports.svg import INK, PAPER, text

VIEW = re.compile(r'viewBox="0 0 (\d+) (\d+)"')

#: Height of the line that says where the figure comes from, below it.
FOOT = 22

CREATED = re.compile(rb"/CreationDate \(D:\d{14}Z")


def standalone(figure: Figure, source: str) -> str:
    """A figure on white paper with a line below it that says what it is from; loads nothing."""
    found = VIEW.search(figure.svg)
    if not found:
        raise ValueError(f"{figure.key}: a figure has a viewBox")
    width, height = int(found[1]), int(found[2])
    opened = figure.svg.replace(
        found[0], f'width="{width}" height="{height + FOOT}" viewBox="0 0 {width} {height + FOOT}"', 1
    )
    start = opened.index(">") + 1
    paper = f'<rect width="{width}" height="{height + FOOT}" fill="{PAPER}"/>'
    foot = text(4, height + 14, source, INK, anchor="start", size=11)
    return f"{opened[:start]}{paper}{opened[start:].removesuffix('</svg>')}{foot}</svg>\n"


def pdf(svg: str) -> bytes:
    """An SVG as a PDF, without the time at which it was made: the same figure gives the same bytes.

    Raises
    ------
    RecordsError
        If the converter or the Cairo library is not installed.
    """
    try:
        import cairosvg  # noqa: PLC0415  an extra
    except (ImportError, OSError) as error:
        raise RecordsError(
            f"figures cannot be written as PDF: {error}",
            mend='pip install "pretraining-harness[figures]" and the system library libcairo2, or take svg',
        ) from None
    made: bytes = cairosvg.svg2pdf(bytestring=svg.encode())
    return CREATED.sub(b"/CreationDate (D:20000101000000Z", made)
