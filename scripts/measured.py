"""What both measuring scripts look at: a checkpoint, the judge, and a bed's test split."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scldm.cli import BUNDLED
from scldm.data.faces import to_unit
from scldm.data.samples import Samples, load_faces, open_samples
from scldm.evaluation.judges import BUNDLED_JUDGE, BundledJudge
from scldm.generation.pipeline import SpeechToFacePipeline

PRIVATE = Path("runs/measure")  # pictures of real people, which are not to be published


@dataclass(frozen=True)
class Measured:
    """A checkpoint and its judge; N test faces and M test clips."""

    pipeline: SpeechToFacePipeline
    judge: BundledJudge
    faces: Samples
    real: Tensor  # (N, 3, S, S) in [-1, 1]
    clips: Samples
    speech: Tensor  # Z^s (M, d)
    speakers: np.ndarray  # (M,)
    men: np.ndarray  # (M,) whether the speaker is a man


def arguments(about: str | None, portraits: int) -> argparse.Namespace:
    """The options of a measuring script; `portraits`: per test clip, unless said otherwise."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--bed", type=Path, default=Path("data/bed"))
    parser.add_argument("--checkpoint", type=Path, default=BUNDLED)
    parser.add_argument("--judge", type=Path, default=BUNDLED_JUDGE)
    parser.add_argument("--out", type=Path, default=Path("docs/results/bundled"))
    parser.add_argument("--portraits", type=int, default=portraits, help="per test clip")
    return parser.parse_args()


def load(args: argparse.Namespace) -> Measured:
    """The networks, the test faces at the checkpoint's size, and Z^s of the test clips."""
    pipeline = SpeechToFacePipeline.from_pretrained(args.checkpoint)
    faces = open_samples(args.bed / "faces.csv", "test", "face")
    clips = open_samples(args.bed / "speech.csv", "test", "audio")
    speakers, genders = clips.manifest["person"], clips.manifest["gender"]
    files = [clips.manifest.file(row, "audio") for row in range(len(speakers))]
    return Measured(
        pipeline, BundledJudge(args.judge), faces, aligned(faces, pipeline.facts["image_size"]),
        clips, pipeline.encode_speech(files), speakers, genders == "M",
    )


def aligned(faces: Samples, size: int) -> Tensor:
    """All faces of a split, (N, 3, size, size) in [-1, 1]."""
    pixels = np.array(load_faces(faces, size, PRIVATE, "faces"))
    return to_unit(torch.from_numpy(pixels).permute(0, 3, 1, 2))
