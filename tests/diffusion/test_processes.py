"""Stage 2 on two processes is one run, which stops and goes on as one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scldm.core.artifact import check_hashes
from scldm.diffusion.config import TrainConfig
from scldm.diffusion.loop import train
from tests.launch import ENVIRONMENT, differing, on_two_processes, state


def losses(config: dict[str, Any]) -> np.ndarray:
    events = EventAccumulator(str(Path(config["out"]) / "logs"))
    events.Reload()
    return np.array([scalar.value for scalar in events.Scalars("train/loss")])


def test_two_processes_have_the_loss_curve_of_one(
    tiny_train: dict[str, Any], latent_cache: Path, tmp_path: Path
) -> None:
    """The same global batches, whoever computes them; gradients differ by rounding."""
    one, two = (
        {**tiny_train, "out": str(tmp_path / name), "steps": 12, "log_every": 1}
        for name in ("one", "two")
    )
    for config in (one, two):
        shutil.copytree(latent_cache, Path(config["out"]) / "cache")
    train(TrainConfig.model_validate(one))
    subprocess.run(on_two_processes("train", two), env=ENVIRONMENT, check=True, timeout=900)
    alone, shared = losses(one), losses(two)
    assert len(alone) == 12 and np.ptp(alone) > 0.01
    np.testing.assert_allclose(shared, alone, rtol=1e-3)


@pytest.mark.full
def test_two_processes_stop_at_one_step_and_resume_to_the_same_bits(
    tiny_train: dict[str, Any], latent_cache: Path, tmp_path: Path
) -> None:
    whole, halted = (
        {**tiny_train, "out": str(tmp_path / name), "steps": 60, "save_every": 1000}
        for name in ("whole", "halted")
    )
    for config in (whole, halted):
        shutil.copytree(latent_cache, Path(config["out"]) / "cache")
    subprocess.run(on_two_processes("train", whole), env=ENVIRONMENT, check=True, timeout=900)

    command = on_two_processes("train", halted)
    process = subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True)
    while not list((Path(halted["out"]) / "logs").glob("events*")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(300) != 0
    (saved,) = (Path(halted["out"]) / "checkpoints").iterdir()
    assert saved.name < "step-00000060"
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=900)
    assert differing(state(whole, 60), state(halted, 60)) == []
    check_hashes(Path(halted["out"]) / "checkpoint")
