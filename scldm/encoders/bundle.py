"""What stage 1 hands on: the speech encoder, the face encoder and the decoder, in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import ModelMixin
from diffusers.utils import logging
from torch import nn

from scldm.core.artifact import (
    check_hashes,
    fingerprint,
    read_json,
    staged,
    write_hashes,
    write_json,
)
from scldm.core.errors import InputError
from scldm.encoders.face import FaceDecoder, FaceEncoder
from scldm.encoders.speech import SpeechEncoder

M = TypeVar("M", bound=ModelMixin)


@dataclass(frozen=True)
class Encoders:
    """The three networks of stage 1, in evaluation mode and float32."""

    speech_encoder: SpeechEncoder
    face_encoder: FaceEncoder
    face_decoder: FaceDecoder

    @property
    def face_fingerprint(self) -> str:
        """Sixteen digits that name the face encoder's weights; a prior belongs to them."""
        return fingerprint(self.face_encoder.state_dict())

    @property
    def fingerprint(self) -> str:
        """Sixteen digits that name both encoders' weights; cached latents belong to them."""
        speech = {f"speech.{k}": v for k, v in self.speech_encoder.state_dict().items()}
        return fingerprint({**self.face_encoder.state_dict(), **speech})


def joint_fingerprint(networks: Mapping[str, nn.Module]) -> str:
    """Sixteen digits that name the weights of several networks together."""
    return fingerprint({
        f"{name}.{key}": value
        for name, network in networks.items() for key, value in network.state_dict().items()
    })


def load_network(cls: type[M], folder: Path) -> M:
    """A network in evaluation mode and float32 from its folder; safetensors only.

    Raises InputError when the folder or a weight is missing, or when the weights do not have the
    shapes that the configuration says.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such network folder")
    logging.disable_progress_bar()  # of a weight file in parts
    try:
        network, found = cls.from_pretrained(
            folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        why = str(error).splitlines()[0][:150]
        raise InputError(f"{folder}: cannot be loaded: {why}") from None
    if found["missing_keys"]:
        weight = found["missing_keys"][0]
        raise InputError(f"{folder}: the weight {weight} is missing from its file")
    network.register_to_config(_name_or_path="")  # else it is written into every copy
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone()  # a mapped file's odd addresses cost the last bits
    return network.float().eval().requires_grad_(False)


def save_encoders(encoders: Encoders, folder: str | Path, facts: Mapping[str, Any]) -> None:
    """Write the three networks in half precision with `facts` and hashes, as one whole folder."""
    with staged(folder) as part:
        part.mkdir()
        for name, network in vars(encoders).items():
            network.half().save_pretrained(part / name, safe_serialization=True)
            network.float()  # now with the rounded weights that were written
        write_json(part / "facts.json", {**facts, "face_encoder": encoders.face_fingerprint})
        write_hashes(part)


def load_encoders(folder: str | Path) -> Encoders:
    """Check the hashes and load; raises InputError naming what is missing or altered."""
    folder = Path(folder)
    check_hashes(folder)
    return Encoders(
        load_network(SpeechEncoder, folder / "speech_encoder"),
        load_network(FaceEncoder, folder / "face_encoder"),
        load_network(FaceDecoder, folder / "face_decoder"),
    )


def encoder_facts(folder: str | Path) -> dict[str, Any]:
    """The facts that stage 1 wrote."""
    facts: dict[str, Any] = read_json(Path(folder) / "facts.json")
    return facts


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is a GPU where there is one; raises InputError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError):
        raise InputError(f"device '{name}' is not available; use auto or cpu") from None
