"""The bootstrap over identities, and the judge's answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scldm.core.artifact import write_hashes
from scldm.encoders.attributes import FaceAttributes
from scldm.evaluation.intervals import bootstrap
from scldm.evaluation.judges import BundledJudge


def test_interval_of_independent_people_is_the_normal_one():
    values = np.random.default_rng(0).random(400) < 0.8
    estimate = bootstrap(values, np.arange(400))
    half = 1.96 * values.std() / 400**0.5
    assert estimate.value == values.mean() and estimate.n == 400
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half, rel=0.15)


def test_intervals_over_people_cover_the_truth():
    """A mean of 0, from 60 people of five clips each who differ as much as their clips do."""
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(size=60), 5) + rng.normal(size=300)
        found = bootstrap(values, np.repeat(np.arange(60), 5), rounds=400)
        inside += found.low <= 0 <= found.high
    assert inside >= 180  # of 200; 95 % is 190


def test_repeating_a_persons_rows_does_not_narrow_the_interval():
    values = np.random.default_rng(0).random(50) < 0.5
    once = bootstrap(values, np.arange(50))
    often = bootstrap(np.repeat(values, 20), np.repeat(np.arange(50), 20))
    assert often.n == 50
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.05)


def test_a_judge_answers_for_faces_of_any_side(tmp_path):
    FaceAttributes("resnet", (8, 8, 8, 16), 32).save_pretrained(tmp_path / "judge")
    write_hashes(tmp_path / "judge")
    said = BundledJudge(tmp_path / "judge")(torch.rand(3, 3, 48, 48) * 2 - 1)
    assert said.features.shape == (3, 16) and set(said.gender.tolist()) <= {0, 1}
    assert ((said.age >= 25) & (said.age <= 75)).all()
