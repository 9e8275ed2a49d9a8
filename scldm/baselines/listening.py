"""A voice embedding for the GANs: a speech encoder that learnt to name the training speakers."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F

from scldm.baselines.config import GanConfig
from scldm.core.run import RunFolder, require_finite
from scldm.core.schedule import decay
from scldm.core.seeding import numpy_generator
from scldm.core.steps import run_steps
from scldm.data.pairs import Pairs
from scldm.encoders.speech import SpeechEncoder


def train_listener(config: GanConfig, accelerator: Accelerator, pairs: Pairs) -> SpeechEncoder:
    """Train the encoder with a linear classifier of speakers, or read the one that is there."""
    device, plan = accelerator.device, config.listening
    torch.manual_seed(config.seed)
    encoder = SpeechEncoder(latent_dim=config.embedding, **config.speech.model_dump())
    speakers = pairs.clips.column("person")
    names, owner = np.unique(speakers, return_inverse=True)
    classifier = nn.Linear(config.embedding, len(names))
    parts = {"encoder": encoder, "classifier": classifier}
    for part in parts.values():
        part.to(device)
    adam = torch.optim.AdamW([*encoder.parameters(), *classifier.parameters()], plan.rate)
    there = config.model_copy(update={"out": plan.out, "steps": plan.steps})
    decides = {"data", "speech", "decay", "precision", "seed", "embedding", "listening"}
    facts = config.model_dump(mode="json", include=decides)
    run = RunFolder(plan.out, facts, {**parts, "adam": adam})

    def step(n: int) -> dict[str, float]:
        rng = numpy_generator(config.seed, "listening", n)
        who = rng.choice(len(names), min(plan.batch, len(names)), replace=False)
        clips = [int(rng.choice(np.flatnonzero(owner == w))) for w in who]
        audio = torch.from_numpy(np.stack([pairs.clips.drawn(clip, rng) for clip in clips]))
        adam.param_groups[0]["lr"] = plan.rate * decay(config.decay, n / plan.steps)
        with accelerator.autocast():
            heard = encoder.train().hear(audio.to(device))
        logits = classifier(heard.float())
        wanted = torch.from_numpy(who).to(device)
        loss = F.cross_entropy(logits, wanted)
        require_finite(loss, n)
        adam.zero_grad()
        loss.backward()
        adam.step()
        right = (logits.argmax(1) == wanted).double().mean()
        return {"loss": loss.item(), "right": right.item()}

    run_steps("listening", there, run, accelerator, run.resume(), step, lambda board, n: None)
    return encoder.eval().requires_grad_(False)
