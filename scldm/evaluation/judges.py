"""Judges: networks that never took part in making portraits and say what they see in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from scldm.core.artifact import check_hashes
from scldm.encoders.attributes import AGE_BANDS, FaceAttributes
from scldm.encoders.bundle import load_network

BUNDLED_JUDGE = Path(__file__).parents[1] / "bundled" / "judge"


@dataclass(frozen=True)
class Judgement:
    """What a judge says of B faces: features (B, w); gender (B,) 0 F, 1 M; age (B,) in years."""

    features: Tensor
    gender: Tensor
    age: Tensor


class Judge(Protocol):
    """Faces (B, 3, S, S) in [-1, 1] of any side -> Judgement."""

    def __call__(self, faces: Tensor) -> Judgement: ...


class BundledJudge:
    """The ResNet that comes with the package: gender and age band, trained on real faces."""

    def __init__(self, folder: Path = BUNDLED_JUDGE) -> None:
        check_hashes(folder)
        self.network = load_network(FaceAttributes, folder)

    @torch.no_grad()
    def __call__(self, faces: Tensor) -> Judgement:
        said = [self.network(part) for part in faces.split(64)]
        middles = torch.tensor([low + 5.0 for low in AGE_BANDS])
        age = torch.cat([s.age.softmax(dim=1) for s in said]) @ middles
        return Judgement(
            torch.cat([s.features for s in said]),
            torch.cat([s.gender for s in said]).argmax(dim=1), age,
        )


JUDGES: dict[str, tuple[Callable[[], Judge], str]] = {  # name: how it is made, layer of features
    "bundled": (BundledJudge, "pooled features of its ResNet"),
}
