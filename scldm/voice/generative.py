"""L_gen (seed 000, Eq. 5): how far apart a predicted and a true voice are once they speak."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scldm.core.errors import InputError
from scldm.voice.hub import open_network
from scldm.voice.protocols import RATE, SpeakerEncoder
from scldm.voice.speaker import (
    rows_of,
    samples_of_frames,
    standardise,
    wants_standard,
)

WAV2VEC = "facebook/wav2vec2-base-960h"
FPS = 25  # video frames a second


class DifferentiableTts(Protocol):
    """A frozen TTS that is differentiable in the speaker embedding. `rate`: Hz of its samples."""

    rate: int

    def mel_of(self, text: str, embedding: Tensor, seed: int = 0) -> Tensor:
        """What `embedding` (D,) makes of `text`, without gradient: mel (T, bins)."""
        ...

    def forced(
        self, texts: Sequence[str], mels: Tensor, embeddings: Tensor, seed: int = 0
    ) -> Tensor:
        """texts (B), mels (B, T, bins), embeddings (B, D) -> waveforms (B, n) that keep the mels'
        timing, the same bits for the same seed.
        """
        ...


class Wav2Vec(nn.Module):
    """wav2vec 2.0's last hidden states at the rate of a video.

    Args:
        network: `Wav2Vec2Model`.
        normalise: bring each clip to mean 0 and variance 1, as its feature extractor says.
    """

    def __init__(self, network: nn.Module, normalise: bool) -> None:
        super().__init__()
        self.network, self.normalise = network.eval().requires_grad_(False), normalise
        config: Any = network.config
        self.least = samples_of_frames(config, 1)

    def forward(self, audio: Tensor) -> Tensor:
        """audio (B, n), 16 kHz -> (B, video frames of n samples, features)."""
        audio = rows_of(audio, self.network, self.least)
        heard = self.network(standardise(audio) if self.normalise else audio).last_hidden_state
        frames = max(1, round(audio.shape[1] * FPS / RATE))
        return F.interpolate(heard.mT, frames, mode="linear", align_corners=True).mT


def open_wav2vec(place: str | Path = "wav2vec2", device: str | torch.device = "cpu") -> Wav2Vec:
    """wav2vec 2.0, frozen, from a folder of transformers' Wav2Vec2Model with its
    preprocessor_config.json, or "wav2vec2": facebook/wav2vec2-base-960h of the hub.

    Raises InputError naming what is missing and where to place it.
    """
    if not Path(place).is_dir() and str(place) != "wav2vec2":
        raise InputError(f"wav2vec 2.0 '{place}': use wav2vec2, or a folder of Wav2Vec2Model")
    name = str(place) if Path(place).is_dir() else WAV2VEC
    return Wav2Vec(open_network("Wav2Vec2Model", name), wants_standard(name)).to(device)


class GenerativeLoss:
    """L_gen = lambda_tts L_tts + lambda_vec L_vec (seed 000, Eq. 5), through frozen networks.

    L_tts: 1 - cos of the speaker embeddings of image-conditioned and target-conditioned speech;
    L_vec: mean squared error of their wav2vec 2.0 features. Both are spoken on the mel that the
    TTS makes of the target, so that they align in time. The paper does not give the two weights.

    Args:
        features: None leaves L_vec out.

    Raises InputError for a TTS of another rate than 16 kHz.
    """

    def __init__(
        self, tts: DifferentiableTts, speaker: SpeakerEncoder, features: Wav2Vec | None,
        lambda_tts: float = 1.0, lambda_vec: float = 1.0,
    ) -> None:
        if tts.rate != RATE:
            raise InputError(f"a TTS of {tts.rate} Hz: the generative loss needs {RATE}")
        self.tts, self.speaker, self.features = tts, speaker, features
        self.lambda_tts, self.lambda_vec = lambda_tts, lambda_vec

    def __call__(
        self, texts: Sequence[str], image_embeddings: Tensor, target_embeddings: Tensor,
        mels: Sequence[Tensor] | None = None, seed: int = 0,
    ) -> dict[str, Tensor]:
        """The weighted terms "tts" and "vec", () each: means over the batch.

        Texts of different length are spoken one by one: padding would be heard.

        Args:
            texts: B sentences.
            image_embeddings, target_embeddings: (B, D), as the TTS takes them.
            mels: what `tts.mel_of` made of each text and target, where the caller keeps it.
            seed: of what the TTS draws.
        """
        if not len(texts) == len(image_embeddings) == len(target_embeddings):
            raise InputError(f"{len(texts)} texts for {len(image_embeddings)} predicted and "
                             f"{len(target_embeddings)} true voices: as many of each")
        targets = target_embeddings.detach()
        if mels is None:
            pairs = zip(texts, targets, strict=True)
            mels = [self.tts.mel_of(text, target, seed) for text, target in pairs]
        terms = [
            self._of_one(text, mel, image, target, seed)
            for text, mel, image, target
            in zip(texts, mels, image_embeddings, targets, strict=True)
        ]
        return {name: torch.stack([term[name] for term in terms]).mean() for name in terms[0]}

    def _of_one(
        self, text: str, mel: Tensor, image: Tensor, target: Tensor, seed: int
    ) -> dict[str, Tensor]:
        with torch.autocast(image.device.type, enabled=False):
            ours = self.tts.forced([text], mel[None], image[None], seed)
            with torch.no_grad():
                theirs = self.tts.forced([text], mel[None], target[None], seed)
                speaker = self.speaker(theirs)
                heard = self.features(theirs) if self.features else None
            cosine = F.cosine_similarity(self.speaker(ours), speaker, dim=1).mean()
            terms = {"tts": self.lambda_tts * (1 - cosine)}
            if self.features is not None and heard is not None:
                terms["vec"] = self.lambda_vec * F.mse_loss(self.features(ours), heard)
        return terms
