"""What every task that generates scans shares: how they are scored, shown and laid out in tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from registry.contracts import (
    DataError,
    Exhibit,
    Panel,
    Predictions,
    PrimaryEndpoint,
    PublishedValue,
    Row,
    Statistic,
    TableLayout,
    TrialContext,
)
from registry.dxa.bodycomp.precision import LSC_FACTOR, committed_precision
from registry.dxa.cohort.measures import COMPOSITION
from registry.dxa.imaging import CHANNELS, PHASES
from registry.dxa.imaging.r_image import r_image
from registry.dxa.tasks.composition import CLOSURE, MEASURES, TRUE, judge
from registry.dxa.tasks.image_metrics import CONVENTION, means, score_channels, score_scans
from registry.dxa.tasks.published import SOURCE
from registry.dxa.training.scans import ScanSplit

Scans = NDArray[np.float32]

#: Leads every task that generates scans.
PRIMARY = PrimaryEndpoint(
    metric="mean_r2",
    label="Mean R² of 13 body-composition measures",
    direction="max",
    statistic="r2",
    rows=MEASURES,
)
#: Place among the test scans, by how badly the mean scan predicts them.
_EXHIBIT_QUANTILES = {"best": 0.0, "median": 0.5, "worst": 1.0}
#: Windows of the exhibits' pictures.
_ERROR_LIMIT_PERCENT = 10.0
_R_LIMITS = (1.0, 1.8)
_AGREEMENT = (
    Statistic("r2", "R²", "max"),
    Statistic("r2_pearson", "r²", "max"),
    Statistic("rmse", "RMSE", "min"),
    Statistic("mae", "MAE", "min"),
    Statistic("bias", "bias", None),
    Statistic("slope", "slope", None),
    Statistic("ccc", "CCC", "max"),
)
_COMPOSITION_CONVENTION = (
    "The same analyser on the generated and on the real scan; scans that were reduced for training are "
    "brought back to the scanner's grid by interpolation, both alike. R² = 1 - SSE / SST over the "
    "analysed test scans; r² = squared Pearson correlation; RMSE and bias in the unit of the row."
)
#: About the built-in analyser: true of no other one.
BUILT_IN_ANALYSER_FOOTNOTE = (
    "Bone is told from soft tissue by what stands out of its surroundings: a blurred scan holds too little, "
    "and R² counts that bias in full, while r² does not see it. So the rows of bone decide the mean R² of "
    "arms that draw blurred scans."
)
_COMPOSITION_FOOTNOTES = (
    "A generated scan that cannot be analysed has no prediction; it is counted, and filled with the training "
    "mean where a filling is shown. A real scan that cannot be analysed is judged under no arm; the captions "
    "of the example scans say how many are.",
    BUILT_IN_ANALYSER_FOOTNOTE,
    "The paper's measures come from clinical software operated by hand on 117 scans, one split and one seed, "
    "without an interval.",
)


def score(
    context: TrialContext, split: ScanSplit, real: Scans, generated: Scans, *, part: str
) -> tuple[Predictions, dict[str, float]]:
    """Everything that is recorded of generated scans, and the same in a few numbers for validation.

    Parameters
    ----------
    context, split
        The trial, and where the scans come from.
    real, generated
        (n, 6, height, width) counts of every scan of the split.
    part
        Of the cohort.
    """
    judgement = judge(context, split, real, generated, part=part)
    scores = score_scans(real, generated)
    predictions = Predictions(
        patients=list(split.patients),
        scans=list(split.scan_ids),
        targets=judgement.targets,
        predictions=judgement.predictions,
        scores={**scores, **score_channels(real, generated)},
        fallbacks=judgement.fallbacks,
    )
    return predictions, {**means(scores), PRIMARY.metric: judgement.mean_r2}


def composition_layouts(
    *,
    title: str,
    published: tuple[PublishedValue, ...],
    table: str,
    notes: tuple[str, ...],
) -> tuple[TableLayout, ...]:
    """Body composition against the real scan (the primary table), against the truth, and how it closes."""
    return (
        TableLayout(
            key="composition",
            title=f"Body composition from {title}",
            source="predictions",
            rows=_composition_rows(),
            statistics=_AGREEMENT,
            convention=_COMPOSITION_CONVENTION,
            published=published,
            published_source=f"{SOURCE}, {table}",
            footnotes=(*notes, *_COMPOSITION_FOOTNOTES),
            margins=_margins(),
            least_significant_changes=_least_significant_changes(),
        ),
        TableLayout(
            key="true_composition",
            title=f"Body composition from {title}, against the simulated truth",
            source="predictions",
            rows=_composition_rows(TRUE),
            statistics=_AGREEMENT,
            convention="The analyser on the generated scan against what was simulated; the analyser's own "
            "error is part of it.",
            footnotes=("Only where the cohort knows the composition of its subjects.",),
            margins=_margins(TRUE),
            least_significant_changes=_least_significant_changes(TRUE),
        ),
        TableLayout(
            key="closure",
            title="Do the parts add up",
            source="predictions",
            rows=(Row(CLOSURE, "fat + lean + BMC - mass", "Closure", "kg"),),
            statistics=(Statistic("bias", "bias", None), Statistic("rmse", "RMSE", "min")),
            convention="Closure of the generated scan less that of the real one.",
            footnotes=(
                "Errors of fat and lean mass that cancel leave the total mass right: a good total with poor "
                "parts is no body composition.",
            ),
        ),
    )


def _margins(prefix: str = "") -> dict[str, float]:
    """.01 of R² and its kin; of errors in a unit what repeat scans of one subject differ by (RMS-SD)."""
    repeat = committed_precision()
    margins = dict.fromkeys(("r2", "r2_pearson", "ccc"), 0.01)
    for statistic in ("rmse", "mae", "bias"):
        margins |= {f"{statistic}.{prefix}{name}": repeat[name] for name in MEASURES}
    return margins


def _least_significant_changes(prefix: str = "") -> dict[str, float]:
    """2.77 RMS-SD: what two scans of one subject differ by in 95 of 100 cases without any change."""
    repeat = committed_precision()
    return {f"{prefix}{name}": LSC_FACTOR * repeat[name] for name in MEASURES}


def image_layouts(
    *, title: str, published: tuple[PublishedValue, ...], table: str
) -> tuple[TableLayout, ...]:
    """Image quality as the paper prints it, and by channel and phase."""
    channels = [Row(f"nmae.{name}", name.replace("_", " "), "NMAE", direction="min") for name in CHANNELS]
    phases = [Row(f"r_image_error.{phase}", phase, "R error", direction="min") for phase in PHASES]
    statistics = (Statistic("mean", "mean", None, decimals=3),)
    return (
        TableLayout(
            key="image",
            title=f"Quality of {title}",
            source="scores",
            rows=(
                Row("nmae", "NMAE", direction="min"),
                Row("psnr_db", "PSNR", unit="dB", direction="max"),
                Row("ssim", "SSIM", direction="max"),
                Row("r_image_error", "R error", direction="min"),
            ),
            statistics=statistics,
            convention=CONVENTION,
            published=published,
            published_source=f"{SOURCE}, {table}",
            footnotes=(
                "The paper does not say how its image metrics are normalised; its NMAE is about 11 times the "
                "normalised error that its PSNR implies, so the two have different denominators. Values of "
                "other conventions differ by up to 20 dB on the same scans.",
                "The paper's values are of one split and one seed, without an interval.",
            ),
        ),
        TableLayout(
            key="channels",
            title=f"Errors of {title} by channel and phase",
            source="scores",
            rows=(*channels, *phases),
            statistics=statistics,
            convention=CONVENTION,
        ),
    )


def exhibits(
    split: ScanSplit,
    real: Scans,
    generate: Callable[[NDArray[np.int64]], Scans],
    facts: Mapping[str, str] | None = None,
) -> Sequence[Exhibit]:
    """The scans that a prediction by the mean scan does best, middling and worst: the choice favours no arm.

    Shown are the real one, the generated one, errors of six channels, and R.

    Parameters
    ----------
    split, real
        The test split and (n, 6, height, width) counts of its scans.
    generate
        From indices of scans to their generated twins.
    facts
        Shown under every exhibit.
    """
    if not len(split.scan_ids):
        raise DataError("the split has no scans", mend="declare a cohort with scans in every split")
    errors = _errors_of_the_mean_scan(real)
    order = np.argsort(errors, kind="stable")
    chosen = {name: int(order[round(q * (len(order) - 1))]) for name, q in _EXHIBIT_QUANTILES.items()}
    generated = generate(np.array(list(chosen.values())))
    return [
        Exhibit(
            key=f"mean-scan-{name}",
            title=f"{name.capitalize()} scan",
            rule=f"{name} of {len(order)} test scans when predicted by their mean scan, which favours no arm",
            panels=_panels(real[index], generated[place]),
            pixel_aspect=split.grid.row_spacing_cm / split.grid.column_spacing_cm,
            facts={
                "NMAE of the mean scan": f"{errors[index]:.3f}",
                "scan": str(split.scan_ids[index]),
                **(facts or {}),
            },
        )
        for place, (name, index) in enumerate(chosen.items())
    ]


def _errors_of_the_mean_scan(real: Scans) -> NDArray[np.float64]:
    """(n,) normalised mean absolute errors of the mean of (n, ...) scans."""
    residual = np.abs(real - real.mean(0, dtype=np.float64).astype(np.float32))
    flat = residual.reshape(len(real), -1).sum(1, dtype=np.float64)
    return np.asarray(flat / np.abs(real).reshape(len(real), -1).sum(1, dtype=np.float64))


def _composition_rows(prefix: str = "") -> tuple[Row, ...]:
    return tuple(
        Row(prefix + measure.name, measure.label, measure.location, measure.unit) for measure in COMPOSITION
    )


def _panels(true: Scans, generated: Scans) -> tuple[Panel, ...]:
    """Pictures of one (6, height, width) scan."""
    shown = CHANNELS[0].replace("_", " ")
    limits = (float(true[0].min()), float(true[0].max()))
    errors = [
        Panel(
            f"error, {name.replace('_', ' ')}",
            100 * (generated[number] - true[number]) / float(true[number].max()),
            "difference",
            "% of the largest true count",
            (-_ERROR_LIMIT_PERCENT, _ERROR_LIMIT_PERCENT),
        )
        for number, name in enumerate(CHANNELS)
    ]
    return (
        Panel(f"true, {shown}", true[0], "gray", "counts", limits),
        Panel(f"generated, {shown}", generated[0], "gray", "counts", limits),
        *errors,
        Panel("true R", r_image(true.transpose(1, 2, 0)), "map", "low / high", _R_LIMITS),
        Panel("generated R", r_image(generated.transpose(1, 2, 0)), "map", "low / high", _R_LIMITS),
    )
