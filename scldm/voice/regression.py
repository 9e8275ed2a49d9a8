"""What a speaker embedding says of a voice, for synthesisers that know a few parameters only."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from scldm.core.errors import InputError
from scldm.voice.acoustics import VoiceParameters

RIDGE = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


@dataclass(frozen=True)
class Regression:
    """VoiceParameters from a speaker embedding: linear, in the logarithms of all but breath.

    weight (D, 4), bias (4,); error (4,): RMS of what it could not tell of held-out clips.
    """

    weight: Tensor
    bias: Tensor
    error: Tensor

    def __call__(self, embedding: Tensor) -> VoiceParameters:
        """embedding (D,) -> what its voice is like."""
        f0, formants, breath, rate = self.rows(embedding.cpu()).tolist()
        return VoiceParameters(math.exp(f0), math.exp(formants), breath, math.exp(rate))

    def rows(self, embeddings: Tensor) -> Tensor:
        """embeddings (..., D) -> as `to_row` has them, (..., 4) float64."""
        return embeddings.double() @ self.weight.double() + self.bias.double()


def to_row(voice: VoiceParameters) -> list[float]:
    """The four numbers that the regression is linear in."""
    return [math.log(voice.f0), math.log(voice.formants), voice.breath, math.log(voice.rate)]


def fit_regression(x: Tensor, y: Tensor, held_x: Tensor, held_y: Tensor) -> Regression:
    """Ridge regression of rows y (N, 4) on embeddings x (N, D), its strength chosen on held ones.

    Rows that hold NaN, of clips without a voice, are left out.
    Raises InputError where fewer than two are left on either side.
    """
    x, y, held_x, held_y = (t.double() for t in (*_known(x, y), *_known(held_x, held_y)))
    if min(len(x), len(held_x)) < 2:
        raise InputError("a voice's parameters need at least two clips with speech in train and "
                         "two in val")
    scale = y.std(0).clamp(min=1e-6)
    power = (x - x.mean(0)).square().sum().item() / min(x.shape)  # the mean squared singular value
    best: tuple[float, Regression] | None = None
    for strength in RIDGE:
        fit = Ridge(alpha=strength * power).fit(x.numpy(), y.numpy())
        error = (torch.from_numpy(fit.predict(held_x.numpy())) - held_y).square().mean(0).sqrt()
        total = (error / scale).square().sum().item()
        if best is None or total < best[0]:
            weight, bias = (torch.tensor(part).float() for part in (fit.coef_.T, fit.intercept_))
            best = total, Regression(weight, bias, error.float())
    assert best
    return best[1]


def slope(said: Tensor, true: Tensor) -> float:
    """By how much what is said of voices, rows (N, 4), is to be stretched about its mean to fit
    what was measured, (N, 4), best: one factor for all four, each by its standard deviation.

    Rows that hold NaN are left out.
    """
    x, y = (t.double() for t in _known(said, true))
    scale = y.std(0).clamp(min=1e-6)
    x, y = (x - x.mean(0)) / scale, (y - y.mean(0)) / scale
    return float((x * y).sum() / x.square().sum().clamp(min=1e-9))


def _known(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    keep = ~y.isnan().any(dim=1)
    return x[keep], y[keep]
