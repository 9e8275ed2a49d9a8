"""Laws of stage 1's loop: a stopped run ends with the bits of one that never stopped."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from scldm.core.errors import InputError
from scldm.data.pairs import Pairs
from scldm.encoders.bundle import encoder_facts, load_encoders
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.loop import pretrain, share
from scldm.pretraining.model import latent_noise
from tests.stop import stopped_after

Make = Callable[..., PretrainConfig]
EVERYTHING: dict[str, Any] = {
    "loss": {"perceptual": "none", "adversarial": 0.1, "adversarial_from": 2, "latent_noise": 0.1,
             "attribute": 0.5, "centre": True},
    "decay": "cosine", "weight_decay": 0.01, "save_every": 4,
}  # fmt: skip


def last(config: PretrainConfig) -> Path:
    return sorted((Path(config.out) / "checkpoints").iterdir())[-1]


def assert_same_bits(one: Path, other: Path) -> None:
    """Weights, running statistics and both optimizers, their rates among them."""
    assert one.name == other.name
    a, b = (load_file(folder / "state.safetensors") for folder in (one, other))
    assert a.keys() == b.keys() and {name.split("/")[0] for name in a} >= {"model", "adam"}
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    states = [json.loads((folder / "state.json").read_text()) for folder in (one, other)]
    assert states[0]["scalars"] == states[1]["scalars"]


@pytest.fixture(scope="module")
def uninterrupted(
    tiny: dict[str, Any], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> PretrainConfig:
    """Six steps with everything on, run once for the tests that compare with it."""
    out = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(cache, out / "cache")
    config = PretrainConfig.model_validate({**tiny, **EVERYTHING, "out": str(out)})
    assert pretrain(config) == out / "encoders"
    return config


@pytest.mark.parametrize("stops", [(1,), (3, 5)])
def test_a_stopped_run_resumes_to_the_same_bits(
    stage_one: Make, uninterrupted: PretrainConfig, stops: tuple[int, ...]
) -> None:
    config = stage_one(**EVERYTHING)
    for step in stops:
        with stopped_after(step):
            pretrain(config)
        assert last(config).name == f"step-{step:08d}"
        assert not (Path(config.out) / "encoders").exists()
    encoders = pretrain(config)
    assert_same_bits(last(config), last(uninterrupted))
    for file in encoders.rglob("*.safetensors"):
        other = Path(uninterrupted.out) / "encoders" / file.relative_to(encoders)
        assert file.read_bytes() == other.read_bytes()


def test_a_truncated_checkpoint_costs_steps_and_no_bits(
    stage_one: Make, uninterrupted: PretrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = stage_one(**EVERYTHING)
    with stopped_after(5):  # checkpoints 4 and 5
        pretrain(config)
    state = last(config) / "state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    pretrain(config)
    assert "state.safetensors was altered" in capsys.readouterr().err
    assert_same_bits(last(config), last(uninterrupted))


def test_a_finished_run_gives_its_encoders_again(uninterrupted: PretrainConfig) -> None:
    before = {f: f.read_bytes() for f in last(uninterrupted).iterdir()}
    names = encoder_facts(Path(uninterrupted.out) / "encoders")["face_encoder"]
    again = pretrain(uninterrupted)
    assert {f: f.read_bytes() for f in last(uninterrupted).iterdir()} == before
    assert encoder_facts(again)["face_encoder"] == names


def test_the_encoders_of_a_finished_run_load(uninterrupted: PretrainConfig) -> None:
    folder = Path(uninterrupted.out) / "encoders"
    encoders, facts = load_encoders(folder), encoder_facts(folder)
    assert facts["stage"] == "pretraining" and facts["config"]["steps"] == 6
    assert facts["face_encoder"] == encoders.face_fingerprint
    assert set(facts["val"]) == {"mae", "match", "chance"}
    with torch.no_grad():
        latents = encoders.face_encoder(torch.zeros(1, 3, 32, 32))
        assert latents.flatten(1).shape == (1, 128)
        assert encoders.speech_encoder(torch.zeros(1, 2, 257, 598)).shape == (1, 128)
        assert encoders.face_decoder(latents).shape == (1, 3, 32, 32)
    trained = load_file(last(uninterrupted) / "state.safetensors")
    rounded = trained["model/face_encoder.to_latent.weight"].half().float()
    assert torch.equal(encoders.face_encoder.to_latent.weight, rounded)


def test_the_folder_of_another_configuration_is_refused(
    stage_one: Make, uninterrupted: PretrainConfig
) -> None:
    other = uninterrupted.model_copy(update={"face_rate": 2e-4})
    with pytest.raises(InputError, match="another configuration"):
        pretrain(other)


def test_too_large_a_batch_is_one_line(stage_one: Make) -> None:
    with pytest.raises(InputError, match="a batch of 15 needs as many speakers; there are 14"):
        pretrain(stage_one(batch=15))


def test_logs_are_whole_after_a_stop(stage_one: Make) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = stage_one(log_every=1)
    with stopped_after(2):
        pretrain(config)
    board = EventAccumulator(str(Path(config.out) / "logs"))
    board.Reload()
    assert [event.step for event in board.Scalars("train/contrastive")] == [0, 1]
    assert {"train/mae", "train/latent/rms_low"} <= set(board.Tags()["scalars"])


def test_processes_share_a_batch_without_rest(pairs: Pairs) -> None:
    batch = pairs.batch(0, 0, 6, 4)
    parts = [share(batch, rank, 2) for rank in (0, 1)]
    assert [len(part.audio) for part in parts] == [3, 3]
    assert [len(part.faces) for part in parts] == [5, 5]
    for rank, part in enumerate(parts):
        assert torch.equal(part.audio, batch.audio[rank::2])
        assert torch.equal(part.labels, batch.labels[rank::2])
        assert torch.equal(part.faces[:3], batch.faces[:6][rank::2])  # its own pairs come first
        assert torch.equal(part.faces[3:], batch.faces[6:][rank::2])
        assert torch.equal(part.face_labels[:3], part.labels)
    whole = share(batch, 0, 1)
    assert all(torch.equal(getattr(whole, name), value) for name, value in vars(batch).items())


def test_noise_on_the_latent_is_of_seed_step_and_process(stage_one: Make) -> None:
    config = stage_one()
    torch.manual_seed(5)
    one = latent_noise(config, "latent", 3, 6, 0)
    assert one.shape == (6, 8, 4, 4)
    assert torch.equal(one, latent_noise(config, "latent", 3, 6, 0))
    others = [latent_noise(config, "latent", 4, 6, 0), latent_noise(config, "latent", 3, 6, 1),
              latent_noise(config, "refine", 3, 6, 0),
              latent_noise(config.model_copy(update={"seed": 4}), "latent", 3, 6, 0)]  # fmt: skip
    assert not any(torch.equal(one, other) for other in others)


RUN = """
import json, sys, torch
torch.set_num_threads(1)
from scldm.pretraining.config import PretrainConfig
from scldm.pretraining.loop import pretrain
pretrain(PretrainConfig.model_validate(json.loads(sys.argv[1])))
"""


@pytest.mark.full
def test_a_run_that_is_killed_at_any_time_ends_with_the_same_bits(
    stage_one: Make, uninterrupted: PretrainConfig
) -> None:
    config, rng = stage_one(**{**EVERYTHING, "save_every": 4}), random.Random(0)
    command = [sys.executable, "-c", RUN, config.model_dump_json()]
    for _ in range(4):
        process = subprocess.Popen(command)
        logs = Path(config.out) / "logs"
        seen, deadline = len(list(logs.glob("*"))), time.monotonic() + 300
        while len(list(logs.glob("*"))) == seen and time.monotonic() < deadline:
            time.sleep(0.02)  # until its training begins
        time.sleep(rng.random() * 3)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command).returncode == 0
    assert_same_bits(last(config), last(uninterrupted))


@pytest.mark.full
def test_training_learns_to_show_held_out_faces(stage_one: Make) -> None:
    config = stage_one(steps=200, face_rate=3e-3, speech_rate=3e-3, sample_every=500)
    facts = encoder_facts(pretrain(config))
    begun = stage_one("begun", steps=1)
    assert facts["val"]["mae"] < 0.6 * encoder_facts(pretrain(begun))["val"]["mae"]
