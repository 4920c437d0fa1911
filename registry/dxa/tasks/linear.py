"""Linear references: principal components of scans, and ridge regression on their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class PrincipalComponents:
    """Mean and leading directions of flattened scans.

    Attributes
    ----------
    mean
        (d,) mean scan.
    directions
        (k, d) orthonormal directions, largest variance first.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    @classmethod
    def fit(cls, scans: NDArray[np.float32], count: int) -> PrincipalComponents:
        """At most `count` directions of (n, ...) scans, of which there are n - 1 at the most.

        The eigenvectors come from the (n, n) Gram matrix, as a scan has far more pixels than there are scans.
        """
        flat = scans.reshape(len(scans), -1)
        mean = flat.mean(0, dtype=np.float64).astype(np.float32)
        centred = flat - mean
        values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
        order = np.argsort(values)[::-1][: min(count, len(scans) - 1)]
        order = order[values[order] > values.max() * 1e-9] if values.max() > 0 else order[:0]
        directions = (vectors[:, order] / np.sqrt(values[order])).T.astype(np.float32) @ centred
        return cls(mean, directions)

    def scores(self, scans: NDArray[np.float32], count: int | None = None) -> Matrix:
        """(n, k) coordinates of (n, ...) scans along the first `count` directions."""
        flat = scans.reshape(len(scans), -1) - self.mean
        return np.asarray(flat @ self.directions[:count].T, np.float64)

    def reconstruct(self, scans: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """The scans as their first `count` components show them."""
        scores = self.scores(scans, count).astype(np.float32)
        return np.asarray((scores @ self.directions[:count] + self.mean).reshape(scans.shape), np.float32)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression on standardised inputs, for several standardised targets at once.

    Attributes
    ----------
    centre, scale
        (k,) of the inputs.
    coefficients, intercept
        (k, m) and (m,), in the units of the targets.
    """

    centre: Matrix
    scale: Matrix
    coefficients: Matrix
    intercept: Matrix

    @classmethod
    def fit(cls, inputs: Matrix, targets: Matrix, penalty: float) -> Ridge:
        """Minimise squared error + `penalty` x squared coefficients of standardised inputs and targets."""
        centre, scale = inputs.mean(0), inputs.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        standard = (inputs - centre) / scale
        intercept = targets.mean(0)
        gram = standard.T @ standard + penalty * np.eye(standard.shape[1])
        coefficients = np.linalg.solve(gram, standard.T @ (targets - intercept))
        return cls(centre, scale, coefficients, intercept)

    def predict(self, inputs: Matrix) -> Matrix:
        """(n, m) predictions for (n, k) inputs."""
        return np.asarray((inputs - self.centre) / self.scale @ self.coefficients + self.intercept)


def mean_r2(targets: Matrix, predictions: Matrix) -> float:
    """1 - SSE / SST per column, averaged over columns.

    Examples
    --------
    >>> mean_r2(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]]))
    0.0
    """
    residual = np.square(targets - predictions).sum(0)
    total = np.square(targets - targets.mean(0)).sum(0)
    return float(np.mean(1 - residual / total))
