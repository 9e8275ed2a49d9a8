"""Distances between the features of a portrait and of the true face (seed 003, Tables 2 to 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def distances(made: Tensor, true: Tensor) -> dict[str, Tensor]:
    """By name, (N,) each, of features (N, w): lower is nearer, but for "cos similarity".

    L1 and L2 of the features as they are ("raw") and of length 1 ("normalised"); the angle
    between them in degrees ("cos", the paper's) and its cosine.
    """
    a, b = F.normalize(made, dim=1), F.normalize(true, dim=1)
    cosine = (a * b).sum(dim=1).clamp(-1, 1)
    return {
        "L1 raw": (made - true).abs().sum(dim=1),
        "L2 raw": (made - true).norm(dim=1),
        "L1 normalised": (a - b).abs().sum(dim=1),
        "L2 normalised": (a - b).norm(dim=1),
        "cos": torch.rad2deg(torch.acos(cosine)),
        "cos similarity": cosine,
    }
