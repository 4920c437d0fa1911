"""What the page gives up, one after the other, to stay below its limit."""

from __future__ import annotations

from dataclasses import dataclass

#: The page is at most this large, in bytes.
LIMIT = 8_000_000

#: Trials that a page lists which would be larger with all of them.
FEWER_TRIALS = 200


@dataclass(frozen=True)
class Piece:
    """A part that the page can do without; `words` say what it is and `place` where else it lies."""

    key: str
    words: str
    place: str


#: In this order. What lies in the run folder as it stands goes first, what only the page shows last.
PIECES = (
    Piece("files", "the files that it carries", "tables/"),
    Piece("pairs", "differences of arms to arms that are not the reference", "tables/*-differences.csv"),
    Piece("people", "pictures of agreement person by person", "figures/ after harness report --format svg"),
    Piece("differences", "all numbers behind the figures of differences", "tables/*-differences.csv"),
    Piece("exhibits", "example scans", "trials/*/exhibits.npz"),
    Piece("trials", f"trials beyond the first {FEWER_TRIALS}", "results/trials.parquet"),
)
