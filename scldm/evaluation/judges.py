"""Judges: networks that never took part in making portraits and say what they see in one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scldm.core.artifact import check_hashes
from scldm.core.errors import InputError
from scldm.encoders.attributes import AGE_BANDS, FaceAttributes
from scldm.encoders.bundle import load_network
from scldm.encoders.foreign import load_vggface_fc7, read_foreign

BUNDLED_JUDGE = Path(__file__).parents[1] / "bundled" / "judge"
VGGFACE2_FILE = "20180402-114759-vggface2.pt"
VGGFACE2_URL = f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{VGGFACE2_FILE}"
VGGFACE_FILE = "vgg_face_dag.pth"
VGGFACE_MEAN = (129.1863, 104.7624, 93.5940)  # of its training faces, RGB, 0..255


@dataclass(frozen=True)
class Judgement:
    """What a judge says of B faces: features (B, w); gender (B,) 0 F, 1 M; age (B,) in years."""

    features: Tensor
    gender: Tensor
    age: Tensor


class Judge(Protocol):
    """Faces (B, 3, S, S) in [-1, 1] of any side -> Judgement. `layer`: where features are taken."""

    layer: str

    def __call__(self, faces: Tensor) -> Judgement: ...


class BundledJudge:
    """An attribute network (`scripts/train_face_networks.py`): by default that of the package, a
    ResNet for gender and age band, trained on real faces."""

    layer = "pooled features of its ResNet"

    def __init__(self, folder: Path = BUNDLED_JUDGE) -> None:
        check_hashes(folder)
        self.network = load_network(FaceAttributes, folder)

    @torch.no_grad()
    def __call__(self, faces: Tensor) -> Judgement:
        said = [self.network(part) for part in faces.split(64)]
        middles = torch.tensor([low + 5.0 for low in AGE_BANDS])
        age = torch.cat([s.age.softmax(dim=1) for s in said]) @ middles
        return Judgement(
            torch.cat([s.features for s in said]),
            torch.cat([s.gender for s in said]).argmax(dim=1), age,
        )


class FeatureJudge:
    """Features of a face recognition network; gender and age by the bundled judge.

    Args:
        network: (B, 3, side, side) in 0..255, RGB -> features (B, w).
        side: what faces are resized to, pixels.
        layer: the name of what it returns.
    """

    def __init__(self, network: nn.Module, side: int, layer: str) -> None:
        self.network, self.side, self.layer = network.eval(), side, layer
        self.attributes = BundledJudge()

    @torch.no_grad()
    def __call__(self, faces: Tensor) -> Judgement:
        parts = []
        for part in faces.split(32):
            size = (self.side, self.side)
            grown = F.interpolate(part, size, mode="bilinear", antialias=True)
            parts.append(self.network((grown + 1) * 127.5))
        said = self.attributes(faces)
        return Judgement(torch.cat(parts), said.gender, said.age)


class VggFace2(nn.Module):
    """InceptionResnetV1 trained on VGGFace2, up to the layer before it is brought to length 1."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from facenet_pytorch import InceptionResnetV1

        self.network = InceptionResnetV1(classify=False)
        state = {k: v for k, v in read_foreign(weights).items() if not k.startswith("logits.")}
        try:
            self.network.load_state_dict(state)
        except RuntimeError as error:
            why = " ".join(str(error).split())[:150]
            raise InputError(f"{weights}: not InceptionResnetV1's weights: {why}") from None
        self.network.last_bn.register_forward_hook(self._keep)

    def _keep(self, layer: nn.Module, given: object, features: Tensor) -> None:
        self.features = features

    def forward(self, faces: Tensor) -> Tensor:
        self.network((faces - 127.5) / 128)
        return self.features


def open_judge(name: str, weights: Path | None = None) -> Judge:
    """The judge `name`: "bundled", "vggface2", "vggface", or the folder of an attribute network.

    weights: its file, for the two that come without; by default where torch keeps downloads.
    Raises InputError naming the file that is missing and where to place it.
    """
    if name == "vggface2":
        file = weights or _downloaded(VGGFACE2_FILE, VGGFACE2_URL)
        return FeatureJudge(VggFace2(file), 160, "the 512 features before normalisation")
    if name == "vggface":
        file = weights or _cached(VGGFACE_FILE)
        if not file.is_file():
            raise InputError(f"judge vggface needs the weights of VGG-Face: place {VGGFACE_FILE} "
                             f"at {file}, or name it with --judge-weights")
        return FeatureJudge(load_vggface_fc7(file, VGGFACE_MEAN), 224, "fc7, rectified")
    if weights:
        raise InputError(f"--judge-weights: judge {name} takes none")
    if name == "bundled":
        return BundledJudge()
    if not Path(name).is_dir():
        raise InputError(f"judge '{name}': use bundled, vggface2, vggface or the folder of an "
                         "attribute network")
    return BundledJudge(Path(name))


def _cached(file: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / file


def _downloaded(name: str, url: str) -> Path:
    file = _cached(name)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file))
        except OSError as error:
            raise InputError(f"judge weights: {url} cannot be had ({type(error).__name__}); place "
                             f"it at {file}, or name it with --judge-weights") from None
    return file
