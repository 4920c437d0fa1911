"""Worksheets for other software, as tests read and fill them in."""

import csv


def rows_of(path):
    """The rows of a CSV file, by its header."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write(path, rows):
    """Write rows that have the same columns; returns `path`."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
