"""Measure a checkpoint on a bed's test split, and draw the pictures of docs/.

    python scripts/measure.py --bed data/bed --out docs/results/bundled

Writes figures.json, figures.md and portraits.png; and, since faces of real people are not to be
published, runs/measure/real-and-reconstructed.png apart. Every share has a
95 % interval by bootstrap over identities. Faces and voices of the bed belong to different people:
what is measured is gender and realism, never identity.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import librosa
import numpy as np
import torch
from measured import PRIVATE, arguments, load
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from scldm.core.artifact import write_json, write_text
from scldm.core.errors import InputError
from scldm.core.run import device_name
from scldm.core.seeding import numpy_generator
from scldm.data.faces import find_landmarks
from scldm.data.media import read_image
from scldm.data.samples import Samples
from scldm.data.spectrogram import RATE, SAMPLES
from scldm.evaluation.intervals import bootstrap
from scldm.evaluation.quality import detected, kid
from scldm.generation.grid import draw_portraits, save_grid
from scldm.generation.pipeline import SpeechToFacePipeline


@torch.no_grad()
def hears(pipeline: SpeechToFacePipeline, speech: Tensor, faces: Tensor, men: Tensor) -> Tensor:
    """For each Z^s (M, d), whether it lies nearer to the mean man than to the mean woman: (M,).

    faces (N, 3, S, S) and men (N,), bool: those whose centred mean directions are compared.
    """
    latents = torch.cat([pipeline.face_encoder(x).flatten(1) for x in faces.split(100)])
    seen = F.normalize(latents, dim=1)
    middle = (seen[men].mean(0) + seen[~men].mean(0)) / 2
    heard = F.normalize(speech, dim=1)
    return (heard - heard.mean(0)) @ (seen[men].mean(0) - middle) > 0


def median_pitch(clips: Samples) -> np.ndarray:
    """Median fundamental frequency of the louder parts of each clip, Hz, (M,)."""
    found = []
    for row in range(len(clips.manifest)):
        audio = clips.speech(row)[:SAMPLES]
        pitch = librosa.yin(audio, fmin=60, fmax=400, sr=RATE)
        loud = librosa.feature.rms(y=audio)[0][: len(pitch)]
        found.append(np.median(pitch[loud > np.quantile(loud, 0.6)]))
    return np.array(found)


def even(men: np.ndarray) -> np.ndarray:
    """Indices of as many women's as men's portraits, spread over all: the real faces are so."""
    sides = [np.flatnonzero(men == man) for man in (False, True)]
    count = min(len(side) for side in sides)
    picks = [side[np.linspace(0, len(side) - 1, count).astype(int)] for side in sides]
    return np.concatenate(picks)


def landmark_errors(faces: Samples, rows: range, border: float) -> np.ndarray:
    """MTCNN's distance from the bed's eyes and mouth corners, in distances between the eyes.

    `border`: share of the picture's side that is mirrored around it, for crops looser than the
    bed's. Returns (rows,), infinite where no face was found.
    """
    errors = []
    for row in rows:
        image = read_image(faces.manifest.file(row, "face"))
        wanted = faces.manifest.where(np.array([row])).landmarks()[0]
        width = int(border * image.width)
        around = np.pad(np.asarray(image), ((width,) * 2, (width,) * 2, (0, 0)), "reflect")
        try:
            found = find_landmarks(Image.fromarray(around)) - width
            gaps = np.linalg.norm(found - wanted, axis=1)[[0, 1, 3, 4]]
            errors.append(gaps.mean() / np.linalg.norm(wanted[1] - wanted[0]))
        except InputError:
            errors.append(np.inf)
    return np.array(errors)


def main() -> None:
    args = arguments(__doc__, portraits=2)
    bed = load(args)
    pipeline, judge, test, real = bed.pipeline, bed.judge, bed.faces, bed.real
    speech, speakers, wanted = bed.speech, bed.speakers, bed.men
    men = torch.from_numpy(test.manifest["gender"] == "M")
    owners = test.manifest["person"]
    with torch.no_grad():
        remade = torch.cat([
            pipeline.face_decoder(pipeline.face_encoder(x)).clamp(-1, 1) for x in real.split(100)
        ])
    began = time.perf_counter()
    made = draw_portraits(pipeline, speech, args.portraits)
    print(f"{len(made)} portraits in {time.perf_counter() - began:.1f} s", file=sys.stderr)

    said = judge(made).gender.numpy().astype(bool)
    shuffled = numpy_generator(0, "shuffle").permutation(len(said))
    asked, asker = np.tile(wanted, args.portraits), np.tile(speakers, args.portraits)
    heard = hears(pipeline, speech, real, men).numpy()
    low = median_pitch(bed.clips) < 165
    shares = {
        "gender of portraits": bootstrap(said == asked, asker),
        "gender of portraits, another speaker's clip": bootstrap(said[shuffled] == asked, asker),
        "gender that the speech encoder hears": bootstrap(heard == wanted, speakers),
        "gender by pitch alone, below 165 Hz a man": bootstrap(low == wanted, speakers),
        "speech encoder and pitch agree": bootstrap(heard == low, speakers),
        "judge on real test faces": bootstrap(
            judge(real).gender.numpy() == men.numpy(), owners
        ),
        "judge on reconstructions": bootstrap(judge(remade).gender.numpy() == men.numpy(), owners),
        "MTCNN finds a face: portraits": bootstrap(detected(made), asker),
        "MTCNN finds a face: reconstructions": bootstrap(detected(remade[:300]), owners[:300]),
        "MTCNN finds a face: real": bootstrap(detected(real[:300]), owners[:300]),
    }
    half, seen = len(real) // 2, judge(real).features
    gaps = {
        name: landmark_errors(test, range(200), border)
        for name, border in (("as they are", 0.0), ("in a picture twice as wide", 0.5))
    }
    figures = {
        "machine": device_name(), "checkpoint": pipeline.fingerprint, "sampling": pipeline.defaults,
        "shares": {name: vars(estimate) for name, estimate in shares.items()},
        "kid_judge_features": {
            "real against real": kid(seen[:half], seen[half:]),
            "reconstructions": kid(seen, judge(remade).features),
            "portraits": kid(seen, judge(made[even(asked)]).features),
        },
        "reconstruction_mae": (remade - real).abs().mean().item(),
        "landmarks": {
            name: {"median": float(np.median(gap)), "below_0.1": float((gap < 0.1).mean())}
            for name, gap in gaps.items()
        },
        "command": " ".join(["python scripts/measure.py", *sys.argv[1:]]),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "figures.json", figures)
    write_text(args.out / "figures.md", table(figures, shares))
    PRIVATE.mkdir(parents=True, exist_ok=True)
    both = torch.stack((real[:32], remade[:32]), dim=1).flatten(0, 1)
    save_grid(both, 16, PRIVATE / "real-and-reconstructed.png")
    picks = speech[torch.linspace(0, len(speech) - 1, 64).long()]
    save_grid(draw_portraits(pipeline, picks, 1), 8, args.out / "portraits.png")
    print((args.out / "figures.md").read_text())


def table(figures: dict[str, Any], shares: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [f"`{figures['command']}`, {figures['machine']}, checkpoint {figures['checkpoint']}.",
             "", "| what | share, 95 % interval over identities |", "|---|---|"]
    lines += [f"| {name} | {estimate} |" for name, estimate in shares.items()]
    lines += ["", "| KID on the judge's features | value |", "|---|---:|"]
    lines += [f"| {k} | {v:.4f} |" for k, v in figures["kid_judge_features"].items()]
    lines += ["", "| MTCNN's landmarks on the bed's pictures | median error, eye distances |"
              " share below 0.1 |", "|---|---:|---:|"]
    lines += [f"| {name} | {v['median']:.3f} | {v['below_0.1']:.3f} |"
              for name, v in figures["landmarks"].items()]
    lines += ["",
              "Mean absolute error of reconstructions: "
              f"{figures['reconstruction_mae']:.4f} in [-1, 1]."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
