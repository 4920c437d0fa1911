"""Simulated comparisons of two arms that do not differ, in the designs that suites use.

Run as a module, it prints the table of `docs/statistics.md`:

    python -m tests.reports.coverage
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from reports.crossed import Crossed
from reports.sample import Sample, SeedKey
from reports.statistics.intervals import Estimate, estimate
from reports.statistics.tests import ALPHA, judge, p_equivalence

PATIENTS = 111

#: r2 of both arms, and the part of the error variance that a patient has under every seed of an arm.
R2, SHARED_ERROR = 0.8, 0.1


@dataclass(frozen=True)
class Design:
    """Two arms with the same true result.

    Parameters
    ----------
    pretraining, final
        Seeds of the first arm; final seeds lie inside pretraining seeds.
    single
        The second arm is one checkpoint with the final seeds alone; else it has the first one's seeds.
    statistic
        `mean` of a score or `r2`.
    ratio
        Variance between models, of both arms together, in units of the squared standard error of the
        difference over patients; half of it lies between pretraining seeds where there are several.
    residual
        Variance of what a model makes of a patient, in units of the patients' own (`mean` alone).
    """

    pretraining: int
    final: int
    single: bool
    statistic: str
    ratio: float
    residual: float = 0.2


def covered(design: Design, repetitions: int) -> float:
    """Share of the repetitions in which the 95 % interval of the difference holds 0."""
    found = 0
    for (one,) in differences(design, repetitions):
        assert one.low is not None
        assert one.high is not None
        found += one.low <= 0 <= one.high
    return found / repetitions


def false_findings(design: Design, repetitions: int, rows: int = 15) -> float:
    """Share of the repetitions in which any row of a table is called better or worse."""
    found = 0
    for estimates in differences(design, repetitions, rows):
        verdicts = {one.verdict for one in judge(estimates, ["max"] * rows)}
        found += bool(verdicts & {"better", "worse"})
    return found / repetitions


def false_equivalences(design: Design, repetitions: int, margin: float) -> float:
    """Share of the repetitions in which arms that differ by the margin are called equivalent."""
    found = 0
    for (one,) in differences(design, repetitions):
        assert one.value is not None
        p = p_equivalence(replace(one, value=one.value + margin), margin)
        found += p is not None and p < ALPHA
    return found / repetitions


def differences(
    design: Design, repetitions: int, rows: int = 1, draws: int = 1_000
) -> Iterator[list[Estimate]]:
    """The difference of the arms in every row, a new data set each time."""
    rng = np.random.default_rng([design.pretraining, design.single, round(10 * design.ratio)])
    for _ in range(repetitions):
        crossed = Crossed(_sample(design, rng, rows), [("a", "b")], [design.statistic], draws)
        yield estimate(crossed.difference("a", "b", design.statistic))


def _sample(design: Design, rng: np.random.Generator, rows: int) -> Sample:
    """Rows are independent of each other, which is the hardest case for a correction."""
    seeds: dict[str, tuple[SeedKey, ...]] = {
        "a": _keys(design.pretraining, design.final),
        "b": _keys(1 if design.single else design.pretraining, design.final),
    }
    make = _scores if design.statistic == "mean" else _predictions
    targets = np.empty((PATIENTS, rows))
    values = {name: np.empty((len(keys), PATIENTS, rows)) for name, keys in seeds.items()}
    for row in range(rows):
        targets[:, row] = rng.normal(size=PATIENTS)
        patient = rng.normal(size=PATIENTS)
        for name, keys in seeds.items():
            values[name][:, :, row] = make(design, rng, keys, targets[:, row], patient)
    return Sample(
        tuple(f"row {row}" for row in range(rows)),
        np.arange(PATIENTS),
        PATIENTS,
        None if design.statistic == "mean" else targets,
        values,
        seeds,
        np.ones((PATIENTS, rows)),
        {name: np.full((len(keys), rows), np.nan) for name, keys in seeds.items()},
    )


def _keys(pretraining: int, final: int) -> tuple[SeedKey, ...]:
    return tuple((one, None, other) for one in range(pretraining) for other in range(final))


def _models(rng: np.random.Generator, keys: tuple[SeedKey, ...], variance: float) -> np.ndarray:
    """An effect per model: of its pretraining seed and of its own; of its own alone for one checkpoint."""
    groups = sorted({key[0] or 0 for key in keys})
    own = rng.normal(size=len(keys)) * np.sqrt(variance / (2 if len(groups) > 1 else 1))
    between = rng.normal(size=len(groups)) * np.sqrt(variance / 2) if len(groups) > 1 else np.zeros(1)
    return own + np.array([between[groups.index(key[0] or 0)] for key in keys])


def _scores(
    design: Design, rng: np.random.Generator, keys: tuple[SeedKey, ...], _: np.ndarray, patient: np.ndarray
) -> np.ndarray:
    """A score per model and patient; what an arm makes of a patient has variance 1/2, so a difference 1."""
    models = _models(rng, keys, design.ratio / PATIENTS / 2)
    own = np.sqrt(0.5) * rng.normal(size=PATIENTS)
    noise = np.sqrt(design.residual) * rng.normal(size=(len(keys), PATIENTS))
    return np.asarray(models[:, None] + patient + own + noise)


def _predictions(
    design: Design,
    rng: np.random.Generator,
    keys: tuple[SeedKey, ...],
    targets: np.ndarray,
    _: np.ndarray,
) -> np.ndarray:
    """Predictions whose r2 is R2 plus an effect of the model.

    Over patients the difference of two r2 of independent errors of variance v has a squared standard error of
    about 2 var(e^2) / N = 4 v^2 / N for targets of variance 1.
    """
    variance = 1 - R2
    effects = _models(rng, keys, design.ratio * 4 * variance**2 / PATIENTS / 2)
    own = np.maximum(variance - SHARED_ERROR - effects, 1e-4)
    shared = np.sqrt(SHARED_ERROR) * rng.normal(size=PATIENTS)
    errors = shared + np.sqrt(own)[:, None] * rng.normal(size=(len(keys), PATIENTS))
    return np.asarray(targets + errors)


DESIGNS = tuple(
    Design(pretraining, 2, single, statistic, ratio)
    for statistic in ("mean", "r2")
    for single in (False, True)
    for pretraining in (3, 5)
    for ratio in (0.0, 1.0, 5.0)
)


def main(repetitions: int) -> None:
    """Print coverage by design."""
    for design in DESIGNS:
        print(design, f"{covered(design, repetitions):.3f}", flush=True)  # noqa: T201  its purpose


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
