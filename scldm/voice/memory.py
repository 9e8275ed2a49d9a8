"""What face to voice is trained on, computed once: face embeddings, speaker embeddings, and what
each clip's voice is like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scldm.core.artifact import load_tensors, save_tensors
from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.data.pairs import Pairs
from scldm.diffusion.cache import LatentCache, clip_views, encode_clips, encode_faces, labelled
from scldm.encoders.bundle import joint_fingerprint
from scldm.encoders.face import FaceEncoder
from scldm.voice.acoustics import measure
from scldm.voice.config import VoiceConfig
from scldm.voice.protocols import SpeakerEncoder
from scldm.voice.regression import to_row


@dataclass(frozen=True)
class Memory:
    """One split. cache: faces (N, 2, F), each and its mirror image; speech (M, 1 + views, D), with
    who is who. voices (M, 1 + views, 4): `to_row` of each view, NaN where no voice is heard.
    """

    cache: LatentCache
    voices: Tensor


@torch.no_grad()
def remember(
    config: VoiceConfig, split: str, encoder: FaceEncoder, speaker: SpeakerEncoder,
    device: torch.device,
) -> Memory:
    """Encode and measure a split, or read what an earlier call kept below `config.out`."""
    views = config.views if split == "train" else 0
    data = config.data if views else config.data.model_copy(update={"variants": 0})
    folder = Path(config.out) / "cache"
    pairs = Pairs(data, folder, split)
    digests = "-".join(s.manifest.digest[:8] for s in (pairs.samples, *pairs.clips.stores))
    face = joint_fingerprint({"face": encoder})
    file = folder / f"voices-{face[:8]}-{speaker.fingerprint[:8]}-{digests}-{views}.safetensors"
    if file.is_file():
        kept = load_tensors(file)[0]
        voices = kept.pop("voices")
        return Memory(LatentCache(**kept).to(device), voices)
    faces = encode_faces(encoder, pairs, device).flatten(2)
    cache = labelled(pairs, faces, encode_clips(speaker, pairs, views, device))
    voices = measure_clips(pairs, views)
    save_tensors(file, {**vars(cache), "voices": voices}, {"kind": "voice cache"})
    return Memory(cache.to(device), voices)


def measure_clips(pairs: Pairs, views: int) -> Tensor:
    """`to_row` of all `clip_views`, (M, 1 + views, 4) float32; NaN where no voice is heard."""
    count = len(pairs.clips.index)
    rows = torch.full((count, 1 + views, 4), torch.nan)
    with Progress("measuring voices", count) as bar:
        for clip in range(count):
            for view, audio in enumerate(clip_views(pairs, clip, views)):
                try:
                    rows[clip, view] = torch.tensor(to_row(measure(audio)))
                except InputError:
                    continue
            bar.update()
    return rows
