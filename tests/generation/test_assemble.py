"""Laws of putting a checkpoint together."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from scldm.core.artifact import check_hashes, read_json, write_hashes, write_json
from scldm.core.errors import InputError
from scldm.generation import pipeline as module
from scldm.generation.assemble import assemble
from scldm.generation.pipeline import SpeechToFacePipeline


def test_the_checkpoint_is_what_the_stages_made_in_half_precision(chain, checkpoint):
    check_hashes(checkpoint)
    for part, made in (("unet", "train/denoiser/unet"), ("condition", "train/denoiser/condition"),
                       ("speech_encoder", "pretrain/encoders/speech_encoder"),
                       ("face_decoder", "pretrain/encoders/face_decoder")):
        (file,) = (checkpoint / part).glob("*.safetensors")
        (other,) = (chain / made).glob("*.safetensors")
        ours, theirs = load_file(file), load_file(other)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert {x.dtype for x in ours.values() if x.is_floating_point()} == {torch.float16}
    facts = read_json(checkpoint / "facts.json")
    assert facts["stage"] == "diffusion" and facts["encoders"]["stage"] == "pretraining"


def test_large_weights_are_cut_into_parts_that_load_alike(chain, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD", "40KB")
    assemble(chain / "train" / "denoiser", tmp_path / "cut")
    parts = list((tmp_path / "cut" / "unet").glob("*.safetensors"))
    whole = (checkpoint / "unet").glob("*.safetensors")
    largest = max(t.numel() * 2 for file in whole for t in load_file(file).values())
    assert len(parts) > 3
    assert all(path.stat().st_size < max(40_000, largest) + 4_000 for path in parts)
    one, other = (SpeechToFacePipeline.from_pretrained(x) for x in (checkpoint, tmp_path / "cut"))
    assert one.fingerprint == other.fingerprint


def test_a_denoiser_without_a_prior_is_refused(chain, tmp_path):
    denoiser = shutil.copytree(chain / "train" / "denoiser", tmp_path / "denoiser")
    facts = read_json(denoiser / "facts.json")
    facts["config"]["prior"] = None
    write_json(denoiser / "facts.json", facts)
    write_hashes(denoiser)
    with pytest.raises(InputError, match="a checkpoint needs a prior"):
        assemble(denoiser, tmp_path / "out")
    (denoiser / "facts.json").unlink()
    with pytest.raises(InputError, match="facts.json is missing"):
        assemble(denoiser, tmp_path / "out")
    assert not (tmp_path / "out").exists()
