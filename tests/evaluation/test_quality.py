"""Laws of image quality: the kernel distance is none between like sets, and grows with a shift."""

from __future__ import annotations

import torch

from scldm.evaluation.judges import Judgement
from scldm.evaluation.quality import detected, kid


class Mean:
    """A judge whose features are the means of the colours, stretched."""

    def __call__(self, faces: torch.Tensor) -> Judgement:
        features = faces.mean((2, 3)).repeat(1, 4) * 3
        return Judgement(features, torch.zeros(len(faces)), torch.zeros(len(faces)))


def faces(count: int, shift: float, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    colours = 0.3 * torch.randn(count, 3, 1, 1, generator=g) + shift
    return colours.expand(-1, -1, 8, 8).clamp(-1, 1)


def test_like_sets_are_near_and_others_far() -> None:
    same = kid(Mean(), faces(300, 0.0, 0), faces(300, 0.0, 1))
    near = kid(Mean(), faces(300, 0.0, 0), faces(300, 0.1, 1))
    far = kid(Mean(), faces(300, 0.0, 0), faces(300, 0.4, 1))
    assert abs(same["value"]) < 3 * same["std_over_subsets"]
    assert same["value"] < near["value"] < far["value"]


def test_no_face_is_seen_in_a_plain_picture() -> None:
    assert not detected(torch.zeros(2, 3, 64, 64)).any()
