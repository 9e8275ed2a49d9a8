"""A signal that reaches a training at a known step."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scldm.core import steps
from scldm.core.progress import Progress


@contextmanager
def stopped_after(step: int) -> Iterator[None]:
    """SIGTERM reaches this process while step `step` ends."""

    class Stopping(Progress):
        def update(self, count: int = 1, **note: float) -> None:
            super().update(count, **note)
            if self.done == step:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "Progress", Stopping)
        with pytest.raises(SystemExit, match=f"stopped after step {step};"):
            yield
