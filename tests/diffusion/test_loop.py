"""Laws of stage 2's loop: resumed to the same bits, bound to one encoder, shifted by the prior."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from scldm.core.artifact import check_hashes, load_tensors, read_json, save_tensors
from scldm.core.config import check_config, load_config
from scldm.core.errors import InputError
from scldm.core.schedule import decay
from scldm.diffusion.cache import LatentCache
from scldm.diffusion.config import TrainConfig
from scldm.diffusion.listener import Listener
from scldm.diffusion.loop import (
    build,
    diffusion_loss,
    held_out_loss,
    latents,
    load_inputs,
    pairs_of,
    train,
)
from scldm.diffusion.path import noise_path
from scldm.generation.assemble import assemble
from scldm.pretraining.config import PretrainConfig
from scldm.prior.file import load_prior
from tests.stop import stopped_after

Make = Callable[..., TrainConfig]
CONFIGS = Path(__file__).parents[2] / "configs"


def last(config: TrainConfig) -> Path:
    return sorted((Path(config.out) / "checkpoints").iterdir())[-1]


def weights(folder: Path) -> dict[str, Tensor]:
    """All published weights."""
    files = sorted(folder.glob("*/*.safetensors"))
    return {f"{f.parent.name}/{k}": v for f in files for k, v in load_file(f).items()}


def different(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


@pytest.fixture(scope="module")
def uninterrupted(
    tiny_train: dict[str, Any], latent_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainConfig:
    """Six steps, run once for the tests that compare with it."""
    out = tmp_path_factory.mktemp("whole") / "run"
    shutil.copytree(latent_cache, out / "cache")
    config = TrainConfig.model_validate({**tiny_train, "out": str(out)})
    assert train(config) == out / "denoiser"
    return config


@pytest.fixture(scope="module")
def held_out(uninterrupted: TrainConfig) -> LatentCache:
    encoders, _ = load_inputs(uninterrupted)
    return latents(uninterrupted, encoders, "val", torch.device("cpu"))


@pytest.mark.parametrize("stops", [(1,), (3, 5)])
def test_a_stopped_run_resumes_to_the_same_bits(
    stage_two: Make, uninterrupted: TrainConfig, stops: tuple[int, ...]
) -> None:
    config = stage_two()
    for step in stops:
        with stopped_after(step):
            train(config)
        assert last(config).name == f"step-{step:08d}"
        assert not (Path(config.out) / "denoiser").exists()
    made, whole = train(config), Path(uninterrupted.out) / "denoiser"
    ends = [last(config), last(uninterrupted)]
    assert ends[0].name == ends[1].name == "step-00000006"
    a, b = (load_file(end / "state.safetensors") for end in ends)
    assert {name.split("/")[0] for name in a} == {"denoiser", "adam", "ema"}
    assert different(a, b) == []
    scalars = [json.loads((end / "state.json").read_text())["scalars"] for end in ends]
    assert scalars[0] == scalars[1]
    assert different(weights(made), weights(whole)) == []
    facts = [read_json(folder / "facts.json") for folder in (made, whole)]
    assert facts[0]["val_loss"] == facts[1]["val_loss"]


def test_a_speech_encoder_that_learns_in_stage_2_resumes_and_is_published(
    stage_two: Make, tmp_path: Path
) -> None:
    whole, config = (stage_two(name, speech="scratch", steps=4) for name in ("whole", "parts"))
    with stopped_after(2):
        train(config)
    folders = [train(whole), train(config)]
    assert different(*map(weights, folders)) == []
    pipeline = assemble(folders[0], tmp_path / "checkpoint")
    state = weights(folders[0])
    learnt = {k: v for k, v in pipeline.speech_encoder.state_dict().items()}
    assert learnt and all(torch.equal(v.half(), state[f"speech_encoder/{k}"])
                          for k, v in learnt.items() if v.is_floating_point())  # fmt: skip
    first = Listener(load_inputs(config)[0].speech_encoder, pairs_of(config, "train"), 5,
                     torch.device("cpu")).encoder.state_dict()  # fmt: skip
    moved = [k for k, v in learnt.items() if not torch.equal(v, first[k].half().float())]
    assert "head.0.weight" in moved and "stages.0.0.weight" in moved


def test_a_pair_may_serve_at_several_noises(
    stage_two: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four samples of two clips are at four times and noises; a listener hears two clips."""
    drawn, heard = [], []
    hear = Listener.hear

    def watched(self: Listener, clips: Tensor, step: int) -> Tensor:
        heard.append(len(clips))
        return hear(self, clips, step)

    def loss(model: Any, path: Any, config: TrainConfig, z0: Tensor, speech: Tensor, *rest: Any) \
            -> Tensor:  # fmt: skip
        drawn.append((z0, speech))
        return diffusion_loss(model, path, config, z0, speech, *rest)

    monkeypatch.setattr(Listener, "hear", watched)
    monkeypatch.setattr("scldm.diffusion.loop.diffusion_loss", loss)
    train(stage_two(speech="scratch", steps=1, batch=4, noises=2))
    z0, speech = drawn[0]
    assert heard[0] == 2 and len(z0) == len(speech) == 4
    assert torch.equal(z0[::2], z0[1::2]) and torch.equal(speech[::2], speech[1::2])
    assert not torch.equal(z0[0], z0[2])
    with pytest.raises(InputError, match="batch 5: use a multiple of noises, 2"):
        check_config(TrainConfig, {**stage_two().model_dump(), "batch": 5, "noises": 2}, "train")


