"""Face attribute networks: gender, age band and labels of a face; features for distances.

Two trunks of different architecture share this class: a plain VGG stack, whose feature maps serve
as the perceptual distance in training, and a ResNet, the judge, which never touches training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import make_layers

from scldm.core.errors import InputError

AGE_BANDS = (20, 30, 40, 50, 60, 70)  # lower ends in years; the last is open


@dataclass(frozen=True)
class Attributes:
    """What the network says of B faces: logits and pooled features."""

    features: Tensor  # (B, width)
    gender: Tensor  # (B, 2): F, M
    age: Tensor  # (B, 6): AGE_BANDS
    labels: Tensor  # (B, number of labels)


class FaceAttributes(ModelMixin, ConfigMixin):
    """Attribute network over faces in [-1, 1], resized to `input_size`.

    Args:
        architecture: "vgg" (conv-BN-ReLU twice and a pool a stage) or "resnet" (two basic blocks
            a stage).
        widths: channels of the stages; a "resnet" has four.
        input_size: side that faces are brought to, pixels.
        label_names: names of the classes of the third head; may be empty.

    Raises InputError for a "resnet" of other than four stages.
    """

    @register_to_config
    def __init__(
        self,
        architecture: Literal["vgg", "resnet"] = "resnet",
        widths: Sequence[int] = (32, 64, 128, 256),
        input_size: int = 128,
        label_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if architecture == "vgg":
            self.trunk = make_layers([x for w in widths for x in (w, w, "M")], batch_norm=True)
        elif len(widths) != 4:
            raise InputError(f"widths {tuple(widths)}: a resnet has four stages; give four")
        else:
            self.trunk = ResNet(
                BasicBlock, [2] * len(widths), num_classes=0, global_pool="",
                channels=list(widths),
            )
        self.gender = nn.Linear(widths[-1], 2)
        self.age = nn.Linear(widths[-1], len(AGE_BANDS))
        self.label = nn.Linear(widths[-1], len(label_names)) if label_names else None

    def _resize(self, faces: Tensor) -> Tensor:
        side = self.config["input_size"]
        if faces.shape[-1] != side:
            faces = F.interpolate(
                faces, (side, side), mode="bilinear", align_corners=False, antialias=True
            )
        return faces.contiguous(memory_format=torch.channels_last)

    def forward(self, faces: Tensor) -> Attributes:
        """faces (B, 3, S, S) in [-1, 1] -> Attributes."""
        features = self.trunk(self._resize(faces)).mean(dim=(2, 3))
        labels = self.label(features) if self.label else features[:, :0]
        return Attributes(features, self.gender(features), self.age(features), labels)

    def maps(self, faces: Tensor) -> list[Tensor]:
        """Feature maps of each stage of a "vgg" trunk, before its pool: [(B, width, s, s), ...].

        Its pools average here: gradients through maxima draw a grid into what is trained on them.
        """
        maps, x = [], self._resize(faces)
        for layer in self.trunk:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
                x = F.avg_pool2d(x, 2)
            else:
                x = layer(x)
        return maps


def age_band(lower: float) -> int:
    """Index in AGE_BANDS of an age in years; -1 where it is unknown (NaN) or below 20."""
    return -1 if not lower >= AGE_BANDS[0] else sum(lower >= low for low in AGE_BANDS) - 1
