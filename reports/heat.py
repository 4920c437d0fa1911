"""A table as a picture: numbers in cells, darker where they are larger."""

from __future__ import annotations

from collections.abc import Sequence

from reports.charts import LABEL_WIDTH, WIDTH
from reports.svg import INK, MUTED, opening, shortened, text, told

#: The cell of a whole share; paler in step with the share. Ink stays legible on it, in dark mode too.
SHADE, DARKEST = "#0072b2", 0.5
CELL_HEIGHT, WIDEST_CELL = 30, 84


def heat_map(
    rows: Sequence[tuple[str, Sequence[float]]], columns: Sequence[str], label: str, summary: str
) -> str:
    """Shares from 0 to 1 as percentages.

    Parameters
    ----------
    rows
        Title and a share per column.
    columns, label
        Headings of the columns, and what they are together.
    summary
        What the picture says, for readers who cannot see it.
    """
    width = min(WIDEST_CELL, (WIDTH - LABEL_WIDTH - 10) / len(columns))
    size = min(12.0, width / 3)
    top, bottom = 42, 42 + CELL_HEIGHT * len(rows)
    parts = [opening(WIDTH, bottom + 8, summary)]
    parts.append(text(LABEL_WIDTH, 14, label, MUTED, anchor="start"))
    for index, heading in enumerate(columns):
        parts.append(text(LABEL_WIDTH + width * (index + 0.5), top - 8, heading, MUTED, size=size))
    for place, (title, shares) in enumerate(rows):
        y = top + CELL_HEIGHT * place
        name = text(LABEL_WIDTH - 12, y + CELL_HEIGHT / 2 + 4, shortened(title), INK, anchor="end", size=13)
        parts.append(told(title, name))
        for index, (heading, share) in enumerate(zip(columns, shares, strict=True)):
            x = LABEL_WIDTH + width * index
            words = f"{title}, {label} {heading}: {100 * share:.1f} %"
            cell = (
                f'<rect x="{x + 1:.1f}" y="{y + 1:.1f}" width="{width - 2:.1f}" height="{CELL_HEIGHT - 2}"'
                f' fill="{SHADE}" fill-opacity="{DARKEST * share:.3f}"/>'
            )
            inside = text(x + width / 2, y + CELL_HEIGHT / 2 + 4, percentage(share), INK, size=size)
            parts.append(told(words, cell, inside))
    return "".join([*parts, "</svg>"])


def percentage(share: float) -> str:
    """A share in a cell: whole percents, and what is neither none nor all never reads as if it were.

    Examples
    --------
    >>> [percentage(share) for share in (0.0, 0.002, 0.25, 0.998, 1.0)]
    ['0', '<1', '25', '>99', '100']
    """
    if 0 < share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"
