"""Losses of stage 1: L_C = L_cl + L_r (seed 003, Eq. 1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from open_clip.loss import ClipLoss, gather_features
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from scldm.core.errors import InputError
from scldm.encoders.attributes import FaceAttributes
from scldm.encoders.bundle import load_network
from scldm.encoders.foreign import read_foreign

LPIPS_TRUNK = "vgg16-397923af.pth"


class MatchLoss(ClipLoss):
    """L_cl: symmetric cross-entropy over cosine similarities, every matched pair a positive.

    With distinct labels this is `ClipLoss`. Where several rows share a label (an attribute), the
    target of a row is spread evenly over its matches.

    Args:
        centre: subtract the mean direction of the batch (of all processes) from both sides first.
        others: those of `ClipLoss`.
    """

    def __init__(self, centre: bool = False, **others: Any) -> None:
        super().__init__(**others)
        self.centre = centre

    def forward(
        self, speech: Tensor, face: Tensor, scale: Tensor, labels: Tensor,
        face_labels: Tensor | None = None,
    ) -> Tensor:
        """L_cl () of speech (B, d) and face (F, d), of any norm.

        scale () is 1 / temperature; labels (B,) and face_labels (F,) are equal where clip and face
        match; without face_labels the faces have those of the clips. Computed in float32.
        """
        with torch.autocast(speech.device.type, enabled=False):
            return self._loss(speech, face, scale, labels, face_labels)

    def _loss(
        self, speech: Tensor, face: Tensor, scale: Tensor, labels: Tensor,
        face_labels: Tensor | None,
    ) -> Tensor:
        directions = [F.normalize(z.float(), dim=1) for z in (speech, face)]
        if self.centre:
            means = self._means(directions)
            directions = [
                F.normalize(z - mean, dim=1) for z, mean in zip(directions, means, strict=True)
            ]
        to_face, to_speech = self.get_logits(*directions, scale)
        rows = self._gather(labels)
        columns = rows if face_labels is None else self._gather(face_labels)
        matched = (rows[:, None] == columns[None, :]).float()
        loss = F.cross_entropy(to_face, _rows_to_one(matched))
        return (loss + F.cross_entropy(to_speech, _rows_to_one(matched.T))) / 2

    def _means(self, directions: list[Tensor]) -> list[Tensor]:
        means = [z.mean(dim=0, keepdim=True) for z in directions]
        if self.world_size > 1:
            means = gather_features(
                *means, gather_with_grad=True, rank=self.rank, world_size=self.world_size
            )
        return [mean.mean(dim=0) for mean in means]

    def _gather(self, labels: Tensor) -> Tensor:
        if self.world_size == 1:
            return labels
        parts = [torch.empty_like(labels) for _ in range(self.world_size)]
        distributed.all_gather(parts, labels)
        return torch.cat(parts)


def _rows_to_one(matched: Tensor) -> Tensor:
    return matched / matched.sum(dim=1, keepdim=True).clamp(min=1)


class FacePerceptual(nn.Module):
    """Perceptual distance by a face attribute network, for where LPIPS's trunk can't be had.

    As LPIPS without its linear layer: feature maps of each stage, normalised over channels at each
    place, squared difference, averaged.
    """

    def __init__(self, network: FaceAttributes) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, ours: Tensor, real: Tensor) -> Tensor:
        """Faces (B, 3, S, S) in [-1, 1] twice -> distance ()."""
        with torch.no_grad():
            wanted = self.network.maps(real)
        pairs = zip(self.network.maps(ours), wanted, strict=True)
        parts = [
            (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1).mean()
            for a, b in pairs
        ]
        return torch.stack(parts).mean()


class Lpips(nn.Module):
    """LPIPS with the VGG trunk (the package `lpips`), its ImageNet weights from a local file."""

    def __init__(self, trunk: str | Path | None = None) -> None:
        super().__init__()
        import lpips

        path = Path(trunk) if trunk else Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_TRUNK
        if not path.is_file():
            raise InputError(
                f"{path}: LPIPS needs the VGG16 weights of torchvision there ({LPIPS_TRUNK}, from "
                "download.pytorch.org/models), or set loss.perceptual=face and loss.network"
            )
        self.metric = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()
        weights = {k: v for k, v in read_foreign(path).items() if k.startswith("features.")}
        mine = self.metric.net.state_dict()  # slices named slice1.0.weight … by layer number
        names = {name.split(".", 1)[1]: name for name in mine}
        try:
            loaded = {names[k.removeprefix("features.")]: v for k, v in weights.items()}
            self.metric.net.load_state_dict(loaded)
        except (KeyError, RuntimeError):
            raise InputError(f"{path}: not torchvision's VGG16 weights ({LPIPS_TRUNK})") from None
        self.metric.requires_grad_(False)

    def forward(self, ours: Tensor, real: Tensor) -> Tensor:
        """Faces (B, 3, S, S) in [-1, 1] twice -> distance ()."""
        return self.metric(ours, real).mean()


def perceptual_loss(kind: str, path: str | None) -> nn.Module | None:
    """The perceptual part of L_r: "lpips", "face" (a network folder at `path`), or "none"."""
    if kind == "face":
        if path is None:
            raise InputError("loss.perceptual=face needs loss.network, a face network's folder")
        return FacePerceptual(load_network(FaceAttributes, Path(path)))
    return Lpips(path) if kind == "lpips" else None


class PatchDiscriminator(nn.Sequential):
    """A patch discriminator as LDM's autoencoder has: (B, 3, S, S) -> (B, 1, S/8, S/8) logits."""

    def __init__(self, width: int = 32) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for a, b in ((width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(4 * width, 1, 3, 1, 1))


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss from its logits on real and made faces."""
    return (F.relu(1 - real.float()).mean() + F.relu(1 + fake.float()).mean()) / 2
