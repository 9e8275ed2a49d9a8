"""Speaker encoders: the project's own speech encoder, and the x-vectors of WavLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scldm.core.artifact import check_hashes, fingerprint, read_json
from scldm.core.errors import InputError
from scldm.data.spectrogram import fit_clip
from scldm.encoders.bundle import load_network
from scldm.encoders.speech import SpeechEncoder
from scldm.voice.hub import open_network, open_part
from scldm.voice.protocols import RATE, SpeakerEncoder

XVECTOR = "microsoft/wavlm-base-plus-sv"


class OwnSpeech(nn.Module):
    """Z^s of the project's speech encoder as a speaker embedding; six seconds are heard."""

    name = "own"

    def __init__(self, network: SpeechEncoder) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.width: int = network.config["latent_dim"]
        self.fingerprint = fingerprint(network.state_dict())

    def forward(self, audio: Tensor) -> Tensor:
        """audio (B, n), 16 kHz, n >= 1 -> (B, d)."""
        audio = rows_of(audio, self.network, 1)
        return self.network.hear(fit_clip(audio))


class XVector(nn.Module):
    """512-d x-vectors of WavLM with its head for speaker verification, as they leave the network:
    not of length 1.

    They have the width that the public SpeechT5 asks for, but not its space: that one was trained
    on the x-vectors of speechbrain/spkrec-xvect-voxceleb. A SpeechT5 trained on these fits.

    Args:
        network: `WavLMForXVector`.
        normalise: bring each clip to mean 0 and variance 1, as its feature extractor says.
    """

    name = "xvector"

    def __init__(self, network: nn.Module, normalise: bool) -> None:
        super().__init__()
        self.network, self.normalise = network.eval().requires_grad_(False), normalise
        config: Any = network.config
        self.width: int = config.xvector_output_dim
        self.least = _least_samples(config)
        self.fingerprint = fingerprint(network.state_dict())

    def forward(self, audio: Tensor) -> Tensor:
        """audio (B, n), 16 kHz -> (B, 512). InputError below 0.33 s, where nothing is pooled."""
        audio = rows_of(audio, self.network, self.least)
        return self.network(standardise(audio) if self.normalise else audio).embeddings


def open_speaker(name_or_path: str | Path, device: str | torch.device = "cpu") -> SpeakerEncoder:
    """A speaker encoder, frozen: "xvector", or one from a folder.

    A folder holds the project's speech encoder, or is a checkpoint of it with `speech_encoder/`
    inside, or holds `WavLMForXVector` of transformers with its `preprocessor_config.json`.
    Raises InputError naming what is missing or altered, and where to place it.
    """
    folder = Path(name_or_path)
    if not folder.is_dir():
        if str(name_or_path) != "xvector":
            raise InputError(f"speaker encoder '{name_or_path}': use xvector, or a folder with the "
                             "project's speech encoder, a checkpoint or WavLMForXVector")
        return _open_xvector(XVECTOR).to(device)
    if (folder / "speech_encoder").is_dir():
        check_hashes(folder)
        return OwnSpeech(load_network(SpeechEncoder, folder / "speech_encoder")).to(device)
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if config.get("_class_name") == "SpeechEncoder":
        return OwnSpeech(load_network(SpeechEncoder, folder)).to(device)
    if config.get("model_type") == "wavlm":
        return _open_xvector(str(folder)).to(device)
    raise InputError(f"{folder}: holds neither the project's speech encoder nor WavLMForXVector")


def _open_xvector(place: str) -> XVector:
    network = open_network("WavLMForXVector", place)
    return XVector(network, wants_standard(place))


def wants_standard(place: str) -> bool:
    """Whether a network's feature extractor brings clips to mean 0 and variance 1.

    Raises InputError when it is missing or is not for 16 kHz.
    """
    extractor = open_part("Wav2Vec2FeatureExtractor", place)
    if extractor.sampling_rate != RATE:
        raise InputError(f"{place}: for speech of {extractor.sampling_rate} Hz, not {RATE}")
    return bool(extractor.do_normalize)


def standardise(audio: Tensor) -> Tensor:
    """(B, n) -> (B, n) of mean 0 and variance 1, as `Wav2Vec2FeatureExtractor` has it."""
    centred = audio - audio.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()


def rows_of(audio: Tensor, network: nn.Module, least: int) -> Tensor:
    """audio (B, n) float32 on the network's device; InputError where n < `least` samples."""
    if audio.ndim != 2 or audio.shape[1] < least:
        raise InputError(f"speech {tuple(audio.shape)}: wanted (clips, samples), at least {least} "
                         f"samples ({least / RATE:.2f} s)")
    return audio.to(next(network.parameters()).device, torch.float32)


def _least_samples(config: Any) -> int:
    """Samples that leave two frames to pool behind WavLM's convolutions and the head's."""
    widths = zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
    return samples_of_frames(config, 2 + sum((k - 1) * d for k, d in widths))


def samples_of_frames(config: Any, frames: int) -> int:
    """The fewest samples of which the convolutions of wav2vec 2.0 or WavLM make `frames`."""
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride),
                              strict=True):  # fmt: skip
        frames = (frames - 1) * stride + kernel
    return frames
