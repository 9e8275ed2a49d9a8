"""Stage 2: the speech-conditioned latent diffusion model with the face prior."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from scldm.core.artifact import staged, write_hashes, write_json
from scldm.core.errors import InputError
from scldm.core.run import RunFolder, device_name, per_process, require_finite
from scldm.core.schedule import decay
from scldm.core.seeding import torch_generator
from scldm.core.steps import run_steps
from scldm.data.pairs import Pairs
from scldm.diffusion.cache import LatentCache, cache_latents
from scldm.diffusion.config import TrainConfig
from scldm.diffusion.denoiser import Denoiser, build_denoiser
from scldm.diffusion.listener import Listener
from scldm.diffusion.path import NoisePath, make_scheduler, noise_path
from scldm.diffusion.sampler import guided, sample
from scldm.encoders.bundle import Encoders, encoder_facts, load_encoders
from scldm.encoders.speech import SpeechEncoder
from scldm.prior.file import FacePrior, load_prior


def train(config: TrainConfig) -> Path:
    """Train stage 2 as `config` says; returns the folder of the denoiser.

    The same call resumes a stopped run and ends with the same bits. SIGTERM saves and stops.
    """
    accelerator = Accelerator(mixed_precision=config.precision)
    device = accelerator.device
    per_process("batch", config.batch, accelerator.num_processes)
    if config.speech == "scratch" and accelerator.num_processes > 1:
        raise InputError("speech: scratch trains in one process; frozen in any number")
    encoders, prior = load_inputs(config)
    listener = None
    with accelerator.main_process_first():
        cache, held_out = (latents(config, encoders, split, device) for split in ("train", "val"))
        if config.speech == "scratch":
            clips, other_clips = (pairs_of(config, split) for split in ("train", "val"))
            listener = Listener(encoders.speech_encoder, clips, config.seed, device)
    denoiser = build(config, encoders, config.seed)
    training = Training(config, accelerator, denoiser, cache, prior, listener)

    path, scale, shift = training.path, training.scale, training.shift

    def unseen() -> LatentCache:
        return listener.cached(held_out, other_clips) if listener else held_out

    def look(board: SummaryWriter, step: int) -> None:
        data = unseen()
        with training.averaged() as denoiser:
            value = held_out_loss(denoiser, path, config, data, scale, shift)
            picture = portraits(denoiser, path, config, encoders, data, scale, prior)
        board.add_scalar("val/loss", value, step)
        board.add_image("portraits", picture, step)

    first = training.run.resume()
    run_steps("train", config, training.run, accelerator, first, training.step, look)
    if accelerator.is_main_process:
        with training.averaged() as denoiser:
            value = held_out_loss(denoiser, path, config, unseen(), scale, shift)
            facts = {"val_loss": value, "machine": device_name()}
            encoder = listener.encoder if listener else None
            publish(denoiser, config, scale, shift, facts, encoder)
    accelerator.wait_for_everyone()
    return Path(config.out) / "denoiser"


@dataclass(frozen=True)
class Process:
    """One of `world` processes, which share a step: the step is the same however many there are."""

    rank: int
    world: int

    def share(self, count: int) -> slice:
        """Its `count` rows of `world` times as many."""
        return slice(self.rank * count, (self.rank + 1) * count)


ALONE = Process(0, 1)


class Training:
    """Denoiser, optimizer and averaged weights of stage 2, and one step of them.

    Args:
        config: stage 2's.
        accelerator: processes, device and precision.
        denoiser: what is trained.
        cache: latents of the training split; their RMS fixes the scale.
        prior: Z_prior, where there is one.
        listener: the speech encoder that learns too, where there is one.
    """

    def __init__(
        self, config: TrainConfig, accelerator: Accelerator, denoiser: Denoiser,
        cache: LatentCache, prior: FacePrior | None, listener: Listener | None = None,
    ) -> None:
        self.config, self.accelerator, self.cache = config, accelerator, cache
        self.path, self.scale = noise_path(config.schedule), cache.scale()
        self.shift = None
        if prior and config.beta:
            self.shift = config.beta * self.scale * prior.mean.to(accelerator.device)
        self.denoiser, self.listener = denoiser, listener
        learning = [*denoiser.parameters(), *(listener.encoder.parameters() if listener else ())]
        adam = torch.optim.AdamW(learning, config.rate, weight_decay=config.weight_decay)
        self.ema = EMAModel(
            denoiser.parameters(), decay=config.ema, use_ema_warmup=True, power=3 / 4
        )
        parts = {"denoiser": denoiser, "adam": adam, "ema": self.ema}
        if listener:
            parts["speech"] = listener.encoder
        self.run = RunFolder(config.out, config.model_dump(mode="json"), parts)
        self.wrapped, self.adam = accelerator.prepare(denoiser, adam)
        self.ema.to(accelerator.device)

    def step(self, step: int) -> dict[str, float]:
        """One step on this process's share of the batch; its loss."""
        config, process = self.config, Process(
            self.accelerator.process_index, self.accelerator.num_processes
        )
        pairs = self._draw(step, process)
        z0, speech = (part.repeat_interleave(config.noises, dim=0) for part in pairs)
        loss = diffusion_loss(
            self.wrapped, self.path, config, z0 * self.scale, speech, self.shift,
            torch_generator(config.seed, "noise", step), config.condition_dropout, process,
        )
        require_finite(loss, step)
        factor = min(1, (step + 1) / config.warmup) * decay(config.decay, step / config.steps)
        for group in self.adam.param_groups:
            group["lr"] = config.rate * factor
        self.adam.zero_grad()
        self.accelerator.backward(loss)
        self.adam.step()
        self.ema.step(self.denoiser.parameters())
        return {"loss": self.accelerator.reduce(loss.detach(), "mean").item()}

    def _draw(self, step: int, process: Process) -> tuple[Tensor, Tensor]:
        """This process's (Z^f, Z^s) of the step's pairs."""
        count = self.config.batch // self.config.noises // process.world
        pick = self.cache.pick(self.config.seed, step, count * process.world)
        mine = pick.part(process.share(count))
        if not self.listener:
            return self.cache.take(mine)
        faces = self.cache.faces[mine.faces, mine.sides]
        with self.accelerator.autocast():
            number = step * process.world + process.rank
            return faces.float(), self.listener.hear(mine.clips, number)

    @contextmanager
    def averaged(self) -> Iterator[Denoiser]:
        """Within: the denoiser has the averaged weights."""
        self.ema.store(self.denoiser.parameters())
        self.ema.copy_to(self.denoiser.parameters())
        yield self.denoiser
        self.ema.restore(self.denoiser.parameters())


