"""Spaces of embeddings: directions from their mean, and back."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from scldm.voice.space import AXES, fit_space, fit_untold, seen


def test_directions_are_from_the_mean_and_placed_back() -> None:
    z = 5 + torch.randn(100, 8) * torch.rand(8)
    space = fit_space(z)
    torch.testing.assert_close(space.mean, z.mean(0))
    assert space.length.item() == pytest.approx((z - z.mean(0)).norm(dim=1).mean().item(), rel=1e-5)
    directions = space.direction(z)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(100))
    torch.testing.assert_close(space.direction(space.place(directions)), directions)


def test_what_all_share_does_not_count() -> None:
    z = torch.randn(50, 6)
    torch.testing.assert_close(
        fit_space(z).direction(z), fit_space(z + 100).direction(z + 100), rtol=1e-3, atol=1e-3
    )


def test_a_faces_embedding_has_rms_one() -> None:
    z = torch.randn(50, 6)
    v = seen(fit_space(z), z)
    torch.testing.assert_close(v.square().mean(1), torch.ones(50))


def test_what_faces_do_not_tell_is_the_spread_about_them() -> None:
    g = torch.Generator().manual_seed(0)
    ours = F.normalize(torch.randn(4000, 20, generator=g), dim=1)
    spread = torch.tensor([0.5, 0.3] + [0.0] * 18)
    true = 0.7 * ours + spread * torch.randn(4000, 20, generator=g)
    found = fit_untold(0.7, ours, true, 1.0)
    assert found.axes.shape == (AXES, 20) and found.told == pytest.approx(0.7)
    torch.testing.assert_close(found.axes.norm(dim=1)[:3], spread[:3], atol=0.02, rtol=0)
    assert found.axes[0].abs().argmax() == 0 and found.axes[1].abs().argmax() == 1
    half = fit_untold(0.7, ours, true, 0.5).axes
    torch.testing.assert_close(half.abs(), 0.5 * found.axes.abs())
    assert len(fit_untold(0.7, ours, true, 0.0).axes) == 0


def test_an_adapter_that_is_worse_than_nothing_tells_nothing() -> None:
    ours, true = torch.eye(4), -torch.eye(4)
    assert fit_untold(-1.0, ours, true, 0.0).told == 0
