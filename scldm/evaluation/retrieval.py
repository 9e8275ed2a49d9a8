"""Retrieval: does a portrait's feature find its person in a gallery of true faces?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from scldm.core.errors import InputError

PART = 512  # queries ranked at a time
KS = (1, 5, 10, 25, 50, 100)


def ranks(queries: Tensor, gallery: Tensor, owner: Tensor) -> Tensor:
    """How many of the gallery are nearer by cosine than the true face, ties counted half: (N,).

    queries (N, w), gallery (G, w) of distinct people, owner (N,): each query's row of the gallery.
    Memory is that of 512 queries, whatever N.
    """
    people = F.normalize(gallery, dim=1).T
    found = []
    for part, own in zip(queries.split(PART), owner.split(PART), strict=True):
        cosine = F.normalize(part, dim=1) @ people
        true = cosine.gather(1, own[:, None])
        ties = (cosine == true).sum(dim=1) - 1
        found.append((cosine > true).sum(dim=1) + ties / 2)
    return torch.cat(found)


def recall(rank: Tensor, count: int, k: int) -> Tensor:
    """Whether the person is among the `k` nearest of a gallery of `count`: 0 or 1, (N,).

    Raises InputError for a gallery smaller than `k`.
    """
    if k > count:
        raise InputError(f"R@{k} needs a gallery of {k} people; there are {count}")
    return (rank < k).double()


def usable(count: int, ks: Sequence[int] = KS) -> list[int]:
    """Those of `ks` that a gallery of `count` people can answer."""
    return [k for k in ks if k <= count]
