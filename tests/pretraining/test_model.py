"""Laws of the networks of stage 1 together: who learns from which loss, and what is normalised."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from scldm.core.errors import InputError
from scldm.data.pairs import Pairs
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.loop import _groups
from scldm.pretraining.losses import MatchLoss
from scldm.pretraining.model import Collaboration, Seen, build
from scldm.pretraining.objective import Objective


@pytest.fixture
def config(stage_one: Callable[..., PretrainConfig]) -> PretrainConfig:
    return stage_one()


def see(model: Collaboration, pairs: Pairs, noise: float = 0.0) -> Seen:
    batch = pairs.batch(0, 0, 4, 2)
    return model(batch.audio, batch.faces, torch.full((6, 8, 4, 4), noise))


def test_both_latents_have_one_dimension(config: PretrainConfig, pairs: Pairs) -> None:
    seen = see(build(config), pairs)
    assert seen.speech.shape == (4, 128) and seen.face.shape == (6, 128)
    assert seen.real.shape == seen.decoded.shape == (6, 3, 32, 32)
    assert seen.real.min() >= -1 and seen.real.max() <= 1


def test_without_a_loss_that_hears_a_face_autoencoder_learns_alone(
    stage_one: Callable[..., PretrainConfig], pairs: Pairs
) -> None:
    config = stage_one()
    deaf = config.loss.model_copy(update={"contrastive": 0.0, "attribute": 0.0})
    model = build(config.model_copy(update={"loss": deaf}))
    seen, heard = see(model, pairs), see(build(config), pairs)
    assert seen.speech is None and torch.equal(seen.decoded, heard.decoded)
    terms = Objective(deaf)(seen, model.log_scale.exp(), torch.arange(4), torch.arange(6))
    torch.stack([*terms.values()]).sum().backward()
    assert "contrastive" not in terms
    assert all(p.grad is None for p in model.speech_encoder.parameters())
    assert all(p.grad is not None for p in model.face_encoder.parameters())


def test_the_decoder_sees_the_latent_as_it_is(config: PretrainConfig, pairs: Pairs) -> None:
    model = build(config)
    seen = see(model, pairs)
    assert torch.equal(model.face_decoder(seen.face.view(6, 8, 4, 4)), seen.decoded)
    noisy = config.model_copy(update={"loss": config.loss.model_copy(update={"latent_noise": 0.5})})
    model = build(noisy)
    seen = see(model, pairs, 1.0)
    rms = seen.face.square().mean().sqrt()
    moved = model.face_decoder((seen.face + 0.5 * rms).view(6, 8, 4, 4))
    assert torch.allclose(moved, seen.decoded, atol=1e-5)


def test_each_loss_teaches_its_networks(config: PretrainConfig, pairs: Pairs) -> None:
    model = build(config)
    seen = see(model, pairs)
    (seen.decoded - seen.real).abs().mean().backward(retain_graph=True)
    assert all(p.grad is None for p in model.speech_encoder.parameters())
    assert all(p.grad is not None for p in model.face_decoder.parameters())
    assert all(p.grad is not None for p in model.face_encoder.parameters())
    model.zero_grad()
    MatchLoss()(seen.speech, seen.face[:4], model.log_scale.exp(), torch.arange(4)).backward()
    assert all(p.grad is not None for p in model.speech_encoder.parameters())
    assert all(p.grad is None for p in model.face_decoder.parameters())
    assert all(p.grad is not None for p in model.face_encoder.parameters())
    assert model.log_scale.grad is not None and model.log_scale.grad != 0


def test_one_classifier_names_what_matches_from_either_latent(
    config: PretrainConfig, pairs: Pairs
) -> None:
    assert build(config, values=14).classifier is None  # the paper
    asked = config.model_copy(update={"loss": config.loss.model_copy(update={"attribute": 1.0})})
    model, plain = build(asked, values=14), build(config).state_dict()
    assert all(torch.equal(plain[k], v) for k, v in model.state_dict().items() if k in plain)
    seen = see(model, pairs)
    assert seen.speech_class is not None and seen.face_class is not None
    assert seen.speech_class.shape == (4, 14) and seen.face_class.shape == (6, 14)
    assert torch.equal(seen.speech_class, model.classifier(seen.speech))
    assert torch.equal(seen.face_class, model.classifier(seen.face))


@pytest.mark.parametrize("attribute", [0.0, 1.0])
def test_every_parameter_has_its_rate_once(config: PretrainConfig, attribute: float) -> None:
    loss = config.loss.model_copy(update={"attribute": attribute})
    model = build(config.model_copy(update={"loss": loss}), values=3)
    speech, face = _groups(model, config)
    assert (speech["lr"], face["lr"]) == (1e-3, 1e-4)  # the paper's
    ids = [id(p) for group in (speech, face) for p in group["params"]]  # type: ignore[attr-defined]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in model.parameters()}
    mine = {id(p) for p in speech["params"]}  # type: ignore[attr-defined]
    assert {id(p) for p in model.speech_encoder.parameters()} < mine


def test_weights_come_from_the_seed(config: PretrainConfig) -> None:
    torch.manual_seed(77)
    first = build(config).state_dict()
    torch.manual_seed(78)
    again = build(config).state_dict()
    other = build(config.model_copy(update={"seed": 4})).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["face_encoder.to_latent.weight"],
                           other["face_encoder.to_latent.weight"])  # fmt: skip


def test_a_side_that_does_not_go_through_the_pools_is_refused(config: PretrainConfig) -> None:
    data = config.data.model_copy(update={"image_size": 36})
    with pytest.raises(InputError, match="data.image_size 36: use a multiple of 8"):
        build(config.model_copy(update={"data": data}))
