"""The linear shape model: principal components of vertices, and what ridge regression makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.dxa.tasks.linear import Matrix, PrincipalComponents, Ridge, mean_r2

Array = NDArray[np.float32]

_SHAPE_COUNTS = (4, 8, 16, 32, 64)
_PENALTIES = tuple(10.0**power for power in range(-3, 5))


@dataclass(frozen=True)
class ShapeRegression:
    """Values from vertices.

    Attributes
    ----------
    shapes
        Principal components of train surfaces.
    count
        How many are used.
    ridge
        From their scores to the values.
    """

    shapes: PrincipalComponents
    count: int
    ridge: Ridge

    @classmethod
    def fit(
        cls, vertices: Array, values: Matrix, validation_vertices: Array, validation_values: Matrix
    ) -> ShapeRegression:
        """Ridge from shape scores to (n, k) values; number of components and penalty chosen on validation."""
        shapes = PrincipalComponents.fit(vertices, max(_SHAPE_COUNTS))
        scores, held_out = shapes.scores(vertices), shapes.scores(validation_vertices)
        most = len(shapes.directions)
        candidates = [
            cls(shapes, count, Ridge.fit(scores[:, :count], values, penalty))
            for count in sorted({min(count, most) for count in _SHAPE_COUNTS})
            for penalty in _PENALTIES
        ]
        varying = np.ptp(validation_values, axis=0) > 0
        return max(
            candidates,
            key=lambda one: mean_r2(
                validation_values[:, varying], one.ridge.predict(held_out[:, : one.count])[:, varying]
            ),
        )

    def predict(self, vertices: Array) -> Matrix:
        """(n, k) values of (n, v, 3) surfaces."""
        return self.ridge.predict(self.shapes.scores(vertices, self.count))


@dataclass(frozen=True)
class LinearGenerator:
    """Scans from vertices: shape scores, ridge, principal scores of scans, scan.

    Attributes
    ----------
    scans
        Principal components of train scans.
    regression
        From surfaces to their leading scores; none for the mean scan.
    """

    scans: PrincipalComponents
    regression: ShapeRegression | None
    shape: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        count: int,
        train: tuple[Array, Array],
        validation: tuple[Array, Array],
    ) -> LinearGenerator:
        """At most `count` components of scans; `train` and `validation` are surfaces and scans.

        Scores are standardised by the ridge, so components of little variance weigh as much in the choice of
        its penalty as large ones.
        """
        (vertices, scans), (validation_vertices, validation_scans) = train, validation
        components = PrincipalComponents.fit(scans, max(count, 1))
        if not count:
            return cls(components, None, scans.shape[1:])
        regression = ShapeRegression.fit(
            vertices, components.scores(scans), validation_vertices, components.scores(validation_scans)
        )
        return cls(components, regression, scans.shape[1:])

    def predict(self, vertices: Array) -> Array:
        """(n, 6, height, width) counts of (n, v, 3) surfaces."""
        flat = np.tile(self.scans.mean, (len(vertices), 1))
        if self.regression is not None:
            scores = self.regression.predict(vertices).astype(np.float32)
            flat += scores @ self.scans.directions
        return flat.reshape(len(vertices), *self.shape)