def test_a_finished_run_publishes_the_same_again(uninterrupted: TrainConfig) -> None:
    folder = Path(uninterrupted.out) / "denoiser"
    before = weights(folder)
    shutil.rmtree(folder)
    assert different(weights(train(uninterrupted)), before) == []


def test_a_stop_at_the_last_step_is_finished_later(stage_two: Make) -> None:
    config = stage_two(steps=2)
    with stopped_after(2):
        train(config)
    assert (train(config) / "unet").is_dir()


def test_published_are_the_averaged_weights_in_half_precision(uninterrupted: TrainConfig) -> None:
    state = load_file(last(uninterrupted) / "state.safetensors")
    published = weights(Path(uninterrupted.out) / "denoiser")
    encoders, _ = load_inputs(uninterrupted)
    names = [name for name, _ in build(uninterrupted, encoders, 0).named_parameters()]
    assert len(names) == len(published)
    for i, name in enumerate(names):
        average = published[name.replace(".", "/", 1)]
        assert torch.equal(average, state[f"ema/{i}"].half())
    moved = [torch.equal(state[f"ema/{i}"], state[f"denoiser/{n}"]) for i, n in enumerate(names)]
    assert not any(moved)


def test_facts_say_what_sampling_needs(uninterrupted: TrainConfig) -> None:
    folder = Path(uninterrupted.out) / "denoiser"
    check_hashes(folder)
    facts = read_json(folder / "facts.json")
    encoders, prior = load_inputs(uninterrupted)
    cache = latents(uninterrupted, encoders, "train", torch.device("cpu"))
    assert prior is not None and facts["latent_scale"] == cache.scale()
    shift = 0.1 * cache.scale() * prior.mean
    assert facts["prior_shift_over_noise"] == pytest.approx(shift.square().mean().sqrt().item())
    assert facts["config"] == uninterrupted.model_dump(mode="json")
    assert facts["encoders"]["face_encoder"] == encoders.face_fingerprint
    assert facts["image_size"] == 32 and facts["val_loss"] > 0


def test_the_rate_warms_up_and_decays(stage_two: Make, uninterrupted: TrainConfig) -> None:
    config = stage_two(save_every=1, steps=6)
    with stopped_after(2):
        train(config)
    for end, step, warm in ((last(config), 1, 2 / 3), (last(uninterrupted), 5, 1)):
        adam = json.loads((end / "state.json").read_text())["scalars"]["adam"]
        assert adam[0]["lr"] == pytest.approx(1e-3 * warm * decay("cosine", step / 6))


