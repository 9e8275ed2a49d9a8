"""Noise paths Z^t = a_t Z^0 + s_t eps, and diffusers' schedulers on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

Schedule = Literal["ldm", "cosine", "eq4"]
Prediction = Literal["epsilon", "v_prediction"]
SAMPLERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "dpmsolver++": (DPMSolverMultistepScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {"final_sigmas_type": "zero"}),
    "ddim": (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": True}),
    "ddpm": (DDPMScheduler, {"clip_sample": False}),
    "euler": (EulerDiscreteScheduler, {}),
}


@dataclass(frozen=True)
class NoisePath:
    """a_t and s_t for t = 0 .. T-1, float64 (T,).

    A path that does not preserve variance is one that does, seen through a factor
    m_t = sqrt(a_t^2 + s_t^2): schedulers step Z^t / m_t, the model sees Z^t.
    """

    signal: Tensor
    noise: Tensor

    @property
    def scale(self) -> Tensor:
        """m_t (T,); 1 where the path preserves variance."""
        return (self.signal**2 + self.noise**2).sqrt()

    @property
    def alphas_cumprod(self) -> Tensor:
        """alpha-bar of the variance-preserving path behind this one (T,)."""
        return (self.signal / self.scale) ** 2

    def add_noise(self, z0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Z^t = a_t Z^0 + s_t eps. z0, eps (B, ...); t (B,) integers."""
        return _at(self.signal, t, z0) * z0 + _at(self.noise, t, z0) * eps

    def target(self, z0: Tensor, eps: Tensor, t: Tensor, prediction: Prediction) -> Tensor:
        """What the model is to say: eps (seed 003, Eq. 6), or v = (a_t eps - s_t Z^0) / m_t."""
        if prediction == "epsilon":
            return eps
        a, s = _at(self.signal / self.scale, t, z0), _at(self.noise / self.scale, t, z0)
        return a * eps - s * z0


def _at(values: Tensor, t: Tensor, like: Tensor) -> Tensor:
    picked = values.to(like.device)[t].to(like.dtype)
    return picked.reshape(-1, *(1,) * (like.ndim - 1))


def noise_path(schedule: Schedule, steps: int = 1000) -> NoisePath:
    """The path of a schedule.

    "ldm": LDM's scaled-linear betas, 0.00085 to 0.012, variance preserving.
    "cosine": squared cosine, for small latents.
    "eq4": as the paper prints it, Z^t = a_t Z^0 + (1 - a_t) eps (seed 003, Eq. 4), with LDM's a_t.
    """
    kind = "squaredcos_cap_v2" if schedule == "cosine" else "scaled_linear"
    base = DDPMScheduler(steps, beta_start=0.00085, beta_end=0.012, beta_schedule=kind)
    alphas = torch.cumprod(1 - base.betas.double(), 0)
    signal = alphas.sqrt()
    return NoisePath(signal, 1 - signal if schedule == "eq4" else (1 - alphas).sqrt())


def make_scheduler(path: NoisePath, sampler: str, prediction: Prediction) -> Any:
    """A diffusers scheduler of `SAMPLERS` on this path, ending at sigma 0."""
    alphas = path.alphas_cumprod
    before = torch.cat((torch.ones(1, dtype=alphas.dtype), alphas[:-1]))
    cls, options = SAMPLERS[sampler]
    return cls(
        len(alphas), trained_betas=(1 - alphas / before).clamp(max=0.999).tolist(),
        prediction_type=prediction, timestep_spacing="trailing", **options,
    )
