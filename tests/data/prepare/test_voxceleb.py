"""VoxCeleb 1 and 2 with real files in their layouts, from the folder to the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from scldm.cli import main
from scldm.data.manifest import Manifest
from scldm.data.prepare.sources import voxceleb
from scldm.data.samples import open_samples
from tests.data.prepare.test_sources import VOX1, VOX2
from tests.films import film, painted, scene, voice
from tests.media import encode, write_sound


def test_voxceleb_1(tmp_path: Path, make: Callable[..., Manifest]) -> None:
    """Sound as wav, faces as pictures under the person's name, gender and country by the table."""
    root = tmp_path / "vox1"
    root.mkdir()
    (root / "vox1_meta.csv").write_text(VOX1)
    for key, name, who in (("id10001", "A.J._Buckley", 2), ("id10270", "Eartha_Kitt", 4)):
        sounds = root / "wav" / key / "1zcIwhmdeo4"
        sounds.mkdir(parents=True)
        long = np.concatenate([voice(who, 0), voice(who, 1)])[:, None]
        write_sound(sounds / "00001.wav", long, 16_000)
        pictures = root / "unzippedFaces" / name / "1.6" / "1zcIwhmdeo4"
        pictures.mkdir(parents=True)
        for n in range(4):
            Image.fromarray(scene([(who, 100 + n, 60, 220)])).save(pictures / f"{n:07d}.jpg")
    manifest = make(voxceleb(root), size=96)
    assert list(manifest["item"]) == ["id10001/1zcIwhmdeo4/00001"] * 3 + [
        "id10270/1zcIwhmdeo4/00001"] * 3
    assert list(manifest["audio"] != "") == [True, True, False] * 2  # two windows, three faces
    assert {*zip(manifest["person"], manifest["gender"], manifest["nationality"], strict=True)} == {
        ("id10001", "M", "Ireland"), ("id10270", "F", "USA")}
    assert {*manifest["age_lo"]} == {""} and {*manifest["split"]} <= {"train", "val", "test"}
    samples = open_samples(tmp_path / "store")
    assert np.array_equal(samples.speech(0), np.rint(voice(2) * 32767) / 32768) or (
        np.abs(samples.speech(0) - voice(2)).max() < 1e-4)
    seen = samples.face(0, 48).astype(float)
    small = [np.asarray(Image.fromarray(painted(who, 220)).resize((48, 48))) for who in (2, 4)]
    assert np.abs(seen - small[0]).mean() < np.abs(seen - small[1]).mean()


def test_voxceleb_2(tmp_path: Path) -> None:
    """Sound as m4a and films without sound, of the same names."""
    root = tmp_path / "vox2"
    for kind in ("aac", "mp4"):
        (root / "dev" / kind / "id00012" / "21Uxsk56VDQ").mkdir(parents=True)
    (root / "vox2_meta.csv").write_text(VOX2)
    folder = root / "dev" / "{}" / "id00012" / "21Uxsk56VDQ"
    for n, who in ((1, 0), (2, 9)):
        sound = Path(str(folder).format("aac")) / f"{n:05d}.m4a"
        encode(sound, np.repeat(voice(who), 3)[:, None], 48_000, "aac")
        film(Path(str(folder).format("mp4")) / f"{n:05d}.mp4", [(who, 120, 60, 220)], None)
    store = tmp_path / "store"
    assert main(["prepare", "voxceleb", str(root), "--out", str(store), "--strict", "--recipe",
                 "size=64", "faces=1"]) == 0
    manifest = open_samples(store).manifest
    assert list(manifest["item"]) == [f"id00012/21Uxsk56VDQ/{n:05d}" for n in (1, 2)]
    assert {*manifest["gender"]} == {"F"} and {*manifest["split"]} <= {"train", "val"}
    assert {*manifest["source"]} == {"VoxCeleb id00012"}
