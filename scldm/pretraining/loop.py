"""Stage 1: collaborative contrastive pre-training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from scldm.core.run import RunFolder, device_name, per_process, require_finite
from scldm.core.schedule import decay
from scldm.core.steps import run_steps
from scldm.data.pairs import PairBatch, Pairs, batches
from scldm.encoders.bundle import save_encoders
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.losses import PatchDiscriminator, hinge
from scldm.pretraining.model import Collaboration, Seen, build, latent_noise
from scldm.pretraining.objective import Objective
from scldm.pretraining.refine import refine
from scldm.pretraining.validation import latent_statistics, reconstructions, validate


def pretrain(config: PretrainConfig) -> Path:
    """Train stage 1 as `config` says; returns the folder of the encoders.

    The same call resumes a stopped run and ends with the same bits. SIGTERM saves and stops.
    """
    accelerator = Accelerator(mixed_precision=config.precision)
    out, device = Path(config.out), accelerator.device
    for key in ("batch", "extra_faces"):
        per_process(key, getattr(config, key), accelerator.num_processes)
    if config.refine.steps:  # before hours of stage 1
        per_process("refine.batch", config.refine.batch, accelerator.num_processes)
    with accelerator.main_process_first():
        pairs = Pairs(config.data, out / "cache")
        held_out = Pairs(config.data.model_copy(update={"variants": 0}), out / "cache", "val")
    training = Pretraining(config, accelerator, len(pairs.values))
    model = training.model

    def look(board: SummaryWriter, step: int) -> None:
        for name, value in validate(model, held_out, device).items():
            board.add_scalar(f"val/{name}", value, step)
        board.add_image("faces", reconstructions(model, held_out, device), step)

    first = training.run.resume()
    steps, workers = range(first, config.steps), config.data.workers
    data = batches(pairs, config.seed, steps, config.batch, config.extra_faces, workers)
    run_steps(
        "pretrain", config, training.run, accelerator, first,
        lambda step: training.step(step, data), look,
    )
    if config.refine.steps:
        refine(model, training.objective, config, accelerator, pairs, look)
    if accelerator.is_main_process:
        facts = {"stage": "pretraining", "config": config.model_dump(mode="json"),
                 "val": validate(model, held_out, device), "machine": device_name()}
        save_encoders(model.eval().encoders, out / "encoders", facts)
    accelerator.wait_for_everyone()
    return out / "encoders"


class Pretraining:
    """Networks, optimizers and objective of stage 1, and one step of them.

    Args:
        config: stage 1's.
        accelerator: processes, device and precision.
        values: how many values of the matching column there are.
    """

    def __init__(self, config: PretrainConfig, accelerator: Accelerator, values: int) -> None:
        self.config, self.accelerator = config, accelerator
        rank, world = accelerator.process_index, accelerator.num_processes
        self.objective = Objective(config.loss, rank, world).to(accelerator.device)
        self.model, critic = build(config, values), PatchDiscriminator()
        adam = torch.optim.AdamW(_groups(self.model, config), weight_decay=config.weight_decay)
        critic_adam = torch.optim.AdamW(critic.parameters(), config.face_rate, betas=(0.5, 0.9))
        parts = {"model": self.model, "critic": critic, "adam": adam, "critic_adam": critic_adam}
        self.run = RunFolder(config.out, config.model_dump(mode="json"), parts)
        self.wrapped, self.critic, self.adam, self.critic_adam = accelerator.prepare(
            self.model, critic, adam, critic_adam
        )

    def step(self, step: int, data: Iterator[PairBatch]) -> dict[str, float]:
        """One step of encoders and decoder, and of the critic where there is one; its terms."""
        config, accelerator = self.config, self.accelerator
        rank, device = accelerator.process_index, accelerator.device
        batch = share(next(data), rank, accelerator.num_processes)
        factor = decay(config.decay, step / config.steps)
        for group in (*self.adam.param_groups, *self.critic_adam.param_groups):
            group["lr"] = group.setdefault("base_lr", group["lr"]) * factor
        noise = latent_noise(config, "latent", step, len(batch.faces), rank)
        adversarial = config.loss.adversarial > 0 and step >= config.loss.adversarial_from
        with accelerator.autocast():
            seen: Seen = self.wrapped(
                batch.audio.to(device), batch.faces.to(device), noise.to(device)
            )
            terms = self.objective(
                seen, self.model.log_scale.exp(), batch.labels.to(device),
                batch.face_labels.to(device), self.critic if adversarial else None,
            )
        loss = torch.stack(list(terms.values())).sum()
        require_finite(loss, step)
        self.adam.zero_grad()
        accelerator.backward(loss)
        self.adam.step()
        self.model.log_scale.data.clamp_(0, math.log(100))
        if adversarial:
            terms["critic"] = self._critic_step(seen)
        shown = {name: term.item() for name, term in terms.items()}
        return {**shown, **latent_statistics(seen.face)}

    def _critic_step(self, seen: Seen) -> Tensor:
        with self.accelerator.autocast():
            decoded = seen.decoded.detach().float()
            loss = hinge(self.critic(seen.real), self.critic(decoded))
        self.critic_adam.zero_grad()
        self.accelerator.backward(loss)
        self.critic_adam.step()
        return loss


def _groups(model: Collaboration, config: PretrainConfig) -> list[dict[str, object]]:
    speech = [*model.speech_encoder.parameters(), model.log_scale]
    speech += [*model.classifier.parameters()] if model.classifier else []
    face = [*model.face_encoder.parameters(), *model.face_decoder.parameters()]
    return [
        {"params": speech, "lr": config.speech_rate, "base_lr": config.speech_rate},
        {"params": face, "lr": config.face_rate, "base_lr": config.face_rate},
    ]


def share(batch: PairBatch, rank: int, world: int) -> PairBatch:
    """This process's part of a batch: every `world`-th pair and every `world`-th further face."""
    count = len(batch.labels)
    mine = [*range(rank, count, world), *range(count + rank, len(batch.faces), world)]
    return PairBatch(
        batch.audio[rank::world], batch.faces[mine], batch.labels[rank::world],
        batch.face_labels[mine],
    )
