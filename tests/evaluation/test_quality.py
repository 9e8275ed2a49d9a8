"""Laws of image quality: distances are none between like sets, grow with a shift, and cover."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scldm.core.errors import InputError
from scldm.evaluation.quality import detected, fid, jackknife, kid


def features(count: int, shift: float, seed: int, width: int = 6) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift


def test_like_sets_are_near_and_others_far() -> None:
    real = features(300, 0, 0)
    same, near, far = (kid(real, features(300, shift, 1)) for shift in (0.0, 0.3, 1.0))
    assert abs(same) < 0.02 < near < far


def test_fid_is_the_frechet_distance_of_two_gaussians() -> None:
    a, b = features(500, 0, 0).double(), 2 * features(400, 1, 1).double()
    means = [x.mean(0) for x in (a, b)]
    spreads = [torch.cov(x.T) for x in (a, b)]
    values = torch.linalg.eigvals(spreads[0] @ spreads[1]).real
    wanted = (means[0] - means[1]).square().sum() + sum(s.trace() for s in spreads)
    wanted -= 2 * values.sqrt().sum()
    assert fid(a.float(), b.float()) == pytest.approx(wanted.item(), rel=1e-4)


def test_fid_is_refused_where_it_means_nothing() -> None:
    with pytest.raises(InputError, match="more than 6 pictures of each kind; there are 300 real"):
        fid(features(300, 0, 0), features(6, 0, 1))
    with pytest.raises(InputError, match="no FID of 1025 features"):
        fid(features(2, 0, 0, 1025), features(2, 0, 0, 1025))


def test_the_jackknife_covers_the_truth() -> None:
    """The squared distance of means has a known value: 6 of unit shifts, and 6 / 200 of noise."""

    def metric(real: torch.Tensor, made: torch.Tensor) -> float:
        return float((made.mean(0) - real.mean(0)).square().sum())

    people, inside = np.arange(400), 0
    for seed in range(60):
        sets = features(200, 0, seed), features(200, 1, 1000 + seed)
        found = jackknife(metric, *sets, people[:200], people[200:])
        assert found.value == metric(*sets) and found.n == 200
        inside += found.low <= 6 + 12 / 200 <= found.high
    assert inside >= 51  # of 60; 95 % is 57


def test_no_face_is_seen_in_a_plain_picture() -> None:
    assert not detected(torch.zeros(2, 3, 64, 64)).any()
