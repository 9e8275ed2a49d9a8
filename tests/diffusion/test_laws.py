"""Laws of the noise path, the sampler and the prior's two readings (seed 003, Eqs. 2, 4, 6)."""

from __future__ import annotations

import pytest
import torch

from scldm.diffusion.denoiser import ConditionTokens, build_denoiser
from scldm.diffusion.path import SAMPLERS, make_scheduler, noise_path
from scldm.diffusion.sampler import guided, sample

G = torch.Generator().manual_seed(0)
Z0 = torch.randn(2, 4, 4, 4, generator=G, dtype=torch.float64)
NOISE = torch.randn(2, 4, 4, 4, generator=G, dtype=torch.float64)
PRIOR = torch.randn(4, 4, 4, generator=G, dtype=torch.float64)


@pytest.mark.parametrize("schedule", ["ldm", "cosine"])
def test_variance_is_preserved(schedule):
    path = noise_path(schedule)
    torch.testing.assert_close(path.signal**2 + path.noise**2, torch.ones_like(path.signal))


def test_eq4_is_as_printed():
    path, t = noise_path("eq4"), torch.tensor([10, 900])
    a = path.signal[t].reshape(-1, 1, 1, 1)
    torch.testing.assert_close(path.add_noise(Z0, NOISE, t), a * Z0 + (1 - a) * NOISE)


@pytest.mark.parametrize("schedule", ["ldm", "cosine", "eq4"])
def test_v_and_the_noisy_latent_give_z0_back(schedule):
    path, t = noise_path(schedule), torch.tensor([100, 700])
    z = path.add_noise(Z0, NOISE, t)
    v = path.target(Z0, NOISE, t, "v_prediction")
    m = path.scale[t].reshape(-1, 1, 1, 1)
    a = path.signal[t].reshape(-1, 1, 1, 1) / m
    s = path.noise[t].reshape(-1, 1, 1, 1) / m
    torch.testing.assert_close(a * z / m - s * v, Z0)


@pytest.mark.parametrize("schedule", ["ldm", "eq4"])
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_scheduler_has_the_paths_alphas(schedule, sampler):
    path = noise_path(schedule)
    scheduler = make_scheduler(path, sampler, "epsilon")
    torch.testing.assert_close(
        scheduler.alphas_cumprod.double(), path.alphas_cumprod, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("beta", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_input_mode_with_an_oracle_recovers_z0(sampler, beta):
    path = noise_path("ldm")

    def oracle(seen, t):
        z = seen - beta * PRIOR
        return (z - path.signal[int(t)] * Z0) / path.noise[int(t)]

    end = sample(
        oracle, NOISE, path, make_scheduler(path, sampler, "epsilon"), 20, PRIOR, beta, "input",
        torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(end, Z0, atol=1e-4, rtol=0)


def test_input_mode_with_an_oracle_recovers_z0_on_eq4():
    path = noise_path("eq4")

    def oracle(seen, t):
        return (seen - 0.1 * PRIOR - path.signal[int(t)] * Z0) / path.noise[int(t)]

    end = sample(
        oracle, NOISE, path, make_scheduler(path, "ddim", "epsilon"), 20, PRIOR, 0.1, "input"
    )
    torch.testing.assert_close(end, Z0, atol=1e-4, rtol=0)


def test_literal_mode_ends_shifted_by_beta_over_the_first_alpha():
    path, beta = noise_path("ldm"), 0.01
    ends = []
    for b in (0.0, beta):
        scheduler = make_scheduler(path, "ddim", "epsilon")
        ends.append(sample(lambda z, t: NOISE, NOISE, path, scheduler, 20, PRIOR, b, "literal"))
    first = path.signal[int(scheduler.timesteps[0])]
    torch.testing.assert_close(ends[1] - ends[0], beta * PRIOR / first, rtol=1e-3, atol=1e-6)
    assert 0.13 < beta / first < 0.34


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_beta_zero_is_no_prior_bit_for_bit(sampler):
    path = noise_path("cosine")
    ends = [
        sample(
            lambda z, t: torch.tanh(z), NOISE.float(), path,
            make_scheduler(path, sampler, "v_prediction"), 5, prior, 0.0, mode,
            torch.Generator().manual_seed(1),
        )
        for prior, mode in ((None, "input"), (PRIOR, "input"), (PRIOR, "literal"))
    ]
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2])


def test_order_of_the_tokens_matters():
    torch.manual_seed(0)
    model = build_denoiser(4, 4, (32, 32), 1, 2, tokens=4, token_width=16).eval()
    speech = torch.randn(1, 64)
    turned = speech.reshape(4, 16).roll(1, 0).reshape(1, 64)
    with torch.no_grad():
        a, b = (model(Z0[:1].float(), torch.tensor(500), s) for s in (speech, turned))
    assert (a - b).abs().max() > 1e-4


def test_dropped_speech_is_the_learnt_silence():
    tokens = ConditionTokens(64, 4, 16)
    made = tokens(torch.randn(2, 64), torch.tensor([True, False]))
    assert torch.equal(made[0], tokens.silence) and not torch.equal(made[1], tokens.silence)


def test_guidance_is_linear_and_one_is_the_plain_model():
    torch.manual_seed(0)
    model = build_denoiser(4, 4, (32,), 1, 2, tokens=4, token_width=16).eval()
    speech, z, t = torch.randn(1, 64), Z0[:1].float(), torch.tensor(500)
    with torch.no_grad():
        at = {g: guided(model, speech, g)(z, t) for g in (0.0, 1.0, 3.0)}
        assert torch.equal(at[1.0], model(z, t, speech))
    torch.testing.assert_close(at[3.0], at[0.0] + 3 * (at[1.0] - at[0.0]), atol=1e-4, rtol=1e-4)
