"""Worksheets for other software, as tests read and fill them in."""

import csv

#: Measures of somebody, as a worksheet holds them.
A_PERSON = {
    "arm_bmc_kg": "0.238", "arm_bmd_g_cm2": "0.809", "arm_fat_kg": "2.367", "arm_lean_kg": "4.601",
    "leg_bmc_kg": "0.672", "leg_bmd_g_cm2": "1.030", "leg_fat_kg": "9.533", "leg_lean_kg": "17.122",
    "total_bmc_kg": "2.037", "total_bmd_g_cm2": "1.059", "total_fat_kg": "24.200", "total_lean_kg": "47.763",
    "total_mass_kg": "74.003",
}  # fmt: skip


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
