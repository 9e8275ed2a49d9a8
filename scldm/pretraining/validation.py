"""What stage 1 shows of itself: matching and reconstruction on held-out people."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.utils import make_grid

from scldm.data.faces import to_unit
from scldm.data.pairs import Clips, Pairs
from scldm.encoders.speech import SpeechEncoder
from scldm.pretraining.model import Collaboration

FACES = 256  # held-out faces looked at


@torch.no_grad()
def speech_latents(encoder: SpeechEncoder, clips: Clips, device: torch.device) -> Tensor:
    """Z^s of every clip's centred six seconds, (clips, d) float32 on the CPU."""
    parts = []
    for start in range(0, len(clips.index), 16):
        audio = [clips.plain(c) for c in range(start, min(start + 16, len(clips.index)))]
        batch = torch.from_numpy(np.stack(audio)).to(device)
        parts.append(encoder.hear(batch).float().cpu())
    return torch.cat(parts)


@torch.no_grad()
def validate(model: Collaboration, pairs: Pairs, device: torch.device) -> dict[str, float]:
    """Mean absolute error, and the share of clips nearest to the right class of faces.

    A class is a value of the column that matches (a person, or a gender): the mean direction of
    its faces' latents. `chance` is one over the number of classes.
    """
    training = model.training
    model.eval()
    rows = np.linspace(0, len(pairs.faces) - 1, min(FACES, len(pairs.faces))).astype(int)
    real = to_unit(torch.from_numpy(pairs.faces[rows]).permute(0, 3, 1, 2)).to(device)
    latents = model.face_encoder(real)
    mae = (model.face_decoder(latents) - real).abs().mean().item()
    column = pairs.samples.manifest[pairs.match][rows]
    seen = [value for value in pairs.values if (column == value).any()]
    directions = F.normalize(latents.flatten(1).float().cpu(), dim=1)
    classes = torch.stack([directions[column == value].mean(0) for value in seen])
    speech = F.normalize(speech_latents(model.speech_encoder, pairs.clips, device), dim=1)
    said = (speech @ F.normalize(classes, dim=1).T).argmax(dim=1)
    truth = pairs.clips.column(pairs.match)
    known = np.isin(truth, seen)
    right = np.array(seen, dtype=object)[said.numpy()] == truth
    model.train(training)
    return {"mae": mae, "match": float(right[known].mean()), "chance": 1 / len(seen)}


@torch.no_grad()
def reconstructions(model: Collaboration, pairs: Pairs, device: torch.device) -> Tensor:
    """Eight held-out faces above their reconstructions, (3, H, W) in [0, 1]."""
    training = model.training
    model.eval()
    real = to_unit(torch.from_numpy(pairs.faces[:8].copy()).permute(0, 3, 1, 2)).to(device)
    made = model.face_decoder(model.face_encoder(real)).clamp(-1, 1)
    model.train(training)
    return make_grid(torch.cat((real, made)).cpu(), nrow=8, normalize=True, value_range=(-1, 1))


def latent_statistics(latents: Tensor) -> dict[str, float]:
    """Mean, standard deviation and the extremes of the per-coordinate RMS of Z^f (B, d)."""
    z = latents.detach().float()
    rms = z.square().mean(0).sqrt()
    return {
        "latent/mean": z.mean().item(), "latent/std": z.std().item(),
        "latent/rms_low": rms.min().item(), "latent/rms_high": rms.max().item(),
    }
