"""A speech encoder that learns inside stage 2, for the question what stage 1 is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scldm.core.seeding import numpy_generator
from scldm.data.pairs import Pairs
from scldm.diffusion.cache import LatentCache, encode_clips
from scldm.encoders.speech import SpeechEncoder


class Listener:
    """Z^s by an encoder of stage 1's shape with fresh weights; nothing of it can be cached.

    Args:
        like: stage 1's encoder.
        pairs: the clips that it hears.
        seed: of its weights, and of the windows it hears.
        device: where it runs.
    """

    def __init__(self, like: SpeechEncoder, pairs: Pairs, seed: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        shape = {k: v for k, v in like.config.items() if not k.startswith("_")}
        self.encoder = SpeechEncoder(**shape).to(device)
        self.pairs, self.seed, self.device = pairs, seed, device

    def hear(self, clips: Tensor, step: int) -> Tensor:
        """Z^s (B, d), with its gradients, of a window of each clip (B,), drawn by (seed, step)."""
        rng = numpy_generator(self.seed, "listener", step)
        audio = np.stack([self.pairs.clips.drawn(int(clip), rng) for clip in clips])
        return self.encoder.train().hear(torch.from_numpy(audio).to(self.device))

    @torch.no_grad()
    def cached(self, cache: LatentCache, pairs: Pairs) -> LatentCache:
        """`cache`, which is of `pairs`, with Z^s as the encoder has it now."""
        speech = encode_clips(self.encoder.eval().hear, pairs, 0, self.device)
        return replace(cache, speech=speech.to(cache.speech))
