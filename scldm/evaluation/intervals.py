"""Intervals: 95 % by bootstrap over identities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; n: identities."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


def bootstrap(values: np.ndarray, people: np.ndarray, rounds: int = 2000) -> Estimate:
    """Mean of `values` (rows,) over rows, resampling whole identities `people` (rows,)."""
    _, index = np.unique(people, return_inverse=True)
    count = np.bincount(index).astype(float)
    total = np.bincount(index, weights=np.asarray(values, dtype=float))
    drawn = np.random.default_rng(0).integers(len(count), size=(rounds, len(count)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(np.mean(values)), float(low), float(high), len(count))
