"""Laws of the noise paths: variance, Eq. 4 as printed, targets, and diffusers' schedulers on them.

(seed 003, Eqs. 4 and 6.)
"""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from scldm.diffusion.path import SAMPLERS, NoisePath, Schedule, make_scheduler, noise_path

SCHEDULES = get_args(Schedule)
G = torch.Generator().manual_seed(0)
Z0 = torch.randn(5, 4, 4, 4, generator=G, dtype=torch.float64)
EPS = torch.randn(5, 4, 4, 4, generator=G, dtype=torch.float64)
T = torch.tensor([0, 10, 400, 700, 999])


def at(values: Tensor) -> Tensor:
    return values[T].reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_signal_falls_and_noise_rises(schedule: Schedule) -> None:
    path = noise_path(schedule)
    assert path.signal.shape == path.noise.shape == (1000,)
    assert path.signal.dtype == path.noise.dtype == torch.float64
    assert (path.signal.diff() < 0).all() and (path.noise.diff() > 0).all()
    assert path.signal[0] > 0.999 and path.signal[-1] < 0.07


@pytest.mark.parametrize("schedule", ["ldm", "cosine"])
def test_variance_is_preserved(schedule: Schedule) -> None:
    path = noise_path(schedule)
    one = torch.ones(1000, dtype=torch.float64)
    torch.testing.assert_close(path.signal**2 + path.noise**2, one, atol=1e-12, rtol=0)
    torch.testing.assert_close(path.scale, one, atol=1e-12, rtol=0)


def test_eq4_is_as_printed_and_does_not_preserve_variance() -> None:
    path = noise_path("eq4")
    a = at(noise_path("ldm").signal)
    assert torch.equal(path.add_noise(Z0, EPS, T), a * Z0 + (1 - a) * EPS)
    assert path.scale.min() < 0.71  # where a is a half


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_noise_is_added_sample_by_sample(schedule: Schedule) -> None:
    path = noise_path(schedule)
    z = path.add_noise(Z0.float(), EPS.float(), T)
    assert z.dtype == torch.float32
    for i, t in enumerate(T.tolist()):
        alone = path.signal[t] * Z0[i] + path.noise[t] * EPS[i]
        torch.testing.assert_close(z[i].double(), alone, atol=1e-6, rtol=0)


def test_epsilon_is_the_papers_target() -> None:
    assert noise_path("ldm").target(Z0, EPS, T, "epsilon") is EPS


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_v_and_the_noisy_latent_give_z0_and_eps_back(schedule: Schedule) -> None:
    path = noise_path(schedule)
    v, m = path.target(Z0, EPS, T, "v_prediction"), at(path.scale)
    a, s, z = at(path.signal) / m, at(path.noise) / m, path.add_noise(Z0, EPS, T) / m
    torch.testing.assert_close(a * z - s * v, Z0, atol=1e-12, rtol=0)
    torch.testing.assert_close(s * z + a * v, EPS, atol=1e-12, rtol=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_scheduler_is_on_its_path(schedule: Schedule, sampler: str) -> None:
    path = noise_path(schedule)
    theirs = make_scheduler(path, sampler, "epsilon").alphas_cumprod.double()
    torch.testing.assert_close(theirs, path.alphas_cumprod, atol=1e-6, rtol=0)
    torch.testing.assert_close(theirs, path.alphas_cumprod, atol=0, rtol=1e-3)  # 1 / a_T counts


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_scheduler_begins_at_the_last_time_and_ends_without_noise(sampler: str) -> None:
    path = noise_path("ldm")
    for steps in (5, 20, 50):
        scheduler = make_scheduler(path, sampler, "v_prediction")
        scheduler.set_timesteps(steps)
        assert len(scheduler.timesteps) == steps and int(scheduler.timesteps[0]) == 999
        assert scheduler.config.prediction_type == "v_prediction"
        if hasattr(scheduler, "sigmas"):
            assert scheduler.sigmas[-1] == 0


def test_eq4_is_a_variance_preserving_path_seen_through_a_factor() -> None:
    path = noise_path("eq4")
    behind = NoisePath(path.alphas_cumprod.sqrt(), (1 - path.alphas_cumprod).sqrt())
    seen = at(path.scale) * behind.add_noise(Z0, EPS, T)
    torch.testing.assert_close(seen, path.add_noise(Z0, EPS, T), atol=1e-12, rtol=0)


def test_fewer_times_end_in_less_noise() -> None:
    assert len(noise_path("ldm", 100).signal) == 100
    assert noise_path("ldm", 100).signal[-1] > noise_path("ldm").signal[-1]