def diffusion_loss(
    model: Any, path: NoisePath, config: TrainConfig, z0: Tensor, speech: Tensor,
    shift: Tensor | None, generator: torch.Generator, dropout: float, process: Process = ALONE,
) -> Tensor:
    """L_LDM (seed 003, Eq. 6) of scaled latents z0 (B, C, s, s) and Z^s (B, d): ().

    `process`: whose share of a larger batch it is; `generator` draws times and noise of the whole.
    """
    mine, whole = process.share(len(z0)), process.world * len(z0)
    t = torch.randint(len(path.signal), (whole,), generator=generator)[mine].to(z0.device)
    eps = torch.randn((whole, *z0.shape[1:]), generator=generator)[mine].to(z0.device)
    drop = (torch.rand(whole, generator=generator) < dropout)[mine].to(z0.device)
    z = path.add_noise(z0, eps, t)
    z = z if shift is None else z + shift  # Z^t* = Z^t + beta Z_prior (Eq. 2)
    said = model(z, t, speech, drop)
    return (said.float() - path.target(z0, eps, t, config.prediction)).square().mean()


@torch.no_grad()
def held_out_loss(
    denoiser: Denoiser, path: NoisePath, config: TrainConfig, cache: LatentCache, scale: float,
    shift: Tensor | None,
) -> float:
    """The loss on the same held-out latents, times and noise each time."""
    z0, speech = cache.draw(config.seed, 0, config.validate_samples)
    g = torch_generator(config.seed, "held out")
    return diffusion_loss(denoiser, path, config, z0 * scale, speech, shift, g, 0.0).item()


