"""Laws of the synthesiser that speaks: its voice is the wanted one, and only its call decides."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scldm.core.errors import InputError
from scldm.voice import espeak_library
from scldm.voice.acoustics import VoiceParameters, measure
from scldm.voice.espeak import Espeak
from scldm.voice.espeak_text import chunks

espeakng_loader = pytest.importorskip("espeakng_loader")

TEXT = "The boat left the harbour before sunrise, and by noon the island was out of sight."
WOMAN, MAN = VoiceParameters(205, 1.18, 0.25, 4.6), VoiceParameters(110, 1.0, 0.15, 4.6)


@pytest.fixture(scope="module")
def engine() -> Espeak:
    return Espeak()


def test_clips_are_16_khz_float_with_a_peak_of_seven_tenths(engine: Espeak) -> None:
    clip = engine.say(TEXT, WOMAN)
    assert clip.dtype == np.float32 and clip.ndim == 1
    assert np.abs(clip).max() == pytest.approx(0.7, abs=1e-3)
    assert 3 < len(clip) / 16_000 < 7


def test_only_the_call_decides_not_what_was_said_before(engine: Espeak) -> None:
    calls = [(TEXT, WOMAN), ("Good morning.", MAN), (TEXT, replace(MAN, breath=0.8))]
    alone = [engine.say(*call) for call in calls]
    backwards = [engine.say(*call) for call in reversed(calls)][::-1]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda call: Espeak().say(*call), calls))
    for clips in zip(alone, backwards, together, strict=True):
        assert np.array_equal(clips[0], clips[1]) and np.array_equal(clips[0], clips[2])


@pytest.mark.parametrize("wanted", [
    WOMAN, MAN, VoiceParameters(70, 0.9, 0.4, 3.5), VoiceParameters(290, 1.3, 0.4, 5.5),
])  # fmt: skip
def test_the_voice_is_the_wanted_one(engine: Espeak, wanted: VoiceParameters) -> None:
    found = measure(engine.say(TEXT, wanted))
    assert found.f0 == pytest.approx(wanted.f0, rel=0.03)
    assert found.formants == pytest.approx(wanted.formants, rel=0.05)
    assert found.breath == pytest.approx(wanted.breath, abs=0.1)
    assert found.rate == pytest.approx(wanted.rate, rel=0.15)


def test_slow_and_fast(engine: Espeak) -> None:
    lengths = [len(engine.say(TEXT, replace(MAN, rate=rate))) for rate in (2, 4, 8)]
    assert lengths[0] / lengths[1] == pytest.approx(2, rel=0.15)
    assert lengths[1] / lengths[2] == pytest.approx(2.15, rel=0.15)  # pauses shrink faster


def test_parameters_are_clipped_to_their_ranges(engine: Espeak) -> None:
    far, edge = VoiceParameters(2000, 3, 7, 40), VoiceParameters(400, 1.35, 1, 8)
    assert np.array_equal(engine.say("Good morning.", far), engine.say("Good morning.", edge))


def test_parameters_that_are_no_numbers(engine: Espeak) -> None:
    with pytest.raises(InputError, match="finite"):
        engine.say(TEXT, replace(MAN, f0=float("nan")))


def test_long_text_is_said_whole(engine: Espeak) -> None:
    one, many = engine.say(TEXT, WOMAN), engine.say(" ".join([TEXT] * 20), WOMAN)
    assert 20 < len(many) / len(one) < 24  # pauses between the sentences


def test_text_is_cut_at_the_ends_of_sentences() -> None:
    text = " ".join([TEXT, "Is it?", "It costs 3.50 here."] * 30)
    parts = chunks(text, "en-us")
    assert " ".join(parts) == text and len(parts) > 5
    assert max(len(part.split()) for part in parts) <= 100
    assert all(part[-1] in ".?" for part in parts)


@pytest.mark.parametrize("text", ["", "  \n\t", "...", "?!"])
def test_empty_text(engine: Espeak, text: str) -> None:
    with pytest.raises(InputError, match="empty"):
        engine.say(text, MAN)


@pytest.mark.parametrize("text", ["word " * 1001, "a" * 20_001])
def test_text_beyond_the_limit_is_refused(engine: Espeak, text: str) -> None:
    with pytest.raises(InputError, match="give at most 1,000 and 20,000"):
        engine.say(text, MAN)


@pytest.mark.parametrize(("text", "named"), [
    ("hello 😀", "U+1F600"), ("a\x00b", "U+0000"), ("你好", "'你' U+4F60, '好' U+597D"),
    ("привет", "and 1 more"), ("zero\u200bwidth", "U+200B"), ("\ud800", "U+D800"),
    ("3 ٣", "U+0663"),
])  # fmt: skip
def test_characters_that_cannot_be_said_are_named(engine: Espeak, text: str, named: str) -> None:
    with pytest.raises(InputError, match="cannot say") as error:
        engine.say(text, MAN)
    assert named in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(("text", "language"), [
    ("It’s 5 % of £3.50 – “naïve” café & co…\nNew line", "en-us"), ("Cafe\u0301", "en-us"),
    ("Schöne Grüße, Straße", "de"), ("Добрый день", "ru"), ("¿Qué tal, señor?", "es"),
])  # fmt: skip
def test_ordinary_text_is_said(engine: Espeak, text: str, language: str) -> None:
    assert len(engine.say(text, WOMAN, language)) > 8000


def test_a_language_that_is_not_there(engine: Espeak) -> None:
    with pytest.raises(InputError, match="no language 'xx'"):
        engine.say(TEXT, MAN, "xx")


def test_nothing_is_written_beside_the_library(engine: Espeak) -> None:
    def seen() -> dict[Path, int]:
        files = Path(espeakng_loader.get_data_path()).rglob("*")
        return {file: file.stat().st_mtime_ns for file in files}

    before = seen()
    engine.say(TEXT, WOMAN)
    assert seen() == before


def test_a_library_that_crashes_takes_nobody_with_it(
    engine: Espeak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "crash.py"
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(espeak_library, "__file__", str(script))
    with pytest.raises(InputError, match="espeak-ng stopped"):
        engine.say(TEXT, MAN)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r'pip install "scldm\[speech\]"'):
        Espeak()
