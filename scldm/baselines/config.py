"""Configurations of the baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from scldm.core.config import Config
from scldm.data.pairs import PairsConfig
from scldm.pretraining.config import SpeechNet


class BaselineConfig(Config):
    """What both kinds of baseline are told."""

    out: str
    data: PairsConfig
    speech: SpeechNet = SpeechNet()
    decay: Literal["none", "cosine"] = "cosine"
    precision: Literal["no", "bf16"] = "bf16"
    seed: NonNegativeInt = 0
    save_every: PositiveInt = 500
    log_every: PositiveInt = 50
    sample_every: PositiveInt = 1000


class RegressionConfig(BaselineConfig):
    """Speech2Face's idea: Z^f from speech, then the decoder.

    Attributes:
        encoders: folder of stage 1; its face encoder and decoder are used as they are.
        direction: weight of the squared distance of directions beside the L1 distance of what the
            decoder's first layer makes of both.
    """

    encoders: str
    direction: NonNegativeFloat = 1.0
    batch: PositiveInt = 64
    steps: PositiveInt = 20_000
    rate: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0


class Listening(Config):
    """How a speech encoder learns to name the speakers, before a GAN takes its embeddings.

    Attributes:
        out: its run folder, which GANs that listen alike may share.
    """

    out: str
    steps: PositiveInt = 20_000
    batch: PositiveInt = 64
    rate: PositiveFloat = 1e-3


class GanConfig(BaselineConfig):
    """A conditional GAN in the manner of Wen et al.; of Wav2Pix with `identity` 0 and
    `adversarial` "least-squares".

    Attributes:
        embedding: dimensions of the voice embedding.
        listening: training of the speech encoder, which then rests.
        views: windows of a clip whose embeddings are kept, besides that of its middle.
        stages: channels of the generator from the picture inwards, as `FaceDecoder` has them: it
            begins at one pixel, so 2 to the number of stages is the picture's side.
        critic: channels of the discriminator's, and of the classifier's, convolutions of stride 2.
        identity: weight of the classifier's word on the generator's faces; 0: no classifier.
        adversarial: "cross-entropy" or "least-squares".
    """

    embedding: PositiveInt = 64
    listening: Listening
    views: NonNegativeInt = 4
    stages: tuple[tuple[PositiveInt, ...], ...] = ((32,), (64,), (128,), (256,), (512,), (1024,))
    critic: tuple[PositiveInt, ...] = (32, 64, 128, 256)
    identity: NonNegativeFloat = 1.0
    adversarial: Literal["cross-entropy", "least-squares"] = "cross-entropy"
    batch: PositiveInt = 128
    steps: PositiveInt = 50_000
    rate: PositiveFloat = 2e-4
