"""The synthesisers by name: those that know a few parameters of a voice, and SpeechT5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from scldm.core.errors import InputError
from scldm.voice.acoustics import VoiceParameters
from scldm.voice.checkpoint import FaceToVoice
from scldm.voice.protocols import RATE, Synthesiser
from scldm.voice.regression import Regression


class Parametric:
    """A synthesiser that is told a voice's parameters, regressed from the speaker embedding.

    Args:
        name: its own.
        say: text and parameters -> float32 (n,) at 16 kHz.
        regression: of the checkpoint.
    """

    rate = RATE

    def __init__(
        self, name: str, say: Callable[[str, VoiceParameters], np.ndarray], regression: Regression
    ) -> None:
        self.name, self.say, self.regression = name, say, regression

    def speak(
        self, text: str, embedding: Tensor, pitch: float = 0.0, rate: float = 1.0
    ) -> np.ndarray:
        """`text` in the voice of `embedding` (D,), moved as wished; InputError as `say` raises."""
        voice = self.regression(embedding)
        return self.say(
            text, replace(voice, f0=voice.f0 * 2 ** (pitch / 12), rate=voice.rate * rate)
        )


def open_synthesiser(name: str, model: FaceToVoice) -> Synthesiser:
    """The synthesiser `name` for a checkpoint: "espeak", "babble" (the synthetic population's own,
    for experiments on it), "speecht5" (from the hub), or a folder of SpeechT5 and its vocoder.

    Raises InputError for another name, naming what a synthesiser lacks, and where its mels are not
    those that the checkpoint was trained through.
    """
    if name == "espeak":
        from scldm.voice.espeak import Espeak

        return Parametric(name, Espeak().say, model.regression)
    if name == "babble":
        from scldm.voice.babble import babble

        return Parametric(name, babble, model.regression)
    if name != "speecht5" and not Path(name).is_dir():
        raise InputError(f"--tts {name}: use espeak, babble, speecht5 or a folder of SpeechT5")
    from scldm.voice.speecht5 import open_speecht5

    tts = open_speecht5(name, model.device)
    if model.settings and model.settings != tts.settings:
        raise InputError(f"--tts {name}: its mels and vocoder are not those that the checkpoint "
                         f"was trained through: {tts.settings}, not {model.settings}")
    return tts
