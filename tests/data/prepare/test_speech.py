"""Laws of the windows of speech."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from scldm.data.prepare import speech
from scldm.data.prepare.item import Recipe, Skip
from tests.films import voice

RATE = 16_000


def test_most_is_the_best_of_all_choices() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        starts = np.sort(random.choice(60, 9, replace=False)) * RATE // 2
        amounts = random.integers(1, 96_000, 9)
        for most in (1, 2, 4):
            kept = speech._most(starts, amounts, most)
            sums = [
                sum(amounts[i] for i in choice)
                for count in range(most + 1) for choice in combinations(range(9), count)
                if all(b - a >= 6 * RATE for a, b in zip(starts[list(choice)],
                                                         starts[list(choice)][1:], strict=False))
            ]  # fmt: skip
            found = sum(int(amounts[list(starts).index(start)]) for start in kept)
            assert found == max(sums) and kept == sorted(kept) and len(kept) <= most
            assert all(b - a >= 6 * RATE for a, b in zip(kept, kept[1:], strict=False))


def test_windows_are_where_somebody_speaks() -> None:
    quiet = np.zeros(5 * RATE, np.float32)
    audio = np.concatenate([quiet, voice(0), quiet, voice(0, 1)[: 3 * RATE]])
    first, second = speech.windows(audio, Recipe())
    assert abs(first - 5 * RATE) <= RATE and second >= 12 * RATE
    assert speech.windows(audio, Recipe(windows=1)) == [first]
    mask = speech.spoken(audio)
    assert mask[6 * RATE : 10 * RATE].mean() > 0.8 > 0.1 > mask[: 4 * RATE].mean()
    assert speech.windows(audio[4 * RATE : 9 * RATE], Recipe()) == [0]  # shorter than a window


@pytest.mark.parametrize(
    ("audio", "reason"),
    [(voice(0)[:RATE], "too short"), (np.zeros(6 * RATE, np.float32), "no speech"),
     (np.random.default_rng(0).normal(0, 0.1, 8 * RATE).astype(np.float32), "no speech")],
)  # fmt: skip
def test_what_holds_no_speech_is_skipped(audio: np.ndarray, reason: str) -> None:
    with pytest.raises(Skip) as caught:
        speech.windows(audio, Recipe())
    assert caught.value.reason == reason
