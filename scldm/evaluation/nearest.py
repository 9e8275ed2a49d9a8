"""Nearest neighbours by features: for memorisation, retrieval, and labels of what is alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PART = 1024  # rows compared at a time


def nearest(features: Tensor, gallery: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine distance to the nearest row of a gallery, and its index.

    features (N, w), gallery (M, w) -> distances (N,) in [0, 2], indices (N,). Memory does not grow
    with N.
    """
    wanted = F.normalize(gallery, dim=1).T
    parts = [
        (F.normalize(part, dim=1) @ wanted).max(dim=1) for part in features.split(PART)
    ]
    return 1 - torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])
