"""Laws of retrieval: a copy is first, strangers are at chance, parts change nothing."""

from __future__ import annotations

import time

import pytest
import torch

from scldm.core.errors import InputError
from scldm.evaluation import retrieval
from scldm.evaluation.retrieval import ranks, recall, usable


def rows(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_hand_computed_ranks() -> None:
    gallery = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    queries = torch.tensor([[2.0, 0.1], [2.0, 0.1], [0.0, 5.0], [0.0, -1.0]])
    owner = torch.tensor([0, 1, 2, 3])
    assert ranks(queries, gallery, owner).tolist() == [0, 1, 0, 0.5]  # a tie counts half


def test_a_copy_is_first() -> None:
    gallery = rows(300, 16, 0)
    rank = ranks(5 * gallery, gallery, torch.arange(300))
    assert recall(rank, 300, 1).mean() == 1


def test_strangers_are_at_chance() -> None:
    rank = ranks(rows(4000, 16, 0), rows(100, 16, 1), torch.arange(4000) % 100)
    for k in (1, 10, 50):
        assert recall(rank, 100, k).mean().item() == pytest.approx(k / 100, abs=0.035)


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery, owner = rows(50, 8, 0), rows(20, 8, 1), torch.arange(50) % 20
    whole = ranks(queries, gallery, owner)
    monkeypatch.setattr(retrieval, "PART", 7)
    assert torch.equal(ranks(queries, gallery, owner), whole)


def test_a_gallery_that_is_too_small_is_one_line() -> None:
    with pytest.raises(InputError, match="R@10 needs a gallery of 10 people; there are 9"):
        recall(torch.zeros(3), 9, 10)
    assert usable(30) == [1, 5, 10, 25]


def test_five_thousand_against_five_thousand_takes_seconds() -> None:
    began = time.perf_counter()
    ranks(rows(5000, 512, 0), rows(5000, 512, 1), torch.arange(5000))
    assert time.perf_counter() - began < 30
