"""Training of face to voice: the generative stage, L_gen (seed 000, Eq. 5), after the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.tensorboard import SummaryWriter

from scldm.core.errors import InputError
from scldm.core.run import RunFolder, require_finite
from scldm.core.seeding import numpy_generator, torch_generator
from scldm.core.steps import run_steps
from scldm.diffusion.cache import LatentCache
from scldm.voice.adapter import VoiceAdapter
from scldm.voice.config import VoiceConfig
from scldm.voice.generative import GenerativeLoss, open_wav2vec
from scldm.voice.protocols import SpeakerEncoder
from scldm.voice.space import Space, seen
from scldm.voice.speecht5 import open_speecht5


def train_generative(
    config: VoiceConfig, adapter: VoiceAdapter, spaces: tuple[Space, Space], cache: LatentCache,
    speaker: SpeakerEncoder, accelerator: Accelerator,
) -> dict[str, Any]:
    """Go on training the adapter through the frozen TTS; the same call resumes.

    Its voices are placed as far from the mean as true speakers are. spaces: of faces and speakers.
    Returns the settings of the mels and the vocoder.
    Raises InputError for what the TTS or its features lack, and for a file without sentences.
    """
    plan, device = config.generative, accelerator.device
    faces, speakers = spaces
    texts = read_texts(Path(plan.texts))
    tts = open_speecht5(plan.tts, device)
    features = open_wav2vec(plan.features, device) if plan.vec else None
    loss_of = GenerativeLoss(tts, speaker, features, plan.speaker, plan.vec)
    adam = torch.optim.Adam(adapter.parameters(), plan.rate)
    out = Path(config.out) / "generative"
    run = RunFolder(out, config.model_dump(mode="json"), {"adapter": adapter, "adam": adam})

    def step(n: int) -> dict[str, float]:
        drawn = config.steps + n  # goes on where the first stage ended
        z_faces, targets = cache.take(cache.pick(config.seed, drawn, plan.faces))
        noise = torch.randn(
            plan.faces, adapter.width, generator=torch_generator(config.seed, "voice", drawn)
        )
        voices = adapter.train()(seen(faces, z_faces), noise.to(device))
        said = numpy_generator(config.seed, "texts", n).integers(len(texts), size=plan.faces)
        terms = loss_of(
            [texts[i] for i in said], speakers.place(voices.embedding), targets, seed=n
        )
        loss = torch.stack(list(terms.values())).sum()
        require_finite(loss, n)
        adam.zero_grad()
        loss.backward()
        adam.step()
        std = {"std": voices.std.mean().item()} if config.adapter.vae else {}
        return {name: term.item() for name, term in terms.items()} | std

    there = config.model_copy(update={"out": str(out), "steps": plan.steps})
    run_steps("generative", there, run, accelerator, run.resume(), step, _nothing)
    return dict(tts.settings)


def _nothing(board: SummaryWriter, n: int) -> None:
    """Held-out figures are taken once, at the end."""


def read_texts(path: Path) -> list[str]:
    """The lines of a text file that are not empty; InputError where there are none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"generative.texts: {path}: cannot be read ({type(error).__name__}); "
                         "name a file of sentences, one a line") from None
    if not any(lines):
        raise InputError(f"generative.texts: {path}: has no sentence")
    return [line for line in lines if line]
