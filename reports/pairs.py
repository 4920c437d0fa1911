"""Which columns are compared, and in words what a comparison has in common."""

from __future__ import annotations

from collections.abc import Sequence

from reports.comparison import Column
from reports.statistics.resampled import Replicates

SEED_WORDS = {
    "pretraining": "pretraining seeds",
    "label": "draws of the labels",
    "seed": "final seeds",
    "none": "seeds",
}


def pairs_of(columns: Sequence[Column], reference: str) -> list[tuple[str, str, str]]:
    """Contrasts (first, second, kind): arms against the reference, other arms, arms against baselines."""
    arms = [column.key for column in columns if not column.baseline]
    baselines = [column.key for column in columns if column.baseline]
    others = [key for key in arms if key != reference]
    pairs = [(key, reference, "reference") for key in others if reference in arms]
    pairs += [(second, first, "arms") for i, first in enumerate(others) for second in others[i + 1 :]]
    return pairs + [(arm, baseline, "baseline") for baseline in baselines for arm in arms]


def pairing_words(first: Replicates, second: Replicates, paired: bool, restricted: bool) -> str:
    """What two columns share in every resample."""
    counts = (first.count, second.count)
    if counts == (1, 1):
        note = "same patients; one trial each, so that seeds are not resampled"
    elif paired:
        note = f"same patients and the same {first.count} {SEED_WORDS[first.kind]}"
    elif 1 in counts:
        wider = first if first.count > 1 else second
        note = (
            f"same patients; {wider.count} {SEED_WORDS[wider.kind]} of one side, a single trial of the other"
        )
    else:
        note = f"same patients; seeds not shared ({first.count} and {second.count}), resampled arm by arm"
    return note + ("; only the seeds that both have" if restricted else "")
