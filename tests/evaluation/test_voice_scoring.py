"""Metrics of voices: perfect copies, chance, hand-computed figures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scldm.data.manifest import Manifest
from scldm.evaluation.hearing import Heard, mel_cepstra, parallel, word_errors
from scldm.evaluation.voice_scoring import VoiceTruth, score_voices, shuffled_faces
from scldm.voice.protocols import RATE

PEOPLE = 40


def truth_of(features: torch.Tensor, f0: np.ndarray, gender: np.ndarray) -> VoiceTruth:
    """A manifest of PEOPLE rows, each with one recording."""
    rows = np.arange(PEOPLE)
    columns = Manifest(
        path=None,  # type: ignore[arg-type]
        columns={"person": rows.astype(str).astype(object), "gender": gender},
    )
    return VoiceTruth(columns, np.full(PEOPLE, np.nan), rows, np.full(PEOPLE, -1), rows, rows,
                      Heard(features, f0, rows))


@pytest.fixture
def truth() -> VoiceTruth:
    rng = np.random.default_rng(0)
    gender = np.array(["F", "M"] * (PEOPLE // 2), dtype=object)
    f0 = np.where(gender == "F", 200.0, 110.0) * np.exp(0.05 * rng.standard_normal(PEOPLE))
    features = torch.randn(PEOPLE, 16, generator=torch.Generator().manual_seed(0))
    return truth_of(features, f0, gender)


def test_a_perfect_copy_is_found_first_and_has_no_distance(truth: VoiceTruth) -> None:
    assert truth.heard
    rows = np.arange(PEOPLE)
    values = score_voices(truth.heard.features, truth.heard.f0, rows, truth).values
    assert values["similarity"] == pytest.approx(1.0)
    assert (values["R@1"] == 1).all() and values["F0 error"] == pytest.approx(0.0)
    assert (values["gender by F0"] == 1).all() and (values["F0 plausible"] == 1).all()


def test_voices_of_strangers_are_at_chance(truth: VoiceTruth) -> None:
    assert truth.heard
    rows = np.arange(PEOPLE)
    found = shuffled_faces(truth.heard.features, truth.heard.f0, rows, truth, False)
    assert found
    assert abs(found.values["similarity"].mean()) < 0.1
    assert found.values["R@1"].mean() == 0  # a copy of another is never one's own
    assert abs(found.values["gender by F0"].mean() - 19 / 39) < 0.1


def test_within_gender_the_shuffle_keeps_gender(truth: VoiceTruth) -> None:
    assert truth.heard
    rows = np.arange(PEOPLE)
    found = shuffled_faces(truth.heard.features, truth.heard.f0, rows, truth, True)
    assert found and (found.values["gender by F0"] == 1).all()
    assert found.values["similarity"].mean() < 0.2


def test_an_octave_is_twelve_semitones_and_unvoiced_does_not_count(truth: VoiceTruth) -> None:
    assert truth.heard
    rows, f0 = np.arange(PEOPLE), 2 * truth.heard.f0
    f0[3] = np.nan
    scores = score_voices(truth.heard.features, f0, rows, truth)
    assert scores.values["F0 error"] == pytest.approx(12.0) and len(scores.rows["F0 error"]) == 39
    assert scores.values["gender by F0"].mean() == pytest.approx(19 / 39, abs=0.03)  # men sound F


def test_cepstra_are_those_of_the_log_amplitude() -> None:
    """A filter of 6 dB at every frequency moves c_0 alone."""
    noise = np.random.default_rng(1).standard_normal(RATE).astype("f4") * 0.1
    np.testing.assert_allclose(mel_cepstra(noise), mel_cepstra(2 * noise), atol=1e-4)


def test_a_parallel_recording_of_itself_has_no_distance() -> None:
    t = np.arange(RATE) / RATE
    sound = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20)).astype("f4") * 0.2
    assert parallel(sound, sound) == pytest.approx((0.0, 0.0), abs=1e-6)
    higher = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 20)).astype("f4") * 0.2
    mcd, rmse = parallel(higher, sound)
    assert rmse == pytest.approx(30.0, abs=1.0) and mcd > 0.5


def test_noise_is_no_words() -> None:
    noise = 0.001 * np.random.default_rng(2).standard_normal(RATE).astype("f4")
    assert word_errors(noise, "the boat left the harbour") >= 0.8
