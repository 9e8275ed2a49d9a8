"""Weights of others: the one place where a foreign pickle is read, with `weights_only=True`."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from scldm.core.errors import InputError
from scldm.encoders.attributes import FaceAttributes
from scldm.encoders.bundle import load_network
from scldm.encoders.face import FaceEncoder

_BLOCKS = (2, 2, 3, 3, 3)


def read_foreign(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors or a PyTorch file; no code in it is run.

    Raises InputError when the file is missing or is not a plain set of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such weight file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes raise anything at all
        kind = type(error).__name__
        raise InputError(f"{path}: damaged, or holds more than plain tensors ({kind})") from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path}: not a plain file of tensors by name")
    return state


def start_face_encoder(encoder: FaceEncoder, path: str | Path) -> None:
    """Start a face encoder from a network: VGG-Face's file, or a "vgg" `FaceAttributes` folder.

    Raises InputError where the layers do not agree.
    """
    if not Path(path).is_dir():
        load_vggface(encoder, path)
        return
    network = load_network(FaceAttributes, Path(path))
    try:
        encoder.trunk.load_state_dict(network.trunk.state_dict())
    except RuntimeError:
        raise InputError(f"{path}: its layers are not those of face.stages") from None


def load_vggface(encoder: FaceEncoder, path: str | Path) -> None:
    """Copy the convolutions of VGG-Face (Parkhi et al.), `conv1_1.weight` … `conv5_3.bias`.

    The encoder must have VGG16's widths and no batch normalisation. VGG-Face was trained on faces
    in 0..255 less a mean, in BGR or RGB by release; the first layer adapts in training.
    Raises InputError naming the first layer that is missing or of another shape.
    """
    state = read_foreign(path)
    ours = [layer for layer in encoder.trunk if isinstance(layer, torch.nn.Conv2d)]
    names = [f"conv{b + 1}_{i + 1}" for b, n in enumerate(_BLOCKS) for i in range(n)]
    if len(ours) != len(names) or any(isinstance(x, torch.nn.BatchNorm2d) for x in encoder.trunk):
        raise InputError("VGG-Face weights need face.stages of VGG16 and face.batch_norm=false")
    for name, layer in zip(names, ours, strict=True):
        weight, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
        if weight is None or bias is None or (weight.shape, bias.shape) != _shapes(layer):
            raise InputError(f"{path}: layer {name} is missing or has another shape")
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)  # type: ignore[union-attr]


def _shapes(layer: torch.nn.Conv2d) -> tuple[torch.Size, torch.Size]:
    return layer.weight.shape, torch.Size([layer.out_channels])
