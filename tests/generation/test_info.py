"""`scldm info` says what a file is, and refuses what is not ours."""

from __future__ import annotations

import shutil

import pytest

from scldm.cli import main
from scldm.core.artifact import save_tensors, write_hashes, write_json
from scldm.core.errors import InputError
from scldm.generation.info import describe
from scldm.generation.pipeline import SpeechToFacePipeline


def test_info_tells_what_things_are(chain, checkpoint, capsys):
    assert main(["info", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert "fingerprint" in said and "32 pixels" in said and "v_prediction" in said
    assert main(["info", str(chain / "prior.safetensors")]) == 0
    assert "20 faces (10 F, 10 M)" in capsys.readouterr().out


def test_a_checkpoint_tells_its_parts_and_its_licence(checkpoint, tmp_path):
    said = describe(checkpoint)
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    assert f"fingerprint: {pipeline.fingerprint}" in said.splitlines()
    millions = sum(p.numel() for p in pipeline.unet.parameters()) / 1e6
    assert f"unet {millions:.2f}M" in said and "matched by person" in said
    assert "licence: that of the data" in said
    copy = shutil.copytree(checkpoint, tmp_path / "copy")
    (copy / "README.md").write_text("the card")
    write_hashes(copy)
    assert f"data, licences, refused uses: {copy / 'README.md'}" in describe(copy)


def test_what_is_not_ours_is_refused(tmp_path, checkpoint):
    import torch

    save_tensors(tmp_path / "x.safetensors", {"mean": torch.zeros(2)}, {"kind": "other"})
    with pytest.raises(InputError, match="x.safetensors: not a face prior and not a checkpoint"):
        describe(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="hashes.json"):
        describe(tmp_path)
    (tmp_path / "other").mkdir()
    write_json(tmp_path / "other" / "facts.json", {"a": 1})
    write_hashes(tmp_path / "other")
    with pytest.raises(InputError, match="other: neither a checkpoint nor what a stage wrote"):
        describe(tmp_path / "other")
