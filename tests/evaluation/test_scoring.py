"""Laws of the shuffled controls: another person of the same group, each as likely as the next."""

from __future__ import annotations

import numpy as np
import pytest

from scldm.evaluation.scoring import strangers


@pytest.mark.parametrize("groups", [1, 2])
def test_strangers_are_others_of_the_group_and_each_is_as_likely(groups: int) -> None:
    rng = np.random.default_rng(0)
    person = np.array([4, 0, 0, 1, 1, 1, 2, 3, 3, 4, 4, 5])
    group = person % groups
    counts = np.zeros((12, 12))
    for _ in range(4000):
        index = strangers(person, group, rng)
        assert index is not None
        counts[np.arange(12), index] += 1
    allowed = (person[:, None] != person) & (group[:, None] == group)
    assert not counts[~allowed].any()
    expected = 4000 / allowed.sum(1, keepdims=True) * allowed
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected + 1)).all()


def test_somebody_alone_in_a_group_has_no_strangers() -> None:
    rng = np.random.default_rng(0)
    assert strangers(np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1]), rng) is None
    assert strangers(np.array([3, 3]), np.array([0, 0]), rng) is None
