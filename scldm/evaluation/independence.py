"""How far K embeddings are from independent: three estimates of Eq. 7 of seed 000, in nats.

The D dimensions of K embeddings are read as D draws of K scalar variables, and the divergence
KL(joint density || product of the marginal ones) is estimated. It grows with K, and each estimator
has its own bias: values of different K, D or estimators do not compare.

An estimator takes embeddings (N, D) and tuples (T, K) of their rows, and gives (T,). Below them:
which tuples are drawn, and how the mean over tuples of strangers varies.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from scldm.core.errors import InputError

BLOCK = 4_000_000  # kernel values held at a time
COMPONENTS = range(1, 5)  # of a mixture
SINGULAR = 1e-12  # the least eigenvalue of a cosine Gram matrix that rounding leaves alone


def kde(rows: np.ndarray, tuples: np.ndarray) -> np.ndarray:
    """By kernel densities, a plug-in: every draw counts in its own density (seed 000, Eq. 7).

    Gaussian kernels of width h = D^(-1/(K+4)) on standardised rows; the same h for the joint and
    the marginal densities. Independent embeddings too give more than 0 (2.56 at K = 8, D = 192),
    which is why only ratios of it mean something.
    """
    draws, k = rows.shape[1], tuples.shape[1]
    width = draws ** (-1 / (k + 4))
    scaled = standardised(rows)
    alone = np.full(len(rows), np.nan)
    for row in np.unique(tuples):
        alone[row] = _mean_log_kernels(scaled[[row]], width)
    joint = np.array([_mean_log_kernels(scaled[group], width) for group in tuples])
    return joint - alone[tuples].sum(axis=1) + (k - 1) * np.log(draws)


def gmm(
    rows: np.ndarray, tuples: np.ndarray, components: Sequence[int] = COMPONENTS
) -> np.ndarray:
    """By a Gaussian mixture of the joint density, its marginals taken from the same mixture.

    Full covariances; as many of the `components`, tried in order, as have the least BIC until it
    rises.
    """
    scaled = standardised(rows)
    return np.array([_of_mixture(scaled[group].T, components) for group in tuples])


def gaussian(rows: np.ndarray, tuples: np.ndarray) -> np.ndarray:
    """-1/2 log det of the cosine Gram matrix: exact for jointly Gaussian draws of mean 0.

    Not invariant to a shift, unlike the others. Raises InputError for embeddings that are copies
    or otherwise linearly dependent, whose I is infinite.
    """
    if tuples.shape[1] > rows.shape[1]:
        raise InputError(f"{tuples.shape[1]} embeddings of {rows.shape[1]} dimensions are linearly "
                         "dependent: take a smaller k, or the estimator kde")  # fmt: skip
    unit, found = directions(rows), []
    for group in tuples:
        eigenvalues = np.linalg.eigvalsh(unit[group] @ unit[group].T)
        if eigenvalues[0] < SINGULAR:
            names = ", ".join(map(str, group))
            raise InputError(f"embeddings {names} (rows from 0) are linearly dependent, as copies "
                             "are: remove copies, or take the estimator kde")  # fmt: skip
        found.append(-0.5 * np.log(eigenvalues).sum())
    return np.array(found)


ESTIMATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "kde": kde, "gmm": gmm, "gaussian": gaussian,
}  # fmt: skip


def directions(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) at length 1, of any finite size; none may be zero."""
    scaled = rows / np.abs(rows).max(axis=1, keepdims=True)  # else squares overflow
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def standardised(rows: np.ndarray) -> np.ndarray:
    """Rows (N, D) with mean 0 and variance 1 each; raises InputError naming a constant row."""
    unit = directions(rows)
    centred = unit - unit.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    flat = np.flatnonzero(spread < 1e-12)
    if len(flat):
        raise InputError(f"embedding {flat[0]} (rows from 0) has the same value in every dimension "
                         "and so no density: remove it")  # fmt: skip
    return centred / spread


