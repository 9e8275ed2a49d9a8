"""Image quality: kernel distance on a judge's features, and whether a detector sees a face."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scldm.data.faces import detector, to_pixels
from scldm.evaluation.judges import Judge


def kid(judge: Judge, a: Tensor, b: Tensor) -> dict[str, float]:
    """Kernel distance on the judge's features (not Inception's: compare with nothing published)."""
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(len(a), len(b), 200)
    torch.manual_seed(0)
    metric = KernelInceptionDistance(_Features(judge), subsets=50, subset_size=size)
    for real, faces in ((True, a), (False, b)):
        for part in faces.split(100):
            metric.update(part, real=real)
    mean, spread = metric.compute()
    return {"value": mean.item(), "std_over_subsets": spread.item()}


class _Features(torch.nn.Module):
    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, faces: Tensor) -> Tensor:
        return self.judge(faces).features


def detected(faces: Tensor) -> np.ndarray:
    """Whether MTCNN finds a face in each, (N,) bool; a border is added as for any tight crop."""
    found = []
    for face in faces:
        picture = F.pad(face[None], (16,) * 4, mode="replicate")
        picture = F.interpolate(picture, (192, 192), mode="bicubic")
        boxes, _ = detector().detect(to_pixels(picture)[0].permute(1, 2, 0).numpy())
        found.append(boxes is not None)
    return np.array(found)
