"""Hand-computed distances, and their laws."""

from __future__ import annotations

import pytest
import torch

from scldm.evaluation.distances import distances


def test_hand_computed() -> None:
    found = distances(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]]))
    assert {name: round(x.item(), 4) for name, x in found.items()} == {
        "L1 raw": 5.0, "L2 raw": round(13**0.5, 4), "L1 normalised": 0.8,
        "L2 normalised": round((0.36 + 0.04) ** 0.5, 4), "cos": 36.8699, "cos similarity": 0.8,
    }  # fmt: skip


def test_a_copy_is_at_no_distance() -> None:
    rows = torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    found = distances(rows, rows)
    assert found.pop("cos similarity").min() > 1 - 1e-6
    assert found.pop("cos").max() < 0.1  # degrees, in single precision
    assert max(x.max() for x in found.values()) == 0


@pytest.mark.parametrize("name", ["L1 normalised", "L2 normalised", "cos", "cos similarity"])
def test_length_counts_in_the_raw_ones_alone(name: str) -> None:
    a, b = torch.randn(2, 10, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(distances(3 * a, b)[name], distances(a, b)[name])
    assert not torch.allclose(distances(3 * a, b)["L1 raw"], distances(a, b)["L1 raw"])
