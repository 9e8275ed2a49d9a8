"""Sources of real files, in the layouts of the data sets, for the tests of preparation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scldm.data.manifest import Manifest, read_manifest
from scldm.data.prepare.item import Recipe, Source
from scldm.data.prepare.run import prepare
from tests.films import film, talking, turned, voice

ONE = [(0, 120, 60, 220)]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good, odd and useless videos."""
    folder = tmp_path_factory.mktemp("films")
    talking(folder / "good.mp4")
    talking(folder / "second person.webm", 9)
    film(folder / "two alike.mp4", [(0, 35, 60, 200), (9, 245, 60, 200)], voice(0),
         drift=0)
    film(folder / "two.mp4", [(0, 160, 40, 260), (9, 0, 200, 100)], voice(0))
    film(folder / "nobody.mp4", [], voice(0))
    film(folder / "small.mp4", [(0, 120, 60, 40)], voice(0), drift=0)
    film(folder / "silent.mp4", ONE, np.zeros(96_000, np.float32))
    film(folder / "mute.mp4", ONE, None)
    music = 0.3 * np.sin(2 * np.pi * 440 * np.arange(96_000) / 16_000).astype(np.float32)
    film(folder / "music.mp4", ONE, music)
    film(folder / "short.mp4", ONE, voice(0)[:16_000], 1.0)
    film(folder / "uneven.mkv", ONE, voice(0), uneven=True)
    turned(film(folder / "turned.mp4", ONE, voice(0), lying=True))
    cut = (folder / "second person.webm").read_bytes()
    (folder / "truncated.webm").write_bytes(cut[: len(cut) // 3])
    (folder / "words.mp4").write_text("no film")
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Manifest]:
    """Prepare a source into the test's folder; the store's manifest."""

    def run(source: Source, name: str = "store", **recipe: object) -> Manifest:
        prepare(source, Recipe.model_validate(recipe), tmp_path / name)
        return read_manifest(tmp_path / name)

    return run
