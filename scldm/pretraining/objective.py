"""The terms of L_C = L_cl + L_r (seed 003, Eq. 1), weighted as the configuration says."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scldm.pretraining.config import Losses
from scldm.pretraining.losses import MatchLoss, perceptual_loss
from scldm.pretraining.model import Seen


class Objective(nn.Module):
    """What stage 1 minimises.

    Args:
        config: weights and kinds of the terms.
        rank, world: this process and the number of them; L_cl is of the batch of all.
    """

    def __init__(self, config: Losses, rank: int = 0, world: int = 1) -> None:
        super().__init__()
        self.config = config
        self.match = MatchLoss(config.centre, gather_with_grad=True, rank=rank, world_size=world)
        self.perceptual = perceptual_loss(config.perceptual, config.network)

    def forward(
        self, seen: Seen, scale: Tensor, labels: Tensor, face_labels: Tensor,
        critic: nn.Module | None = None,
    ) -> dict[str, Tensor]:
        """Terms () by name, of what the networks made of B clips and F faces.

        scale () is 1 / temperature; labels (B,) and face_labels (F,) are equal where clip and face
        match. A critic adds the adversarial term.
        """
        weights, decoded = self.config, seen.decoded.float()
        terms = self.reconstruction(decoded, seen.real)
        if seen.speech is not None:
            matched = self.match(seen.speech, seen.face, scale, labels, face_labels)
            terms = {"contrastive": weights.contrastive * matched, **terms}
        if seen.speech_class is not None and seen.face_class is not None:
            said = (
                F.cross_entropy(seen.speech_class.float(), labels, ignore_index=-1),
                F.cross_entropy(seen.face_class.float(), face_labels, ignore_index=-1),
            )
            terms["attribute"] = weights.attribute * torch.stack(said).mean()
        if critic:
            terms["adversarial"] = -weights.adversarial * critic(decoded).float().mean()
        return terms

    def reconstruction(self, decoded: Tensor, real: Tensor) -> dict[str, Tensor]:
        """The terms of L_r () by name, of faces (F, 3, S, S) float32 in [-1, 1]."""
        terms = {"mae": self.config.mae * (decoded - real).abs().mean()}
        if self.perceptual:
            terms["perceptual"] = self.config.perceptual_weight * self.perceptual(decoded, real)
        return terms
