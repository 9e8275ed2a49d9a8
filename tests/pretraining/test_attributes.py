"""Laws of the attribute networks' training: targets, distortion, and a run that resumes."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.core.seeding import numpy_generator, torch_generator
from scldm.data.manifest import Manifest
from scldm.data.samples import load_faces, open_samples
from scldm.encoders.attributes import FaceAttributes
from scldm.pretraining import attributes
from scldm.pretraining.attributes import (
    AttributesConfig,
    accuracy,
    distort,
    known_loss,
    targets,
    train_attributes,
)


def table(**columns: list[str]) -> Manifest:
    return Manifest(Path("m.csv"), {n: np.array(c, dtype=object) for n, c in columns.items()})


def test_targets_are_class_indices_and_unknown_is_minus_1() -> None:
    manifest = table(face=["a"] * 4, gender=["F", "M", "", "M"], age_lo=["20", "", "70", "3"],
                     ethnicity=["x", "y", "", "z"])  # fmt: skip
    found = targets(manifest, ("x", "y"), "ethnicity")
    assert found.tolist() == [[0, 0, 0], [1, -1, 1], [-1, 5, -1], [1, -1, -1]]


def test_rows_of_unknown_class_do_not_count() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    wanted = torch.tensor([1, -1, 2, -1])
    alone = F.cross_entropy(logits[[0, 2]], wanted[[0, 2]], label_smoothing=0.05)
    assert torch.equal(known_loss(logits, wanted), alone)
    for empty in (logits.clone().requires_grad_(), torch.zeros(4, 0, requires_grad=True)):
        loss = known_loss(empty, torch.full((4,), -1))
        assert loss.item() == 0
        loss.backward()
        assert empty.grad is not None and (empty.grad == 0).all()


def test_distortion_belongs_to_its_generators_and_stays_in_range() -> None:
    faces = torch.rand(6, 3, 32, 32) * 2 - 1

    def at(step: int) -> torch.Tensor:
        return distort(faces, numpy_generator(0, "a", step), torch_generator(0, "d", step))

    for step in range(4):
        made = at(step)
        assert made.shape == faces.shape and made.abs().max() <= 1
        assert torch.equal(made, at(step))
        assert not torch.equal(made, at(step + 1))
    assert len({face.numpy().tobytes() for face in distort(
        faces[:1].expand(6, -1, -1, -1), numpy_generator(0, "a"), torch_generator(0, "d"))}) == 6


@pytest.fixture
def make(population: Path, tmp_path: Path, one_thread: None) -> Callable[..., AttributesConfig]:
    def config(name: str = "run", **more: Any) -> AttributesConfig:
        small = {"architecture": "vgg", "widths": (8, 16), "input_size": 16, "image_size": 16,
                 "batch": 16, "steps": 4, "faces": str(population)}  # fmt: skip
        return AttributesConfig.model_validate({**small, "out": str(tmp_path / name), **more})

    return config


def state(config: AttributesConfig) -> dict[str, torch.Tensor]:
    newest = sorted((Path(config.out) / "checkpoints").iterdir())[-1]
    return load_file(newest / "state.safetensors")


def test_training_without_labels_is_finite_and_resumes_to_the_same_bits(
    make: Callable[..., AttributesConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, part = make("whole"), make("part")
    train_attributes(whole)

    class Stopping(Progress):
        def update(self, count: int = 1, **note: float) -> None:
            super().update(count, **note)
            assert np.isfinite(note["loss"])
            if self.done == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(attributes, "Progress", Stopping)
    with pytest.raises(SystemExit, match="stopped after step 2"):
        train_attributes(part)
    monkeypatch.undo()
    model = train_attributes(part)
    assert not model.training
    one, other = state(whole), state(part)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert all(v.isfinite().all() for v in one.values())


def test_too_large_a_batch_is_one_line(make: Callable[..., AttributesConfig]) -> None:
    with pytest.raises(InputError, match="batch 99: .* has 28 faces"):
        train_attributes(make(batch=99))


def test_accuracy_counts_what_is_right(population: Path, tmp_path: Path) -> None:
    samples = open_samples(population, "train", "face")
    faces = load_faces(samples, 16, tmp_path)
    model = FaceAttributes("vgg", (4, 8), 16).eval()
    with torch.no_grad():
        for head, bias in ((model.gender, [1.0, 0.0]), (model.age, [0.0, 0, 1, 0, 0, 0])):
            head.weight.zero_()
            head.bias.copy_(torch.tensor(bias))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = accuracy(model, faces, samples.manifest)
    ages = samples.manifest.numbers("age_lo") // 10
    assert set(found) == {"gender", "age_band", "age_within_one_band"}
    assert found["gender"] == np.mean(samples.manifest["gender"] == "F")
    assert found["age_band"] == np.mean(ages == 4)
    assert found["age_within_one_band"] == np.mean(abs(ages - 4) <= 1)
