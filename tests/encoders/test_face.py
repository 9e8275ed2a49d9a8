"""Laws of the face encoder and its decoder: VGG16's trunk, and a mirror."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import vgg16

from scldm.encoders.face import VGG16, FaceDecoder, FaceEncoder

TINY = ((8, 8), (12,), (16, 20, 16))


def convolutions(network: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, nn.Conv2d)]


def in_order(decoder: FaceDecoder) -> list[tuple[int, int]]:
    parts = (decoder.from_latent, decoder.trunk, decoder.to_image)
    return [pair for part in parts for pair in convolutions(part)]


def test_paper_size_on_256_pixels() -> None:
    with torch.device("meta"):
        encoder, decoder = FaceEncoder(), FaceDecoder()
        faces = torch.empty(2, 3, 256, 256)
    assert encoder.trunk(faces).shape == (2, 512, 8, 8)
    latents = encoder(faces)
    assert latents.shape == (2, 64, 8, 8) and latents.flatten(1).shape == (2, 4096)
    assert decoder(latents).shape == faces.shape
    assert encoder.shrink == 32


def test_the_trunk_is_that_of_vgg16() -> None:
    with torch.device("meta"):
        ours, theirs = FaceEncoder(batch_norm=False).trunk, vgg16().features
    assert list(map(repr, ours)) == list(map(repr, theirs))


@pytest.mark.parametrize("stages", [VGG16, TINY])
@pytest.mark.parametrize("norm", [False, True])
def test_the_decoder_mirrors_the_encoder(
    stages: tuple[tuple[int, ...], ...], norm: bool
) -> None:
    with torch.device("meta"):
        encoder, decoder = FaceEncoder(stages, 6, norm), FaceDecoder(stages, 6, norm)
    assert in_order(decoder) == [(b, a) for a, b in reversed(convolutions(encoder))]
    pools = sum(isinstance(m, nn.MaxPool2d) for m in encoder.modules())
    assert pools == sum(isinstance(m, nn.Upsample) for m in decoder.modules()) == len(stages)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in n.modules()) for n in (encoder, decoder)]
    assert norms == ([sum(map(len, stages)), sum(map(len, stages)) - 1] if norm else [0, 0])


@pytest.mark.parametrize("side", [16, 40])
def test_a_picture_comes_back_in_its_size_and_gradients_reach_all(side: int) -> None:
    torch.manual_seed(0)
    encoder, decoder = FaceEncoder(TINY, 6), FaceDecoder(TINY, 6)
    faces = torch.rand(3, 3, side, side) * 2 - 1
    latents = encoder(faces)
    assert latents.shape == (3, 6, side // 8, side // 8)
    made = decoder(latents)
    assert made.shape == faces.shape
    (made - faces).abs().mean().backward()
    assert all(p.grad is not None for n in (encoder, decoder) for p in n.parameters())
    assert encoder.trunk[0].weight.grad.abs().max() > 0  # type: ignore[union-attr]


def test_a_place_in_the_latent_map_is_a_place_in_the_picture() -> None:
    torch.manual_seed(0)
    decoder = FaceDecoder(TINY, 6).eval()
    latents = torch.randn(1, 6, 16, 16)
    moved = latents.clone()
    moved[..., 2, 13] += 1
    with torch.no_grad():
        change = (decoder(moved) - decoder(latents)).abs().sum(1)[0]
    y, x = (change / change.sum() * torch.arange(128.0)[:, None]).sum(), (
        change / change.sum() * torch.arange(128.0)
    ).sum()
    assert abs(y - 2.5 * 8) < 8 and abs(x - 13.5 * 8) < 8
    assert (change[64:] == 0).all() and (change[:, :64] == 0).all()
