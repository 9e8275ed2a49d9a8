"""Laws of the nearest neighbour: a copy is at 0, scale does not matter, parts change nothing."""

from __future__ import annotations

import pytest
import torch

from scldm.evaluation import nearest as module
from scldm.evaluation.nearest import nearest


def test_hand_computed_distances() -> None:
    gallery = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    asked = torch.tensor([[3.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [0.0, -5.0]])
    distance, index = nearest(asked, gallery)
    assert torch.allclose(distance, torch.tensor([0.0, 1 - 0.5**0.5, 1.0, 1.0]), atol=1e-6)
    assert index.tolist()[0] == 0 and index.tolist()[2] == 1 and index.tolist()[3] == 0


def test_each_row_finds_its_copy_whatever_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    whole = nearest(rows[::2] * 7, rows)
    assert whole[1].tolist() == list(range(0, 50, 2)) and whole[0].abs().max() < 1e-6
    monkeypatch.setattr(module, "PART", 3)
    again = nearest(rows[::2] * 7, rows)
    assert torch.equal(again[1], whole[1]) and torch.allclose(again[0], whole[0], atol=1e-6)
