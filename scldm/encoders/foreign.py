"""Weights of others: the one place where a foreign pickle is read, with `weights_only=True`."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models import vgg16

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
    names = _convolutions()
    if len(ours) != len(names) or any(isinstance(x, torch.nn.BatchNorm2d) for x in encoder.trunk):
        raise InputError("VGG-Face weights need face.stages of VGG16 and face.batch_norm=false")
    for name, layer in zip(names, ours, strict=True):
        _copy_layer(layer, state, name, path)


def _convolutions() -> list[str]:
    return [f"conv{b + 1}_{i + 1}" for b, n in enumerate(_BLOCKS) for i in range(n)]


def _copy_layer(
    layer: torch.nn.Conv2d | torch.nn.Linear, state: dict[str, Tensor], name: str, path: str | Path
) -> None:
    for part, ours in layer.named_parameters():
        given = state.get(f"{name}.{part}")
        if given is None or given.shape != ours.shape:
            raise InputError(f"{path}: layer {name} is missing or has another shape")
        ours.data.copy_(given)


class VggFaceFc7(torch.nn.Module):
    """VGG-Face (Parkhi et al.) up to its layer fc7: the features that distances are taken of.

    Args:
        mean: of its training faces, RGB in 0..255.
    """

    def __init__(self, mean: tuple[float, float, float]) -> None:
        super().__init__()
        network = vgg16(num_classes=1)
        self.trunk, self.dense = network.features, network.classifier[:5]
        self.mean = torch.nn.Buffer(torch.tensor(mean)[:, None, None])

    def forward(self, faces: Tensor) -> Tensor:
        """faces (B, 3, 224, 224) in 0..255, RGB -> fc7 (B, 4096), rectified."""
        return self.dense(self.trunk(faces - self.mean).flatten(1))


def load_vggface_fc7(path: str | Path, mean: tuple[float, float, float]) -> VggFaceFc7:
    """VGG-Face from its file of tensors `conv1_1.weight` … `fc7.bias`.

    Raises InputError naming the first layer that is missing or of another shape.
    """
    network, state = VggFaceFc7(mean), read_foreign(path)
    layers = [x for x in network.modules() if isinstance(x, torch.nn.Conv2d | torch.nn.Linear)]
    for name, layer in zip((*_convolutions(), "fc6", "fc7"), layers, strict=True):
        _copy_layer(layer, state, name, path)
    return network.eval().requires_grad_(False)
