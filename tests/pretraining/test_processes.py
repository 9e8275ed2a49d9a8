"""Stage 1 on two processes is one run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scldm.core.artifact import check_hashes
from tests.launch import ENVIRONMENT, differing, on_two_processes, state


@pytest.mark.full
def test_two_processes_make_one_result_and_the_same_again(
    tiny: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    made = []
    for name in ("one", "other"):
        config = {**tiny, "out": str(tmp_path / name), "batch": 8, "extra_faces": 4, "steps": 4,
                  "loss": {"perceptual": "none", "centre": True, "latent_noise": 0.1}}  # fmt: skip
        shutil.copytree(cache, Path(config["out"]) / "cache")
        done = subprocess.run(
            on_two_processes("pretrain", config), env=ENVIRONMENT, capture_output=True, text=True,
            check=False, timeout=900,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("encoders in") == 2  # there were two
        check_hashes(Path(config["out"]) / "encoders")
        made.append(state(config, 4))
    assert differing(*made) == []
