"""A face to voice small enough for the tiny population, and its checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scldm.core.config import check_config
from scldm.voice.checkpoint import FaceToVoice, load_voice
from scldm.voice.config import VoiceConfig
from scldm.voice.training import train_voice

MakeVoice = Callable[..., VoiceConfig]


@pytest.fixture(scope="session")
def voice_values(tiny: dict[str, Any], chain: Path) -> dict[str, Any]:
    """Plain values of a face to voice that trains in a second; `out` is missing."""
    data = {**tiny["data"], "variants": 0, "augment": False}
    encoders = str(chain / "pretrain" / "encoders")
    return {
        "encoders": encoders, "speaker": encoders, "data": data, "tts": "babble",
        "adapter": {"hidden": 16, "latent": 4, "floor": 0.2}, "batch": 8, "steps": 60,
        "rate": 3e-3, "untold": 0.5, "save_every": 20, "sample_every": 60, "seed": 2,
    }


@pytest.fixture(scope="session")
def voice_cache(
    voice_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run folder in which one training ran: its cache and its checkpoint."""
    out = tmp_path_factory.mktemp("voice") / "run"
    train_voice(check_config(VoiceConfig, {**voice_values, "out": str(out)}, "tiny"))
    return out


@pytest.fixture
def make_voice(voice_values: dict[str, Any], voice_cache: Path, tmp_path: Path) -> MakeVoice:
    """Make a configuration that trains in the test's folder `name`, its cache filled."""

    def make(name: str = "run", **more: Any) -> VoiceConfig:
        out = tmp_path / name
        if not out.exists():
            shutil.copytree(voice_cache / "cache", out / "cache")
        return check_config(VoiceConfig, {**voice_values, "out": str(out), **more}, "tiny")

    return make


@pytest.fixture(scope="session")
def voice_checkpoint(voice_cache: Path) -> Path:
    """The checkpoint of `voice_cache`."""
    return voice_cache / "checkpoint"


@pytest.fixture
def voice_model(voice_checkpoint: Path) -> FaceToVoice:
    """It, loaded."""
    return load_voice(voice_checkpoint)
