"""The synthetic population's own synthesiser with a text: letters become its sounds.

For controlled experiments on the population alone: what is said follows from the text, so that two
voices can say the same, but it is nobody's language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import numpy as np

from scldm.core.errors import InputError
from scldm.data.population.people import Voice
from scldm.data.population.voices import (
    CONSONANTS,
    REFERENCE_TRACT,
    SCHWA,
    VOWELS,
    Syllable,
    utter,
)
from scldm.voice.acoustics import VoiceParameters

WORDS = 1000  # the longest text
_MELODY, _TILT, _ROUGHNESS = 2.0, 0.35, 0.008  # of an average person of the population
_BREATHS = 7  # the random stream of this file

_CONSONANTS = dict(zip("mnlrwjxcfzhptkbdg", CONSONANTS, strict=True)) | {
    "s": CONSONANTS[6], "q": CONSONANTS[13], "v": CONSONANTS[9],
}  # fmt: skip
_VOWELS = dict(zip("iyeauo", (VOWELS[k] for k in (0, 1, 2, 4, 7, 5)), strict=True))


def babble(text: str, parameters: VoiceParameters, seed: int = 0) -> np.ndarray:
    """`text` spelt in the population's sounds: float32 (n,), 16 kHz, in [-1, 1].

    The same text, parameters and seed give the same bits. Parameters are clipped to what the
    population's synthesiser can do: f0 60 to 400 Hz, formants 0.8 to 1.35, breath 0 to 1, rate 2
    to 8. Raises InputError for text that is empty, above 1,000 words or has other letters than
    those from a to z, with or without accents.
    """
    phrases = [syllables for phrase in _phrases(text) if (syllables := tuple(_spell(phrase)))]
    if not phrases:
        raise InputError("the text is empty: give at least one word")
    return utter(voice_of(parameters), phrases, np.random.default_rng((seed, _BREATHS)))


def voice_of(parameters: VoiceParameters) -> Voice:
    """The population's voice with these parameters, average in all the rest.

    Breath and open quotient are coupled as in `population.voice` at the age of fifty.
    """
    breath = float(np.clip(parameters.breath, 0, 1))
    lax = (max(breath - 0.03, 0) / 0.45) ** (1 / 1.5)
    return Voice(
        f0=float(np.clip(parameters.f0, 60, 400)),
        tract=REFERENCE_TRACT / float(np.clip(parameters.formants, 0.8, 1.35)),
        breath=breath,
        open_quotient=min(0.50 + 0.25 * lax, 0.85),
        rate=float(np.clip(parameters.rate, 2, 8)),
        melody=_MELODY,
        tilt=_TILT,
        roughness=_ROUGHNESS,
    )


def _phrases(text: str) -> Iterator[str]:
    """The letters of every phrase, in lower case and without accents."""
    words = len(text.split())
    if words > WORDS:
        raise InputError(f"the text has {words} words: give at most {WORDS:,}")
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    other = sorted({c for c in plain if c.isalnum() and c not in _CONSONANTS | _VOWELS})
    if other:
        raise InputError(f"babble cannot say {' '.join(other)}: use the letters from a to z")
    for phrase in re.split(r"[.,;:!?\n]+", plain):
        yield "".join(c for c in phrase if c.isalpha())


def _spell(letters: str) -> Iterator[Syllable]:
    """Syllables of at most two consonants and a run of vowels; a schwa stands for none."""
    for onset, vowels in re.findall(r"([^aeiouy]{0,2})([aeiouy]*)", letters):
        if onset or vowels:
            ends = (_VOWELS[vowels[0]], _VOWELS[vowels[-1]]) if vowels else (SCHWA, SCHWA)
            yield Syllable(tuple(_CONSONANTS[c] for c in onset), *ends)
