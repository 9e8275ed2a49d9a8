"""Training of face to voice: the embedding stage, L_Spk (seed 000, Eq. 2), and what follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from scldm.core.artifact import check_hashes
from scldm.core.run import RunFolder, device_name, require_finite
from scldm.core.schedule import decay
from scldm.core.seeding import torch_generator
from scldm.core.steps import run_steps
from scldm.diffusion.cache import LatentCache, Pick
from scldm.encoders.bundle import load_network
from scldm.encoders.face import FaceEncoder
from scldm.pretraining.losses import MatchLoss
from scldm.voice.adapter import VoiceAdapter, Voices
from scldm.voice.checkpoint import FaceToVoice
from scldm.voice.config import VoiceConfig
from scldm.voice.generative_training import train_generative
from scldm.voice.losses import DynamicCentres, mmd, reconstruction
from scldm.voice.memory import Memory, remember
from scldm.voice.regression import Regression, fit_regression, slope
from scldm.voice.space import Space, Untold, fit_space, fit_untold, seen
from scldm.voice.speaker import open_speaker

MANY = 4096  # pairs that are looked at


def train_voice(config: VoiceConfig) -> Path:
    """Train as `config` says; returns the checkpoint. The same call resumes to the same bits."""
    accelerator = Accelerator(mixed_precision="no")
    check_hashes(config.encoders)
    encoder = load_network(FaceEncoder, Path(config.encoders) / "face_encoder")
    speaker = open_speaker(config.speaker, accelerator.device)
    train, val = (
        remember(config, split, encoder.to(accelerator.device), speaker, accelerator.device)
        for split in ("train", "val")
    )
    training = EmbeddingTraining(config, train.cache)

    def look(board: SummaryWriter, n: int) -> None:
        for name, value in training.validate(val.cache).items():
            board.add_scalar(f"val/{name}", value, n)

    run_steps("voice", config, training.run, accelerator, training.run.resume(), training.step,
              look)
    settings: dict[str, Any] = {}
    if config.generative.steps:
        spaces = training.faces, training.speakers
        settings = train_generative(
            config, training.adapter, spaces, train.cache, speaker, accelerator
        )
    model = FaceToVoice(encoder, training.adapter, *finish(training, train, val), facts={
        "stage": "voice", "image_size": config.data.image_size,
        "tts": {"name": config.tts, "settings": settings},
        "speaker": {"name": speaker.name, "width": speaker.width,
                    "fingerprint": speaker.fingerprint},
        "val": training.validate(val.cache), "config": config.model_dump(mode="json"),
        "machine": device_name(),
    })
    return model.save(Path(config.out) / "checkpoint")


class EmbeddingTraining:
    """The adapter, the identities' centres, and one step of L_Spk.

    Args:
        config: face to voice's.
        cache: what it learns from; its means are where directions are taken from.
    """

    def __init__(self, config: VoiceConfig, cache: LatentCache) -> None:
        self.config, self.cache = config, cache
        self.faces, self.speakers = (
            fit_space(z.flatten(0, 1)) for z in (cache.faces, cache.speech)
        )
        torch.manual_seed(config.seed)
        widths = (cache.faces.shape[-1], cache.speech.shape[-1])
        self.adapter = VoiceAdapter(*widths, **config.adapter.model_dump()).to(cache.faces.device)
        identities = int(cache.speech_label.max()) + 1
        centres = DynamicCentres(identities, widths[1], config.loss.centre_rate)
        self.centres = centres.to(cache.faces.device)
        self.matching = MatchLoss()
        self.adam = torch.optim.Adam(
            self.adapter.parameters(), config.rate, weight_decay=config.weight_decay
        )
        self.run = RunFolder(config.out, config.model_dump(mode="json"), {
            "adapter": self.adapter, "centres": self.centres, "adam": self.adam,
        })

    def step(self, n: int) -> dict[str, float]:
        """One step of Adam on L_Spk of matched pairs, drawn by (seed, n)."""
        config = self.config
        self.adam.param_groups[0]["lr"] = config.rate * decay(config.decay, n / config.steps)
        pick = self.cache.pick(config.seed, n, config.batch)
        z_faces, z_speech = self.cache.take(pick)
        faces, wanted = seen(self.faces, z_faces), self.speakers.direction(z_speech)
        g = torch_generator(config.seed, "voice", n)
        noise = torch.randn(len(faces), config.adapter.latent, generator=g).to(faces)
        voices = self.adapter.train()(faces, noise)
        identity = self.cache.speech_label[pick.clips]
        terms = self.speaker_loss(voices, wanted, identity, g)
        loss = torch.stack(list(terms.values())).sum()
        require_finite(loss, n)
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()
        self.centres.update(voices.embedding, identity)
        values = {name: term.item() for name, term in terms.items()}
        return values | ({"std": voices.std.mean().item()} if config.adapter.vae else {})

    def speaker_loss(
        self, voices: Voices, wanted: Tensor, identity: Tensor, g: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted terms of L_Spk, Eq. 2, and of the MMD, () each; wanted (B, D): targets."""
        weights, ours = self.config.loss, voices.embedding
        scale = torch.tensor(1 / weights.temperature, device=ours.device)
        terms = {
            "reconstruction": weights.reconstruction * reconstruction(ours, wanted),
            "contrastive":
                weights.contrastive * self.matching(ours, wanted, scale, identity),
            "centre": weights.centre * self.centres.loss(ours, identity),
        }
        if self.config.adapter.vae:
            normal = torch.randn(voices.z.shape, generator=g).to(voices.z)
            terms["mmd"] = weights.mmd * mmd(voices.z, normal)
        return terms

    @torch.no_grad()
    def directions(self, cache: LatentCache, pick: Pick) -> tuple[Tensor, Tensor]:
        """Of matched pairs: the adapter's mean voice and the true one, (N, D) each of length 1."""
        z_faces, z_speech = cache.take(pick)
        ours = self.adapter.eval()(seen(self.faces, z_faces)).embedding
        return ours, self.speakers.direction(z_speech)

    def validate(self, cache: LatentCache) -> dict[str, float]:
        """Of held-out pairs: mean cos of the mean voice to the true one, and to a shuffled one."""
        ours, true = self.directions(cache, cache.pick(0, 0, MANY))
        shuffled = true.roll(1, dims=0)
        return {"cos": (ours * true).sum(dim=1).mean().item(),
                "cos, shuffled": (ours * shuffled).sum(dim=1).mean().item()}


def finish(
    training: EmbeddingTraining, train: Memory, val: Memory
) -> tuple[Space, Space, Regression, Untold]:
    """Where faces and speakers lie, what speaker embeddings say of a voice, and what faces do not
    say of speakers."""
    speakers, cache = training.speakers, train.cache
    heard = [(m.cache.speech.flatten(0, 1), m.voices.flatten(0, 1)) for m in (train, val)]
    placed = [(speakers.place(speakers.direction(x)).cpu(), y) for x, y in heard]
    regression = fit_regression(*placed[0], *placed[1])
    pick = cache.pick(0, 0, MANY)
    ours, true = training.directions(cache, pick)
    said = regression.rows(speakers.place(ours).cpu())
    told = slope(said, train.voices[pick.clips.cpu(), pick.views.cpu()])
    untold = fit_untold(told, ours, true, training.config.untold)
    return training.faces, speakers, regression, untold
