"""Commands on several processes, as a user starts them: `accelerate launch -m scldm …`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from scldm.core.artifact import check_hashes

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def on_two_processes(stage: str, config: dict[str, Any]) -> list[str]:
    """The words that start `stage` with `config`, which is written beside its run."""
    file = Path(config["out"]).with_suffix(".yaml")
    file.write_text(yaml.safe_dump(config))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]  # or CPUs
    return [*launch, "--num_processes", "2", "-m", "scldm", stage, str(file)]


def state(config: dict[str, Any], step: int) -> dict[str, torch.Tensor]:
    """The whole training state after `step` steps."""
    folder = Path(config["out"]) / "checkpoints" / f"step-{step:08d}"
    check_hashes(folder)
    return load_file(folder / "state.safetensors")


def differing(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[str]:
    """Names of the tensors that are not bit for bit the same."""
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]
