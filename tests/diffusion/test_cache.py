"""Laws of stage 2's data: latents computed once, pairs that are true, speakers drawn evenly."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scldm.data.faces import to_unit
from scldm.data.pairs import Pairs, PairsConfig
from scldm.data.spectrogram import spectrogram
from scldm.diffusion import cache as module
from scldm.diffusion.cache import LatentCache, cache_latents
from scldm.encoders.bundle import Encoders, load_encoders

CPU = torch.device("cpu")


def numbered() -> LatentCache:
    """Latents that say whose they are: face i and side j as (i, j), clip i and view j as (i, j).

    Speaker 0 has 20 clips, 1 has one, 2 has two of which one matches nothing, 3 none that matches.
    """
    speaker = torch.tensor([0] * 20 + [1] + [2] * 2 + [3] * 3)
    speech_label = torch.tensor([0] * 10 + [2] * 10 + [1] + [1, -1] + [-1] * 3)
    face_label = torch.tensor([2, 0, -1, 1, 0, -1, 1, 2, 2])

    def grid(rows: int, columns: int) -> torch.Tensor:
        pairs = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        return pairs.reshape(rows, columns, 2).half()

    faces = grid(len(face_label), 2)[..., None, None].expand(-1, -1, -1, 4, 4)
    return LatentCache(faces, grid(len(speaker), 3), face_label, speech_label, speaker)


def drawn(cache: LatentCache, steps: int = 40) -> dict[str, torch.Tensor]:
    """What `steps` draws of 200 took: faces, sides, clips, views."""
    both = [cache.draw(0, step, 200) for step in range(steps)]
    faces = torch.cat([z[:, :, 0, 0] for z, _ in both]).long()
    clips = torch.cat([s for _, s in both]).long()
    return {"face": faces[:, 0], "side": faces[:, 1], "clip": clips[:, 0], "view": clips[:, 1]}


def test_a_draw_is_of_seed_and_step_alone() -> None:
    cache = numbered()
    z, speech = cache.draw(3, 7, 16)
    assert z.shape == (16, 2, 4, 4) and speech.shape == (16, 2)
    assert z.dtype == speech.dtype == torch.float32
    cache.draw(3, 8, 16)
    torch.manual_seed(9)
    again = cache.draw(3, 7, 16)
    assert torch.equal(again[0], z) and torch.equal(again[1], speech)
    for seed, step in ((3, 8), (4, 7)):
        assert not torch.equal(cache.draw(seed, step, 16)[1], speech)


def test_a_face_always_matches_its_clip() -> None:
    cache = numbered()
    took = drawn(cache)
    labels = cache.speech_label[took["clip"]]
    assert torch.equal(cache.face_label[took["face"]], labels) and (labels >= 0).all()


def test_speakers_come_evenly_whatever_they_said() -> None:
    cache = numbered()
    took = drawn(cache)
    counts = Counter(cache.speaker[took["clip"]].tolist())
    assert counts.keys() == {0, 1, 2}  # 3 matches no face
    for count in counts.values():
        assert count / 8000 == pytest.approx(1 / 3, abs=5 * (2 / 9 / 8000) ** 0.5)


def test_all_that_fits_is_drawn_evenly() -> None:
    cache = numbered()
    took = drawn(cache)
    of_one = took["clip"] < 20
    clips = torch.bincount(took["clip"][of_one], minlength=20) / of_one.sum()
    torch.testing.assert_close(clips, torch.full((20,), 0.05), atol=0.025, rtol=0)
    for name, choices in (("side", 2), ("view", 3)):
        shares = torch.bincount(took[name], minlength=choices) / 8000
        torch.testing.assert_close(shares, torch.full((choices,), 1 / choices), atol=0.03, rtol=0)
    seen = Counter(took["face"].tolist())
    assert seen.keys() == {0, 1, 3, 4, 6, 7, 8}
    assert seen[1] == pytest.approx(seen[4], rel=0.2) and seen[3] == pytest.approx(seen[6], rel=0.2)


def test_a_clip_meets_another_face_another_time() -> None:
    took = drawn(numbered())
    assert len(set(took["face"][took["clip"] == 15].tolist())) == 3


def test_the_scale_makes_rms_one_and_does_not_centre() -> None:
    faces = 3 + 0.5 * torch.randn(50, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    cache = replace(numbered(), faces=faces.half())
    scaled = cache.faces.double() * cache.scale()
    assert scaled.square().mean().item() == pytest.approx(1, rel=1e-12)
    assert scaled.mean() > 0.9  # and so Z_prior is not zero


def test_to_moves_every_part() -> None:
    moved = numbered().to(torch.device("meta"))
    assert {tensor.device.type for tensor in vars(moved).values()} == {"meta"}


@pytest.fixture(scope="module")
def encoders(encoders_folder: Path) -> Encoders:
    return load_encoders(encoders_folder)


@pytest.fixture(scope="module")
def made(
    encoders: Encoders, pairs: Pairs, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LatentCache, Path]:
    file = tmp_path_factory.mktemp("cached") / "latents.safetensors"
    return cache_latents(encoders, pairs, 1, CPU, file), file


@torch.no_grad()
def test_cached_latents_are_the_encoders(
    encoders: Encoders, pairs: Pairs, made: tuple[LatentCache, Path]
) -> None:
    cache = made[0]
    assert cache.faces.shape == (len(pairs.faces), 2, 8, 4, 4)
    assert cache.speech.shape == (len(pairs.label), 2, 128)
    face = to_unit(torch.tensor(pairs.faces[3]).permute(2, 0, 1)[None])
    audio = torch.from_numpy(pairs.clips.plain(5))[None]
    expected = [
        (cache.faces[3, 0], encoders.face_encoder(face)[0]),
        (cache.faces[3, 1], encoders.face_encoder(face.flip(3))[0]),
        (cache.speech[5, 0], encoders.speech_encoder(spectrogram(audio))[0]),
    ]
    for cached, fresh in expected:
        assert cached.dtype == torch.float16
        torch.testing.assert_close(cached.float(), fresh, rtol=2e-3, atol=1e-3)
    for other in (cache.speech[5, 1], cache.speech[6, 0]):  # the augmented view; another clip
        assert (cache.speech[5, 0] - other).abs().max() > 0.1


def test_cached_labels_are_the_manifests(pairs: Pairs, made: tuple[LatentCache, Path]) -> None:
    cache, people = made[0], pairs.clips.column("person")
    same = people[:, None] == people[None]
    assert np.array_equal((cache.speaker[:, None] == cache.speaker[None]).numpy(), same)
    match = people[:, None] == pairs.samples.manifest["person"][None]
    labels = cache.speech_label[:, None] == cache.face_label[None]
    assert np.array_equal(labels.numpy(), match) and (cache.speech_label >= 0).all()


def test_a_second_call_reads_what_the_first_wrote(
    encoders: Encoders, pairs: Pairs, made: tuple[LatentCache, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache, file = made
    for name in ("encode_faces", "encode_clips"):
        monkeypatch.delattr(module, name)
    again = cache_latents(encoders, pairs, 1, CPU, file)
    stored = load_file(file)
    for name, tensor in vars(cache).items():
        assert torch.equal(getattr(again, name), tensor) and torch.equal(stored[name], tensor)


def test_matched_by_gender_a_clip_meets_all_faces_of_the_gender(
    tiny: dict[str, Any], cache: Path, encoders: Encoders, tmp_path: Path
) -> None:
    config = PairsConfig.model_validate({**tiny["data"], "match": "gender", "variants": 0})
    pairs = Pairs(config, cache, "val")
    latents = cache_latents(encoders, pairs, 0, CPU, tmp_path / "x.safetensors")
    faces = pairs.samples.manifest["gender"][None]
    match = pairs.clips.column("gender")[:, None] == faces
    labels = latents.speech_label[:, None] == latents.face_label[None]
    assert np.array_equal(labels.numpy(), match)
