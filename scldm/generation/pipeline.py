"""Speech to face as a `diffusers.DiffusionPipeline`: a clip in, portraits out (seed 003)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from PIL import Image
from torch import Tensor

from scldm.core.artifact import (
    check_hashes,
    read_json,
    staged,
    write_hashes,
    write_json,
)
from scldm.core.errors import InputError
from scldm.core.seeding import torch_generator
from scldm.data.faces import to_pixels
from scldm.data.media import check_speech, read_audio
from scldm.data.spectrogram import fit_clip
from scldm.diffusion.denoiser import ConditionTokens, Denoiser
from scldm.diffusion.path import make_scheduler, noise_path
from scldm.diffusion.sampler import PRIOR_MODES, PriorMode, guided, sample
from scldm.encoders.bundle import Encoders, joint_fingerprint, load_network
from scldm.encoders.face import FaceDecoder, FaceEncoder
from scldm.encoders.speech import SpeechEncoder
from scldm.prior.file import FacePrior, copy_prior, load_prior

WINDOW = 6.0  # seconds of speech that are heard
SHARD = "15MB"  # largest weight file
PARTS = {
    "speech_encoder": SpeechEncoder, "face_encoder": FaceEncoder, "face_decoder": FaceDecoder,
    "unet": UNet2DConditionModel, "condition": ConditionTokens,
}


class SpeechToFacePipeline(DiffusionPipeline):
    """Portraits from speech: one plausible face, not the speaker's.

    Components: the three encoders of stage 1, `unet` and `condition` of stage 2. Beside them a
    checkpoint folder holds `prior.safetensors`, `facts.json` and `hashes.json`; all of it is
    checked before anything is loaded, and only safetensors are read.

    Args:
        prior: the face prior, fitted with this face encoder; InputError otherwise.
        facts: what training wrote: configuration, latent scale, how to sample, data, licences.
    """

    def __init__(
        self, speech_encoder: SpeechEncoder, face_encoder: FaceEncoder, face_decoder: FaceDecoder,
        unet: UNet2DConditionModel, condition: ConditionTokens,
        prior: FacePrior | None = None, facts: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.register_modules(
            speech_encoder=speech_encoder, face_encoder=face_encoder, face_decoder=face_decoder,
            unet=unet, condition=condition,
        )
        if prior is None or facts is None:  # optional by type, since diffusers counts components so
            raise InputError("a pipeline needs a prior and the facts of its training")
        encoders = Encoders(speech_encoder, face_encoder, face_decoder)
        self.prior, self.facts = prior.check(encoders.face_fingerprint), facts
        self.path = noise_path(facts["config"]["schedule"])
        self.fingerprint = joint_fingerprint({name: getattr(self, name) for name in PARTS})

    @property
    def defaults(self) -> dict[str, Any]:
        """beta, prior_mode, steps, guidance and sampler of this checkpoint."""
        return {"beta": self.facts["config"]["beta"], **self.facts["config"]["sampling"]}

    @torch.no_grad()
    def encode_speech(self, clips: Sequence[str | Path | np.ndarray | Tensor]) -> Tensor:
        """Z^s (B, d) of clips: paths, or 16 kHz mono waveforms (n,) in [-1, 1], each alone.

        Raises InputError for a file that cannot be read, is silent or is under half a second.
        """
        return torch.cat([
            self.speech_encoder.hear(fit_clip(load_waveform(clip))[None].to(self.device))
            for clip in clips
        ])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Z^0 in the diffusion's scale (B, C, s, s) -> faces (B, 3, S, S) in [-1, 1]."""
        return self.face_decoder(latents / self.facts["latent_scale"]).clamp(-1, 1)

    def prior_latent(self) -> Tensor:
        """Z_prior in the diffusion's scale, (1, C, s, s)."""
        return self.facts["latent_scale"] * self.prior.mean[None].to(self.device)

    def noise(self, seed: int, portrait: int) -> Tensor:
        """Z^T (1, C, s, s) of portrait number `portrait`: the same for every clip."""
        shape = (1, *self.prior.mean.shape)
        return torch.randn(shape, generator=torch_generator(seed, "portrait", portrait))

    @torch.no_grad()
    def sample_latents(
        self, speech: Tensor, noise: Tensor, *, steps: int | None = None,
        guidance: float | None = None, beta: float | None = None,
        prior_mode: PriorMode | None = None, sampler: str | None = None,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
    ) -> Tensor:
        """Z^0 (B, C, s, s), in the diffusion's scale, for Z^s (B, d) from noise (B, C, s, s)."""
        how = self.defaults
        mode = prior_mode or how["prior_mode"]
        if mode not in PRIOR_MODES:
            raise InputError(f"prior_mode '{mode}': use {' or '.join(PRIOR_MODES)}")
        prediction = self.facts["config"]["prediction"]
        return sample(
            guided(Denoiser(self.unet, self.condition), speech,
                   how["guidance"] if guidance is None else guidance),
            noise.to(self.device), self.path,
            make_scheduler(self.path, sampler or how["sampler"], prediction),
            steps or how["steps"], self.prior_latent()[0],
            how["beta"] if beta is None else beta, mode, generator,
        )

    @torch.no_grad()
    def __call__(
        self, clips: str | Path | np.ndarray | Tensor | Sequence[Any], portraits: int = 1,
        seed: int = 0, generator: torch.Generator | None = None, batch_size: int = 1,
        output_type: str = "pil", **sampling: Any,
    ) -> list[list[Image.Image]] | Tensor:
        """Portraits of each clip.

        Args:
            clips: one clip or several: paths, or 16 kHz mono waveforms (n,) in [-1, 1].
            portraits: per clip.
            seed: portrait k of every clip starts from the noise of (seed, k).
            generator: draws the noise instead of `seed`.
            batch_size: portraits computed together. With 1 a portrait's bits do not depend on
                what else is asked for; more is faster on a GPU.
            output_type: "pil" (a list per clip) or "pt" ((clips, portraits, 3, S, S) in [-1, 1]).
            sampling: steps, guidance, beta, prior_mode, sampler; the checkpoint's by default.
        """
        given: Sequence[Any] = clips if isinstance(clips, (list, tuple)) else [clips]
        speech = self.encode_speech(given).repeat_interleave(portraits, dim=0)
        shape = (1, *self.prior.mean.shape)
        drawn = [
            self.noise(seed, k) if generator is None else torch.randn(shape, generator=generator)
            for _ in given for k in range(portraits)
        ]
        own = [torch_generator(seed, "sampler", k) for _ in given for k in range(portraits)]
        parts = [slice(i, i + batch_size) for i in range(0, len(drawn), batch_size)]
        faces = torch.cat([
            self.decode(self.sample_latents(
                speech[part], torch.cat(drawn[part]), generator=generator or own[part], **sampling,
            ))
            for part in parts
        ])
        if output_type == "pt":
            return faces.unflatten(0, (len(given), portraits))
        images = to_images(faces)
        return [images[i : i + portraits] for i in range(0, len(images), portraits)]

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Write the checkpoint folder whole: components, prior, facts and hashes."""
        with staged(save_directory) as part:
            super().save_pretrained(part, safe_serialization=True, max_shard_size=SHARD, **kwargs)
            copy_prior(part / "prior.safetensors", self.prior)
            write_json(part / "facts.json", self.facts)
            write_hashes(part)

    @classmethod
    def from_pretrained(cls, name: str | Path, **kwargs: Any) -> SpeechToFacePipeline:
        """Load a checkpoint folder, or a repository of the Hugging Face hub.

        Hashes are checked first; components are float32 and in evaluation mode.
        Raises InputError naming the file that is missing, altered or of another encoder.
        """
        folder = Path(name) if Path(name).is_dir() else download(str(name), **kwargs)
        check_hashes(folder)
        parts = {part: load_network(kind, folder / part) for part, kind in PARTS.items()}
        prior = load_prior(folder / "prior.safetensors")
        return cls(**parts, prior=prior, facts=read_json(folder / "facts.json"))  # type: ignore[arg-type]


def download(name: str, **kwargs: Any) -> Path:
    """The local snapshot of a hub repository; InputError when it can't be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        allowed = ["*.safetensors", "*.json", "*.md"]
        return Path(snapshot_download(name, allow_patterns=allowed, **kwargs))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0][:100]
        what = "neither a checkpoint folder nor a hub repository"
        raise InputError(f"{name}: {what}: {reason}") from None


def load_waveform(clip: str | Path | np.ndarray | Tensor) -> Tensor:
    """A clip as (n,) float32, checked to be speech; of a long file the middle six seconds."""
    if isinstance(clip, (str, Path)):
        audio = read_audio(clip, window=WINDOW)
        check_speech(audio, clip)
    else:
        audio = np.asarray(clip, dtype=np.float32)
        if audio.ndim != 1 or not np.isfinite(audio).all():
            raise InputError("a waveform is one row of finite samples, 16 kHz mono")
        check_speech(audio, "waveform")
    return torch.from_numpy(audio.copy())


def to_images(faces: Tensor) -> list[Image.Image]:
    """Faces (B, 3, S, S) in [-1, 1] as pictures."""
    pixels = to_pixels(faces).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]
