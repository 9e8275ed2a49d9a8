"""Laws of sampling with the prior, under its two readings (seed 003, Eq. 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from scldm.diffusion.denoiser import build_denoiser
from scldm.diffusion.path import (
    SAMPLERS,
    NoisePath,
    Prediction,
    Schedule,
    make_scheduler,
    noise_path,
)
from scldm.diffusion.sampler import PriorMode, guided, sample

G = torch.Generator().manual_seed(0)
Z0 = torch.randn(2, 4, 4, 4, generator=G, dtype=torch.float64)
NOISE = torch.randn(2, 4, 4, 4, generator=G, dtype=torch.float64)
PRIOR = torch.randn(4, 4, 4, generator=G, dtype=torch.float64)
STEPS = 20

Denoise = Callable[[Tensor, Tensor], Tensor]


def run(
    denoise: Denoise, path: NoisePath, sampler: str, beta: float, mode: PriorMode = "input",
    prediction: Prediction = "epsilon", noise: Tensor = NOISE, prior: Tensor | None = PRIOR,
    steps: int = STEPS,
) -> Tensor:
    scheduler = make_scheduler(path, sampler, prediction)
    generator = torch.Generator().manual_seed(7)
    return sample(denoise, noise, path, scheduler, steps, prior, beta, mode, generator)


def oracle(path: NoisePath, beta: float, prediction: Prediction = "epsilon") -> Denoise:
    """Knows Z^0: the noise in the current Z^t, which it sees as Z^t + beta Z_prior."""

    def denoise(seen: Tensor, t: Tensor) -> Tensor:
        index = torch.tensor([int(t)])
        eps = (seen - beta * PRIOR - path.signal[index] * Z0) / path.noise[index]
        return path.target(Z0, eps, index, prediction)

    return denoise


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_input_mode_recovers_z0(schedule: Schedule, sampler: str, beta: float) -> None:
    path = noise_path(schedule)
    end = run(oracle(path, beta), path, sampler, beta)
    torch.testing.assert_close(end, Z0, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_v_prediction_recovers_z0_too(schedule: Schedule, sampler: str) -> None:
    path = noise_path(schedule)
    end = run(oracle(path, 0.3, "v_prediction"), path, sampler, 0.3, prediction="v_prediction")
    torch.testing.assert_close(end, Z0, atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", ["ldm", "eq4"])
def test_input_mode_shifts_what_is_seen_and_never_what_is_stepped(
    schedule: Schedule, sampler: str
) -> None:
    path = noise_path(schedule)

    def seen(beta: float) -> list[Tensor]:
        knows, log = oracle(path, beta), []

        def watch(z: Tensor, t: Tensor) -> Tensor:
            log.append(z)
            return knows(z, t)

        run(watch, path, sampler, beta)
        return log

    shifts = [b - a for a, b in zip(seen(0.0), seen(0.3), strict=True)]
    assert len(shifts) == STEPS
    for shift in shifts:
        torch.testing.assert_close(shift, (0.3 * PRIOR).expand_as(shift), atol=1e-5, rtol=0)


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_what_is_seen_first_is_noise_of_the_paths_size(schedule: Schedule) -> None:
    path, first = noise_path(schedule), []

    def watch(z: Tensor, t: Tensor) -> Tensor:
        first.append(z)
        return z

    for sampler in SAMPLERS:
        first.clear()
        run(watch, path, sampler, 0.0, steps=2)
        size = (first[0] / NOISE).mean().item()
        assert size == pytest.approx(path.scale[-1].item(), rel=3e-3)  # Euler's is sigma's share


def test_literal_mode_ends_shifted_by_beta_over_the_first_signal() -> None:
    path, beta = noise_path("ldm"), 0.01
    noise = path.signal[-1] * Z0 + path.noise[-1] * NOISE  # on the way from Z^0

    def end(beta: float, steps: int) -> Tensor:
        return run(lambda z, t: NOISE, path, "ddim", beta, "literal", noise=noise, steps=steps)

    for steps in (5, 20, 50):
        torch.testing.assert_close(end(0.0, steps), Z0, atol=1e-4, rtol=0)
        shift = end(beta, steps) - end(0.0, steps)
        torch.testing.assert_close(
            shift, (beta * PRIOR / path.signal[-1]).expand_as(shift), rtol=1e-3, atol=1e-6
        )
        grown = (shift * PRIOR).sum().item() / (2 * PRIOR.square().sum().item())
        assert grown == pytest.approx(0.146, abs=1e-3)  # of Z_prior, for every number of steps
        assert 0.13 < grown < 0.34


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_in_literal_mode_all_samplers_end_with_the_same_shift(sampler: str) -> None:
    path, beta = noise_path("ldm"), 0.01
    noise = path.signal[-1] * Z0 + path.noise[-1] * NOISE
    ends = [run(lambda z, t: NOISE, path, sampler, b, "literal", noise=noise) for b in (0.0, beta)]
    shift = ends[1] - ends[0]
    expected = (beta * PRIOR / path.signal[-1]).expand_as(shift)
    torch.testing.assert_close(shift, expected, rtol=5e-3, atol=1e-5)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_beta_zero_is_no_prior_bit_for_bit(schedule: Schedule, sampler: str) -> None:
    path, noise = noise_path(schedule), NOISE.float()

    def end(prior: Tensor | None, beta: float, mode: PriorMode) -> Tensor:
        return run(lambda z, t: torch.tanh(z), path, sampler, beta, mode, "v_prediction", noise,
                   prior, 5)  # fmt: skip

    plain = end(None, 0.0, "input")
    assert plain.dtype == torch.float32
    for prior, beta in ((None, 0.3), (PRIOR, 0.0)):
        for mode in ("input", "literal"):
            assert torch.equal(end(prior, beta, mode), plain)
    assert not torch.equal(end(PRIOR, 0.3, "input"), plain)
    assert not torch.equal(end(PRIOR, 0.3, "literal"), end(PRIOR, 0.3, "input"))


def test_noise_on_the_way_is_the_generators() -> None:
    path = noise_path("ldm")
    ends = [
        sample(lambda z, t: torch.tanh(z), NOISE, path, make_scheduler(path, "ddpm", "epsilon"), 5,
               generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_guidance_one_is_the_plain_model_and_others_are_linear() -> None:
    torch.manual_seed(0)
    model = build_denoiser(4, 4, (32,), 1, 2, tokens=4, token_width=16).eval()
    speech, z, t = torch.randn(2, 64), Z0.float(), torch.tensor(500)
    with torch.no_grad():
        at = {g: guided(model, speech, g)(z, t) for g in (0.0, 0.5, 1.0, 3.0)}
        plain, silent = model(z, t, speech), model(z, t, speech, torch.tensor([True, True]))
    assert torch.equal(at[1.0], plain)
    assert (plain - silent).abs().max() > 1e-3
    for g in (0.0, 0.5, 3.0):
        torch.testing.assert_close(at[g], silent + g * (plain - silent), atol=1e-5, rtol=1e-4)
