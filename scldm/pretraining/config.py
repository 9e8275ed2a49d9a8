"""Configuration of stage 1. The defaults are the paper's (seed 003, implementation details)."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from scldm.core.config import Config
from scldm.data.pairs import PairsConfig
from scldm.encoders.face import VGG16


class SpeechNet(Config):
    """Arguments of `SpeechEncoder`; its latent dimension follows from the face's."""

    widths: tuple[PositiveInt, ...] = (64, 64, 128, 128, 128, 256, 512, 512, 512)
    hidden: PositiveInt = 4096
    first_stride: PositiveInt = 1
    frequency_pools: NonNegativeInt = 0


class FaceNet(Config):
    """Arguments of `FaceEncoder` and `FaceDecoder`; `weights`: where the encoder starts.

    `weights` is VGG-Face's file, or the folder of a face attribute network of the same stages.
    """

    stages: tuple[tuple[PositiveInt, ...], ...] = VGG16
    latent_channels: PositiveInt = 64
    batch_norm: bool = True
    weights: str | None = None


class Losses(Config):
    """Weights of the terms of L_C and what the perceptual one is.

    Attributes:
        contrastive, mae, perceptual_weight: weights of L_cl and of the two parts of L_r.
        centre: subtract the batch's mean direction from those of Z^s and Z^f before the cosine of
            L_cl. All faces share a large common part, which leaves the cosines of a young encoder
            nearly equal; off is the paper.
        attribute: weight of the cross-entropy of a linear classifier, shared by Z^s and Z^f, of the
            value that matches. Where that is an attribute, it shows both encoders a common
            direction, which L_cl alone finds slowly; 0 is the paper.
        perceptual: "lpips" (its trunk's file in `network`, or in torch's cache), "face" (a face
            attribute network's folder in `network`) or "none".
        adversarial: weight of the patch discriminator's term, from step `adversarial_from` on;
            0 is the paper.
        latent_noise: standard deviation of the noise on the latent before decoding, in units of
            the latent's RMS; keeps the latent smooth for diffusion; 0 is the paper.
    """

    contrastive: NonNegativeFloat = 1.0
    centre: bool = False
    attribute: NonNegativeFloat = 0.0
    mae: NonNegativeFloat = 1.0
    perceptual: Literal["lpips", "face", "none"] = "lpips"
    perceptual_weight: NonNegativeFloat = 1.0
    network: str | None = None
    adversarial: NonNegativeFloat = 0.0
    adversarial_from: NonNegativeInt = 0
    latent_noise: NonNegativeFloat = 0.0


class Refine(Config):
    """After the steps of all networks the decoder goes on alone, by MAE and perceptual distance.

    A step of faces alone costs a small part of one with clips, and Z^f no longer changes.

    Attributes:
        steps: how many; 0 is the paper.
        stages: channels of a decoder that starts afresh, as many stages as the encoder has; by
            default the decoder of the steps before goes on. A wide one need not slow them down.
        batch: faces a step, over all processes.
        rate: learning rate, which falls by a cosine.
    """

    steps: NonNegativeInt = 0
    stages: tuple[tuple[PositiveInt, ...], ...] | None = None
    batch: PositiveInt = 32
    rate: PositiveFloat = 1e-3


class PretrainConfig(Config):
    """Stage 1: `scldm pretrain`.

    Attributes:
        batch: pairs of distinct speakers a step, over all processes.
        extra_faces: further faces a step, for L_r and as more matches and others in L_cl.
        face_rate, speech_rate: learning rates of encoder and decoder, and of the speech encoder.
        decay: "none" (the paper) or "cosine", to a hundredth.
        precision: "no" or "bf16" (autocast).
    """

    out: str
    data: PairsConfig
    speech: SpeechNet = SpeechNet()
    face: FaceNet = FaceNet()
    loss: Losses = Losses()
    batch: PositiveInt = 64
    extra_faces: NonNegativeInt = 0
    steps: PositiveInt = 100_000
    face_rate: PositiveFloat = 1e-4
    speech_rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    decay: Literal["none", "cosine"] = "none"
    refine: Refine = Refine()
    precision: Literal["no", "bf16"] = "bf16"
    seed: NonNegativeInt = 0
    save_every: PositiveInt = 1000
    log_every: PositiveInt = 50
    sample_every: PositiveInt = 1000
