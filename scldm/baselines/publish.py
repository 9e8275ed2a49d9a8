"""A baseline's checkpoint: a speech encoder and a decoder, that `scldm generate` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scldm.core.artifact import staged, write_hashes, write_json
from scldm.core.config import Config
from scldm.core.run import device_name
from scldm.encoders.face import FaceDecoder
from scldm.encoders.speech import SpeechEncoder


def publish(
    speech_encoder: SpeechEncoder, face_decoder: FaceDecoder, shape: tuple[int, ...],
    method: str, config: Config, folder: Path,
) -> Path:
    """Write both networks in half precision; `shape` (C, s, s) is what the decoder takes."""
    facts: dict[str, Any] = {
        "stage": "baseline", "method": method, "latent": list(shape),
        "config": config.model_dump(mode="json"), "machine": device_name(),
    }
    with staged(folder) as part:
        part.mkdir()
        networks = (("speech_encoder", speech_encoder), ("face_decoder", face_decoder))
        for name, network in networks:
            network.eval().half().save_pretrained(part / name, safe_serialization=True)
        write_json(part / "facts.json", facts)
        write_hashes(part)
    return folder
