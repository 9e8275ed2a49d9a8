"""Many portraits at once, and pictures of many faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image

from scldm.core.artifact import staged
from scldm.generation.pipeline import SpeechToFacePipeline


def draw_portraits(
    pipeline: SpeechToFacePipeline, speech: Tensor, count: int, **sampling: Any
) -> Tensor:
    """`count` portraits of each Z^s (M, d), each from its own noise: faces (count M, 3, S, S)."""
    parts = []
    for k in range(count):
        for start in range(0, len(speech), 64):
            part = speech[start : start + 64]
            seeds = range(k * len(speech) + start, k * len(speech) + start + len(part))
            noise = torch.cat([pipeline.noise(seed, 0) for seed in seeds])
            parts.append(pipeline.decode(pipeline.sample_latents(part, noise, **sampling)))
    return torch.cat(parts)


def save_grid(faces: Tensor, columns: int, path: Path) -> None:
    """Faces (N, 3, S, S) in [-1, 1] as one picture."""
    picture = make_grid(faces, columns, normalize=True, value_range=(-1, 1))
    with staged(path) as part:
        save_image(picture, part, format="png")
