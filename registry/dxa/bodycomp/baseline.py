"""Soft tissue under bone: the fat that would be there, from the fat around it.

Solved without bone, a pixel over bone shows far too little fat. Estimated is the smooth thickness t of a
layer of fat (``layer``) whose fat runs along the upper edge of the apparent fat. A pixel is either free of
bone, and then its apparent fat scatters about the layer's, or it holds bone, and then it lies below by an
exponentially distributed amount. The most likely smooth t follows by expectation and maximisation: the
expectation is each pixel's probability to be free of bone, the maximisation a weighted, penalised
least-squares problem that is relaxed line by line, first on every second pixel.

Smooth is u = log(1 + t / unit): thick layers vary by more centimetres than thin ones, by the same shares.
Thick parts are stiffer than thin ones, and where two parts of the body meet in a crease (an arm on the
trunk, touching thighs), the layer of one says little about the layer of the other: there t may bend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from registry.dxa.bodycomp.layer import LEVELS_CM, fill_pits, layer_fat_g_cm2
from registry.dxa.imaging.geometry import GRID, Grid

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BaselineSettings:
    """Constants of the estimate, tuned on simulated subjects that no study uses.

    Parameters
    ----------
    roughness_rows, roughness_columns
        Weight of squared second differences of u along and across the body, per g/cm2 of tissue.
    layer_unit_cm
        Thickness of a layer below which differences count in centimetres, above which in shares.
    crease_g_cm2
        Upward second difference of the tissue from pixel to pixel at which a crease halves the weight of a
        second difference of u across it.
    scatter_g_cm2, scatter_share
        Standard deviation of fat about its layer besides the noise: a constant, and a share of the fat.
    deficit_g_cm2
        Mean deficit of apparent fat over bone.
    first_below_weight
        Weight of pixels below the layer in the first rounds, before there are probabilities.
    below_weight
        Factor of that weight in later rounds where there is no noise. Less than one, because bone too fine to
        be told from soft tissue (between ribs, beside every bone) draws the layer down and nothing draws it
        up. Noise draws to both sides: the more of the scatter is noise, the nearer to one is the factor.
    outlier_sds
        Where a pixel that lies above the layer begins to lose weight.
    usual_cm_per_g_cm2, usual_weight
        Thickness of a layer per areal density of tissue that is assumed where nothing else is known, and the
        weight of that, below a thousandth of a pixel's that is free of bone. Skull and hands have hardly such
        a pixel: without it their layer drifts from one scan's noise to the next.
    first_rounds, coarse_rounds, rounds, sweeps, relaxation
        Rounds with fixed asymmetric weights, all rounds on every second pixel, rounds on all pixels, sweeps
        in each, and the factor by which a sweep goes beyond the solution of a line.
    """

    roughness_rows: float = 80.0
    roughness_columns: float = 80.0
    layer_unit_cm: float = 1.0
    crease_g_cm2: float = 0.25
    scatter_g_cm2: float = 0.3
    scatter_share: float = 0.03
    deficit_g_cm2: float = 2.0
    first_below_weight: float = 0.03
    below_weight: float = 0.4
    outlier_sds: float = 3.0
    usual_cm_per_g_cm2: float = 0.06
    usual_weight: float = 0.05
    first_rounds: int = 4
    coarse_rounds: int = 24
    rounds: int = 7
    sweeps: int = 10
    relaxation: float = 1.9


@dataclass(frozen=True)
class Baseline:
    """The fat that soft tissue alone would show.

    Parameters
    ----------
    fat_g_cm2
        Shape (rows, columns).
    free_of_bone
        Probability of each pixel, shape (rows, columns); one outside the body.
    layer_cm
        Estimated thickness t.
    """

    fat_g_cm2: Array
    free_of_bone: Array
    layer_cm: Array


class _Pixels(NamedTuple):
    """What is known of each pixel; the last two weigh second differences along and across the body."""

    apparent: Array
    noise: Array
    total: Array
    usable: npt.NDArray[np.bool_]
    body: npt.NDArray[np.bool_]
    table: Array
    stiff_rows: Array
    stiff_columns: Array


def estimate_baseline(
    apparent_fat_g_cm2: Array,
    total_g_cm2: Array,
    noise_g_cm2: Array,
    usable: npt.NDArray[np.bool_],
    body: npt.NDArray[np.bool_],
    *,
    settings: BaselineSettings | None = None,
    grid: Grid = GRID,
) -> Baseline:
    """Estimate the fat under bone of one scan; all maps have the shape (rows, columns).

    Parameters
    ----------
    apparent_fat_g_cm2, total_g_cm2
        Fat and all tissue as solved without bone.
    noise_g_cm2
        Standard deviation of the apparent fat.
    usable
        Pixels whose apparent fat means something.
    body
        The body's pixels.
    """
    settings = settings or BaselineSettings()
    total = np.where(body, np.maximum(total_g_cm2, 0.01), 0.0)
    stiff_rows, stiff_columns = _stiffness(total, settings)
    pixels = _Pixels(
        np.where(body, apparent_fat_g_cm2, 0.0),
        np.where(body, noise_g_cm2, 1.0),
        total,
        usable & body,
        body,
        layer_fat_g_cm2(total, grid),
        stiff_rows,
        stiff_columns,
    )
    coarse = _every_second(pixels)
    start = np.full(coarse.body.shape, math.log1p(_FIRST_LAYER_CM / settings.layer_unit_cm))
    start, _, _ = _rounds(coarse, start, settings, settings.first_rounds, settings.coarse_rounds)
    start = start.repeat(2, axis=0).repeat(2, axis=1)[: body.shape[0], : body.shape[1]]
    smooth, fat, free = _rounds(pixels, start, settings, 0, settings.rounds)
    return Baseline(fat, free, settings.layer_unit_cm * np.expm1(smooth))


_FIRST_LAYER_CM = 1.0
# Thinner parts than this, in g/cm2, are as stiff as it.
_THINNEST_G_CM2 = 1.2


def _stiffness(total: Array, settings: BaselineSettings) -> tuple[Array, Array]:
    """Weights of the second differences centred on each pixel, along and across the body."""
    filled = fill_pits(total)
    stiff = np.maximum(filled, _THINNEST_G_CM2)
    along = stiff / (1.0 + (_crease(filled.T).T / settings.crease_g_cm2) ** 2)
    across = stiff / (1.0 + (_crease(filled) / settings.crease_g_cm2) ** 2)
    return settings.roughness_rows * along, settings.roughness_columns * across


def _crease(tissue: Array) -> Array:
    """Upward second difference within rows, the largest of each pixel and its two neighbours."""
    bend = np.zeros_like(tissue)
    bend[:, 1:-1] = np.maximum(tissue[:, 2:] + tissue[:, :-2] - 2.0 * tissue[:, 1:-1], 0.0)
    widened = bend.copy()
    widened[:, 1:-1] = np.maximum(bend[:, 1:-1], np.maximum(bend[:, 2:], bend[:, :-2]))
    return widened


def _every_second(pixels: _Pixels) -> _Pixels:
    """Every second pixel of every second row, with the weakest stiffness of its block of four.

    A second difference is four times as large between every second pixel: its square weighs a sixteenth.
    """
    seen = (slice(None, None, 2), slice(None, None, 2))
    return _Pixels(
        pixels.apparent[seen],
        pixels.noise[seen],
        pixels.total[seen],
        pixels.usable[seen],
        pixels.body[seen],
        pixels.table[:, ::2, ::2],
        _weakest_of_four(pixels.stiff_rows) / 16.0,
        _weakest_of_four(pixels.stiff_columns) / 16.0,
    )


def _weakest_of_four(values: Array) -> Array:
    for axis in (0, 1):
        values = np.minimum.reduceat(values, np.arange(0, values.shape[axis], 2), axis=axis)
    return values


def _rounds(
    pixels: _Pixels, start: Array, settings: BaselineSettings, first_rounds: int, rounds: int
) -> tuple[Array, Array, Array]:
    """Smooth u, modelled fat and the probability to be free of bone after all rounds."""
    smooth, fat, free = _estimate(
        *(np.ascontiguousarray(values) for values in (*pixels, start)),
        LEVELS_CM,
        settings.layer_unit_cm,
        settings.scatter_g_cm2,
        settings.scatter_share,
        settings.deficit_g_cm2,
        settings.first_below_weight,
        settings.below_weight,
        settings.outlier_sds,
        settings.usual_cm_per_g_cm2,
        settings.usual_weight,
        first_rounds,
        rounds,
        settings.sweeps,
        settings.relaxation,
    )
    return smooth, fat, free


# Where nearly all of a pixel is adipose tissue, its fat no longer tells how thick the layer is.
_ALL_ADIPOSE = 0.68
_SLOPE_RANGE = (0.05, 8.0)
_SMALLEST_WEIGHT = 1e-6


@njit(cache=True, error_model="numpy")
def _log_normal_below(x):  # type: ignore[no-untyped-def]
    """Logarithm of the standard normal distribution function."""
    if x > -5.0:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2.0)))
    return -0.5 * x * x - math.log(-x) - 0.5 * math.log(2.0 * math.pi) + math.log1p(-1.0 / (x * x))


@njit(cache=True, error_model="numpy")
def _probability_free(excess, sd, deficit, bone_share):  # type: ignore[no-untyped-def]
    """Probability that a pixel holds no bone, from its apparent fat less the layer's.

    Without bone, the excess is normal; over bone, it is a normal less an exponential of the given mean.
    """
    alone = -0.5 * (excess / sd) ** 2 - math.log(sd * math.sqrt(2.0 * math.pi)) + math.log(1.0 - bone_share)
    over_bone = (
        math.log(bone_share / deficit)
        + excess / deficit
        + 0.5 * (sd / deficit) ** 2
        + _log_normal_below(-(excess / sd + sd / deficit))
    )
    return 1.0 / (1.0 + math.exp(min(max(over_bone - alone, -50.0), 50.0)))


@njit(cache=True, error_model="numpy")
def _estimate(  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0917
    apparent, noise, total, usable, body, table, stiff_rows, stiff_columns, start, levels, unit, scatter,
    scatter_share, deficit, first_below_weight, below_weight, outlier, usual_cm, usual_weight, first_rounds,
    rounds, sweeps, relaxation,
):  # fmt: skip
    rows, columns = apparent.shape
    smooth = start.copy()
    fat = np.zeros((rows, columns))
    free = np.ones((rows, columns))
    weight = np.zeros((rows, columns))
    wanted = np.zeros((rows, columns))
    bone_share, last = 0.5, len(levels) - 1
    least, most = math.log1p(0.05 / unit), math.log1p((levels[last] - 0.1) / unit)
    for turn in range(rounds + 1):
        bone_sum, counted = 0.0, 0
        for i in range(rows):
            for j in range(columns):
                if not body[i, j]:
                    continue
                t = unit * math.expm1(smooth[i, j])
                k = 0
                while k < last - 1 and levels[k + 1] <= t:
                    k += 1
                slope = (table[k + 1, i, j] - table[k, i, j]) / (levels[k + 1] - levels[k])
                modelled = table[k, i, j] + slope * (t - levels[k])
                fat[i, j] = modelled
                # By u: dt/du = t + unit.
                slope = min(max(slope, _SLOPE_RANGE[0]), _SLOPE_RANGE[1]) * (t + unit)
                excess = apparent[i, j] - modelled
                variance = noise[i, j] ** 2 + scatter**2 + (scatter_share * modelled) ** 2
                sd = math.sqrt(variance)
                w = 1.0
                if turn >= first_rounds:
                    free[i, j] = _probability_free(excess, sd, deficit, bone_share)
                    bone_sum += 1.0 - free[i, j]
                    counted += 1
                    noisy = noise[i, j] ** 2 / variance
                    w = (below_weight + (1.0 - below_weight) * noisy) * free[i, j]
                    if excess > 0.0:
                        w = min(1.0, outlier * sd / excess)
                elif turn > 0 and excess < 0.0:
                    w = first_below_weight
                if not usable[i, j]:
                    w = 0.0
                elif modelled > _ALL_ADIPOSE * total[i, j]:
                    w *= 0.02
                seen = max(w, _SMALLEST_WEIGHT) * slope * slope / variance
                weight[i, j] = seen + usual_weight
                usual = math.log1p(usual_cm * total[i, j] / unit)
                wanted[i, j] = (seen * (smooth[i, j] + excess / slope) + usual_weight * usual) / weight[i, j]
        if turn == rounds:
            break
        if counted > 0:
            bone_share = min(max(bone_sum / counted, 0.1), 0.9)
        for _ in range(sweeps):
            _relax_rows(smooth, wanted, weight, body, stiff_rows, stiff_columns, relaxation)
            _relax_rows(smooth.T, wanted.T, weight.T, body.T, stiff_columns.T, stiff_rows.T, relaxation)
        for i in range(rows):
            for j in range(columns):
                smooth[i, j] = min(max(smooth[i, j], least), most)
    return smooth, fat, free


@njit(cache=True, error_model="numpy")
def _relax_rows(smooth, wanted, weight, body, across, along, relaxation):  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0917
    """Solve every row exactly with the other rows held, from the first to the last.

    Minimises ``sum weight (u - wanted)^2 + sum across (second difference over rows)^2 + sum along (second
    difference within rows)^2``, weights being those of the middle pixel; a second difference counts where all
    three pixels belong to the body. A row's system has five diagonals and is solved by its LDL' factors.
    """
    rows, columns = smooth.shape
    d0, d1, d2 = np.empty(columns), np.empty(columns), np.empty(columns)
    right = np.empty(columns)
    for i in range(rows):
        first, stop = columns, 0
        for j in range(columns):
            d0[j], d1[j], d2[j], right[j] = 1.0, 0.0, 0.0, 0.0
            if body[i, j]:
                first, stop = min(first, j), j + 1
        if first >= stop:
            continue
        for j in range(first, stop):
            if not body[i, j]:
                continue
            d0[j] = weight[i, j]
            right[j] = weight[i, j] * wanted[i, j]
            above, below = i > 0 and body[i - 1, j], i < rows - 1 and body[i + 1, j]
            if above and below:
                d0[j] += 4.0 * across[i, j]
                right[j] += 2.0 * across[i, j] * (smooth[i - 1, j] + smooth[i + 1, j])
            if above and i > 1 and body[i - 2, j]:
                d0[j] += across[i - 1, j]
                right[j] += across[i - 1, j] * (2.0 * smooth[i - 1, j] - smooth[i - 2, j])
            if below and i < rows - 2 and body[i + 2, j]:
                d0[j] += across[i + 1, j]
                right[j] += across[i + 1, j] * (2.0 * smooth[i + 1, j] - smooth[i + 2, j])
        for j in range(max(first, 1), min(stop, columns - 1)):
            if body[i, j - 1] and body[i, j] and body[i, j + 1]:
                stiff = along[i, j]
                d0[j - 1] += stiff
                d0[j] += 4.0 * stiff
                d0[j + 1] += stiff
                d1[j - 1] -= 2.0 * stiff
                d1[j] -= 2.0 * stiff
                d2[j - 1] += stiff
        for j in range(first, stop):
            # Factors in place: d0 becomes D, d1 and d2 the two lower diagonals of L.
            if j > first:
                d0[j] -= d1[j - 1] ** 2 * d0[j - 1]
                d1[j] -= d1[j - 1] * d2[j - 1] * d0[j - 1]
                right[j] -= d1[j - 1] * right[j - 1]
            if j > first + 1:
                d0[j] -= d2[j - 2] ** 2 * d0[j - 2]
                right[j] -= d2[j - 2] * right[j - 2]
            inverse = 1.0 / d0[j]
            d1[j] *= inverse
            d2[j] *= inverse
        for j in range(stop - 1, first - 1, -1):
            value = right[j] / d0[j]
            if j + 1 < stop:
                value -= d1[j] * right[j + 1]
            if j + 2 < stop:
                value -= d2[j] * right[j + 2]
            right[j] = value
            if body[i, j]:
                smooth[i, j] += relaxation * (value - smooth[i, j])
