"""Progress: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm


class Progress:
    """Counts steps up to `total`; `note` keys are shown beside the count.

    In a terminal this is tqdm's bar; otherwise one plain line every `every` seconds.
    """

    def __init__(self, name: str, total: int, start: int = 0, every: float = 15.0) -> None:
        self.name, self.total, self.done, self.every = name, total, start, every
        self.first, self.began = start, time.monotonic()
        self.printed = self.began
        bar = sys.stderr.isatty()
        self.bar = tqdm(total=total, initial=start, desc=name) if bar else None

    def update(self, count: int = 1, **note: float) -> None:
        """Advance by `count` steps."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
            self.bar.set_postfix({k: f"{v:.4g}" for k, v in note.items()}, refresh=False)
        elif time.monotonic() - self.printed > self.every or self.done == self.total:
            self.printed = time.monotonic()
            print(self._line(note), file=sys.stderr, flush=True)

    def _line(self, note: dict[str, float]) -> str:
        rate = (self.done - self.first) / max(time.monotonic() - self.began, 1e-9)
        left = (self.total - self.done) / max(rate, 1e-9)
        facts = "".join(f", {k} {v:.4g}" for k, v in note.items())
        return f"{self.name}: {self.done}/{self.total}, {rate:.2f}/s, {left:.0f} s left{facts}"

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.close()
