"""What speaker embeddings say of voices: recovered, ridge by held-out clips, and how far."""

from __future__ import annotations

import pytest
import torch

from scldm.core.errors import InputError
from scldm.voice.acoustics import VoiceParameters
from scldm.voice.regression import fit_regression, slope, to_row


def clips(count: int, noise: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (count, 10) and rows (count, 4) that follow from them, give or take `noise`."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 10, generator=g)
    weight = torch.randn(10, 4, generator=torch.Generator().manual_seed(9)) * 0.1
    middle = torch.tensor(to_row(VoiceParameters(150.0, 1.1, 0.3, 4.0)))
    return x, x @ weight + middle + noise * torch.randn(count, 4, generator=g)


def test_a_linear_voice_is_recovered_in_its_own_units() -> None:
    (x, y), held = clips(400, 0.0, 0), clips(50, 0.0, 1)
    found = fit_regression(x, y, *held)
    assert found.error.max() < 0.01
    for said, row in zip(held[0][:5], held[1][:5], strict=True):
        voice = found(said)
        assert to_row(voice) == pytest.approx(row.tolist(), abs=0.01)
        assert voice.f0 == pytest.approx(row[0].exp().item(), rel=0.01)


def test_clips_without_a_voice_do_not_count() -> None:
    (x, y), held = clips(400, 0.0, 0), clips(50, 0.0, 1)
    y[::3] = torch.nan
    x[::3] = 1e6
    assert fit_regression(x, y, *held).error.max() < 0.01
    with pytest.raises(InputError, match="at least two clips with speech"):
        fit_regression(x[::3], y[::3], *held)


def test_noise_is_answered_by_a_stronger_ridge() -> None:
    few, held = clips(12, 0.5, 2), clips(200, 0.5, 3)
    free = torch.linalg.lstsq(few[0] - few[0].mean(0), few[1] - few[1].mean(0)).solution
    error = ((held[0] - few[0].mean(0)) @ free + few[1].mean(0) - held[1]).square().mean().sqrt()
    assert fit_regression(*few, *held).error.mean() < error


def test_the_slope_is_what_stretches_the_said_to_the_true() -> None:
    g = torch.Generator().manual_seed(4)
    true = torch.randn(300, 4, generator=g) * torch.tensor([1.0, 0.1, 3.0, 0.5]) + 5
    assert slope(0.4 * true + 7, true) == pytest.approx(2.5)
    true[::2] = torch.nan
    assert slope(0.4 * true.nan_to_num() + 7, true) == pytest.approx(2.5)
    assert abs(slope(torch.randn(3000, 4, generator=g), torch.randn(3000, 4, generator=g))) < 0.05
