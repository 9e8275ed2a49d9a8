"""Laws of the configuration of stage 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from scldm.core.config import load_config
from scldm.core.errors import InputError
from scldm.pretraining.config import PretrainConfig

BED = Path("configs/bed-pretrain.yaml")


@pytest.mark.parametrize(
    "wrong",
    ["steps=-4", "batch=0", "extra_faces=-1", "face_rate=0", "face_rate=.nan", "speech_rate=.inf",
     "seed=-1", "save_every=0", "loss.mae=-1", "loss.attribute=-1", "loss.latent_noise=.nan",
     "data.image_size=0", "data.variants=-1", "data.workers=-1", "speech.first_stride=0",
     "face.stages=[[0]]"],
)  # fmt: skip
def test_a_value_out_of_its_range_is_one_line(wrong: str) -> None:
    with pytest.raises(InputError, match=wrong.partition("=")[0].replace(".", r"\.")) as refused:
        load_config(PretrainConfig, BED, [wrong])
    assert "should be" in str(refused.value) and "\n" not in str(refused.value)
