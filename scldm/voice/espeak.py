"""A synthesiser that needs no download: espeak-ng, its voice moved to given acoustic parameters.

The voice is a file as espeak-ng's own variants are: a language's file with pitch, formants and
breath after it. All constants are measured by `scldm.voice.acoustics` on what it then says.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from scldm.core.errors import InputError
from scldm.voice import espeak_library
from scldm.voice.acoustics import VoiceParameters
from scldm.voice.espeak_text import chunks
from scldm.voice.protocols import RATE

RANGES = {"f0": (60.0, 400.0), "formants": (0.8, 1.35), "breath": (0.0, 1.0), "rate": (2.0, 8.0)}
_PEAK = 0.7
_VOLUME = 50  # percent: loud enough, and below the library's own limiter
_SECONDS = 120  # for the longest text

_HERTZ = 1.385  # measured f0 for one Hz of pitch above 9
_SPAN = 0.49  # of the pitch above 9, from its lowest to its highest
_FORMANTS = 1.049  # measured scale of the library's own voice
# measured breath without any (at 150 Hz, and for an octave more), and what noise adds to it
_MODAL, _OCTAVE = 0.07, 0.07
_ADDED = (0.0, 0.08, 0.17, 0.31, 0.44, 0.67, 0.83, 0.93)
_NOISE = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0)  # at 139 Hz; less is needed above
_NOISE_PITCH = 0.52
_RATES, _WORDS = (2.78, 4.2, 6.0, 7.0, 8.0), (80, 128, 196, 230, 280)  # measured, at words/minute
_STRETCH = 0.00116  # seconds a syllable for one unit of all vowels' lengths, at 80 words a minute


class Espeak:
    """espeak-ng as it comes with `espeakng-loader`."""

    def __init__(self) -> None:
        """Raises InputError when `espeakng-loader` is not installed."""
        try:
            import espeakng_loader
        except ImportError:
            raise InputError('espeak-ng is missing: pip install "scldm[speech]"') from None
        self._library = espeakng_loader.get_library_path()
        self._data = espeakng_loader.get_data_path()

    def say(
        self, text: str, parameters: VoiceParameters, language: str = "en-us"
    ) -> np.ndarray:
        """`text` by a voice of these parameters: float32 (n,), 16 kHz, peak 0.7.

        The same arguments give the same bits. Parameters are clipped to `RANGES`; `measure` then
        finds them again, f0 within 3 % in ten words and more. Breath below 0.07, and above 150 Hz
        0.07 an octave more, is that of the library's plain voice.
        Raises InputError for a language that espeak-ng does not have, for text that is empty,
        longer than 1,000 words or has characters that the language does not say, and for
        parameters that are not numbers.
        """
        texts = chunks(text, language)
        wish = _clipped(parameters)
        file = _languages(self._data).get(language.lower())
        if file is None:
            raise InputError(f"espeak-ng has no language '{language}': use en-us, en-gb, de, ...")
        voice = file.read_text(encoding="utf-8") + "\n" + "\n".join(_variant(wish)) + "\n"
        return _finished(self._spoken(texts, voice, round(np.interp(wish.rate, _RATES, _WORDS))))

    def _spoken(self, texts: list[str], voice: str, words_a_minute: int) -> bytes:
        """What the child process says: its rate (int32), then samples (int16)."""
        request = {
            "library": str(self._library), "data": str(self._data), "seed": 0, "texts": texts,
            "voice": "voice", "words_a_minute": words_a_minute, "volume": _VOLUME,
        }  # fmt: skip
        command = [sys.executable, "-I", "-S", espeak_library.__file__]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "voice").write_text(voice, encoding="utf-8")
            try:
                done = subprocess.run(
                    command, input=json.dumps(request).encode(), capture_output=True, cwd=folder,
                    timeout=_SECONDS, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise InputError(f"espeak-ng did not end in {_SECONDS} s: shorten it") from None
        if done.returncode:
            why = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise InputError(f"espeak-ng stopped ({done.returncode}): {why[-1]}")
        return done.stdout


def _clipped(parameters: VoiceParameters) -> VoiceParameters:
    values = {name: float(getattr(parameters, name)) for name in RANGES}
    if not all(map(math.isfinite, values.values())):
        raise InputError(f"{parameters}: give a voice of finite numbers")
    clipped = {name: min(max(value, RANGES[name][0]), RANGES[name][1])
               for name, value in values.items()}  # fmt: skip
    return VoiceParameters(**clipped)


@cache
def _languages(data: str) -> dict[str, Path]:
    """The file of every language, by its code in lower case."""
    found: dict[str, Path] = {}
    for file in sorted(p for p in Path(data, "lang").rglob("*") if p.is_file()):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.startswith("language "):
                found.setdefault(line.split()[1].lower(), file)
    return found


def _variant(wish: VoiceParameters) -> list[str]:
    """The lines of a voice file that say how the voice sounds."""
    pitch = wish.f0 / _HERTZ
    lines = [f"pitch {round(9 + pitch)} {round(9 + (1 + _SPAN) * pitch)}"]
    percent = round(100 * wish.formants / _FORMANTS)
    lines += [f"formant {k} {percent} 100 100" for k in range(9)]
    octaves = math.log2(wish.f0 / 150)
    added = wish.breath - max(_MODAL + _OCTAVE * octaves, 0)
    noise = round(np.interp(added, _ADDED, _NOISE) * (139 / wish.f0) ** _NOISE_PITCH)
    if noise:
        lines.append("breath" + 8 * f" {noise}")
    slow = 1 / wish.rate - 1 / _RATES[0]
    if slow > 0:
        lines.append("stressAdd" + 8 * f" {round(slow / _STRETCH)}")
    return lines


def _finished(spoken: bytes) -> np.ndarray:
    """float32 (n,) at 16 kHz of a rate and samples."""
    rate = int(np.frombuffer(spoken[:4], np.int32)[0])
    audio = np.frombuffer(spoken[4:], np.int16).astype(np.float32)
    if not audio.any():
        raise InputError("espeak-ng has nothing to say of this text: give words")
    audio = resample_poly(audio, RATE, rate).astype(np.float32)
    return audio * np.float32(_PEAK / np.abs(audio).max())
