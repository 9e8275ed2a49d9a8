"""Where embeddings lie: directions from their mean, and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

AXES = 16  # of the speakers' spread, at most


@dataclass(frozen=True)
class Space:
    """A cloud of embeddings: its mean (D,), and the length of what stands for a member.

    What all members share says nothing of one of them, so directions are taken from the mean.
    """

    mean: Tensor
    length: Tensor  # ()

    def direction(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, D) as directions from the mean, (B, D) of length 1."""
        return F.normalize(embeddings.float() - self.mean, dim=1)

    def place(self, directions: Tensor) -> Tensor:
        """The embeddings (B, D) of directions (B, D)."""
        return self.mean + self.length * directions

    def to(self, device: torch.device) -> Space:
        """The same on a device."""
        return Space(self.mean.to(device), self.length.to(device))


def fit_space(embeddings: Tensor) -> Space:
    """The space of embeddings (N, D): the length is their mean distance from the mean."""
    mean = embeddings.double().mean(dim=0)
    length = (embeddings.double() - mean).norm(dim=1).mean()
    return Space(mean.float(), length.float())


@dataclass(frozen=True)
class Untold:
    """What a face does not tell of a speaker.

    told (): how far along the adapter's direction a voice is placed, of the mean distance of true
    speakers: as far as what it says of pitch, formants, breath and rate fits best. axes (R, D):
    the main axes along which true speakers lie about it, each as long as its standard deviation;
    none: a face's voices differ by q(z|v) alone, as in the paper.
    """

    told: Tensor
    axes: Tensor

    def to(self, device: torch.device) -> Untold:
        """The same on a device."""
        return Untold(self.told.to(device), self.axes.to(device))


def fit_untold(told: float, ours: Tensor, true: Tensor, share: float) -> Untold:
    """From directions of the adapter and of true speakers, (N, D) each, of the same people.

    `share` of the spread is kept: 0 keeps no axes, 1 lets voices differ as speakers do.
    """
    told = max(told, 0.0)
    apart = (true - told * ours).double()
    _, size, axes = torch.linalg.svd(apart - apart.mean(0), full_matrices=False)
    std = size[:AXES] / len(apart) ** 0.5
    kept = (share * std[:, None] * axes[:AXES]).float()[: AXES if share else 0]
    return Untold(torch.tensor(told), kept.contiguous())


def seen(space: Space, z: Tensor) -> Tensor:
    """Z^f (B, F) as the adapter's v (B, F): its direction, with RMS 1 a coordinate."""
    return space.direction(z) * z.shape[1] ** 0.5
