"""Learning-rate schedules as functions of progress."""

from __future__ import annotations

import math


def decay(kind: str, share_done: float) -> float:
    """Factor on the learning rate: 1 ("none"), or a cosine from 1 to 0.01 ("cosine")."""
    return 1.0 if kind == "none" else 0.01 + 0.99 * (1 + math.cos(math.pi * share_done)) / 2
