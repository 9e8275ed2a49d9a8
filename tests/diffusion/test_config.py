"""Laws of the configuration of stage 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from scldm.core.config import load_config
from scldm.core.errors import InputError
from scldm.diffusion.config import TrainConfig

BED = Path("configs/bed-train.yaml")


@pytest.mark.parametrize(
    "wrong",
    ["steps=0", "batch=-2", "beta=-0.01", "beta=.nan", "views=-1", "rate=0", "ema=1.5", "warmup=0",
     "condition_dropout=1.01", "sampling.steps=0", "sampling.guidance=.inf", "unet.heads=0",
     "sampling.sampler=best", "schedule=linear"],
)  # fmt: skip
def test_a_value_out_of_its_range_is_one_line(wrong: str) -> None:
    with pytest.raises(InputError, match=wrong.partition("=")[0].replace(".", r"\.")) as refused:
        load_config(TrainConfig, BED, [wrong])
    assert "should be" in str(refused.value) and "\n" not in str(refused.value)
