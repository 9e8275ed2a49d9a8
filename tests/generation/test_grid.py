"""Laws of many portraits: each is that of its own noise; a grid holds every face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scldm.generation.grid import draw_portraits, save_grid
from scldm.generation.pipeline import SpeechToFacePipeline


def test_each_portrait_is_that_of_its_number_and_clip(checkpoint: Path) -> None:
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    d = pipeline.prior.mean.numel()
    speech = torch.randn(3, d, generator=torch.Generator().manual_seed(0))
    made = draw_portraits(pipeline, speech, 2, steps=2)
    assert made.shape == (6, 3, 32, 32) and made.abs().max() <= 1
    alone = pipeline.decode(pipeline.sample_latents(speech[1:2], pipeline.noise(4, 0), steps=2))
    assert torch.allclose(made[4], alone[0], atol=1e-4)  # the second portrait of the second clip
    assert not torch.allclose(made[1], made[4], atol=1e-2)


def test_a_grid_holds_the_faces_in_rows(tmp_path: Path) -> None:
    faces = torch.full((5, 3, 8, 8), -1.0)
    faces[4] = 1.0
    save_grid(faces, 3, tmp_path / "grid.png")
    picture = np.asarray(Image.open(tmp_path / "grid.png"))
    assert picture.shape == (22, 32, 3)
    assert (picture[12:20, 12:20] == 255).all() and not picture[2:10, 2:10].any()
