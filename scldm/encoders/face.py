"""Face encoder (the VGG16 trunk, since VGGFace is VGG16) and its mirror image, the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torchvision.models.vgg import make_layers

VGG16: tuple[tuple[int, ...], ...] = (
    (64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512),
)


class FaceEncoder(ModelMixin, ConfigMixin):
    """Z^f = E_Face(face): a VGG trunk of 3x3 convolutions and pools, then a 1x1 convolution.

    Args:
        stages: channels of the convolutions of each stage, a 2x2 pool after each; default VGG16.
        latent_channels: channels of the latent map. At 256 pixels and five stages: (64, 8, 8),
            which flattened is Z^f with d = 4096.
        batch_norm: batch normalisation after each convolution (VGG16 itself has none).
    """

    @register_to_config
    def __init__(
        self,
        stages: Sequence[Sequence[int]] = VGG16,
        latent_channels: int = 64,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        layers: list[int | str] = []
        for widths in stages:
            layers += [*widths, "M"]
        self.trunk = make_layers(layers, batch_norm)  # type: ignore[arg-type]
        self.to_latent = nn.Conv2d(stages[-1][-1], latent_channels, 1)

    @property
    def shrink(self) -> int:
        """Image side divided by latent side."""
        return 2 ** len(self.config["stages"])

    def forward(self, faces: Tensor) -> Tensor:
        """faces (B, 3, S, S) in [-1, 1] -> Z^f (B, C, S/2^n, S/2^n)."""
        return self.to_latent(self.trunk(faces.contiguous(memory_format=torch.channels_last)))


class FaceDecoder(ModelMixin, ConfigMixin):
    """D_Face, the mirror image of `FaceEncoder`: the same stages backwards, pools undone.

    Args are those of the encoder it mirrors.
    """

    @register_to_config
    def __init__(
        self,
        stages: Sequence[Sequence[int]] = VGG16,
        latent_channels: int = 64,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.from_latent = nn.Conv2d(latent_channels, stages[-1][-1], 1)
        layers: list[nn.Module] = []
        for index in reversed(range(len(stages))):
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
            sizes = [*reversed(stages[index])]
            sizes += [stages[index - 1][-1]] if index else []  # stage 0 ends in `to_image`
            for wide, next_wide in zip(sizes[:-1], sizes[1:], strict=True):
                layers.append(nn.Conv2d(wide, next_wide, 3, padding=1, bias=not batch_norm))
                layers += [nn.BatchNorm2d(next_wide)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
        self.trunk = nn.Sequential(*layers)
        self.to_image = nn.Conv2d(stages[0][0], 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Z (B, C, s, s) -> faces (B, 3, s 2^n, s 2^n), about [-1, 1]."""
        latents = latents.contiguous(memory_format=torch.channels_last)
        return self.to_image(self.trunk(self.from_latent(latents)))
