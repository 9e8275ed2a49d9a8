"""Training of a face attribute network: gender, age band and labels from aligned faces."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scldm.core.config import Config
from scldm.core.errors import InputError
from scldm.core.progress import Progress
from scldm.core.run import RunFolder
from scldm.core.seeding import numpy_generator, torch_generator
from scldm.data.faces import to_unit
from scldm.data.manifest import Manifest
from scldm.data.samples import load_faces, open_samples
from scldm.encoders.attributes import FaceAttributes, age_band


class AttributesConfig(Config):
    """How an attribute network is made."""

    faces: str
    out: str
    architecture: Literal["vgg", "resnet"] = "resnet"
    widths: tuple[int, ...] = (32, 64, 128, 256)
    input_size: int = 128
    image_size: int = 96
    label_column: str = "ethnicity"
    batch: int = 128
    steps: int = 2000
    rate: float = 2e-3
    weight_decay: float = 0.05
    seed: int = 0
    save_every: int = 250


def targets(manifest: Manifest, names: tuple[str, ...], column: str) -> Tensor:
    """(rows, 3) class indices: gender (F 0, M 1), age band, label; -1 where unknown."""
    gender = [{"F": 0, "M": 1}.get(text, -1) for text in manifest["gender"]]
    age = [age_band(low) for low in manifest.numbers("age_lo")]
    label = [names.index(text) if text in names else -1 for text in manifest[column]]
    return torch.tensor(np.array([gender, age, label]).T)


def distort(faces: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Flip, shift and scale, blur by down-sampling, contrast and light; (B, 3, S, S) in [-1, 1]."""
    count, size = len(faces), faces.shape[-1]
    flip = 1 - 2.0 * torch.randint(2, (count,), generator=generator)
    zoom = 1 + 0.12 * (torch.rand(count, generator=generator) * 2 - 1)
    turn = 0.12 * (torch.rand(count, generator=generator) * 2 - 1)
    move = 0.1 * (torch.rand(count, 2, generator=generator) * 2 - 1)
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    rows = (cos * flip, -sin, move[:, 0]), (sin * flip, cos, move[:, 1])
    theta = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(theta, list(faces.shape), align_corners=False)
    faces = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    if rng.random() < 0.5:
        small = int(rng.integers(size * 2 // 5, size))
        faces = F.interpolate(faces, (small, small), mode="bilinear", antialias=True)
        faces = F.interpolate(faces, (size, size), mode="bilinear")
    gain = 1 + 0.3 * (torch.rand(count, 1, 1, 1, generator=generator) * 2 - 1)
    shift = 0.2 * (torch.rand(count, 3, 1, 1, generator=generator) * 2 - 1)
    return (faces * gain + shift).clamp(-1, 1)


def known_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over the rows whose class is known; 0 where none is. (B, K), (B,) -> ()."""
    known = wanted >= 0
    if not known.any():
        return logits.float().sum() * 0
    return F.cross_entropy(logits[known].float(), wanted[known], label_smoothing=0.05)


def train_attributes(config: AttributesConfig) -> FaceAttributes:
    """Train on the manifest's train split and write `config.out`; resumes by the same call."""
    out = Path(config.out)
    samples = open_samples(config.faces, "train", "face")
    if config.batch > len(samples.manifest):
        raise InputError(f"batch {config.batch}: {config.faces} has {len(samples.manifest)} faces")
    faces = load_faces(samples, config.image_size, out / "cache", "train faces")
    names = tuple(sorted({str(x) for x in samples.manifest[config.label_column] if x}))
    wanted = targets(samples.manifest, names, config.label_column)
    torch.manual_seed(config.seed)
    model = FaceAttributes(config.architecture, config.widths, config.input_size, names)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), config.rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
    )
    run = RunFolder(out, config.model_dump(), {"model": model, "optimizer": optimizer})
    first = run.resume()
    name = f"attributes {config.architecture}"
    with run.interruptible(), Progress(name, config.steps, first) as bar:
        for step in range(first, config.steps):
            rng = numpy_generator(config.seed, "attributes", step)
            rows = np.sort(rng.choice(len(faces), config.batch, replace=False))
            batch = to_unit(torch.from_numpy(faces[rows])).permute(0, 3, 1, 2)
            batch = distort(batch, rng, torch_generator(config.seed, "distort", step))
            with torch.autocast("cpu", torch.bfloat16):
                said = model(batch)
            heads = enumerate((said.gender, said.age, said.labels))
            loss = torch.stack([known_loss(x, wanted[rows, head]) for head, x in heads]).sum()
            for group in optimizer.param_groups:
                group["lr"] = config.rate * min(1, (step + 1) / 100) * (1 - step / config.steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update(loss=loss.item())
            if run.stop or (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                run.save(step + 1)
            if run.stop:
                raise SystemExit(f"stopped after step {step + 1}; the same call goes on from there")
    return model.eval()


@torch.no_grad()
def accuracy(model: FaceAttributes, faces: np.ndarray, manifest: Manifest) -> dict[str, float]:
    """Shares of right gender, age band, age within one band, and label on `faces` (N, S, S, 3)."""
    names = tuple(model.config["label_names"])
    wanted = targets(manifest, names, "ethnicity")
    said: list[Tensor] = []
    for start in range(0, len(faces), 100):
        batch = to_unit(torch.from_numpy(np.array(faces[start : start + 100]))).permute(0, 3, 1, 2)
        out = model(batch)
        label = out.labels.argmax(1) if names else torch.full((len(batch),), -2)
        said.append(torch.stack((out.gender.argmax(1), out.age.argmax(1), label), dim=1))
    got = torch.cat(said)
    right = (got == wanted).double().mean(0).tolist()
    near = ((got[:, 1] - wanted[:, 1]).abs() <= 1).double().mean().item()
    result = {"gender": right[0], "age_band": right[1], "age_within_one_band": near}
    return {**result, "label": right[2]} if names else result
