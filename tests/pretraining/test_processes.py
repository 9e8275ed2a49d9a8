"""Stage 1 on two processes computes what one would, and goes on from where it stopped."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scldm.core.artifact import check_hashes, read_json
from scldm.data.pairs import Pairs
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.loop import share
from scldm.pretraining.losses import MatchLoss
from scldm.pretraining.model import build
from tests.launch import ENVIRONMENT, differing, on_two_processes, state

Make = Callable[..., PretrainConfig]
pytestmark = pytest.mark.full


def launch(config: PretrainConfig) -> dict[str, Any]:
    """Run `config` on two processes to its end; its plain values."""
    values = config.model_dump(mode="json")
    done = subprocess.run(
        on_two_processes("pretrain", values), env=ENVIRONMENT, capture_output=True, text=True,
        check=False, timeout=900,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("encoders in") == 2  # there were two
    return values


@pytest.mark.parametrize("centre", [False, True])
def test_the_first_loss_is_that_of_the_whole_batch(
    stage_one: Make, pairs: Pairs, centre: bool
) -> None:
    config = stage_one(steps=1, loss={"perceptual": "none", "centre": centre})
    launch(config)
    (events,) = (Path(config.out) / "logs").glob("events*")  # one process writes
    board = EventAccumulator(str(events)).Reload()
    found = {name: board.Scalars(f"train/{name}")[0].value for name in ("contrastive", "mae")}

    model = build(config).train()
    batch = pairs.batch(config.seed, 0, config.batch, config.extra_faces)
    parts = [share(batch, rank, 2) for rank in (0, 1)]
    with torch.no_grad():  # norms see the part of their own process
        seen = [model(part.audio, part.faces, torch.zeros(())) for part in parts]
    wanted = MatchLoss(centre)(
        *(torch.cat([getattr(x, side) for x in seen]) for side in ("speech", "face")),
        model.log_scale.exp(),
        *(torch.cat([getattr(x, key) for x in parts]) for key in ("labels", "face_labels")),
    )
    error = (seen[0].decoded - seen[0].real).abs().mean()
    assert found["contrastive"] == pytest.approx(config.loss.contrastive * wanted.item(), rel=1e-5)
    assert found["mae"] == pytest.approx(config.loss.mae * error.item(), rel=1e-5)


def test_a_stopped_run_resumes_to_the_same_bits(stage_one: Make, tmp_path: Path) -> None:
    loss = {"perceptual": "none", "centre": True, "latent_noise": 0.1,
            "adversarial": 0.1, "adversarial_from": 1}  # fmt: skip
    config = stage_one(steps=4, save_every=2, decay="cosine", loss=loss)
    values = launch(config)
    whole, out = state(values, 4), Path(config.out)
    names = read_json(out / "encoders" / "hashes.json")
    for made in (out / "checkpoints" / "step-00000004", out / "encoders"):
        shutil.rmtree(made)  # as if stopped after two steps
    launch(config)
    assert differing(whole, state(values, 4)) == []
    check_hashes(out / "encoders")
    assert read_json(out / "encoders" / "hashes.json") == names
    assert not list(out.rglob(".*.part"))
