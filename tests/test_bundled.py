"""The checkpoint that comes with the package: its figures on the example clips do not fall."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scldm.cli import BUNDLED
from scldm.evaluation.judges import BundledJudge, Judgement
from scldm.evaluation.quality import detected
from scldm.generation.grid import draw_portraits
from scldm.generation.pipeline import SpeechToFacePipeline

EXAMPLES = Path(__file__).parents[1] / "examples"
WOMEN, MEN = ("anna", "clara"), ("bruno", "david")
SEEDS = 12


@pytest.fixture(scope="module")
def portraits() -> torch.Tensor:
    """Twelve portraits of each example clip, those of a seed together: (48, 3, S, S)."""
    pipeline = SpeechToFacePipeline.from_pretrained(BUNDLED)
    speech = pipeline.encode_speech([EXAMPLES / f"{name}.flac" for name in (*WOMEN, *MEN)])
    return draw_portraits(pipeline, speech, SEEDS)


@pytest.fixture(scope="module")
def judged(portraits: torch.Tensor) -> Judgement:
    return BundledJudge()(portraits)


def test_portraits_have_the_sex_of_the_voice(judged: Judgement) -> None:
    wanted = torch.tensor([0, 0, 1, 1]).repeat(SEEDS)
    right = (judged.gender == wanted).float().unflatten(0, (SEEDS, 4)).mean(0)
    assert right.mean() >= 0.9 and right.min() >= 0.75, right


def test_a_detector_finds_a_face_in_each(portraits: torch.Tensor) -> None:
    assert detected(portraits[:24]).all()


def test_portraits_of_a_clip_are_of_different_people(judged: Judgement) -> None:
    rows = torch.nn.functional.normalize(judged.features, dim=1).unflatten(0, (SEEDS, 4))
    cosine = torch.einsum("ibw,jbw->bij", rows, rows)
    others = ~torch.eye(SEEDS, dtype=torch.bool)
    assert (1 - cosine[:, others]).mean(1).min() > 0.05
    assert judged.age.max() - judged.age.min() > 10
