"""The loop that both stages share: steps, logs, looks at held-out data, saves, and a clean stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from accelerate import Accelerator
from torch.utils.tensorboard import SummaryWriter

from scldm.core.progress import Progress
from scldm.core.run import RunFolder, any_process


class Plan(Protocol):
    """What a stage's configuration says of its loop."""

    out: str
    steps: int
    save_every: int
    log_every: int
    sample_every: int


def run_steps(
    name: str, plan: Plan, run: RunFolder, accelerator: Accelerator, first: int,
    step: Callable[[int], dict[str, float]], look: Callable[[SummaryWriter, int], None],
) -> None:
    """Call `step(n)` for n from `first` up to `plan.steps`, and see to everything around it.

    What `step` returns is shown and logged below "train/" (what has a "/" in its name is logged
    only). `look(board, n)` is called by the main process every `sample_every` steps and at the end.

    Raises SystemExit after a signal, when the state is saved.
    """
    chief, logs = accelerator.is_main_process, str(Path(plan.out) / "logs")
    with run.interruptible(), Progress(name, plan.steps, first) as progress:
        accelerator.wait_for_everyone()  # from here on a signal to any of them is heard
        board = SummaryWriter(logs, purge_step=first) if chief else None
        for n in range(first, plan.steps):
            values = step(n)
            progress.update(1, **{key: x for key, x in values.items() if "/" not in key})
            last = n + 1 == plan.steps
            if board and (last or n % plan.log_every == 0):
                for key, value in values.items():
                    board.add_scalar(f"train/{key}", value, n)
            if board and (last or (n + 1) % plan.sample_every == 0):
                look(board, n)
            stop = any_process(run.stop, accelerator)
            if chief and (stop or last or (n + 1) % plan.save_every == 0):
                run.save(n + 1)
            if stop:
                raise SystemExit(f"stopped after step {n + 1}; the same command goes on from there")
        if board:
            board.close()
