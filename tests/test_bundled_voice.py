"""The voice adapter that comes with the package: voices of drawn faces, and pictures it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scldm.cli import BUNDLED, BUNDLED_VOICE, main
from scldm.core.artifact import check_hashes, read_json
from scldm.data.media import read_audio
from scldm.generation.pipeline import SpeechToFacePipeline
from scldm.voice.acoustics import measure

EXAMPLES = Path(__file__).parents[1] / "examples"



@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A portrait of a woman's and of a man's example clip."""
    folder = tmp_path_factory.mktemp("faces")
    pipeline = SpeechToFacePipeline.from_pretrained(BUNDLED)
    clips = {"anna": 3, "bruno": 3}  # seeds, as `make demo` has them
    for name, seed in clips.items():
        portrait = pipeline(EXAMPLES / f"{name}.flac", portraits=1, seed=seed)[0][0]
        portrait.save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in clips}


@pytest.fixture(scope="module")
def voices(faces: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("voices")
    assert main(["voice", *map(str, faces.values()), "--out", str(out)]) == 0
    return out


def f0(path: Path) -> float:
    return measure(read_audio(path, window=60.0)).f0


def test_it_is_whole_small_and_fits_the_bundled_checkpoint() -> None:
    hashes = check_hashes(BUNDLED_VOICE)
    assert {"README.md", "facts.json", "voice.safetensors"} <= hashes.keys()
    assert sum(f.stat().st_size for f in BUNDLED_VOICE.rglob("*")) < 15e6
    theirs = read_json(BUNDLED / "hashes.json")
    shared = "face_encoder/diffusion_pytorch_model.safetensors"
    assert hashes[shared] == theirs[shared]


def test_voices_have_the_pitch_of_the_face(voices: Path) -> None:
    women, men = ([f0(voices / name / f"voice_{k}.wav") for k in range(3)]
                  for name in ("anna", "bruno"))
    assert min(women) > 165 > max(men)
    assert len({round(x, 1) for x in women}) == len({round(x, 1) for x in men}) == 3


def test_pitch_and_rate_move_the_voice(
    faces: dict[str, Path], voices: Path, tmp_path: Path
) -> None:
    command = ["voice", str(faces["bruno"]), "--voices", "1", "--out", str(tmp_path)]
    assert main([*command, "--pitch", "4", "--rate", "1.3"]) == 0
    plain, moved = voices / "bruno" / "voice_0.wav", tmp_path / "bruno" / "voice_0.wav"
    assert f0(moved) / f0(plain) == pytest.approx(2 ** (4 / 12), rel=0.06)
    ratio = len(read_audio(plain, window=60.0)) / len(read_audio(moved, window=60.0))
    assert ratio == pytest.approx(1.3, rel=0.12)


def test_of_several_faces_none_is_taken_or_the_largest(
    faces: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anna, bruno = (Image.open(path).resize((side, side)) for path, side in
                   zip(faces.values(), (240, 160), strict=True))
    both = Image.new("RGB", (460, 260), "grey")
    both.paste(anna, (10, 10))
    both.paste(bruno, (280, 50))
    both.save(tmp_path / "both.png")
    command = ["voice", str(tmp_path / "both.png"), "--voices", "1", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "both.png: 2 faces; crop one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--face", "largest"]) == 0
    assert f0(tmp_path / "out" / "both" / "voice_0.wav") > 165  # hers


@pytest.mark.parametrize(("text", "reason"), [
    ("", "empty"), ("\t \n", "empty"), ("word " * 1001, "1,001 words"), ("Hello 🙂", "🙂"),
    ("tab\x07bell", "U\\+0007|x07|\\\\a|control"),
])  # fmt: skip
def test_text_that_cannot_be_said_has_one_line_and_leaves_nothing(
    faces: dict[str, Path], tmp_path: Path, text: str, reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import re

    out = tmp_path / "out"
    assert main(["voice", str(faces["anna"]), "--text", text, "--out", str(out)]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("scldm: ")]
    assert len(said) == 1 and re.search(reason, said[0]), said
    assert not [*tmp_path.rglob("*.wav")] and not [*tmp_path.rglob("*.part")]


def test_a_picture_without_a_face_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.full((200, 200, 3), 127, np.uint8)).save(tmp_path / "wall.png")
    assert main(["voice", str(tmp_path / "wall.png"), "--out", str(tmp_path / "out")]) == 2
    assert "wall.png: no face found" in capsys.readouterr().err
