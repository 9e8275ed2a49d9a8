"""Randomness that belongs to (seed, stream, step) and not to the process.

A killed and resumed run draws the same numbers as one that was never stopped.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def key(seed: int, stream: str, step: int = 0) -> int:
    """A 63-bit integer that depends on all of `seed`, `stream` and `step`."""
    digest = hashlib.sha256(f"{seed}/{stream}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def numpy_generator(seed: int, stream: str, step: int = 0) -> np.random.Generator:
    """NumPy's generator for this (seed, stream, step)."""
    return np.random.default_rng(key(seed, stream, step))


def torch_generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """A CPU torch generator for this (seed, stream, step): the same numbers on every device."""
    import torch

    return torch.Generator().manual_seed(key(seed, stream, step))
