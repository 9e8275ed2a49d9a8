"""Laws of the population's synthesiser: the text says what, the parameters say how."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from scldm.core.errors import InputError
from scldm.data.population import person, speak, voice
from scldm.voice.acoustics import VoiceParameters, measure
from scldm.voice.babble import babble, voice_of

TEXT = "The boat left the harbour before sunrise, and by noon the island was out of sight."
WOMAN, MAN = VoiceParameters(210, 1.18, 0.2, 4.6), VoiceParameters(115, 1.0, 0.1, 5.0)


def shape(clip: np.ndarray) -> np.ndarray:
    """Level (T,) in dB every 10 ms above the room's noise, about its mean."""
    power = (clip[: len(clip) // 160 * 160].reshape(-1, 160) ** 2).mean(1)
    level = np.log10(np.maximum(power / power.max(), 1e-4))
    return level - level.mean()


def alike(one: np.ndarray, other: np.ndarray) -> float:
    a, b = (shape(clip)[: min(len(one), len(other)) // 160] for clip in (one, other))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_the_population_still_speaks_the_same_bits() -> None:
    clips = [speak(person(0, 0), 0), speak(person(3, 8), 2, 1.0), speak(person(1, 7), 4, 10.0)]
    digest = hashlib.sha256(b"".join((c * 32767).round().astype("<i2").tobytes() for c in clips))
    assert digest.hexdigest()[:16] == "b05942b79bf9138d"


def test_the_same_call_gives_the_same_bits_and_another_seed_others() -> None:
    assert np.array_equal(babble(TEXT, WOMAN, 3), babble(TEXT, WOMAN, 3))
    assert not np.array_equal(babble(TEXT, WOMAN, 3), babble(TEXT, WOMAN, 4))


def test_clips_are_16_khz_float_within_one() -> None:
    clip = babble(TEXT, MAN)
    assert clip.dtype == np.float32 and clip.ndim == 1 and 0.2 < np.abs(clip).max() < 1
    assert 4 < len(clip) / 16_000 < 9


def test_the_text_decides_what_is_said() -> None:
    woman, man = babble(TEXT, WOMAN), babble(TEXT, replace(MAN, rate=WOMAN.rate))
    other = babble(TEXT[::-1].strip(".") + ".", WOMAN)
    assert alike(woman, man) > alike(woman, other) + 0.2


@pytest.mark.parametrize("wanted", [WOMAN, MAN, VoiceParameters(95, 0.93, 0.4, 3.8)])
def test_the_voice_is_the_wanted_one(wanted: VoiceParameters) -> None:
    found = measure(babble(TEXT, wanted, 1))
    assert found.f0 == pytest.approx(wanted.f0, rel=0.03)
    assert found.formants == pytest.approx(wanted.formants, rel=0.03)
    assert found.breath == pytest.approx(wanted.breath, abs=0.15)
    assert found.rate == pytest.approx(wanted.rate, rel=0.2)


def test_breath_and_open_quotient_are_coupled_as_in_people() -> None:
    people = [voice(somebody) for k in range(60) if (somebody := person(1, k)).age <= 50]
    for real in people:
        made = voice_of(VoiceParameters(real.f0, 17.5 / real.tract, real.breath, 4.5))
        assert made.open_quotient == pytest.approx(real.open_quotient, abs=1e-9)
        assert made.tract == pytest.approx(real.tract)


def test_parameters_are_clipped() -> None:
    far = VoiceParameters(2000, 3, 7, 40)
    assert voice_of(far) == voice_of(VoiceParameters(400, 1.35, 1, 8))


def test_accents_and_marks_are_no_letters() -> None:
    assert np.array_equal(babble("naïve café", MAN), babble("naive cafe", MAN))
    assert np.array_equal(babble("“well-known”", MAN), babble("wellknown", MAN))


@pytest.mark.parametrize("text", ["", "  \n", "... !?"])
def test_empty_text(text: str) -> None:
    with pytest.raises(InputError, match="empty"):
        babble(text, MAN)


def test_letters_that_have_no_sound_are_named() -> None:
    with pytest.raises(InputError, match="cannot say 7 д"):
        babble("дa 7", MAN)


def test_text_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InputError, match="1001 words: give at most 1,000"):
        babble("a " * 1001, MAN)


@pytest.mark.parametrize("text", ["a", "brrr", "strengths", "y", "queue"])
def test_any_word_can_be_spelt(text: str) -> None:
    assert np.isfinite(babble(text, WOMAN)).all()
