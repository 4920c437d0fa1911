"""Who a subject is: sex, age and the phenotypes that set the shape of the body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.dxa.cohort.bodies import Array, BodyModel
from registry.dxa.cohort.specification import Sex

# The body model's own variations of each phenotype, in the order of its blend mask.
VARIATIONS: dict[str, int] = {
    "ancestry": 3,
    "gender": 2,
    "age": 5,
    "muscle": 3,
    "weight": 3,
    "height": 2,
    "proportions": 2,
    "cupsize": 3,
    "firmness": 3,
}
AGE_ANCHORS = np.linspace(-1 / 3, 1.0, VARIATIONS["age"])
# Weight on the model's scale is beta distributed between 0 and its maximum, wider than the model's own, so
# that lean and obese bodies exist (BMI 16 to 45). The model ends at 1; beyond it the shapes are continued in
# a straight line. Means by age and sex and standard deviations were set so that those of body mass index come
# near published ones of Americans in 1999-2004 (docs/cohort.md names them).
WEIGHT_YEARS = (6.0, 12.0, 18.0, 30.0, 50.0, 70.0, 85.0)
MEAN_WEIGHT: dict[Sex, tuple[float, ...]] = {
    "female": (0.66, 0.86, 0.96, 1.12, 1.18, 1.12, 0.95),
    "male": (0.40, 0.48, 0.56, 0.86, 1.06, 1.08, 0.80),
}
MAXIMUM_WEIGHT = 1.7
# Standard deviation of children up to 12 and of adults from 18 years on.
WEIGHT_SD_YEARS = (12.0, 18.0)
WEIGHT_SD: dict[Sex, tuple[float, float]] = {"female": (0.31, 0.33), "male": (0.31, 0.38)}


@dataclass(frozen=True)
class Phenotypes:
    """What the body model is asked for; all but sex, age and weight lie in [0, 1].

    Parameters
    ----------
    sex, age_years
        Recorded with the subject.
    height, weight, muscle, proportions
        The model's scales; 0.5 is average for the age and sex.
    ancestry
        Shares of the model's three ancestral shapes.
    """

    sex: Sex
    age_years: float
    height: float
    weight: float
    muscle: float
    proportions: float
    ancestry: tuple[float, float, float]


def sample_phenotypes(
    model: BodyModel, sex: Sex, age_years: float, generator: np.random.Generator
) -> Phenotypes:
    """Draw the phenotypes of a subject of given sex and age.

    Height, muscle and proportions follow the body model's distributions, which were calibrated to growth
    charts.
    """
    age = model_age(model, age_years)

    def conditional(name: str) -> float:
        ages, alpha, beta = model.distributions[f"beta_{sex}_{name}"]
        return float(generator.beta(np.interp(age, ages, alpha), np.interp(age, ages, beta)))

    shares = generator.dirichlet([1.0, 1.0, 1.0])
    return Phenotypes(
        sex=sex,
        age_years=age_years,
        height=conditional("height"),
        weight=sample_weight(sex, age_years, generator),
        muscle=conditional("muscle"),
        proportions=conditional("proportions"),
        ancestry=(float(shares[0]), float(shares[1]), float(shares[2])),
    )


def sample_weight(sex: Sex, age_years: float, generator: np.random.Generator) -> float:
    """Draw the weight of a body on the model's scale, from 0 to ``MAXIMUM_WEIGHT``."""
    mean = float(np.interp(age_years, WEIGHT_YEARS, MEAN_WEIGHT[sex])) / MAXIMUM_WEIGHT
    spread = float(np.interp(age_years, WEIGHT_SD_YEARS, WEIGHT_SD[sex])) / MAXIMUM_WEIGHT
    concentration = mean * (1.0 - mean) / spread**2 - 1.0
    return MAXIMUM_WEIGHT * float(generator.beta(mean * concentration, (1.0 - mean) * concentration))


def shape_coefficients(model: BodyModel, phenotypes: Phenotypes) -> Array:
    """Shape coefficients of phenotypes: the body model's products of interpolation weights, projected."""
    scales = {
        "gender": (float(phenotypes.sex == "female"), np.linspace(0, 1, 2)),
        "age": (model_age(model, phenotypes.age_years), AGE_ANCHORS),
        **{
            name: (getattr(phenotypes, name, 0.5), np.linspace(0.0, 1.0, VARIATIONS[name]))
            for name in ("muscle", "weight", "height", "proportions", "cupsize", "firmness")
        },
    }
    variations = np.concatenate(
        [
            np.asarray(phenotypes.ancestry),
            *[_interpolation_weights(float(value), anchors) for value, anchors in scales.values()],
        ]
    )
    blend = np.where(model.blend_mask, variations, 1.0).prod(axis=1)
    return np.asarray(blend @ model.shape_from_blend + model.shape_offset)


def model_age(model: BodyModel, age_years: float) -> float:
    """Years on the body model's scale of age."""
    anchors = model.distributions
    return float(np.interp(age_years, anchors["age_anchor_years"], anchors["age_anchor_model"]))


def _interpolation_weights(value: float, anchors: npt.NDArray[np.float64]) -> Array:
    """Weights of the two anchors around, or nearest to, a value; they sum to one and continue linearly."""
    upper = int(np.clip(np.searchsorted(anchors, value), 1, len(anchors) - 1))
    share = (value - anchors[upper - 1]) / (anchors[upper] - anchors[upper - 1])
    weights = np.zeros(len(anchors))
    weights[upper - 1], weights[upper] = 1.0 - share, share
    return weights
