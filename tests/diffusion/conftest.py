"""What the tests of stage 2 share: untrained tiny encoders, a prior of theirs, a configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scldm.data.pairs import Pairs
from scldm.diffusion.config import TrainConfig

MakeTrain = Callable[..., TrainConfig]


@pytest.fixture(scope="session")
def encoders_folder(
    tiny: dict[str, Any], pairs: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Encoders as stage 1 writes them, of random weights: latents (8, 4, 4)."""
    import torch

    from scldm.data.spectrogram import spectrogram
    from scldm.encoders.bundle import save_encoders
    from scldm.pretraining.config import PretrainConfig
    from scldm.pretraining.model import build

    config = PretrainConfig.model_validate({**tiny, "out": "unused"})
    model, folder = build(config).train(), tmp_path_factory.mktemp("stage-one") / "encoders"
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 1.0  # statistics of the batch alone: norms that fit the data
    with torch.no_grad():
        batch = pairs.batch(0, 0, 14)
        model(batch.audio, batch.faces, torch.zeros(()))
        said = model.eval().speech_encoder(spectrogram(batch.audio))
        dense = model.speech_encoder.head[-1]  # hears little difference yet: made larger
        spread = said.std(dim=0).mean()
        dense.weight.div_(spread)
        dense.bias.sub_(said.mean(dim=0)).div_(spread)
    facts = {"stage": "pretraining", "config": config.model_dump(mode="json")}
    save_encoders(model.encoders, folder, facts)
    return folder


@pytest.fixture(scope="session")
def prior_file(
    encoders_folder: Path, population: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The prior of eight faces under these encoders."""
    from scldm.prior.command import make_prior

    file = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    make_prior(encoders_folder, population, "train", 8, file, (), 0, "cpu")
    return file


@pytest.fixture(scope="session")
def tiny_train(
    tiny: dict[str, Any], encoders_folder: Path, prior_file: Path
) -> dict[str, Any]:
    """Plain values of a stage 2 that takes a fraction of a second a step; `out` is missing."""
    return {
        "encoders": str(encoders_folder), "prior": str(prior_file), "data": tiny["data"],
        "beta": 0.1, "unet": {"channels": [32], "layers": 1, "heads": 2, "tokens": 8,
                              "token_width": 16},
        "schedule": "cosine", "prediction": "v_prediction", "sampling": {"steps": 2},
        "condition_dropout": 0.3, "views": 1, "batch": 8, "steps": 6, "rate": 1e-3, "warmup": 3,
        "decay": "cosine", "ema": 0.9, "save_every": 4, "validate_samples": 8, "seed": 5,
    }  # fmt: skip


@pytest.fixture(scope="session")
def latent_cache(
    tiny_train: dict[str, Any], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the clips, faces and latents of both splits."""
    import torch

    from scldm.diffusion.loop import latents, load_inputs

    out = tmp_path_factory.mktemp("latents")
    shutil.copytree(cache, out / "cache")
    config = TrainConfig.model_validate({**tiny_train, "out": str(out)})
    encoders, _ = load_inputs(config)
    for split in ("train", "val"):
        latents(config, encoders, split, torch.device("cpu"))
    return out / "cache"


@pytest.fixture
def stage_two(tiny_train: dict[str, Any], latent_cache: Path, tmp_path: Path) -> MakeTrain:
    """Make a tiny configuration that trains in the test's folder `name`, its latents cached."""

    def make(name: str = "run", **more: Any) -> TrainConfig:
        out = tmp_path / name
        if not out.exists():
            shutil.copytree(latent_cache, out / "cache")
        return TrainConfig.model_validate({**tiny_train, "out": str(out), **more})

    return make
