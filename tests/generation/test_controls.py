"""Laws of the controls: one face for all, and Z^s brought to where Z^f lies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scldm.cli import main
from scldm.core.errors import InputError
from scldm.data.samples import open_samples
from scldm.generation.clips import of_samples
from scldm.generation.controls import direct_bridge
from scldm.generation.pipeline import SpeechToFacePipeline


@pytest.fixture(scope="module")
def pipeline(checkpoint: Path) -> SpeechToFacePipeline:
    return SpeechToFacePipeline.from_pretrained(checkpoint)


@pytest.mark.parametrize("centre", [False, True])
def test_the_bridge_keeps_the_angle_and_takes_the_length_of_faces(
    pipeline: SpeechToFacePipeline, population: Path, centre: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"config": {"loss": {"centre": centre}}}
    monkeypatch.setitem(pipeline.facts, "encoders", config)
    faces, clips = (open_samples(population, "train", kind) for kind in ("face", "audio"))
    bridge = direct_bridge(pipeline, faces, clips)
    rows = range(len(clips.manifest))
    said = torch.cat([pipeline.encode_speech([clips.speech(row)]) for row in rows])
    images = torch.from_numpy(np.stack([faces.face(row, 32) for row in rows]))
    with torch.no_grad():
        true = pipeline.face_encoder(images.permute(0, 3, 1, 2) / 127.5 - 1).flatten(1)
    from_, to = (z.mean(0) if centre else torch.zeros(128) for z in (said, true))
    moved = bridge(said) - to
    cosine = torch.nn.functional.cosine_similarity(moved, said - from_)
    torch.testing.assert_close(cosine, torch.ones(len(said)), atol=1e-4, rtol=0)
    wanted = (true - to).norm(dim=1).mean().expand(len(said))
    torch.testing.assert_close(moved.norm(dim=1), wanted, atol=0, rtol=1e-4)


def test_controls_write_what_generate_writes(
    checkpoint: Path, population: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "controls"
    assert main(["controls", "--checkpoint", str(checkpoint), "--clips", str(population),
                 "--out", str(out)]) == 0  # fmt: skip
    clips = of_samples(open_samples(population, "test", "audio"))
    faces = {}
    for name in ("mean-face", "direct-decode"):
        lines = (out / name / "manifest.jsonl").read_text().splitlines()
        facts = [json.loads(line) for line in lines]
        assert [line["clip"] for line in facts] == [clip.name for clip in clips]
        faces[name] = {Image.open(out / name / line["path"]).tobytes() for line in facts}
    assert len(faces["mean-face"]) == 1 and not faces["mean-face"] & faces["direct-decode"]
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{len(clips)} portraits in {out / name}" for name in faces]


def test_generate_takes_a_manifest(checkpoint: Path, population: Path, tmp_path: Path) -> None:
    assert main(["generate", "--manifest", str(population), "--split", "val", "--portraits", "1",
                 "--checkpoint", str(checkpoint), "--out", str(tmp_path)]) == 0  # fmt: skip
    clips = of_samples(open_samples(population, "val", "audio"))
    lines = (tmp_path / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == len(clips) == len({json.loads(line)["path"] for line in lines})


@pytest.mark.parametrize("both", [True, False])
def test_recordings_or_a_manifest_and_not_both(
    both: bool, clip: Path, population: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(clip), "--manifest", str(population)] if both else []
    assert main(["generate", *words]) == 2
    assert capsys.readouterr().err == "scldm: give recordings, or --manifest\n"


def test_a_manifest_of_faces_has_no_clips(population: Path, tmp_path: Path) -> None:
    samples = open_samples(population)
    samples.manifest.columns["audio"] = np.full(len(samples.manifest), "", dtype=object)
    with pytest.raises(InputError, match="no row has a recording"):
        of_samples(samples)
