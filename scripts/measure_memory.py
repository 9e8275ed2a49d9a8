"""Count the memory of both mappings resident together at the paper's size.

    python scripts/measure_memory.py --out docs/results/voice

Each network runs once, and the bytes of what it makes are counted from their making to their end.
Writes memory.json and memory.md: bytes of
the weights of every network of speech to face and of face to voice, and the most that its
activations take at once for what a user asks in one go (three portraits of a clip, guided; a
sentence of ten words). On a machine with a GPU the same is run there and measured beside.
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    SpeechT5Config,
    SpeechT5ForTextToSpeech,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from scldm.core.artifact import write_json, write_text
from scldm.core.run import device_name
from scldm.diffusion.denoiser import build_denoiser
from scldm.encoders.face import FaceDecoder, FaceEncoder
from scldm.encoders.speech import SpeechEncoder
from scldm.voice.adapter import VoiceAdapter

SIDE, LATENT, PORTRAITS = 256, 4096, 3
TOKENS, FRAMES = 60, 256  # characters of ten words; mel frames of four seconds
LIMIT = 8e9  # bytes, together


class Peak(TorchDispatchMode):
    """Counts the bytes of tensors that are made and alive; `most` is the largest sum.

    Args:
        weights: tensors that were there before.
    """

    def __init__(self, weights: list[Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known = {tensor.untyped_storage()._cdata for tensor in weights}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def parts() -> dict[str, tuple[nn.Module, Callable[[Any], Any]]]:
    """Each network at the paper's size, and what is run through it."""
    denoiser = build_denoiser(64, 8, (320, 640), 2, 8, 64, 768)
    tts = SpeechT5ForTextToSpeech(SpeechT5Config())
    guided = 2 * PORTRAITS
    return {
        "speech encoder": (SpeechEncoder(), lambda net: net(torch.zeros(1, 2, 257, 598))),
        "face encoder": (FaceEncoder(batch_norm=False),
                         lambda net: net(torch.zeros(1, 3, SIDE, SIDE))),
        "face decoder": (FaceDecoder(batch_norm=False),
                         lambda net: net(torch.zeros(PORTRAITS, 64, 8, 8))),
        "UNet and condition": (denoiser, lambda net: net(
            torch.zeros(guided, 64, 8, 8), torch.zeros(guided), torch.zeros(guided, LATENT))),
        "VoiceAdapter": (VoiceAdapter(LATENT, 512), lambda net: net(torch.zeros(1, LATENT))),
        "SpeechT5": (tts, lambda net: net(
            input_ids=torch.zeros(1, TOKENS, dtype=torch.long),
            decoder_input_values=torch.zeros(1, FRAMES // 2, 80),
            speaker_embeddings=torch.zeros(1, 512))),
        "HiFi-GAN": (SpeechT5HifiGan(SpeechT5HifiGanConfig()),
                     lambda net: net(torch.zeros(1, FRAMES, 80))),
    }


def count() -> dict[str, dict[str, int]]:
    """Bytes by network, float32: "weights", and "activations" at their most."""
    found = {}
    for name, (network, use) in parts().items():
        weights = [*network.eval().parameters(), *network.buffers()]
        with torch.no_grad(), Peak(weights) as peak:
            use(network)
        found[name] = {"weights": sum(w.nbytes for w in weights), "activations": peak.most}
    return found


def measure_gpu() -> int | None:
    """The most bytes that all of it takes on a GPU, or None where there is none."""
    if not torch.cuda.is_available():
        return None
    with torch.device("cuda"), torch.no_grad():
        made = parts()
        torch.cuda.reset_peak_memory_stats()
        for network, use in made.values():
            use(network.eval())
        return int(torch.cuda.max_memory_allocated())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results/voice"))
    out = parser.parse_args().out
    found, gpu = count(), measure_gpu()
    weights = sum(part["weights"] for part in found.values())
    together = weights + max(part["activations"] for part in found.values())
    write_json(out / "memory.json", {
        "parts": found, "together": together, "limit": LIMIT, "measured on a GPU": gpu,
        "machine": device_name(),
    })
    lines = ["| network | weights, MB | activations at most, MB |", "|---|---|---|"]
    lines += [
        f"| {name} | {part['weights'] / 1e6:.1f} | {part['activations'] / 1e6:.1f} |"
        for name, part in found.items()
    ]
    lines += ["", f"All weights and the largest activations, float32: {together / 1e9:.2f} GB."]
    lines += [f"Measured on {device_name()}: {gpu / 1e9:.2f} GB."] if gpu else []
    write_text(out / "memory.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
