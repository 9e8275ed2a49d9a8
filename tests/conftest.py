"""What several tests share: one tiny synthetic population and stage 1 small enough for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line does

if TYPE_CHECKING:
    from scldm.data.pairs import Pairs
    from scldm.pretraining.config import PretrainConfig


@pytest.fixture(scope="session")
def population(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of 24 people, two photos of 64 pixels and two clips each; 14 of them in train."""
    from scldm.data.population import write_population

    folder = tmp_path_factory.mktemp("population") / "people"
    return write_population(folder, 24, photos=2, clips=2, size=64, splits=(0.6, 0.2, 0.2))


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Same bits are promised for one number of threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(population: Path, one_thread: None) -> dict[str, Any]:
    """Plain values of a stage 1 that takes a fraction of a second a step; `out` is missing."""
    return {
        "data": {"faces": str(population), "speech": [str(population)], "match": "person",
                 "image_size": 32, "augment": True, "variants": 1, "workers": 0},
        "speech": {"widths": [8] * 8 + [16], "hidden": 16, "first_stride": 2,
                   "frequency_pools": 2},
        "face": {"stages": [[8], [16], [16]], "latent_channels": 8},
        "loss": {"perceptual": "none"},
        "batch": 8, "extra_faces": 4, "steps": 6, "precision": "no", "seed": 3,
    }  # fmt: skip


@pytest.fixture(scope="session")
def pairs(tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    """The train split of `tiny`, its augmented clips and aligned faces made once."""
    from scldm.data.pairs import Pairs, PairsConfig

    cache = tmp_path_factory.mktemp("cache")
    Pairs(PairsConfig.model_validate({**tiny["data"], "variants": 0}), cache, "val")
    return Pairs(PairsConfig.model_validate(tiny["data"]), cache)


@pytest.fixture(scope="session")
def cache(pairs: Pairs) -> Path:
    """The folder that `pairs` filled."""
    return Path(str(pairs.faces.filename)).parent  # type: ignore[attr-defined]


@pytest.fixture
def stage_one(
    tiny: dict[str, Any], cache: Path, tmp_path: Path
) -> Callable[..., PretrainConfig]:
    """Make a tiny configuration that trains in the test's folder `name`, its cache filled."""
    from scldm.core.config import check_config
    from scldm.pretraining.config import PretrainConfig

    def make(name: str = "run", **more: Any) -> PretrainConfig:
        out = tmp_path / name
        if not (out / "cache").exists():
            shutil.copytree(cache, out / "cache")
        return check_config(PretrainConfig, {**tiny, "out": str(out), **more}, "tiny")

    return make


@pytest.fixture(scope="session")
def chain(
    tiny: dict[str, Any], population: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder in which all stages ran: `pretrain`, `prior.safetensors`, `train/checkpoint`."""
    import yaml

    from scldm.cli import main

    folder = tmp_path_factory.mktemp("chain")
    first = {**tiny, "out": str(folder / "pretrain"), "steps": 2}
    second = {
        "out": str(folder / "train"), "encoders": str(folder / "pretrain" / "encoders"),
        "prior": str(folder / "prior.safetensors"), "data": tiny["data"], "views": 1,
        "unet": {"channels": [32], "layers": 1, "heads": 2, "tokens": 8, "token_width": 16},
        "schedule": "cosine", "prediction": "v_prediction", "batch": 8, "steps": 2,
        "rate": 1e-3, "warmup": 1, "validate_samples": 8, "sampling": {"steps": 4},
    }
    for name, config in (("pretrain", first), ("train", second)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    assert main(["pretrain", str(folder / "pretrain.yaml")]) == 0
    assert main(["prior", "--checkpoint", str(folder / "pretrain" / "encoders"), "--faces",
                 str(population), "--count", "20", "--out", second["prior"],
                 "--convergence", "4,10,20"]) == 0
    assert main(["train", str(folder / "train.yaml")]) == 0
    return folder


@pytest.fixture(scope="session")
def checkpoint(chain: Path) -> Path:
    """The checkpoint that the chain made: faces of 32 pixels, hardly trained."""
    return chain / "train" / "checkpoint"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 2.5 seconds."""
    import numpy as np
    import soundfile

    path = tmp_path_factory.mktemp("clip") / "voice.wav"
    rng = np.random.default_rng(0)
    soundfile.write(path, 0.1 * rng.standard_normal(40_000), 16_000)
    return path
