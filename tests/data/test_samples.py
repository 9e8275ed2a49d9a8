"""Laws of the dataset interface: files become aligned faces and checked waveforms, kept once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from scldm.core.errors import InputError
from scldm.data import samples as module
from scldm.data.faces import align
from scldm.data.samples import Samples, load_faces, open_samples


@pytest.fixture(scope="module")
def train(population: Path) -> Samples:
    return open_samples(population, "train", "face")


def test_a_face_is_its_picture_aligned_by_its_landmarks(train: Samples) -> None:
    picture = Image.open(train.manifest.file(3, "face"))
    wanted = align(picture, train.manifest.landmarks()[3], 32)
    assert np.array_equal(train.face(3, 32), wanted)
    assert train.face(3, 48).shape == (48, 48, 3)


def test_speech_is_the_recording(train: Samples) -> None:
    audio = train.speech(5)
    kept, rate = soundfile.read(train.manifest.file(5, "audio"), dtype="float32")
    assert rate == 16_000 and audio.dtype == np.float32
    assert np.array_equal(audio, kept)


def test_a_split_has_its_rows_only(population: Path, train: Samples) -> None:
    splits = ("train", "val", "test")
    people = {split: set(open_samples(population, split).manifest["person"]) for split in splits}
    assert set(train.manifest["person"]) == people["train"]
    assert sum(map(len, people.values())) == len(set.union(*people.values())) == 24


def test_faces_are_kept_as_a_file_that_is_made_once(
    train: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = load_faces(train, 32, tmp_path)
    assert faces.shape == (28, 32, 32, 3) and faces.dtype == np.uint8
    assert all(np.array_equal(faces[row], train.face(row, 32)) for row in (0, 13, 27))
    assert os.listdir(tmp_path) == [f"faces-{train.manifest.digest}-32.npy"]
    monkeypatch.setattr(module, "align", None)  # not called again
    again = load_faces(train, 32, tmp_path)
    assert np.array_equal(again, faces)
    assert isinstance(again, np.memmap) and not again.flags.writeable


def test_another_size_or_another_choice_of_rows_is_another_file(
    population: Path, train: Samples, tmp_path: Path
) -> None:
    load_faces(train, 16, tmp_path)
    load_faces(train, 24, tmp_path)
    assert load_faces(open_samples(population, "val", "face"), 16, tmp_path).shape[0] == 10
    assert len(os.listdir(tmp_path)) == 3


def broken(folder: Path, audio: np.ndarray) -> Samples:
    soundfile.write(folder / "a.wav", audio, 16_000)
    (folder / "f.png").write_bytes(b"\x89PNG\r\n\x1a\n half")
    (folder / "m.csv").write_text("audio,face,person\na.wav,f.png,p\n")
    return open_samples(folder / "m.csv")


def test_bad_files_are_named_and_leave_no_half_of_a_cache(tmp_path: Path) -> None:
    samples = broken(tmp_path, np.zeros(16_000))
    with pytest.raises(InputError, match="a.wav: silent"):
        samples.speech(0)
    with pytest.raises(InputError, match="f.png"):
        load_faces(samples, 32, tmp_path / "cache")
    assert os.listdir(tmp_path / "cache") == []
    with pytest.raises(InputError, match="a.wav: only 0.25 s"):
        broken(tmp_path, np.ones(4000) / 2).speech(0)


def test_without_landmarks_the_face_is_searched(
    train: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, points = train.manifest.file(0, "face"), train.manifest.landmarks()[0]
    (tmp_path / "m.csv").write_text(f"face,person\n{picture},p\n")
    asked: list[str] = []

    def find(image: Image.Image, name: str) -> np.ndarray:
        asked.append(name)
        return points

    monkeypatch.setattr(module, "find_landmarks", find)
    assert np.array_equal(open_samples(tmp_path / "m.csv").face(0, 32), train.face(0, 32))
    assert asked == [str(picture)]
