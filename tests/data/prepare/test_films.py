"""Preparation of videos: what is used, what is skipped and why, and what a store keeps of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scldm.cli import main
from scldm.core.artifact import read_json
from scldm.core.errors import InputError
from scldm.data.manifest import Manifest
from scldm.data.prepare.item import Recipe
from scldm.data.prepare.run import prepare
from scldm.data.prepare.sources import videos
from scldm.data.samples import open_samples
from tests.films import painted, voice

Make = Callable[..., Manifest]
SKIPPED = {
    "two alike.mp4": "several faces", "nobody.mp4": "no face", "small.mp4": "face too small",
    "silent.mp4": "no speech", "mute.mp4": "no speech", "music.mp4": "no speech",
    "short.mp4": "too short", "truncated.webm": "cannot be decoded",
    "words.mp4": "cannot be decoded",
}  # fmt: skip
USED = ("good.mp4", "second person.webm", "turned.mp4", "two.mp4", "uneven.mkv")


def test_every_video_is_used_or_skipped_for_its_reason(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    assert main(["prepare", "videos", str(films), "--out", str(store)]) == 0
    said = capsys.readouterr()
    with (store / "skipped.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["clip"]: line["reason"] for line in lines} == SKIPPED
    for clip, reason in SKIPPED.items():
        assert f"skipped {clip}: {reason}" in said.err
    facts = read_json(store / "store.json")
    assert facts["used"] == len(USED) and facts["clips"] == len(USED) + len(SKIPPED)
    assert sum(facts["skipped"].values()) == len(SKIPPED)
    assert f"{len(USED)} of {facts['clips']} clips" in said.out and "3 no speech" in said.out
    manifest = open_samples(store).manifest
    assert sorted({*manifest["item"]}) == sorted(USED)
    text = (store / "skipped.csv").read_text() + (store / "plan.json").read_text()
    assert str(films) not in text and str(tmp_path) not in text
    for file in store.rglob("*"):
        assert not file.is_file() or str(tmp_path).encode() not in file.read_bytes()
    assert main(["data", str(store), "--out", str(tmp_path / "sheet")]) == 0
    said = capsys.readouterr()
    assert "people: 5" in said.out and "skipped, no speech: 3" in said.out
    assert (tmp_path / "sheet" / "store.png").is_file()


def test_a_store_keeps_face_and_voice_of_the_speaker(films: Path, make: Make) -> None:
    manifest = make(videos(films))
    samples = open_samples(manifest.path.parent)
    for name, who in (("good.mp4", 0), ("second person.webm", 9), ("turned.mp4", 0),
                      ("two.mp4", 0), ("uneven.mkv", 0)):  # fmt: skip
        row = int(np.flatnonzero(manifest["item"] == name)[0])
        face = samples.face(row, 64).astype(float)
        near = {other: np.abs(face - _aligned(other)).mean() for other in (0, 9)}
        assert min(near, key=near.__getitem__) == who and near[who] < 25, (name, near)
        sound = samples.speech(row)
        assert len(sound) == 96_000
        assert likeness(sound, voice(who)) > 0.9 > 0.3 > likeness(sound, voice(who, 1))
        assert manifest["person"][row] == name.rsplit(".", 1)[0]
        box = [float(x) for x in manifest["box"][row].split()]
        assert 100 < box[2] - box[0] < 260 and 0 <= float(manifest["time"][row]) <= 6


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The largest correlation of two sounds at any shift: coders delay them a little."""
    spectra = np.fft.rfft(one, 2 * len(one)) * np.fft.rfft(other, 2 * len(one)).conj()
    return float(np.fft.irfft(spectra).max() / np.linalg.norm(one) / np.linalg.norm(other))


def _aligned(who: int) -> np.ndarray:
    from PIL import Image

    from scldm.data.faces import align
    from scldm.data.population.faces import landmarks
    from scldm.data.population.people import person

    points = np.asarray(landmarks(person(0, who), 0, 220), dtype=float)
    return align(Image.fromarray(painted(who, 220)), points, 64).astype(float)


def test_two_faces_and_the_place_of_the_speaker(films: Path, tmp_path: Path) -> None:
    """AVSpeech's x, y decides between two equal faces; the choice is recorded."""
    folder = tmp_path / "av"
    folder.mkdir()
    (folder / "aaaaaaaaaa0.mp4").write_bytes((films / "two alike.mp4").read_bytes())
    (folder / "aaaaaaaaaa0_1.0_5.0.mp4").write_bytes((films / "good.mp4").read_bytes())
    (folder / "aaaaaaaaaa1_0.5.mp4").write_bytes((films / "two alike.mp4").read_bytes())
    rows = ["aaaaaaaaaa0,0.0,6.0,0.28,0.45", "aaaaaaaaaa0,0.5,5.5,0.7,0.45",
            "aaaaaaaaaa0,1.0,5.0,0.5,0.45", "aaaaaaaaaa1,0.5,5.5,0.02,0.98",
            "missing_vid,0.0,6.0,0.5,0.5"]  # fmt: skip
    table = tmp_path / "av.csv"
    table.write_text("\n".join(rows) + "\n")
    store = tmp_path / "store"
    assert main(["prepare", "avspeech", str(table), str(folder), "--out", str(store)]) == 0
    manifest = open_samples(store).manifest
    places = {item: float(manifest["box"][row].split()[0])
              for row, item in reversed(list(enumerate(manifest["item"])))}  # fmt: skip
    assert {*places} == {"aaaaaaaaaa0_0.0", "aaaaaaaaaa0_0.5", "aaaaaaaaaa0_1.0"}
    assert places["aaaaaaaaaa0_0.0"] < 100 and places["aaaaaaaaaa0_0.5"] > 180
    assert {*manifest["choice"]} == {"nearest of 2 to x, y", "only"}
    assert len({*manifest["person"]}) == 1 and len({*manifest["split"]}) == 1
    skipped = (store / "skipped.csv").read_text().splitlines()[1:]
    assert skipped == ["aaaaaaaaaa1_0.5,no face,none where the table says",
                       "missing_vid_0.0,no video,"]  # fmt: skip
    whole = open_samples(store)
    row = int(np.flatnonzero(manifest["item"] == "aaaaaaaaaa0_0.5")[0])
    assert len(whole.speech(row)) == 80_000  # half a second to five and a half


def test_strict_and_nothing_left_are_errors(films: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"music.mp4: no speech"):
        prepare(videos(films), Recipe(), tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict" / "store.json").exists()
    with pytest.raises(InputError, match="not finished; give the same command again"):
        open_samples(tmp_path / "strict")
    few = tmp_path / "few"
    few.mkdir()
    for name in ("nobody.mp4", "mute.mp4", "words.mp4"):
        (few / name).write_bytes((films / name).read_bytes())
    with pytest.raises(InputError) as caught:
        prepare(videos(few), Recipe(), tmp_path / "none")
    words = "no clip could be used: 1 no speech, 1 no face, 1 cannot be decoded"
    assert words in str(caught.value)
