"""Configuration of face to voice. The paper (seed 000) gives the rate, the widths and the batch of
three frames a video; what else it leaves open stands here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from scldm.core.config import Config
from scldm.data.pairs import PairsConfig


class Adapter(Config):
    """Arguments of `VoiceAdapter`; the widths of both ends follow from the encoders."""

    hidden: PositiveInt = 512
    latent: PositiveInt = 64
    floor: Annotated[float, Field(ge=0, lt=1)] = 0.3
    vae: bool = True


class SpeakerLoss(Config):
    """Weights of L_Spk, Eq. 2, and of the MMD that its text demands.

    Attributes:
        temperature: of L_Con.
        centre_rate: alpha of Eq. 4.
    """

    reconstruction: NonNegativeFloat = 1.0
    contrastive: NonNegativeFloat = 0.1
    centre: NonNegativeFloat = 0.1
    mmd: NonNegativeFloat = 1.0
    temperature: PositiveFloat = 0.1
    centre_rate: Annotated[float, Field(gt=0, le=1)] = 0.05


class Generative(Config):
    """The generative stage, Eq. 5: through a frozen TTS that gradients pass.

    Attributes:
        tts: folder of SpeechT5 and its vocoder, or "speecht5" for the hub's.
        features: folder of wav2vec 2.0, or "wav2vec2" for the hub's.
        texts: a file of sentences to speak, one a line.
        faces: faces a step; each speaks one sentence as itself and as its target.
        steps: 0: this stage is left out, the paper's ablation "w/o L_Gen".
        speaker, vec: lambda_tts and lambda_vec.
    """

    tts: str = "speecht5"
    features: str = "wav2vec2"
    texts: str = ""
    faces: PositiveInt = 4
    steps: NonNegativeInt = 0
    rate: PositiveFloat = 5e-5
    speaker: NonNegativeFloat = 1.0
    vec: NonNegativeFloat = 1.0


class VoiceConfig(Config):
    """Face to voice: `scldm train-voice`.

    Attributes:
        encoders: folder of stage 1, or a checkpoint: its face encoder gives v.
        speaker: what gives speaker embeddings: a folder with the project's speech encoder, of
            transformers' WavLMForXVector, or "xvector" for the hub's.
        tts: what speaks with the trained adapter unless the user says otherwise.
        views: windows of a clip whose embeddings are kept besides that of its middle.
        untold: share of the speakers' variety, which no face tells, that is sampled besides z, 0
            to 1; 0 is the paper. L_Rec rewards the mean of all voices that a face may have, and z
            alone moves that little where pairs are matched by an attribute.
        batch: pairs of a face and a clip.
        save_every, log_every, sample_every: steps between states, log entries, looks at val.
    """

    out: str
    encoders: str
    speaker: str
    data: PairsConfig
    tts: str = "espeak"
    adapter: Adapter = Adapter()
    loss: SpeakerLoss = SpeakerLoss()
    generative: Generative = Generative()
    views: NonNegativeInt = 0
    untold: Annotated[float, Field(ge=0, le=1)] = 0.0
    batch: PositiveInt = 128
    steps: PositiveInt = 20_000
    rate: PositiveFloat = 5e-5
    weight_decay: NonNegativeFloat = 0.0
    decay: Literal["none", "cosine"] = "none"
    seed: NonNegativeInt = 0
    save_every: PositiveInt = 1000
    log_every: PositiveInt = 50
    sample_every: PositiveInt = 1000
