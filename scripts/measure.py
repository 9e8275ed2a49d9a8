"""Measure a checkpoint on a bed's test split, and draw the pictures of docs/.

    python scripts/measure.py --bed data/bed --out docs/results/bundled

Writes figures.json, figures.md and portraits.png; and, since faces of real people are not to be
published, runs/measure/real-and-reconstructed.png apart. Every share has a
95 % interval by bootstrap over identities. Faces and voices of the bed belong to different people:
what is measured is gender and realism, never identity.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image

from scldm.cli import BUNDLED
from scldm.core.artifact import write_json, write_text
from scldm.core.run import device_name
from scldm.core.seeding import numpy_generator
from scldm.data.faces import detector, to_pixels, to_unit
from scldm.data.samples import load_faces, open_samples
from scldm.evaluation.intervals import bootstrap
from scldm.evaluation.judges import BUNDLED_JUDGE, BundledJudge
from scldm.generation.pipeline import SpeechToFacePipeline

PRIVATE = Path("runs/measure")


def kid(judge: BundledJudge, a: Tensor, b: Tensor) -> dict[str, float]:
    """Kernel distance on the judge's features (not Inception's: compare with nothing published)."""
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(len(a), len(b), 200)
    torch.manual_seed(0)
    metric = KernelInceptionDistance(_Features(judge), subsets=50, subset_size=size)
    for real, faces in ((True, a), (False, b)):
        for part in faces.split(100):
            metric.update(part, real=real)
    mean, spread = metric.compute()
    return {"value": mean.item(), "std_over_subsets": spread.item()}


class _Features(torch.nn.Module):
    def __init__(self, judge: BundledJudge) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, faces: Tensor) -> Tensor:
        return self.judge(faces).features


def detected(faces: Tensor) -> np.ndarray:
    """Whether MTCNN finds a face in each, (N,) bool; a border is added as for any tight crop."""
    found = []
    for face in faces:
        picture = torch.nn.functional.pad(face[None], (16,) * 4, mode="replicate")
        picture = torch.nn.functional.interpolate(picture, (192, 192), mode="bicubic")
        boxes, _ = detector().detect(to_pixels(picture)[0].permute(1, 2, 0).numpy())
        found.append(boxes is not None)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bed", type=Path, default=Path("data/bed"))
    parser.add_argument("--checkpoint", type=Path, default=BUNDLED)
    parser.add_argument("--judge", type=Path, default=BUNDLED_JUDGE)
    parser.add_argument("--out", type=Path, default=Path("docs/results/bundled"))
    parser.add_argument("--portraits", type=int, default=2, help="per test clip")
    args = parser.parse_args()
    pipeline = SpeechToFacePipeline.from_pretrained(args.checkpoint)
    judge = BundledJudge(args.judge)
    size = pipeline.facts["image_size"]

    test = open_samples(args.bed / "faces.csv", "test", "face")
    real = to_unit(torch.from_numpy(
        np.array(load_faces(test, size, PRIVATE, "test faces"))
    ).permute(0, 3, 1, 2))
    with torch.no_grad():
        remade = torch.cat([
            pipeline.face_decoder(pipeline.face_encoder(x)).clamp(-1, 1) for x in real.split(100)
        ])
    clips = open_samples(args.bed / "speech.csv", "test", "audio")
    people, gender = clips.manifest["person"], clips.manifest["gender"]
    speech = torch.cat([
        pipeline.encode_speech([clips.manifest.file(i, "audio")]) for i in range(len(people))
    ])
    began = time.perf_counter()
    made = torch.cat([
        pipeline.decode(pipeline.sample_latents(
            part, torch.cat([pipeline.noise(0, k + 1000 * i) for i in range(len(part))])
        ))
        for k in range(args.portraits) for part in speech.split(64)
    ])
    print(f"{len(made)} portraits in {time.perf_counter() - began:.1f} s", file=sys.stderr)
    wanted = np.tile((gender == "M").astype(int), args.portraits)
    owners = np.tile(people, args.portraits)
    said = judge(made).gender.numpy()
    shuffled = numpy_generator(0, "shuffle").permutation(len(wanted))
    true_gender = (test.manifest["gender"] == "M").astype(int)
    face_owner = test.manifest["person"]
    shares = {
        "gender of portraits": bootstrap(said == wanted, owners),
        "gender of portraits, another speaker's clip": bootstrap(said[shuffled] == wanted, owners),
        "judge on real test faces": bootstrap(
            judge(real).gender.numpy() == true_gender, face_owner
        ),
        "judge on reconstructions": bootstrap(
            judge(remade).gender.numpy() == true_gender, face_owner
        ),
        "MTCNN finds a face: portraits": bootstrap(detected(made), owners),
        "MTCNN finds a face: reconstructions": bootstrap(detected(remade[:300]), face_owner[:300]),
        "MTCNN finds a face: real": bootstrap(detected(real[:300]), face_owner[:300]),
    }
    half = len(real) // 2
    distances = {
        "real against real": kid(judge, real[:half], real[half:]),
        "reconstructions": kid(judge, real, remade),
        "portraits": kid(judge, real, made),
    }
    mae = (remade - real).abs().mean().item()
    figures = {
        "machine": device_name(), "checkpoint": pipeline.fingerprint, "sampling": pipeline.defaults,
        "shares": {name: vars(estimate) for name, estimate in shares.items()},
        "kid_judge_features": distances, "reconstruction_mae": mae,
        "command": " ".join(["python scripts/measure.py", *sys.argv[1:]]),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "figures.json", figures)
    write_text(args.out / "figures.md", table(figures, shares))
    both = torch.stack((real[:32], remade[:32]), dim=1).flatten(0, 1)
    PRIVATE.mkdir(parents=True, exist_ok=True)
    grid = make_grid(both, 16, normalize=True, value_range=(-1, 1))
    save_image(grid, PRIVATE / "real-and-reconstructed.png")
    with torch.no_grad():
        picks = torch.linspace(0, len(speech) - 1, 64).long()
        random = torch.cat([
            pipeline.decode(pipeline.sample_latents(speech[picks[k]][None], pipeline.noise(k, 0)))
            for k in range(64)
        ])
    grid = make_grid(random, 8, normalize=True, value_range=(-1, 1))
    save_image(grid, args.out / "portraits.png")
    print((args.out / "figures.md").read_text())


def table(figures: dict[str, Any], shares: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [f"`{figures['command']}`, {figures['machine']}, checkpoint {figures['checkpoint']}.",
             "", "| what | share, 95 % interval over identities |", "|---|---|"]
    lines += [f"| {name} | {estimate} |" for name, estimate in shares.items()]
    lines += ["", "| KID on the judge's features | value |", "|---|---:|"]
    lines += [f"| {k} | {v['value']:.4f} |" for k, v in figures["kid_judge_features"].items()]
    lines += ["",
              "Mean absolute error of reconstructions: "
              f"{figures['reconstruction_mae']:.4f} in [-1, 1]."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
