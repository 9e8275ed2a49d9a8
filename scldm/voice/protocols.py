"""What hears a speaker, and what speaks as one: both are exchanged without touching the rest."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

RATE = 16_000  # Hz, of everything that is heard


class SpeakerEncoder(Protocol):
    """Speech -> speaker embeddings; frozen, in evaluation mode, differentiable in the speech.

    Attributes:
        name: as the command line calls it.
        width: D of its embeddings.
        fingerprint: sixteen digits that name its weights.
    """

    name: str
    width: int
    fingerprint: str

    def __call__(self, audio: Tensor) -> Tensor:
        """audio (B, n), 16 kHz mono in [-1, 1] -> (B, D)."""
        ...


class Synthesiser(Protocol):
    """Text and a speaker embedding -> speech.

    Attributes:
        name: as the command line calls it.
        rate: of its samples, Hz; at least 16,000.
    """

    name: str
    rate: int

    def speak(
        self, text: str, embedding: Tensor, pitch: float = 0.0, rate: float = 1.0
    ) -> np.ndarray:
        """`text` as the speaker of `embedding` (D,): float32 (n,) in [-1, 1] at `rate` Hz.

        Args:
            pitch: semitones by which the voice is moved.
            rate: factor on the speed of speaking.

        Raises InputError for text that is empty or that cannot be said.
        """
        ...
