"""A checkpoint from what the two stages wrote."""

from __future__ import annotations

from pathlib import Path

from diffusers import UNet2DConditionModel

from scldm.core.artifact import check_hashes, read_json
from scldm.core.errors import InputError
from scldm.diffusion.denoiser import ConditionTokens
from scldm.encoders.bundle import load_encoders, load_network
from scldm.encoders.speech import SpeechEncoder
from scldm.generation.pipeline import SpeechToFacePipeline
from scldm.prior.file import load_prior


def assemble(denoiser: str | Path, out: str | Path) -> SpeechToFacePipeline:
    """Put encoders, prior and denoiser into one checkpoint folder, in half precision.

    Raises InputError when a part is missing, altered, or belongs to other encoders.
    """
    denoiser = Path(denoiser)
    check_hashes(denoiser)
    facts = read_json(denoiser / "facts.json")
    config = facts["config"]
    if config["prior"] is None:
        raise InputError(f"{denoiser}: a checkpoint needs a prior; set `prior` (beta may be 0)")
    encoders = dict(vars(load_encoders(config["encoders"])))
    if (denoiser / "speech_encoder").is_dir():  # one that learnt in stage 2
        encoders["speech_encoder"] = load_network(SpeechEncoder, denoiser / "speech_encoder")
    pipeline = SpeechToFacePipeline(
        **encoders,
        unet=load_network(UNet2DConditionModel, denoiser / "unet"),
        condition=load_network(ConditionTokens, denoiser / "condition"),
        prior=load_prior(config["prior"]), facts=facts,
    )
    networks = pipeline.components.values()
    for network in networks:
        network.half()
    pipeline.save_pretrained(out)
    for network in networks:
        network.float()
    return pipeline
