"""Losses of the embedding stage: L_Spk (seed 000, Eqs. 1 to 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernel's width


def reconstruction(ours: Tensor, wanted: Tensor) -> Tensor:
    """L_Rec: 1 - cos of speaker embeddings (B, D), their mean, ()."""
    return 1 - F.cosine_similarity(ours, wanted, dim=1).mean()


def mmd(z: Tensor, normal: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of z (B, Z) and draws of N(0, I) (N, Z): () (Eq. 1).

    The unbiased estimate, which may be below 0, over inverse multiquadratic kernels of several
    widths c / (c + |x - y|^2): of the aggregated posterior, not of each face's.
    """
    return _within(z) + _within(normal) - 2 * _kernel(z, normal).mean()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """(A, B) of a (A, Z) and b (B, Z)."""
    width = 2 * a.shape[1]  # mean squared distance of two draws of N(0, I)
    square = (a[:, None] - b[None, :]).square().sum(dim=2)
    return torch.stack([c * width / (c * width + square) for c in SCALES]).mean(dim=0)


def _within(a: Tensor) -> Tensor:
    """Mean over pairs of different rows of a (A, Z)."""
    return (_kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))


class DynamicCentres(nn.Module):
    """A centre for each identity, which follows its embeddings (Eq. 4).

    Args:
        identities: how many.
        width: D.
        rate: alpha, how fast a centre follows.
    """

    centres: Tensor
    seen: Tensor

    def __init__(self, identities: int, width: int, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.register_buffer("centres", torch.zeros(identities, width))
        self.register_buffer("seen", torch.zeros(identities, dtype=torch.bool))

    def loss(self, embeddings: Tensor, identity: Tensor) -> Tensor:
        """L_cen of s (B, D) of `identity` (B,): half the mean squared distance to the centres, ().

        Eq. 3 sums where this takes the mean, so that its weight does not hang on the batch. An
        identity that was not seen yet has its centre where its embeddings of this batch are.
        """
        centres = torch.where(
            self.seen[identity, None], self.centres[identity], self._means(embeddings, identity)
        )
        return (embeddings - centres.detach()).square().sum(dim=1).mean() / 2

    @torch.no_grad()
    def update(self, embeddings: Tensor, identity: Tensor) -> None:
        """Eq. 4, once an identity, by the mean of its embeddings; after the loss."""
        target = self._means(embeddings, identity)
        known = self.seen[identity, None]
        old = self.centres[identity]
        moved = F.normalize(torch.lerp(old, target, self.rate), dim=1)
        self.centres[identity] = torch.where(known, moved, target)
        self.seen[identity] = True

    @staticmethod
    def _means(embeddings: Tensor, identity: Tensor) -> Tensor:
        """For each row the mean direction of its identity's rows, (B, D) of length 1."""
        same = (identity[:, None] == identity[None, :]).to(embeddings)
        return F.normalize(same @ embeddings.detach(), dim=1)
