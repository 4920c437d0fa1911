#!/usr/bin/env python3
"""Draw the analysed scan of the documentation: a simulated subject whom no cohort holds.

Run by `make pictures`, whenever the analyser or the simulation has changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from registry.dxa.bodycomp import analyse, committed_calibration, picture
from registry.dxa.bodycomp.output import write_file
from registry.dxa.bodycomp.subjects import plan_subjects, specification
from registry.dxa.bodycomp.wording import SIMULATED
from registry.dxa.cohort.subject import simulate_patient

PATH = Path(__file__).parents[1] / "docs" / "pictures" / "analysed-scan.png"
#: A heavy man of 43 years whose arms lie against his trunk: something to flag.
NUMBER, SUBJECTS = 7, 16


def draw(path: Path) -> None:
    """Simulate, analyse, draw."""
    planned = plan_subjects("precision", SUBJECTS)[NUMBER]
    codes = simulate_patient(specification(), planned).visits[0].scan.codes
    (found,) = analyse([codes], calibration=committed_calibration()).scans
    drawn = picture.draw("somebody", codes, found, simulated=True)
    write_file(path, picture.png(drawn, f"Analysed scan. {SIMULATED}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=PATH)
    draw(parser.parse_args().path)
