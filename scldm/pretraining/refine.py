"""The end of stage 1: the decoder goes on alone, on faces, while the encoders rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.tensorboard import SummaryWriter

from scldm.core.run import RunFolder, require_finite
from scldm.core.schedule import decay
from scldm.core.steps import run_steps
from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs
from scldm.encoders.face import FaceDecoder
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.model import Collaboration, latent_noise
from scldm.pretraining.objective import Objective


def refine(
    model: Collaboration, objective: Objective, config: PretrainConfig, accelerator: Accelerator,
    pairs: Pairs, look: Callable[[SummaryWriter, int], None],
) -> None:
    """Train the decoder of `model`, or a new one, by L_r alone; its run folder is `out`/refine.

    The latents are those of the encoder as stage 1 left it, with the noise of stage 1. Resumes by
    the same call to the same bits; `look` is that of `run_steps`.
    """
    rank, world = accelerator.process_index, accelerator.num_processes
    plan = config.model_copy(
        update={"out": str(Path(config.out) / "refine"), "steps": config.refine.steps}
    )
    if config.refine.stages:
        torch.manual_seed(config.seed)
        shape = {**config.face.model_dump(exclude={"weights"}), "stages": config.refine.stages}
        model.face_decoder = FaceDecoder(**shape).to(memory_format=torch.channels_last)
    encoder, decoder = model.eval().face_encoder, model.face_decoder
    adam = torch.optim.AdamW(
        decoder.parameters(), config.refine.rate, weight_decay=config.weight_decay
    )
    run = RunFolder(plan.out, config.model_dump(mode="json"), {"decoder": decoder, "adam": adam})
    wrapped, adam = accelerator.prepare(decoder, adam)

    def step(n: int) -> dict[str, float]:
        decoder.train()
        faces = pairs.draw_faces(config.seed, n, config.refine.batch)[rank::world]
        noise = latent_noise(config, "refine", n, len(faces), rank)
        adam.param_groups[0]["lr"] = config.refine.rate * decay("cosine", n / plan.steps)
        with accelerator.autocast():
            real = to_unit(faces.to(accelerator.device))
            with torch.no_grad():
                latents = model.with_noise(encoder(real), noise.to(accelerator.device))
            terms = objective.reconstruction(wrapped(latents).float(), real)
        loss = torch.stack(list(terms.values())).sum()
        require_finite(loss, n)
        adam.zero_grad()
        accelerator.backward(loss)
        adam.step()
        return {name: term.item() for name, term in terms.items()}

    run_steps("refine", plan, run, accelerator, run.resume(), step, look)
