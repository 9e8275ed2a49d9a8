"""Laws of the face attribute networks: what they return, for which sizes and ages."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from scldm.core.errors import InputError
from scldm.encoders.attributes import AGE_BANDS, FaceAttributes, age_band


@pytest.mark.parametrize("architecture", ["vgg", "resnet"])
@pytest.mark.parametrize("labels", [(), ("a", "b", "c")])
@pytest.mark.parametrize("side", [32, 50])
def test_three_heads_and_the_features(
    architecture: Literal["vgg", "resnet"], labels: tuple[str, ...], side: int
) -> None:
    network = FaceAttributes(architecture, (4, 4, 4, 8), 32, labels).eval()
    said = network(torch.rand(3, 3, side, side) * 2 - 1)
    assert said.features.shape == (3, 8)
    assert said.gender.shape == (3, 2)
    assert said.age.shape == (3, len(AGE_BANDS))
    assert said.labels.shape == (3, len(labels))


def test_maps_are_those_of_the_trunk_with_mean_pools() -> None:
    torch.manual_seed(0)
    network = FaceAttributes("vgg", (4, 8, 16), 32).eval()
    faces = torch.rand(2, 3, 32, 32) * 2 - 1
    maps = network.maps(faces)
    assert [tuple(m.shape) for m in maps] == [(2, 4, 32, 32), (2, 8, 16, 16), (2, 16, 8, 8)]
    layers = [nn.AvgPool2d(2) if isinstance(x, nn.MaxPool2d) else x for x in network.trunk]
    seen: list[torch.Tensor] = []
    for layer in layers:
        if isinstance(layer, nn.AvgPool2d):
            layer.register_forward_pre_hook(lambda _, x: seen.append(x[0].clone()))
    nn.Sequential(*layers)(faces.contiguous(memory_format=torch.channels_last))
    assert all(map(torch.equal, maps, seen))  # and nothing was changed in place afterwards


def test_every_pixel_pulls_on_the_maps() -> None:
    """Maximum pools would let most pixels go."""
    torch.manual_seed(0)
    network = FaceAttributes("vgg", (4, 8, 16), 128).eval()
    flat = torch.full((1, 3, 128, 128), 0.2, requires_grad=True)
    network.maps(flat)[2].square().sum().backward()
    assert flat.grad is not None
    inner = flat.grad[0, :, 60:68, 60:68]  # away from the padding: the same everywhere
    assert (inner.amax((1, 2)) - inner.amin((1, 2))).max() < 1e-5 * inner.abs().max()


def test_the_two_architectures_share_no_weight_shapes_but_the_heads() -> None:
    vgg, resnet = (FaceAttributes(a, (8, 8, 8, 16), 32).state_dict() for a in ("vgg", "resnet"))  # type: ignore[arg-type]
    common = {name for name in vgg if name in resnet and vgg[name].shape == resnet[name].shape}
    assert common == {"gender.weight", "gender.bias", "age.weight", "age.bias"}


@pytest.mark.parametrize(
    ("years", "band"),
    [(19.9, -1), (20, 0), (29, 0), (30, 1), (45, 2), (59, 3), (60, 4), (70, 5), (99, 5),
     (float("nan"), -1)],
)  # fmt: skip
def test_age_bands(years: float, band: int) -> None:
    assert age_band(years) == band


def test_a_resnet_of_other_than_four_stages_is_one_line() -> None:
    with pytest.raises(InputError, match=r"widths \(8, 8\): a resnet has four stages; give four"):
        FaceAttributes("resnet", (8, 8))
