"""Configuration of stage 2. The defaults are the paper's (seed 003), sizes after LDM."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from scldm.core.config import Config
from scldm.data.pairs import PairsConfig
from scldm.diffusion.path import Prediction, Schedule
from scldm.diffusion.sampler import PriorMode

Share = Annotated[float, Field(ge=0, le=1)]


class UNet(Config):
    """Arguments of `build_denoiser`; the latent's shape follows from the encoders."""

    channels: tuple[PositiveInt, ...] = (320, 640)
    layers: PositiveInt = 2
    heads: PositiveInt = 8
    tokens: PositiveInt = 64
    token_width: PositiveInt = 768


class Sampling(Config):
    """How portraits are made unless the user says otherwise; kept in the checkpoint."""

    sampler: Literal["dpmsolver++", "unipc", "ddim", "ddpm", "euler"] = "dpmsolver++"
    steps: PositiveInt = 20
    guidance: float = 1.0
    prior_mode: PriorMode = "input"


class TrainConfig(Config):
    """Stage 2: `scldm train`.

    Attributes:
        encoders: folder that stage 1 wrote.
        prior: file that `scldm prior` wrote with these encoders; may be absent only with beta 0.
        beta: weight of the prior, Eq. 2.
        speech: "frozen": stage 1's speech encoder, its latents cached. "scratch": one of its shape
            that learns here, from nothing; the paper's base, and slow.
        noises: samples of the batch that each drawn pair of face and clip serves, at as many times
            and noises: a clip heard from scratch is dear.
        views: windows of a clip whose Z^s are cached, besides that of its middle.
        condition_dropout: share of samples trained without speech, for guidance.
        warmup: steps over which the learning rate rises.
        ema: decay of the averaged weights.
        validate_samples: held-out latents on which the loss is followed.
    """

    out: str
    encoders: str
    prior: str | None = None
    data: PairsConfig
    beta: NonNegativeFloat = 0.01
    speech: Literal["frozen", "scratch"] = "frozen"
    noises: PositiveInt = 1
    unet: UNet = UNet()
    sampling: Sampling = Sampling()
    schedule: Schedule = "ldm"
    prediction: Prediction = "epsilon"
    views: NonNegativeInt = 4
    condition_dropout: Share = 0.1
    batch: PositiveInt = 1024
    steps: PositiveInt = 100_000
    rate: PositiveFloat = 2e-5
    warmup: PositiveInt = 1000
    weight_decay: NonNegativeFloat = 0.01
    decay: Literal["none", "cosine"] = "none"
    ema: Share = 0.9999
    precision: Literal["no", "bf16"] = "no"
    seed: NonNegativeInt = 0
    save_every: PositiveInt = 1000
    log_every: PositiveInt = 50
    sample_every: PositiveInt = 1000
    validate_samples: PositiveInt = 512

    @model_validator(mode="after")
    def _whole_pairs(self) -> TrainConfig:
        if self.batch % self.noises:
            raise ValueError(f"batch {self.batch}: use a multiple of noises, {self.noises}")
        return self
