"""Sampling with the face prior: a pure function of a denoiser, noise and a schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from scldm.diffusion.path import NoisePath

PriorMode = Literal["input", "literal"]
PRIOR_MODES: tuple[PriorMode, ...] = get_args(PriorMode)
Denoise = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def sample(
    denoise: Denoise, noise: Tensor, path: NoisePath, scheduler: Any, steps: int,
    prior: Tensor | None = None, beta: float = 0.0, mode: PriorMode = "input",
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> Tensor:
    """Z^0 from noise (seed 003, Eq. 2 and "generation process").

    Two readings of the paper. "input": the model sees Z^t* = Z^t + beta Z_prior at every step while
    the scheduler steps the unshifted Z^t, as in training. "literal": the latent itself starts at
    N(beta Z_prior, I) and is stepped as it is; the shift then grows by 1 / a_T on the way.
    With beta = 0 both, and no prior at all, are the same operations.

    Args:
        denoise: (Z^t* (B, C, s, s), t ()) -> eps or v, as the scheduler was told.
        noise: Z^T (B, C, s, s), standard normal.
        path, scheduler: of the same schedule (`make_scheduler`).
        steps: of the scheduler.
        prior: Z_prior (C, s, s) in the latents' scale.
        generator: for schedulers that draw noise on the way; several: one for each of the batch.
    """
    shift = beta * prior.to(noise) if prior is not None and beta != 0 else None
    scheduler.set_timesteps(steps, device=noise.device)
    extra = {"generator": generator} if generator is not None and _draws(scheduler) else {}
    start = noise + shift if shift is not None and mode == "literal" else noise
    z = start * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(z, t) * float(path.scale[int(t)])
        if shift is not None and mode == "input":
            seen = seen + shift
        z = scheduler.step(denoise(seen, t), t, z, **extra).prev_sample
    return z


def _draws(scheduler: Any) -> bool:
    return "generator" in scheduler.step.__code__.co_varnames


def guided(
    model: Callable[..., Tensor], speech: Tensor, guidance: float
) -> Denoise:
    """Classifier-free guidance: no speech + guidance (speech - no speech); 1 is the paper.

    Args:
        model: a `Denoiser`.
        speech: Z^s (B, d).
    """
    if guidance == 1:
        return lambda z, t: model(z, t, speech)
    drop = torch.arange(2 * len(speech), device=speech.device) >= len(speech)
    both = speech.repeat(2, 1)

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        with_speech, without = model(z.repeat(2, 1, 1, 1), t, both, drop).chunk(2)
        return without + guidance * (with_speech - without)

    return denoise
