"""Stage 1's loop: collaborative contrastive pre-training."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter

from scldm.core.progress import Progress
from scldm.core.run import RunFolder, any_process, device_name, per_process, require_finite
from scldm.core.schedule import decay
from scldm.core.seeding import torch_generator
from scldm.data.pairs import PairBatch, Pairs, batches
from scldm.encoders.bundle import save_encoders
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.losses import (
    MatchLoss,
    PatchDiscriminator,
    hinge,
    perceptual_loss,
)
from scldm.pretraining.model import Collaboration, Seen, build
from scldm.pretraining.validation import latent_statistics, reconstructions, validate


def pretrain(config: PretrainConfig) -> Path:
    """Train stage 1 as `config` says; returns the folder of the encoders.

    The same call resumes a stopped run and ends with the same bits. SIGTERM saves and stops.
    """
    accelerator = Accelerator(mixed_precision=config.precision)
    out, device, world = Path(config.out), accelerator.device, accelerator.num_processes
    for key in ("batch", "extra_faces"):
        per_process(key, getattr(config, key), world)
    with accelerator.main_process_first():
        pairs = Pairs(config.data, out / "cache")
        held_out = Pairs(config.data.model_copy(update={"variants": 0}), out / "cache", "val")
    perceptual = perceptual_loss(config.loss.perceptual, config.loss.network)
    perceptual = perceptual.to(device) if perceptual else None
    match = MatchLoss(
        config.loss.centre, gather_with_grad=True, rank=accelerator.process_index, world_size=world
    )

    model, critic = build(config, len(pairs.values)), PatchDiscriminator()
    optimizer = torch.optim.AdamW(_groups(model, config), weight_decay=config.weight_decay)
    critic_optimizer = torch.optim.AdamW(critic.parameters(), config.face_rate, betas=(0.5, 0.9))
    parts = {"model": model, "critic": critic, "adam": optimizer, "critic_adam": critic_optimizer}
    run = RunFolder(out, config.model_dump(mode="json"), parts)
    wrapped, critic, optimizer, critic_optimizer = accelerator.prepare(
        model, critic, optimizer, critic_optimizer
    )
    first = run.resume()
    board = None
    if accelerator.is_main_process:
        board = SummaryWriter(str(out / "logs"), purge_step=first)
    steps = range(first, config.steps)
    data = batches(pairs, config.seed, steps, config.batch, config.extra_faces, config.data.workers)

    with run.interruptible(), Progress("pretrain", config.steps, first) as progress:
        for step in steps:
            batch = share(next(data), accelerator.process_index, world)
            factor = decay(config.decay, step / config.steps)
            for group in (*optimizer.param_groups, *critic_optimizer.param_groups):
                group["lr"] = group.setdefault("base_lr", group["lr"]) * factor
            noise = latent_noise(config, step, len(batch.faces), accelerator.process_index)
            with accelerator.autocast():
                seen: Seen = wrapped(
                    batch.audio.to(device), batch.faces.to(device), noise.to(device)
                )
            decoded = seen.decoded.float()
            labels, face_labels = batch.labels.to(device), batch.face_labels.to(device)
            terms = {
                "contrastive": config.loss.contrastive
                * match(seen.speech, seen.face, model.log_scale.exp(), labels, face_labels),
                "mae": config.loss.mae * (decoded - seen.real).abs().mean(),
            }
            if seen.speech_class is not None and seen.face_class is not None:
                said = (
                    F.cross_entropy(seen.speech_class.float(), labels, ignore_index=-1),
                    F.cross_entropy(seen.face_class.float(), face_labels, ignore_index=-1),
                )
                terms["attribute"] = config.loss.attribute * torch.stack(said).mean()
            with accelerator.autocast():
                if perceptual:
                    distance = perceptual(decoded, seen.real)
                    terms["perceptual"] = config.loss.perceptual_weight * distance
                adversarial = config.loss.adversarial > 0 and step >= config.loss.adversarial_from
                if adversarial:
                    terms["adversarial"] = -config.loss.adversarial * critic(decoded).float().mean()
            loss = torch.stack(list(terms.values())).sum()
            require_finite(loss, step)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            model.log_scale.data.clamp_(0, math.log(100))
            if adversarial:
                with accelerator.autocast():
                    terms["critic"] = hinge(critic(seen.real), critic(decoded.detach()))
                critic_optimizer.zero_grad()
                accelerator.backward(terms["critic"])
                critic_optimizer.step()

            shown = {name: term.item() for name, term in terms.items()}
            progress.update(**shown)
            last = step + 1 == config.steps
            if board and (last or step % config.log_every == 0):
                for name, value in {**shown, **latent_statistics(seen.face)}.items():
                    board.add_scalar(f"train/{name}", value, step)
            if board and (last or (step + 1) % config.sample_every == 0):
                for name, value in validate(model, held_out, device).items():
                    board.add_scalar(f"val/{name}", value, step)
                board.add_image("faces", reconstructions(model, held_out, device), step)
            stop = any_process(run.stop, accelerator)
            save = stop or last or (step + 1) % config.save_every == 0
            if accelerator.is_main_process and save:
                run.save(step + 1)
            if stop:
                raise SystemExit(
                    f"stopped after step {step + 1}; the same command goes on from there"
                )
    if board:
        board.close()
        facts = {"stage": "pretraining", "config": config.model_dump(mode="json"),
                 "val": validate(model, held_out, device), "machine": device_name()}
        save_encoders(model.eval().encoders, out / "encoders", facts)
    accelerator.wait_for_everyone()
    return out / "encoders"


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


def latent_noise(config: PretrainConfig, step: int, count: int, rank: int) -> Tensor:
    """Standard normal noise like Z^f for `count` faces, of (seed, step, rank)."""
    side = config.data.image_size // 2 ** len(config.face.stages)
    generator = torch_generator(config.seed, f"latent-{rank}", step)
    return torch.randn(count, config.face.latent_channels, side, side, generator=generator)
