"""Image quality: distances between sets of features, and whether a detector sees a face."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scldm.core.errors import InputError
from scldm.core.seeding import numpy_generator
from scldm.data.faces import detector, to_pixels
from scldm.evaluation.intervals import Estimate

GROUPS = 20  # of people, each left out once
LARGEST_SUBSET = 200
WIDEST = 1024  # features


def kid(real: Tensor, made: Tensor) -> float:
    """Kernel distance between features (N, w) and (M, w): the mean over 50 subsets.

    Of a judge's features, not of Inception's: to be compared with nothing published.

    Raises InputError for fewer than two rows of a kind.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(len(real), len(made), LARGEST_SUBSET)
    if size < 2:
        raise InputError("KID needs pictures of several people of each kind, also when some people "
                         f"are left out; there are {len(real)} real and {len(made)} made")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Metric `Kernel")  # it keeps features, which are small
        metric = KernelInceptionDistance(_Given(real.shape[1]), subsets=50, subset_size=size)
    metric.update(real, real=True)
    metric.update(made, real=False)
    return float(metric.compute()[0])


def fid(real: Tensor, made: Tensor) -> float:
    """Fréchet distance between features (N, w) and (M, w); of a judge's features, as `kid`.

    Raises InputError for fewer rows than a covariance of w features can bear, and for so many
    features that it would take minutes.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    width = real.shape[1]
    if width > WIDEST:
        raise InputError(f"no FID of {width} features; of {WIDEST} at most")
    if min(len(real), len(made)) <= width:
        raise InputError(f"FID of {width} features needs more than {width} pictures of each kind; "
                         f"there are {len(real)} real and {len(made)} made")
    metric = FrechetInceptionDistance(_Given(width))
    metric.update(real, real=True)
    metric.update(made, real=False)
    return float(metric.compute())


class _Given(torch.nn.Module):
    """Features as they are, where torchmetrics expects a network."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def jackknife(
    metric: Callable[[Tensor, Tensor], float], real: Tensor, made: Tensor,
    real_people: np.ndarray, made_people: np.ndarray,
) -> Estimate:
    """A distance between sets with its 95 % interval over identities.

    A bootstrap repeats rows, which such distances punish; so people are left out instead, in 20
    groups, and the spread of what is left is scaled up.
    """
    value = metric(real, made)
    people = np.unique(np.concatenate((real_people, made_people)))
    groups = np.array_split(numpy_generator(0, "jackknife").permutation(people), GROUPS)
    left = []
    for group in groups:
        if len(group):
            keep = [torch.from_numpy(~np.isin(p, group)) for p in (real_people, made_people)]
            left.append(metric(real[keep[0]], made[keep[1]]))
    spread = 1.96 * float((len(left) - 1) * np.var(left)) ** 0.5
    count = len(np.unique(made_people))
    return Estimate(value, value - spread, value + spread, count)


def detected(faces: Tensor) -> np.ndarray:
    """Whether MTCNN finds a face in each, (N,) bool; a border is added as for any tight crop."""
    found = []
    for face in faces:
        picture = F.pad(face[None], (16,) * 4, mode="replicate")
        picture = F.interpolate(picture, (192, 192), mode="bicubic")
        boxes, _ = detector().detect(to_pixels(picture)[0].permute(1, 2, 0).numpy())
        found.append(boxes is not None)
    return np.array(found)
