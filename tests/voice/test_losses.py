"""L_Spk: each term against hand-computed cases and laws."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from scldm.voice.losses import DynamicCentres, mmd, reconstruction


def test_reconstruction_is_one_less_the_cosine() -> None:
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    b = torch.tensor([[0.0, 2.0], [3.0, 3.0]])
    assert reconstruction(a, b).item() == pytest.approx(0.5)  # 1 - (0 + 1) / 2
    assert reconstruction(a, 7 * a).item() == pytest.approx(0.0, abs=1e-6)


def test_mmd_is_unbiased_for_the_prior_itself() -> None:
    g = torch.Generator().manual_seed(0)
    drawn = [
        mmd(torch.randn(64, 4, generator=g), torch.randn(64, 4, generator=g)) for _ in range(200)
    ]
    found = torch.stack(drawn)
    assert abs(found.mean()) < 3 * found.std() / 200**0.5


@pytest.mark.parametrize(("scale", "shift"), [(0.3, 0.0), (1.0, 1.0), (3.0, 0.0)])
def test_mmd_tells_another_distribution(scale: float, shift: float) -> None:
    g = torch.Generator().manual_seed(1)
    z = scale * torch.randn(256, 4, generator=g) + shift
    assert mmd(z, torch.randn(256, 4, generator=g)) > 0.02


def test_mmd_draws_an_aggregate_to_the_prior() -> None:
    g = torch.Generator().manual_seed(2)
    z = (0.2 * torch.randn(128, 2, generator=g) + 2).requires_grad_()
    adam = torch.optim.Adam([z], 0.05)
    for _ in range(400):
        adam.zero_grad()
        mmd(z, torch.randn(512, 2, generator=g)).backward()
        adam.step()
    assert z.mean(0).abs().max() < 0.2 and (z.std(0) - 1).abs().max() < 0.4


def test_a_new_identity_starts_at_its_mean_and_costs_its_spread() -> None:
    s = F.normalize(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), dim=1)
    centres = DynamicCentres(3, 2, 0.5)
    identity = torch.tensor([2, 2])
    middle = F.normalize(torch.ones(1, 2), dim=1)
    wanted = (s - middle).square().sum(1).mean() / 2  # Eq. 3
    torch.testing.assert_close(centres.loss(s, identity), wanted)
    centres.update(s, identity)
    torch.testing.assert_close(centres.centres[2], middle[0])
    assert centres.seen.tolist() == [False, False, True]


def test_a_known_centre_follows_by_alpha_and_stays_of_length_one() -> None:
    centres = DynamicCentres(1, 2, 0.25)
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    zero = torch.tensor([0])
    centres.update(first, zero)
    assert centres.loss(second, zero).item() == pytest.approx(1.0)  # |s - c|^2 / 2 of right angles
    centres.update(second, zero)
    torch.testing.assert_close(
        centres.centres[0], F.normalize(torch.tensor([0.75, 0.25]), dim=0)  # Eq. 4
    )


def test_the_centres_take_no_gradient_and_the_embeddings_do() -> None:
    centres = DynamicCentres(2, 3, 0.1)
    s = F.normalize(torch.randn(4, 3), dim=1).requires_grad_()
    identity = torch.tensor([0, 0, 1, 1])
    centres.update(s, identity)
    centres.loss(s, identity).backward()
    assert s.grad is not None and s.grad.abs().sum() > 0
    assert not centres.centres.requires_grad
