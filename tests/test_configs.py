"""Every configuration in configs/ is one of its stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from scldm.baselines.config import GanConfig, RegressionConfig
from scldm.core.config import Config, load_config
from scldm.diffusion.config import TrainConfig
from scldm.pretraining.config import PretrainConfig
from scldm.voice.config import VoiceConfig

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))
KINDS: dict[str, type[Config]] = {
    "pretrain": PretrainConfig, "train": TrainConfig, "speech2face": RegressionConfig,
    "wen": GanConfig, "wav2pix": GanConfig, "voice": VoiceConfig,
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_is_one_of_its_stage(path: Path) -> None:
    kinds = [kind for name, kind in KINDS.items() if name in path.stem.split("-")]
    assert len(kinds) == 1
    load_config(kinds[0], path)
