"""Conditional GANs from a voice embedding: Wen et al. (2019), and Wav2Pix (2019) as a delta."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from scldm.baselines.config import GanConfig
from scldm.baselines.listening import train_listener
from scldm.baselines.publish import publish
from scldm.core.errors import InputError
from scldm.core.run import RunFolder, require_finite
from scldm.core.schedule import decay
from scldm.core.steps import run_steps
from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs
from scldm.diffusion.cache import LatentCache, encode_clips, labelled
from scldm.encoders.face import FaceDecoder


class Judging(nn.Sequential):
    """Convolutions of stride 2 and a linear layer: faces (B, 3, S, S) -> logits (B, outputs).

    The discriminator (one output) and the classifier of identities are of this shape. Spectral
    normalisation (Miyato et al., 2018) keeps them from being pleased by textures no face has.
    """

    def __init__(self, widths: Sequence[int], side: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for a, b in zip((3, *widths[:-1]), widths, strict=True):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(0.2)]
        left = side // 2 ** len(widths)
        super().__init__(*layers, nn.Flatten(), nn.Linear(widths[-1] * left**2, outputs))


def adversarial_loss(
    logits: Tensor, real: bool, kind: Literal["cross-entropy", "least-squares"]
) -> Tensor:
    """How far logits (B, 1) are from calling faces real, or made: ()."""
    wanted = torch.full_like(logits, float(real))
    if kind == "least-squares":
        return (logits - wanted).square().mean()
    return F.binary_cross_entropy_with_logits(logits, wanted)


def train_gan(config: GanConfig) -> Path:
    """Train as `config` says; returns the checkpoint. The same call resumes to the same bits.

    Raises InputError where the stages do not lead to the picture's side.
    """
    side = config.data.image_size
    if 2 ** len(config.stages) != side:
        raise InputError(f"stages: {len(config.stages)} lead to a side of "
                         f"{2 ** len(config.stages)}, and data.image_size is {side}")
    if side % 2 ** len(config.critic):
        raise InputError(f"critic: {len(config.critic)} halvings do not fit a side of {side}")
    accelerator = Accelerator(mixed_precision=config.precision)
    out, device = Path(config.out), accelerator.device
    pairs = Pairs(config.data, out / "cache")
    listener = train_listener(config, accelerator, pairs)
    heard = encode_clips(listener.hear, pairs, config.views, device)
    cache = labelled(pairs, both_sides(pairs), heard).to(device)
    training = GanTraining(config, accelerator, cache, len(pairs.values))

    def look(board: SummaryWriter, n: int) -> None:
        some = heard[:: max(1, len(heard) // 16), 0].to(device)
        with torch.no_grad():
            faces = training.generator.eval()(embedding_map(some)).clamp(-1, 1)
        board.add_image("faces", make_grid(faces, 8, normalize=True, value_range=(-1, 1)), n)

    first = training.run.resume()
    run_steps("gan", config, training.run, accelerator, first, training.step, look)
    shape = (config.embedding, 1, 1)
    return publish(listener, training.generator, shape, "gan", config, out / "checkpoint")


def both_sides(pairs: Pairs) -> Tensor:
    """Each face and its mirror image, (N, 2, 3, S, S) uint8."""
    faces = torch.from_numpy(np.array(pairs.faces)).permute(0, 3, 1, 2)
    return torch.stack((faces, faces.flip(3)), dim=1)


def embedding_map(embedding: Tensor) -> Tensor:
    """(B, e) -> (B, e, 1, 1), the one pixel that the generator begins with."""
    return embedding[:, :, None, None]


class GanTraining:
    """Generator, discriminator and classifier, and one step of them.

    Args:
        config: the GAN's.
        accelerator: device and precision.
        cache: faces as pixels, and voice embeddings, with who is who.
        identities: how many values the matching column has.
    """

    def __init__(
        self, config: GanConfig, accelerator: Accelerator, cache: LatentCache, identities: int
    ) -> None:
        self.config, self.accelerator, self.cache = config, accelerator, cache
        torch.manual_seed(config.seed)
        side = config.data.image_size
        self.generator = FaceDecoder(config.stages, config.embedding).to(accelerator.device)
        judges = {"critic": Judging(config.critic, side, 1)}
        if config.identity:
            judges["classifier"] = Judging(config.critic, side, identities)
        self.judges = nn.ModuleDict(judges).to(accelerator.device)
        self.adam, self.judges_adam = (
            torch.optim.Adam(part.parameters(), config.rate, betas=(0.5, 0.999))
            for part in (self.generator, self.judges)
        )
        self.run = RunFolder(config.out, config.model_dump(mode="json"), {
            "generator": self.generator, "judges": self.judges, "adam": self.adam,
            "judges_adam": self.judges_adam,
        })

    def _real(self, faces: Tensor, real: bool) -> Tensor:
        logits = self.judges["critic"](faces).float()
        return adversarial_loss(logits, real, self.config.adversarial)

    def _named(self, faces: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(self.judges["classifier"](faces).float(), wanted)

    def step(self, n: int) -> dict[str, float]:
        """Discriminator and classifier learn from real faces, then the generator from both."""
        config, cache = self.config, self.cache
        for adam in (self.adam, self.judges_adam):
            adam.param_groups[0]["lr"] = config.rate * decay(config.decay, n / config.steps)
        pick = cache.pick(config.seed, n, config.batch)
        real = to_unit(cache.faces[pick.faces, pick.sides])
        heard = cache.speech[pick.clips, pick.views].float()
        wanted = cache.speech_label[pick.clips]
        with self.accelerator.autocast():
            made = self.generator.train()(embedding_map(heard))
            terms = {"critic": (self._real(real, True) + self._real(made.detach(), False)) / 2}
            if config.identity:
                terms["classifier"] = self._named(real, wanted)
        self._learn(self.judges_adam, terms, n)
        with self.accelerator.autocast():
            fooled = {"adversarial": self._real(made, True)}
            if config.identity:
                fooled["identity"] = config.identity * self._named(made, wanted)
        self._learn(self.adam, fooled, n)
        return {name: term.item() for name, term in {**terms, **fooled}.items()}

    def _learn(self, adam: torch.optim.Optimizer, terms: dict[str, Tensor], n: int) -> None:
        loss = torch.stack(list(terms.values())).sum()
        require_finite(loss, n)
        adam.zero_grad()
        loss.backward()
        adam.step()
