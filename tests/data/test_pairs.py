"""Laws of pairs: a batch belongs to (seed, step), its speakers are distinct, its pairs are true."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scldm.core.errors import InputError
from scldm.data.pairs import PairBatch, Pairs, PairsConfig, batches
from scldm.data.spectrogram import SAMPLES


def equal(a: PairBatch, b: PairBatch) -> bool:
    return all(torch.equal(x, getattr(b, name)) for name, x in vars(a).items())


def rows(pairs: Pairs, batch: PairBatch) -> list[int]:
    """The manifest row of each face of a batch, flipped or not."""
    known = {bytes(face): row for row, face in enumerate(pairs.faces)}
    known |= {face[:, ::-1].tobytes(): row for row, face in enumerate(pairs.faces)}
    faces = batch.faces.permute(0, 2, 3, 1).contiguous().numpy()
    return [known[face.tobytes()] for face in faces]


@pytest.fixture(scope="module")
def by_gender(tiny: dict[str, Any], cache: Path, pairs: Pairs) -> Pairs:
    config = {**tiny["data"], "match": "gender"}
    return Pairs(PairsConfig.model_validate(config), cache)


def test_shapes_and_ranges(pairs: Pairs) -> None:
    batch = pairs.batch(0, 0, 8, 4)
    assert batch.audio.shape == (8, SAMPLES) and batch.audio.dtype == torch.float32
    assert batch.audio.abs().max() <= 1
    assert batch.faces.shape == (12, 3, 32, 32) and batch.faces.dtype == torch.uint8
    assert batch.labels.shape == (8,)


def test_a_batch_is_of_seed_and_step_alone(pairs: Pairs) -> None:
    first = pairs.batch(0, 5, 6, 2)
    pairs.batch(0, 6, 6, 2)
    np.random.seed(9)
    torch.manual_seed(9)
    assert equal(first, pairs.batch(0, 5, 6, 2))
    assert not equal(first, pairs.batch(0, 6, 6, 2))
    assert not equal(first, pairs.batch(1, 5, 6, 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_batches(pairs: Pairs, workers: int) -> None:
    steps = range(2, 6)
    alone = list(batches(pairs, 0, steps, 6, 2, 0))
    assert all(equal(a, pairs.batch(0, s, 6, 2)) for a, s in zip(alone, steps, strict=True))
    helped = list(batches(pairs, 0, steps, 6, 2, workers))
    assert len(helped) == 4 and all(map(equal, alone, helped))


def test_workers_that_read_and_augment_anew_give_the_same(
    tiny: dict[str, Any], cache: Path
) -> None:
    fresh = Pairs(PairsConfig.model_validate({**tiny["data"], "variants": 0}), cache)
    alone, helped = (list(batches(fresh, 0, range(2), 2, 0, workers)) for workers in (0, 2))
    assert all(map(equal, alone, helped))


def test_preparing_batches_leaves_the_number_of_threads(pairs: Pairs) -> None:
    torch.set_num_threads(2)
    try:
        next(batches(pairs, 0, range(1), 2, 0, 0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_speakers_are_distinct_and_meet_their_own_face(pairs: Pairs) -> None:
    people = pairs.samples.manifest["person"]
    met: set[str] = set()
    for step in range(6):
        batch = pairs.batch(0, step, len(pairs.speakers))
        assert len(set(batch.labels.tolist())) == len(pairs.speakers) == 14
        seen = people[rows(pairs, batch)]
        assert [pairs.values[label] for label in batch.labels] == list(seen)
        met |= set(seen)
    assert len(met) == 14


def test_the_clip_is_the_speakers(tiny: dict[str, Any], pairs: Pairs, cache: Path) -> None:
    """Clips are replaced by their number, which then shows in the batch."""
    marked = Pairs(PairsConfig.model_validate(tiny["data"]), cache)
    marked.clips.drawn = lambda clip, rng: np.full(SAMPLES, clip, np.float32)  # type: ignore[method-assign]
    people, drawn = marked.clips.column("person"), set()
    for step in range(8):
        batch = marked.batch(0, step, 10)
        clips = batch.audio[:, 0].long().tolist()
        assert list(people[clips]) == [marked.values[label] for label in batch.labels]
        drawn |= set(clips)
    assert len(drawn) > 14  # not the same clip of a speaker each time


def test_by_gender_pairs_agree_in_gender_and_faces_are_drawn_afresh(by_gender: Pairs) -> None:
    genders = by_gender.samples.manifest["gender"]
    assert by_gender.values == ["F", "M"]
    first: dict[int, set[int]] = {0: set(), 1: set()}
    for step in range(10):
        batch = by_gender.batch(0, step, 8, 3)
        found = rows(by_gender, batch)
        assert len(found) == 11
        labels = batch.labels.tolist()
        assert ["FM"[label] for label in labels] == list(genders[found[:8]])
        for label, row in zip(labels, found, strict=False):
            first[label].add(row)
    assert min(len(seen) for seen in first.values()) > 9


def test_no_clip_and_no_face_of_another_split(
    tiny: dict[str, Any], pairs: Pairs, cache: Path
) -> None:
    assert set(pairs.samples.manifest["split"]) == set(pairs.clips.column("split")) == {"train"}
    held_out = Pairs(PairsConfig.model_validate({**tiny["data"], "variants": 0}), cache, "val")
    strangers = {face.tobytes() for face in np.asarray(held_out.faces)}
    strangers |= {face[:, ::-1].tobytes() for face in np.asarray(held_out.faces)}
    for step in range(4):
        faces = pairs.batch(0, step, 8, 20).faces.permute(0, 2, 3, 1).contiguous().numpy()
        assert not strangers & {face.tobytes() for face in faces}
    people = set(held_out.clips.column("person"))
    assert not people & set(pairs.clips.column("person"))


def test_half_of_the_faces_are_flipped(pairs: Pairs) -> None:
    plain = {face.tobytes() for face in np.asarray(pairs.faces)}
    faces = pairs.batch(0, 0, 8, 400).faces.permute(0, 2, 3, 1).contiguous().numpy()
    share = np.mean([face.tobytes() in plain for face in faces])
    assert 0.4 < share < 0.6


def test_faces_alone_are_of_seed_and_step(pairs: Pairs) -> None:
    faces = pairs.draw_faces(1, 2, 40)
    assert faces.shape == (40, 3, 32, 32) and faces.dtype == torch.uint8
    assert torch.equal(faces, pairs.draw_faces(1, 2, 40))
    assert not torch.equal(faces, pairs.draw_faces(1, 3, 40))
    assert not torch.equal(faces, pairs.draw_faces(2, 2, 40))
    known = torch.from_numpy(pairs.faces.copy()).permute(0, 3, 1, 2)
    as_they_are = (faces[:, None] == known).flatten(2).all(2)
    flipped = (faces[:, None] == known.flip(3)).flatten(2).all(2)
    assert (as_they_are | flipped).any(1).all()
    assert 8 < int(flipped.any(1).sum()) < 32
    assert int((as_they_are | flipped).any(0).sum()) > len(known) // 2  # all of the split


@pytest.mark.parametrize("workers", [0, 1])
def test_too_few_speakers_is_one_line(pairs: Pairs, workers: int) -> None:
    with pytest.raises(InputError) as caught:
        next(batches(pairs, 0, range(1), 15, 0, workers))
    assert str(caught.value) == "a batch of 15 needs as many speakers; there are 14"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_clip_is_one_line_from_a_worker_too(
    tiny: dict[str, Any], population: Path, tmp_path: Path, workers: int
) -> None:
    folder = tmp_path / "people"
    shutil.copytree(population.parent, folder)
    for clip in (folder / "audio").iterdir():
        clip.write_bytes(b"no sound")
    config = {**tiny["data"], "faces": str(folder / "manifest.csv"), "variants": 0,
              "speech": [str(folder / "manifest.csv")]}  # fmt: skip
    pairs = Pairs(PairsConfig.model_validate(config), tmp_path / "cache")
    with pytest.raises(InputError) as caught:
        next(batches(pairs, 0, range(1), 2, 0, workers))
    assert str(caught.value).startswith(str(folder)) and "\n" not in str(caught.value)


def test_nothing_shared_is_refused(tiny: dict[str, Any], population: Path, tmp_path: Path) -> None:
    lines = population.read_text().splitlines()
    at = lines[0].split(",").index("person")
    others = [lines[0]]
    for line in lines[1:]:
        cells = line.split(",")
        others.append(",".join((*cells[:at], "x" + cells[at], *cells[at + 1 :])))
    (tmp_path / "others.csv").write_text("\n".join(others) + "\n")
    config = {**tiny["data"], "speech": [str(tmp_path / "others.csv")], "variants": 0}
    with pytest.raises(InputError, match="no clip and face share a person"):
        Pairs(PairsConfig.model_validate(config), tmp_path / "cache")


def test_kept_variants_differ_and_are_made_once(
    pairs: Pairs, tiny: dict[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = pairs.clips.kept
    assert kept is not None and kept.shape == (28, 1, SAMPLES) and kept.dtype == np.int16
    assert len({clip.tobytes() for clip in kept}) == 28
    monkeypatch.setattr("scldm.data.pairs.vary_voice", None)  # not called again
    again = Pairs(PairsConfig.model_validate(tiny["data"]), cache)
    assert np.array_equal(again.clips.kept, kept)  # type: ignore[arg-type]


def test_a_plain_clip_is_the_middle_of_its_recording(pairs: Pairs) -> None:
    audio = pairs.samples.speech(4)
    start = max(0, len(audio) - SAMPLES) // 2
    assert np.array_equal(pairs.clips.plain(4), audio[start : start + SAMPLES])


@pytest.mark.parametrize("variants", [0, 2])
def test_without_augmentation_a_drawn_clip_is_a_window_of_its_recording(
    tiny: dict[str, Any], cache: Path, variants: int
) -> None:
    config = {**tiny["data"], "augment": False, "variants": variants}
    pairs = Pairs(PairsConfig.model_validate(config), cache)
    audio = pairs.samples.speech(4)
    drawn = [pairs.clips.drawn(4, np.random.default_rng(k)) for k in range(4)]
    starts = [np.abs(audio[: len(audio) - SAMPLES + 1] - x[0]) < 1e-4 for x in drawn]
    for window, first in zip(drawn, starts, strict=True):
        assert min(
            np.abs(audio[at : at + SAMPLES] - window).max() for at in np.flatnonzero(first)
        ) <= 1 / 32767
