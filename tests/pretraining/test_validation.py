"""Laws of stage 1's validation: known answers, and a model that is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs
from scldm.pretraining import validation
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.model import Collaboration, build
from scldm.pretraining.validation import (
    latent_statistics,
    reconstructions,
    speech_latents,
    validate,
)

CPU = torch.device("cpu")


@pytest.fixture
def model(stage_one: Callable[..., PretrainConfig]) -> Collaboration:
    return build(stage_one())


def test_a_speech_encoder_that_knows_the_faces_is_right_and_a_blind_one_is_not(
    model: Collaboration, pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.eval()
    people = pairs.clips.column("person")
    with torch.no_grad():
        real = to_unit(torch.from_numpy(np.array(pairs.faces)).permute(0, 3, 1, 2))
        latents = F.normalize(model.face_encoder(real).flatten(1))
    faces = pairs.samples.manifest["person"]
    knowing = torch.stack([latents[faces == person].mean(0) for person in people])
    answers: dict[str, Any] = {"knowing": knowing, "blind": knowing[:1].expand(len(people), -1)}
    found = {}
    for name, speech in answers.items():
        monkeypatch.setattr(validation, "speech_latents", lambda *_, s=speech: s)
        found[name] = validate(model, pairs, CPU)
    assert found["knowing"]["match"] == 1
    assert found["blind"]["match"] == pytest.approx(1 / 14, abs=1e-9)
    assert found["blind"]["chance"] == pytest.approx(1 / 14, abs=1e-9)
    assert 0 < found["blind"]["mae"] == found["knowing"]["mae"] < 2


@pytest.mark.parametrize("training", [False, True])
def test_validation_leaves_no_trace(model: Collaboration, pairs: Pairs, training: bool) -> None:
    model.train(training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    torch.manual_seed(0)
    drawn = torch.get_rng_state()
    shown = reconstructions(model, pairs, CPU)
    validate(model, pairs, CPU)
    assert shown.shape[0] == 3 and shown.min() >= 0 and shown.max() <= 1
    assert model.training is training and model.speech_encoder.training is training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)


def test_speech_latents_are_of_each_clip_in_order(model: Collaboration, pairs: Pairs) -> None:
    from scldm.data.spectrogram import spectrogram

    encoder = model.speech_encoder.eval()
    latents = speech_latents(encoder, pairs.clips, CPU)
    assert latents.shape == (28, 128)
    with torch.no_grad():
        alone = encoder(spectrogram(torch.from_numpy(pairs.clips.plain(17))[None]))
    assert torch.allclose(latents[17:18], alone, atol=1e-5)


def test_statistics_of_the_latent() -> None:
    latents = torch.tensor([[1.0, 3.0, 0.0], [1.0, -3.0, 0.0]], requires_grad=True)
    found = latent_statistics(latents)
    assert found["latent/rms_low"] == 0 and found["latent/rms_high"] == 3
    assert abs(found["latent/mean"] - 1 / 3) < 1e-6
    assert abs(found["latent/std"] - np.std([1, 3, 0, 1, -3, 0], ddof=1)) < 1e-6
