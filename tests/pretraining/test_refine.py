"""Laws of the decoder's steps alone: encoders rest, the error falls, a stop costs no bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from scldm.core.errors import InputError
from scldm.encoders.bundle import encoder_facts, load_encoders
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.loop import pretrain
from tests.stop import stopped_after

Make = Callable[..., PretrainConfig]
LOSS: dict[str, Any] = {"perceptual": "none", "latent_noise": 0.1}
STEPS = {"loss": LOSS, "steps": 4, "refine": {"steps": 40, "batch": 16, "rate": 3e-3}}


@pytest.fixture
def refined(stage_one: Make) -> Path:
    """The encoders of four steps of stage 1 and forty of the decoder."""
    return pretrain(stage_one("refined", **STEPS))


def test_the_decoder_learns_and_the_encoders_rest(stage_one: Make, refined: Path) -> None:
    plain = pretrain(stage_one("plain", loss=LOSS, steps=4))
    before, after = load_encoders(plain), load_encoders(refined)
    for name in ("speech_encoder", "face_encoder"):
        one, other = (getattr(x, name).state_dict() for x in (before, after))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert encoder_facts(plain)["face_encoder"] == encoder_facts(refined)["face_encoder"]
    mae = [encoder_facts(folder)["val"]["mae"] for folder in (plain, refined)]
    assert mae[1] < 0.85 * mae[0]


def test_a_stopped_refinement_resumes_to_the_same_bits(stage_one: Make, refined: Path) -> None:
    config = stage_one("stopped", **STEPS)
    for step in (3, 20):  # among the four of all networks, and later
        with stopped_after(step):
            pretrain(config)
        assert not (Path(config.out) / "encoders").exists()
    encoders = pretrain(config)
    for file in refined.rglob("*.safetensors"):
        assert file.read_bytes() == (encoders / file.relative_to(refined)).read_bytes()


def test_a_wider_decoder_starts_afresh_and_resumes_to_the_same_bits(stage_one: Make) -> None:
    wide = {"steps": 6, "batch": 4, "stages": [[12], [20], [28]]}
    whole, config = (stage_one(name, **{**STEPS, "refine": wide}) for name in ("whole", "parts"))
    with stopped_after(6):  # two of the decoder's
        pretrain(config)
    one, other = load_encoders(pretrain(whole)), load_encoders(pretrain(config))
    assert one.face_decoder.config["stages"] == wide["stages"]
    state = one.face_decoder.state_dict()
    assert all(torch.equal(x, state[key]) for key, x in other.face_decoder.state_dict().items())


def test_a_decoder_of_other_depth_is_told_before_stage_1(stage_one: Make) -> None:
    with pytest.raises(InputError, match=r"refine.stages: use 3 stages, as face.stages has"):
        pretrain(stage_one(refine={"steps": 1, "stages": [[8]]}))


def test_a_batch_that_processes_cannot_share_is_told_before_stage_1(
    stage_one: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "num_processes", 2)
    with pytest.raises(InputError, match=r"refine.batch 3: use a multiple of the 2 processes"):
        pretrain(stage_one(refine={"steps": 1, "batch": 3}))
