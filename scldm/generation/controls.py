"""Controls that need the model: one mean face for all, and Z^s decoded without diffusion."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from scldm.core.progress import Progress
from scldm.core.seeding import numpy_generator
from scldm.data.samples import Samples
from scldm.generation.pipeline import SpeechToFacePipeline
from scldm.generation.sources import Always, Diffusion, Direct, Source
from scldm.prior.fit import encode

REFERENCE = 500  # faces and clips from which centres and norm are taken


def controls(
    pipeline: SpeechToFacePipeline, faces: Samples, clips: Samples
) -> dict[str, Source]:
    """Sources by name: "mean-face" (the decoded prior) and "direct-decode" (Speech2Face's idea).

    Args:
        faces, clips: of the training split; what `direct_bridge` is measured on.
    """
    face = Diffusion(pipeline).middle()
    decode = Direct(
        pipeline.speech_encoder, pipeline.face_decoder, pipeline.prior.mean.shape,
        direct_bridge(pipeline, faces, clips),
    )
    return {"mean-face": Always(face, pipeline.fingerprint), "direct-decode": decode}


@torch.no_grad()
def direct_bridge(
    pipeline: SpeechToFacePipeline, faces: Samples, clips: Samples
) -> Callable[[Tensor], Tensor]:
    """Z^s (B, d) -> a latent (B, d) that the decoder knows: L_cl aligns its direction only.

    Its length becomes the mean length of Z^f. Where L_cl was centred, that is of Z^f less the mean
    of Z^f, and Z^s enters less its own mean.
    """
    seen, heard = (_some(len(x.manifest)) for x in (faces, clips))
    z_speech = []
    with Progress("hearing training clips", len(heard)) as bar:
        for row in heard:
            z_speech.append(pipeline.encode_speech([clips.speech(row)]))
            bar.update()
    latents = encode(pipeline.face_encoder, faces, seen, pipeline.facts["image_size"])
    z_s = torch.cat(z_speech)
    z_f = torch.cat(list(latents)).flatten(1).to(z_s)
    centred = pipeline.facts["encoders"]["config"]["loss"]["centre"]
    from_, to = (z.mean(0) if centred else z.new_zeros(z.shape[1]) for z in (z_s, z_f))
    length = (z_f - to).norm(dim=1).mean()
    return lambda z: to + length * F.normalize(z - from_, dim=1)


def _some(count: int) -> list[int]:
    rng = numpy_generator(0, "controls")
    return sorted(rng.permutation(count)[:REFERENCE].tolist())