@torch.no_grad()
def portraits(
    denoiser: Denoiser, path: NoisePath, config: TrainConfig, encoders: Encoders,
    cache: LatentCache, scale: float, prior: FacePrior | None,
) -> Tensor:
    """Four portraits of each of eight held-out clips, a row a clip: (3, H, W) in [0, 1]."""
    device = cache.speech.device
    clips = torch.linspace(0, len(cache.speech) - 1, 8).long()
    speech = cache.speech[clips, 0].float().repeat_interleave(4, dim=0)
    shape = (4, *cache.faces.shape[2:])
    noise = torch.randn(shape, generator=torch_generator(config.seed, "portraits")).to(device)
    how = config.sampling
    latents = sample(
        guided(denoiser, speech, how.guidance), noise.repeat(8, 1, 1, 1), path,
        make_scheduler(path, how.sampler, config.prediction), how.steps,
        scale * prior.mean if prior else None, config.beta, how.prior_mode,
        torch_generator(config.seed, "sampler"),
    )
    faces = encoders.face_decoder(latents / scale).clamp(-1, 1)
    return make_grid(faces.cpu(), nrow=4, normalize=True, value_range=(-1, 1))


def load_inputs(config: TrainConfig) -> tuple[Encoders, FacePrior | None]:
    """The encoders and the prior, checked to belong together; InputError otherwise."""
    encoders = load_encoders(config.encoders)
    if config.prior is None:
        if config.beta:
            raise InputError("beta above 0 needs `prior`, a file that `scldm prior` wrote")
        return encoders, None
    return encoders, load_prior(config.prior).check(encoders.face_fingerprint)


def latents(
    config: TrainConfig, encoders: Encoders, split: str, device: torch.device
) -> LatentCache:
    """The latent cache of a split, on the device."""
    folder = Path(config.out) / "cache"
    views = config.views if split == "train" else 0
    pairs = pairs_of(config, split)
    digests = "-".join(s.manifest.digest[:8] for s in (pairs.samples, *pairs.clips.stores))
    name = f"latents-{encoders.fingerprint}-{digests}-{views}.safetensors"
    for network in vars(encoders).values():
        network.to(device)
    return cache_latents(encoders, pairs, views, device, folder / name).to(device)


def pairs_of(config: TrainConfig, split: str) -> Pairs:
    """The clips and faces of a split; those that only measure are read as they are."""
    plain = split != "train" or not (config.views or config.speech == "scratch")
    data = config.data.model_copy(update={"variants": 0}) if plain else config.data
    return Pairs(data, Path(config.out) / "cache", split)


def build(config: TrainConfig, encoders: Encoders, seed: int) -> Denoiser:
    """The denoiser for these encoders' latents, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    side = config.data.image_size // encoders.face_encoder.shrink
    shape = config.unet.model_dump()
    return build_denoiser(encoders.face_encoder.config["latent_channels"], side, **shape)


def publish(
    denoiser: Denoiser, config: TrainConfig, scale: float, shift: Tensor | None,
    facts: dict[str, Any], speech_encoder: SpeechEncoder | None = None,
) -> None:
    """Write the averaged weights in half precision, with what sampling needs to know; and the
    speech encoder that learnt beside them, where there is one."""
    relative = shift.square().mean().sqrt().item() if shift is not None else 0.0
    with staged(Path(config.out) / "denoiser") as part:
        part.mkdir()
        denoiser.unet.half().save_pretrained(part / "unet", safe_serialization=True)
        denoiser.condition.half().save_pretrained(part / "condition", safe_serialization=True)
        if speech_encoder:
            speech_encoder.half().save_pretrained(part / "speech_encoder", safe_serialization=True)
        write_json(part / "facts.json", {
            "stage": "diffusion", "config": config.model_dump(mode="json"), "latent_scale": scale,
            "image_size": config.data.image_size,
            "prior_shift_over_noise": relative,
            "encoders": encoder_facts(config.encoders), **facts,
        })
        write_hashes(part)
