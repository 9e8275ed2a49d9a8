"""Laws of the learning-rate schedules."""

from __future__ import annotations

import numpy as np

from scldm.core.schedule import decay


def test_none_is_constant_and_cosine_falls_from_1_to_a_hundredth() -> None:
    shares = np.linspace(0, 1, 21)
    assert {decay("none", share) for share in shares} == {1.0}
    factors = [decay("cosine", share) for share in shares]
    assert factors[0] == 1 and abs(factors[-1] - 0.01) < 1e-12
    assert abs(factors[10] - 0.505) < 1e-12
    assert all(np.diff(factors) < 0)