def _mean_log_kernels(sample: np.ndarray, width: float) -> float:
    """Mean over draws n of log sum_m prod_k exp(-((s_kn - s_km) / h)^2 / 2); sample (K, D)."""
    points = sample.T / width  # (D, K)
    half = 0.5 * (points**2).sum(axis=1)
    total = 0.0
    step = max(1, BLOCK // len(points))
    for start in range(0, len(points), step):
        exponent = points[start : start + step] @ points.T
        exponent -= half
        exponent -= half[start : start + step, None]
        total += np.log(np.exp(exponent, out=exponent).sum(axis=1)).sum()
    return total / len(points)


def _of_mixture(draws: np.ndarray, components: Sequence[int]) -> float:
    """Mean over draws (D, K) of log p(joint) - sum_k log p(k)."""
    model = _mixture(draws, components)
    weight = np.log(model.weights_)  # (C,)
    variance = np.diagonal(model.covariances_, axis1=1, axis2=2)  # (C, K)
    gap = draws[:, None] - model.means_  # (D, C, K)
    alone = weight[:, None] - 0.5 * (gap**2 / variance + np.log(2 * np.pi * variance))
    return float(np.mean(model.score_samples(draws) - logsumexp(alone, axis=1).sum(axis=1)))


def _mixture(draws: np.ndarray, components: Sequence[int]) -> Any:
    """The mixture of least BIC; its k-means starts are drawn from a fixed seed."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    best, least = None, np.inf
    for count in (n for n in components if n <= len(draws)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # BIC judges what was reached
            model = GaussianMixture(count, random_state=0).fit(draws)
        bic = model.bic(draws)
        if bic >= least:
            break
        best, least = model, bic
    return best


def intra_tuples(
    own: list[np.ndarray], k: int, limit: int, rng: np.random.Generator
) -> np.ndarray:
    """(T, k) rows, distinct tuples of one identity each, T <= limit; as many an identity as can be.

    Those of one identity share no row before all its rows are used.
    """
    full = [rows for rows in own if len(rows) >= k]
    if len(full) > limit:
        full = [full[n] for n in rng.permutation(len(full))[:limit]]
    found: list[tuple[int, ...]] = []
    for rows in full:
        mine: set[tuple[int, ...]] = set()
        wanted = min(limit // len(full), math.comb(len(rows), k))
        while len(mine) < wanted:
            mixed = rng.permutation(len(rows))
            for start in range(0, len(rows) - k + 1, k):
                if len(mine) < wanted:
                    mine.add(tuple(sorted(mixed[start : start + k])))
        found += [tuple(rows[list(places)]) for places in sorted(mine)]
    return np.array(found)


def inter_tuples(
    own: list[np.ndarray], k: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """(count, k) rows of k identities each; none comes again before nearly all have come."""
    found: list[list[int]] = []
    while len(found) < count:
        mixed = rng.permutation(len(own))
        for start in range(0, len(own) - k + 1, k):
            drawn = mixed[start : start + k]
            found.append([own[one][rng.integers(len(own[one]))] for one in drawn])
    return np.array(found[:count])


def strangers(values: np.ndarray, members: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """How the mean of I over tuples of different identities varies with who was drawn.

    values (T,); members (T, K): who of `count` identities. Returns what one more of an identity
    adds to the mean (count,), and the standard deviation of the rest.

    The mean is an incomplete U-statistic of degree K. Products of resampling counts over K members
    would leave a few tuples of weight, so it is resampled by Hoeffding's decomposition: the first
    order by identity, shrunk to the variance that it has without the noise of a finite pool; the
    rest as normal noise, with the variance of terms of two identities in this pool, where a pair
    that comes m times counts m^2.
    """
    size, k = members.shape
    mean, total = values.mean(), values.var()
    times = np.bincount(members.ravel(), minlength=count)
    sums = np.bincount(members.ravel(), np.repeat(values - mean, k), minlength=count)
    gap = sums / np.maximum(times, 1)
    seen = times > 0
    rare, raw = (1 / times[seen]).mean(), (gap[seen] ** 2).mean()
    if rare == 1 or raw == 0:
        first = 0.0
    else:
        first = min(max((raw - total * rare) / (1 - rare), 0.0), total / k)
    effect = k / count * gap * np.sqrt(first / raw) if first else np.zeros(count)
    ordered, (a, b) = np.sort(members, axis=1), np.triu_indices(k, 1)
    pairs = (ordered[:, a].astype(np.int64) * count + ordered[:, b]).ravel()
    again = np.unique(pairs, return_counts=True)[1]
    repeats = (again**2).sum() / again.sum()
    return effect, float(np.sqrt((total - k * first) * repeats / size))
