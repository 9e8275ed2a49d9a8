"""`scldm voice`'s work: which files, which voices, what is kept, what stops it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from scldm.core.artifact import load_tensors
from scldm.core.errors import InputError
from scldm.data.samples import open_samples
from scldm.voice.checkpoint import FaceToVoice
from scldm.voice.pictures import Picture, of_files, of_samples
from scldm.voice.protocols import RATE
from scldm.voice.speaker import open_speaker
from scldm.voice.voices import Speaking, VoiceWish, voice


class Tone:
    """A sine whose pitch is the embedding's first number: a voice that tests can read."""

    name, rate = "tone", RATE

    def __init__(self) -> None:
        self.said = 0

    def speak(
        self, text: str, embedding: Tensor, pitch: float = 0.0, rate: float = 1.0
    ) -> np.ndarray:
        if not text:
            raise InputError("nothing to say")
        self.said += 1
        hertz = 200 * 2 ** (float(embedding[0].tanh()) + pitch / 12)
        return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(1600 / rate)) / RATE).astype("f4")


@pytest.fixture(scope="module")
def faces(population: Path) -> list[Picture]:
    return of_samples(open_samples(population, "test", "face"))


def spoken(
    model: FaceToVoice, faces: list[Picture], out: Path, **wish: object
) -> tuple[dict[str, Tensor], Tone]:
    """Embeddings by face, of a call that must succeed, and the synthesiser."""
    tone = Tone()
    speaking = Speaking(model, tone, VoiceWish("Good day.", **wish))  # type: ignore[arg-type]
    made, bad = voice(speaking, faces, out)
    assert not bad and len(made) == speaking.wish.voices * len(faces)
    return {v.face: load_tensors(out / v.embedding)[0]["embeddings"] for v in made}, tone


def test_files_and_manifest_are_as_documented(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path
) -> None:
    spoken(voice_model, faces[:2], tmp_path)
    lines = [json.loads(x) for x in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert [x["voice"] for x in lines] == [0, 1, 2] * 2
    for line in lines:
        assert {"face", "path", "seed", "embedding", "tts", "checkpoint", "seconds"} <= line.keys()
        assert line["checkpoint"] == voice_model.fingerprint and line["tts"] == "tone"
        with soundfile.SoundFile(tmp_path / line["path"]) as file:
            assert (file.samplerate, file.channels, file.frames) == (RATE, 1, 1600)
            assert file.comment.startswith("AI-generated: one plausible voice")


def test_a_seed_gives_the_same_voices_however_many(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path
) -> None:
    few, _ = spoken(voice_model, faces[:1], tmp_path / "few", voices=2)
    many, _ = spoken(voice_model, faces[:1], tmp_path / "many", voices=5)
    other, _ = spoken(voice_model, faces[:1], tmp_path / "other", voices=2, seed=1)
    (a,), (b,), (c,) = few.values(), many.values(), other.values()
    assert torch.equal(a, b[:2]) and not torch.equal(a, c)


def test_spread_scales_the_sampling(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path
) -> None:
    def apart(spread: float) -> float:
        found, _ = spoken(voice_model, faces[:1], tmp_path / str(spread), voices=6, spread=spread)
        (voices,) = found.values()
        return float(voices.std(dim=0).norm())

    assert apart(0.0) == 0 < apart(0.5) < apart(1.0) < apart(2.0)


def test_the_mean_faces_voice_is_the_same_for_all(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path
) -> None:
    found, _ = spoken(voice_model, faces[:3], tmp_path, control="mean-face")
    first, *rest = found.values()
    assert all(torch.equal(first, other) for other in rest)


def test_mixing_leads_from_one_face_to_the_other(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path
) -> None:
    def mixed(share: float) -> Tensor:
        wish = VoiceWish("Good day.", 1, spread=0.0, share=share)
        speaking = Speaking(voice_model, Tone(), wish, faces[3])
        made, _ = voice(speaking, faces[:1], tmp_path / str(share))
        return load_tensors(tmp_path / str(share) / made[0].embedding)[0]["embeddings"][0]

    plain, _ = spoken(voice_model, [faces[0], faces[3]], tmp_path / "plain", voices=1, spread=0.0)
    one, other = (x[0] for x in plain.values())
    torch.testing.assert_close(mixed(0.0), one)
    torch.testing.assert_close(mixed(1.0), other)
    assert 0 < (mixed(0.5) - one).norm() < (other - one).norm()


def test_the_true_voice_is_the_recordings(
    voice_model: FaceToVoice, population: Path, faces: list[Picture], tmp_path: Path
) -> None:
    speaker = open_speaker(voice_model.facts["config"]["speaker"])
    wish = VoiceWish("Good day.", 1, control="true-voice")
    made, _ = voice(Speaking(voice_model, Tone(), wish, None, speaker), faces[:1], tmp_path)
    samples = open_samples(population, "test")
    with torch.no_grad():
        heard = speaker(torch.from_numpy(samples.speech(0)[None].copy()))
    space = voice_model.speakers
    wanted = space.place(space.direction(heard))[0]
    found = load_tensors(tmp_path / made[0].embedding)[0]["embeddings"][0]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_voices_that_are_there_stay_and_others_are_made(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path
) -> None:
    spoken(voice_model, faces[:2], tmp_path)
    manifest = (tmp_path / "manifest.jsonl").read_bytes()
    _, again = spoken(voice_model, faces[:2], tmp_path)
    assert again.said == 0 and (tmp_path / "manifest.jsonl").read_bytes() == manifest
    _, higher = spoken(voice_model, faces[:2], tmp_path, pitch=2.0)
    assert higher.said == 6


def test_a_bad_face_is_named_and_the_rest_go_on(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    bad = of_files([str(tmp_path / "torn.png")])
    made, faults = voice(
        Speaking(voice_model, Tone(), VoiceWish("Good day.", 1)), [*bad, faces[0]], tmp_path / "out"
    )
    assert len(made) == 1 and len(faults) == 1 and "torn.png" in faults[0]
    assert "torn.png" in capsys.readouterr().err


def test_text_that_cannot_be_said_leaves_nothing(
    voice_model: FaceToVoice, faces: list[Picture], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        voice(Speaking(voice_model, Tone(), VoiceWish("")), faces[:1], tmp_path / "out")
    assert not [*tmp_path.rglob("*.wav")] and not [*tmp_path.rglob("*.jsonl")]
