"""Stage 2's data: Z^f and Z^s of everything, computed once, since the encoders are frozen.

150,000 clips of d = 4096 in half precision are 2.5 GB, which stay in device memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scldm.core.artifact import load_tensors, save_tensors
from scldm.core.progress import Progress
from scldm.core.seeding import numpy_generator, torch_generator
from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs
from scldm.encoders.bundle import Encoders
from scldm.encoders.face import FaceEncoder


@dataclass(frozen=True)
class Pick:
    """Indices (count,) of faces and whether mirrored, of clips and which of their views."""

    faces: Tensor
    sides: Tensor
    clips: Tensor
    views: Tensor

    def part(self, mine: slice) -> Pick:
        """Some of them."""
        return Pick(*(index[mine] for index in vars(self).values()))


@dataclass(frozen=True)
class LatentCache:
    """Latents of one split, un-normalised.

    faces (N, 2, C, s, s): each face and its mirror image. speech (M, 1 + views, d): the middle of
    each clip, then windows as training draws them. face_label (N,), speech_label (M,): equal where
    clip and face match; -1 matches nothing. speaker (M,): index of the clip's person.
    """

    faces: Tensor
    speech: Tensor
    face_label: Tensor
    speech_label: Tensor
    speaker: Tensor

    def to(self, device: torch.device) -> LatentCache:
        """The same on a device."""
        return LatentCache(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def scale(self) -> float:
        """One over the RMS of all face latents: scaled, and never centred."""
        return 1 / self.faces.double().square().mean().sqrt().item()

    def draw(self, seed: int, step: int, count: int) -> tuple[Tensor, Tensor]:
        """(Z^f (count, C, s, s), Z^s (count, d)) of (seed, step), float32, as `pick` says."""
        return self.take(self.pick(seed, step, count))

    def take(self, pick: Pick) -> tuple[Tensor, Tensor]:
        """(Z^f (count, C, s, s), Z^s (count, d)), float32, that `pick` names."""
        faces = self.faces[pick.faces, pick.sides]
        return faces.float(), self.speech[pick.clips, pick.views].float()

    def pick(self, seed: int, step: int, count: int) -> Pick:
        """What (seed, step) draws: speakers evenly, then a clip and a view of the speaker, then a
        face that matches."""
        g = torch_generator(seed, "draw", step)
        usable = torch.unique(self.speaker[self.speech_label >= 0]).cpu()
        speakers = usable[torch.randint(len(usable), (count,), generator=g)].to(self.speaker.device)
        owner = self.speaker.where(self.speech_label >= 0, -1)  # of a clip that has a match
        clips = _pick(owner, speakers, torch.rand(count, generator=g))
        faces = _pick(self.face_label, self.speech_label[clips], torch.rand(count, generator=g))
        views = torch.randint(self.speech.shape[1], (count,), generator=g)
        sides = torch.randint(self.faces.shape[1], (count,), generator=g)
        return Pick(faces, sides, clips, views)


def _pick(column: Tensor, wanted: Tensor, uniform: Tensor) -> Tensor:
    """For each wanted value one index at which `column` has it, chosen by uniform (0, 1)."""
    order = torch.argsort(column, stable=True)
    ranked = column[order].contiguous()
    low = torch.searchsorted(ranked, wanted.contiguous())
    high = torch.searchsorted(ranked, wanted.contiguous(), right=True)
    offset = (uniform.to(column.device) * (high - low)).long()
    return order[(low + offset).clamp(max=len(column) - 1)]


@torch.no_grad()
def cache_latents(
    encoders: Encoders, pairs: Pairs, views: int, device: torch.device, file: Path
) -> LatentCache:
    """Encode a split, or read what an earlier call wrote to `file` (float16 safetensors).

    `file` must name what it depends on: the encoders, the manifests and the number of views.
    """
    if file.is_file():
        return LatentCache(**load_tensors(file)[0])
    faces = encode_faces(encoders.face_encoder, pairs, device)
    speech = encode_clips(encoders.speech_encoder.hear, pairs, views, device)
    cache = labelled(pairs, faces.half(), speech.half())
    save_tensors(file, vars(cache), {"kind": "latent cache"})
    return cache


def labelled(pairs: Pairs, faces: Tensor, speech: Tensor) -> LatentCache:
    """A cache of `faces` and `speech` of all of `pairs`, with who is who."""
    speakers = pairs.clips.column("person")
    people = {person: i for i, person in enumerate(dict.fromkeys(speakers))}
    return LatentCache(
        faces, speech, torch.from_numpy(pairs.face_label.astype(np.int64)),
        torch.from_numpy(pairs.label.astype(np.int64)),
        torch.tensor([people[x] for x in speakers]),
    )


def encode_faces(encoder: FaceEncoder, pairs: Pairs, device: torch.device) -> Tensor:
    """Z^f of each face and its mirror image, (N, 2, C, s, s) float32 on the CPU."""
    parts = []
    with Progress("encoding faces", len(pairs.faces)) as bar:
        for start in range(0, len(pairs.faces), 128):
            pixels = torch.from_numpy(np.array(pairs.faces[start : start + 128]))
            faces = to_unit(pixels.permute(0, 3, 1, 2).to(device))
            both = [encoder(x).float().cpu() for x in (faces, faces.flip(3))]
            parts.append(torch.stack(both, dim=1))
            bar.update(len(faces))
    return torch.cat(parts)


def encode_clips(
    hear: Callable[[Tensor], Tensor], pairs: Pairs, views: int, device: torch.device
) -> Tensor:
    """What `hear`, (B, 96000) -> (B, d), makes of all `clip_views`: (M, 1 + views, d) float32 on
    the CPU.
    """
    parts = []
    with Progress("encoding clips", len(pairs.clips.index)) as bar:
        for clip in range(len(pairs.clips.index)):
            batch = torch.from_numpy(clip_views(pairs, clip, views)).to(device)
            parts.append(hear(batch).float().cpu())
            bar.update()
    return torch.stack(parts)


def clip_views(pairs: Pairs, clip: int, views: int) -> np.ndarray:
    """The middle of a clip and `views` windows of it, (1 + views, 96000) float32."""
    rng = numpy_generator(0, "views", clip)
    drawn = [pairs.clips.drawn(clip, rng) for _ in range(views)]
    return np.stack([pairs.clips.plain(clip), *drawn])
