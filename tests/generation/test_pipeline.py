"""Laws of the pipeline: what a portrait depends on, and what a checkpoint must be."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from scldm.core.artifact import write_hashes
from scldm.core.errors import InputError
from scldm.data.media import read_audio
from scldm.data.spectrogram import SAMPLES, spectrogram
from scldm.generation.pipeline import (
    PARTS,
    SpeechToFacePipeline,
    download,
    load_waveform,
    to_images,
)


@pytest.fixture(scope="module")
def pipeline(checkpoint: Path) -> SpeechToFacePipeline:
    return SpeechToFacePipeline.from_pretrained(checkpoint)


def test_a_portrait_depends_on_its_seed_and_number_alone(checkpoint, clip):
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    three = pipeline(clip, portraits=3, seed=5, output_type="pt")
    several = pipeline([clip, clip], portraits=1, seed=5, output_type="pt")
    assert torch.equal(three[0, 0], several[1, 0])
    assert not torch.equal(three[0, 0], three[0, 1])
    other = pipeline(clip, seed=6, output_type="pt")
    assert not torch.equal(three[0, 0], other[0, 0])
    wide = pipeline(clip, portraits=3, seed=5, batch_size=3, output_type="pt")
    torch.testing.assert_close(wide, three, atol=1e-3, rtol=0)


def test_beta_zero_makes_the_prior_modes_equal(checkpoint, clip):
    pipeline = SpeechToFacePipeline.from_pretrained(checkpoint)
    faces = [pipeline(clip, beta=b, prior_mode=m, output_type="pt")
             for b, m in ((0.0, "input"), (0.0, "literal"), (0.5, "literal"))]
    assert torch.equal(faces[0], faces[1]) and not torch.equal(faces[0], faces[2])


def test_saving_and_loading_keeps_every_bit(checkpoint, clip, tmp_path):
    first = SpeechToFacePipeline.from_pretrained(checkpoint)
    first.save_pretrained(tmp_path / "copy")
    second = SpeechToFacePipeline.from_pretrained(tmp_path / "copy")
    assert first.fingerprint == second.fingerprint
    assert torch.equal(first(clip, output_type="pt"), second(clip, output_type="pt"))


@pytest.fixture
def copy(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


def test_an_altered_checkpoint_is_refused(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match=r"unet/\S+ was altered"):
        SpeechToFacePipeline.from_pretrained(copy)
    weights.unlink()
    with pytest.raises(InputError, match=r"unet/\S+ is missing"):
        SpeechToFacePipeline.from_pretrained(copy)


def test_a_pickled_file_is_not_opened(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    write_hashes(copy)
    with pytest.raises(InputError, match="unet: cannot be loaded"):
        SpeechToFacePipeline.from_pretrained(copy)


def test_a_prior_of_another_encoder_is_refused(copy, chain, population, tmp_path):
    from safetensors.torch import load_file, save_file

    encoder = copy / "face_encoder" / "diffusion_pytorch_model.safetensors"
    save_file({k: v + 1 if v.is_floating_point() else v for k, v in load_file(encoder).items()},
              encoder, metadata={"format": "pt"})
    write_hashes(copy)
    with pytest.raises(InputError, match="the prior was fitted with face encoder"):
        SpeechToFacePipeline.from_pretrained(copy)


def test_a_path_and_its_waveform_are_the_same_clip(pipeline, clip):
    audio = read_audio(clip)
    given = [clip, str(clip), audio, torch.from_numpy(audio.copy())]
    speech = pipeline.encode_speech(given)
    assert all(torch.equal(speech[0], other) for other in speech)
    long = np.tile(audio, 5)
    middle = (len(long) - SAMPLES) // 2
    seen = spectrogram(torch.from_numpy(long[middle : middle + SAMPLES])[None])
    with torch.no_grad():
        assert torch.equal(pipeline.encode_speech([long])[0], pipeline.speech_encoder(seen)[0])


def test_noise_belongs_to_seed_and_number(pipeline):
    noise = {(seed, k): pipeline.noise(seed, k) for seed in (0, 1) for k in (0, 1)}
    assert torch.equal(noise[0, 1], pipeline.noise(0, 1))
    assert noise[0, 0].shape == (1, *pipeline.prior.mean.shape)
    assert len({tuple(z.flatten().tolist()) for z in noise.values()}) == 4
    many = torch.cat([pipeline.noise(7, k) for k in range(200)])
    assert abs(many.mean()) < 0.02 and abs(many.std() - 1) < 0.02


def test_a_generator_draws_the_noise(pipeline, clip):
    one, same, other = (
        pipeline(clip, generator=torch.Generator().manual_seed(s), output_type="pt")
        for s in (3, 3, 4)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_sampling_is_as_the_checkpoint_says_unless_told(pipeline, clip):
    own = pipeline.defaults
    assert own["steps"] == 4 and own["beta"] == 0.01 and own["guidance"] == 1.0
    said = pipeline(clip, output_type="pt", steps=4, guidance=1.0, beta=0.01, prior_mode="input")
    assert torch.equal(pipeline(clip, output_type="pt"), said)
    for change in ({"steps": 5}, {"guidance": 3.0}, {"beta": 0.5}, {"sampler": "ddim"}):
        assert not torch.equal(pipeline(clip, output_type="pt", **change), said), change


def test_an_unknown_prior_mode_names_the_known(pipeline, clip):
    with pytest.raises(InputError, match="prior_mode 'both': use input or literal"):
        pipeline(clip, prior_mode="both")


@pytest.mark.parametrize(
    "wave", [np.zeros((2, 16_000)), np.full(16_000, np.nan), np.zeros(16_000), np.ones(4_000)],
    ids=["two rows", "no numbers", "silence", "a quarter of a second"],
)  # fmt: skip
def test_a_waveform_that_is_no_speech_is_refused(wave):
    with pytest.raises(InputError):
        load_waveform(wave.astype(np.float32))


def test_pictures_are_the_faces_in_pixels(pipeline, clip):
    faces = pipeline(clip, portraits=2, output_type="pt")
    pictures = pipeline(clip, portraits=2)
    assert len(pictures) == 1 and [picture.size for picture in pictures[0]] == [(32, 32)] * 2
    for face, picture in zip(faces[0], pictures[0], strict=True):
        back = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 127.5 - 1
        assert (back - face).abs().max() <= 1 / 255 + 1e-6
    extremes = torch.tensor([-9.0, -1, 0, 1, 9])[:, None, None, None].expand(5, 3, 2, 2)
    assert [np.asarray(p).max() for p in to_images(extremes)] == [0, 0, 128, 255, 255]


def test_the_fingerprint_names_every_weight(checkpoint, pipeline):
    other = SpeechToFacePipeline.from_pretrained(checkpoint)
    assert other.fingerprint == pipeline.fingerprint
    for part in set(PARTS) - {"face_encoder"}:
        changed = SpeechToFacePipeline.from_pretrained(checkpoint)
        next(getattr(changed, part).parameters()).data.add_(1)
        again = SpeechToFacePipeline(**changed.components, prior=changed.prior, facts=changed.facts)
        assert again.fingerprint != pipeline.fingerprint


def test_a_hub_name_that_cannot_be_had_is_one_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="^nobody/nothing: neither a checkpoint folder nor a hub"):
        download("nobody/nothing", local_files_only=True)
    with pytest.raises(InputError, match="neither a checkpoint folder nor a hub repository"):
        SpeechToFacePipeline.from_pretrained("no such/name at all")


def test_a_hub_repository_is_loaded_like_a_folder(monkeypatch, checkpoint, pipeline, clip):
    asked = []

    def snapshot(name: str, allow_patterns: list[str], **_: object) -> str:
        asked.append((name, allow_patterns))
        return str(checkpoint)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    found = SpeechToFacePipeline.from_pretrained("somebody/faces")
    assert torch.equal(found(clip, output_type="pt"), pipeline(clip, output_type="pt"))
    assert asked == [("somebody/faces", ["*.safetensors", "*.json", "*.md"])]  # no pickles