def test_logs_have_losses_and_portraits(uninterrupted: TrainConfig) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(Path(uninterrupted.out) / "logs"))
    board.Reload()
    tags = board.Tags()
    assert tags["scalars"] == ["train/loss", "val/loss"] and tags["images"] == ["portraits"]
    facts = read_json(Path(uninterrupted.out) / "denoiser" / "facts.json")
    assert board.Scalars("val/loss")[-1].value == pytest.approx(facts["val_loss"])
    picture = board.Images("portraits")[-1]
    assert picture.height > picture.width > 4 * 32  # eight rows of four faces


def test_a_prior_of_another_encoder_is_refused_before_training(
    stage_two: Make, prior_file: Path, tmp_path: Path
) -> None:
    tensors, facts = load_tensors(prior_file)
    save_tensors(tmp_path / "other.safetensors", tensors, {**facts, "encoder": "0" * 16})
    config = stage_two("other", prior=str(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="fitted with face encoder 0000000000000000, not"):
        train(config)
    assert [entry.name for entry in Path(config.out).iterdir()] == ["cache"]


def test_beta_without_a_prior_is_refused(stage_two: Make) -> None:
    config = stage_two(prior=None)
    with pytest.raises(InputError, match="beta above 0 needs `prior`"):
        train(config)
    assert [entry.name for entry in Path(config.out).iterdir()] == ["cache"]


def test_a_run_of_another_configuration_is_refused(uninterrupted: TrainConfig) -> None:
    with pytest.raises(InputError, match="another configuration"):
        train(uninterrupted.model_copy(update={"beta": 0.2}))


def test_beta_zero_trains_as_without_a_prior(stage_two: Make, prior_file: Path) -> None:
    runs = [train(stage_two(name, steps=2, beta=0.0, prior=prior)) for name, prior in
            (("with", str(prior_file)), ("without", None))]  # fmt: skip
    assert different(weights(runs[0]), weights(runs[1])) == []
    assert read_json(runs[0] / "facts.json")["prior_shift_over_noise"] == 0
    shifted = train(stage_two("shifted", steps=2))
    assert different(weights(runs[0]), weights(shifted)) != []


class Spy:
    """A model that says nothing but remembers what it was given."""

    def __call__(self, z: Tensor, t: Tensor, speech: Tensor, drop: Tensor) -> Tensor:
        self.z, self.t, self.speech, self.drop = z, t, speech, drop
        return torch.zeros_like(z)


def test_the_loss_is_eq_6_on_the_shifted_latent(stage_two: Make) -> None:
    path, spies = noise_path("ldm"), [Spy(), Spy()]
    config = stage_two(prediction="epsilon", schedule="ldm")
    z0, speech, shift = torch.randn(64, 8, 4, 4), torch.randn(64, 128), torch.randn(8, 4, 4)
    losses = [
        diffusion_loss(spy, path, config, z0, speech, s, torch.Generator().manual_seed(4), 0.3)
        for spy, s in zip(spies, (None, shift), strict=True)
    ]
    plain, shifted = spies
    assert torch.equal(shifted.z, plain.z + shift) and losses[0] == losses[1]  # one target
    assert torch.equal(shifted.t, plain.t) and torch.equal(shifted.drop, plain.drop)
    a, s = (x[plain.t].float().reshape(-1, 1, 1, 1) for x in (path.signal, path.noise))
    eps = (plain.z - a * z0) / s
    torch.testing.assert_close(losses[0], eps.square().mean(), rtol=1e-4, atol=0)
    assert losses[0].item() == pytest.approx(1, abs=0.05)
    assert plain.t.min() < 200 and plain.t.max() > 800 and 5 < plain.drop.sum() < 35
    assert torch.equal(plain.speech, speech)


def test_the_held_out_loss_is_of_the_weights_alone(
    stage_two: Make, uninterrupted: TrainConfig, held_out: LatentCache
) -> None:
    encoders, _ = load_inputs(uninterrupted)
    path = noise_path("cosine")
    values = [
        held_out_loss(build(uninterrupted, encoders, seed), path, uninterrupted, held_out, 1, None)
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


@pytest.mark.full
def test_training_learns_to_denoise(stage_two: Make) -> None:
    more: dict[str, Any] = {"batch": 32, "sample_every": 1000, "warmup": 10}
    begun = read_json(train(stage_two("begun", **{**more, "steps": 1})) / "facts.json")
    done = read_json(train(stage_two("done", **{**more, "steps": 300})) / "facts.json")
    assert done["val_loss"] < 0.6 * begun["val_loss"]


@pytest.mark.parametrize("name", ["voxceleb", "avspeech"])
def test_configurations_of_the_paper_load(name: str) -> None:
    first = load_config(PretrainConfig, CONFIGS / f"{name}-pretrain.yaml")
    second = load_config(TrainConfig, CONFIGS / f"{name}-train.yaml")
    assert second.encoders == f"{first.out}/encoders" and second.data == first.data
    assert name in second.data.faces and name in str(second.prior) and name in second.out
    assert second.data.image_size == 256 and second.data.match == "person"
    assert (second.beta, second.rate, second.prediction, second.schedule) == (
        0.01, 2e-5, "epsilon", "ldm",
    )  # fmt: skip
    assert (first.face_rate, first.speech_rate) == (1e-4, 1e-3)
    assert second.sampling.guidance == 1 and second.sampling.prior_mode == "input"


FULL_SIZE = """
import resource, sys, torch
from diffusers.training_utils import EMAModel
from scldm.core.config import check_config, load_config
from scldm.diffusion.config import TrainConfig
from scldm.diffusion.loop import build, diffusion_loss
from scldm.diffusion.path import noise_path
from scldm.pretraining import model as stage_one
from scldm.pretraining.config import PretrainConfig

first, second = load_config(PretrainConfig, sys.argv[1]), load_config(TrainConfig, sys.argv[2])
model = stage_one.build(first)
adam = torch.optim.AdamW(model.parameters())
face = torch.randint(256, (1, 3, 256, 256), dtype=torch.uint8)
seen = model(0.1 * torch.randn(1, 96_000), face, torch.zeros(1, 64, 8, 8))
assert seen.face.shape == seen.speech.shape == (1, 4096) and seen.decoded.shape == seen.real.shape
((seen.decoded - seen.real).abs().mean() + (seen.speech - seen.face).square().mean()).backward()
adam.step()
z, speech = (x.detach() for x in (seen.face.reshape(1, 64, 8, 8), seen.speech))
encoders = model.eval().encoders
del adam, seen

denoiser = build(second, encoders, 0)
adam = torch.optim.AdamW(denoiser.parameters(), second.rate)
ema = EMAModel(denoiser.parameters())
before = denoiser.condition.weight.detach().clone()
generator, shift = torch.Generator().manual_seed(0), second.beta * z[0]
path = noise_path(second.schedule)
loss = diffusion_loss(denoiser, path, second, z, speech, shift, generator, 0.0)
loss.backward()
adam.step()
ema.step(denoiser.parameters())
assert torch.isfinite(loss) and not torch.equal(denoiser.condition.weight, before)
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.full
def test_a_step_at_the_papers_size_fits_ten_gigabytes() -> None:
    files = [str(CONFIGS / f"voxceleb-{stage}.yaml") for stage in ("pretrain", "train")]
    command = [sys.executable, "-c", FULL_SIZE, *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("peak")[1]) < 10


def test_the_prior_reaches_training_uncentred(uninterrupted: TrainConfig) -> None:
    prior = load_prior(str(uninterrupted.prior))
    facts = read_json(Path(uninterrupted.out) / "denoiser" / "facts.json")
    assert facts["prior_shift_over_noise"] > 0.01 * 0.1
    assert prior.facts["rms"] * facts["latent_scale"] > 0.1  # of latents with RMS 1


def test_other_encoders_are_encoded_anew(stage_two: Make) -> None:
    config = stage_two()
    encoders, _ = load_inputs(config)
    latents(config, encoders, "val", torch.device("cpu"))
    before = set((Path(config.out) / "cache").glob("latents-*"))
    with torch.no_grad():
        encoders.speech_encoder.head[-1].bias.add_(1)  # the face encoder stays as it is
    cache = latents(config, encoders, "val", torch.device("cpu"))
    assert len(set((Path(config.out) / "cache").glob("latents-*")) - before) == 1
    assert cache.speech.float().mean() > 0.5
