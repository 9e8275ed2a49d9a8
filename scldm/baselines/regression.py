"""Speech2Face's idea (Oh et al., 2019): a speech encoder regresses the face's latent."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter

from scldm.baselines.config import RegressionConfig
from scldm.baselines.publish import publish
from scldm.core.run import RunFolder, require_finite
from scldm.core.schedule import decay
from scldm.core.steps import run_steps
from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs, batches
from scldm.encoders.bundle import load_encoders
from scldm.encoders.face import FaceDecoder
from scldm.encoders.speech import SpeechEncoder


def train_regression(config: RegressionConfig) -> Path:
    """Train as `config` says; returns the checkpoint. The same call resumes to the same bits."""
    accelerator = Accelerator(mixed_precision=config.precision)
    device, out = accelerator.device, Path(config.out)
    frozen = load_encoders(config.encoders)
    encoder, decoder = frozen.face_encoder.to(device), frozen.face_decoder.to(device)
    pairs = Pairs(config.data, out / "cache")
    side = config.data.image_size // encoder.shrink
    shape = (encoder.config["latent_channels"], side, side)
    torch.manual_seed(config.seed)
    speaker = SpeechEncoder(
        latent_dim=shape[0] * side**2, **config.speech.model_dump()
    ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    adam = torch.optim.AdamW(speaker.parameters(), config.rate, weight_decay=config.weight_decay)
    run = RunFolder(out, config.model_dump(mode="json"), {"speech": speaker, "adam": adam})
    first = run.resume()
    data = batches(
        pairs, config.seed, range(first, config.steps), config.batch, 0, config.data.workers
    )

    def step(n: int) -> dict[str, float]:
        batch = next(data)
        adam.param_groups[0]["lr"] = config.rate * decay(config.decay, n / config.steps)
        with accelerator.autocast():
            with torch.no_grad():
                true = encoder(to_unit(batch.faces.to(device))).float()
            said = speaker.train().hear(batch.audio.to(device)).float()
        terms = regression_loss(said.reshape(true.shape), true, decoder, config.direction)
        loss = torch.stack(list(terms.values())).sum()
        require_finite(loss, n)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return {name: term.item() for name, term in terms.items()}

    def look(board: SummaryWriter, n: int) -> None:
        with torch.no_grad():
            audio = torch.stack([torch.from_numpy(pairs.clips.plain(i)) for i in range(4)])
            said = speaker.eval().hear(audio.to(device))
            faces = decoder(said.reshape(-1, *shape)).clamp(-1, 1)
        board.add_images("faces", (faces + 1) / 2, n)

    run_steps("regression", config, run, accelerator, first, step, look)
    return publish(speaker, decoder, shape, "speech2face", config, out / "checkpoint")


def regression_loss(
    said: Tensor, true: Tensor, decoder: FaceDecoder, direction: float
) -> dict[str, Tensor]:
    """The first two terms of Speech2Face's loss, () each, of latents (B, C, s, s).

    L1 between what the decoder's first layer makes of both, and the squared distance between
    their directions. Its third term distils a classifier of identities, which stage 1 has none of.
    """
    first = decoder.from_latent
    apart = F.normalize(said.flatten(1), dim=1) - F.normalize(true.flatten(1), dim=1)
    return {
        "l1": (first(said) - first(true)).abs().mean(),
        "direction": direction * apart.square().sum(1).mean(),
    }
