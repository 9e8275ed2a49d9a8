"""The embedding stage: the same bits after a stop, what it learns, what the checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scldm.core.artifact import load_tensors, read_json
from scldm.core.errors import InputError
from scldm.encoders.bundle import load_network
from scldm.encoders.face import FaceEncoder
from scldm.encoders.speech import SpeechEncoder
from scldm.voice.checkpoint import load_voice, speaker_of
from scldm.voice.config import VoiceConfig
from scldm.voice.memory import remember
from scldm.voice.speaker import OwnSpeech
from scldm.voice.training import EmbeddingTraining, train_voice
from tests.stop import stopped_after
from tests.voice.conftest import MakeVoice

CPU = torch.device("cpu")


def learn(config: VoiceConfig) -> EmbeddingTraining:
    encoder = load_network(FaceEncoder, Path(config.encoders) / "face_encoder")
    speaker = OwnSpeech(load_network(SpeechEncoder, Path(config.speaker) / "speech_encoder"))
    return EmbeddingTraining(config, remember(config, "train", encoder, speaker, CPU).cache)


def test_a_stopped_run_ends_with_the_same_bits(
    make_voice: MakeVoice, voice_checkpoint: Path
) -> None:
    with stopped_after(3):
        train_voice(make_voice())
    again = train_voice(make_voice())
    assert read_json(again / "hashes.json").keys() == read_json(
        voice_checkpoint / "hashes.json").keys()
    assert load_voice(again).fingerprint == load_voice(voice_checkpoint).fingerprint
    (ours, _), (theirs, _) = (load_tensors(x / "voice.safetensors")
                              for x in (again, voice_checkpoint))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_learns_the_voices_of_its_faces(make_voice: MakeVoice) -> None:
    training = learn(make_voice(rate=3e-3, steps=150))
    before = training.validate(training.cache)
    for n in range(150):
        last = training.step(n)
    after = training.validate(training.cache)
    assert after["cos"] > before["cos"] + 0.3 and after["cos"] > after["cos, shuffled"] + 0.1
    assert {"reconstruction", "contrastive", "centre", "mmd", "std"} == last.keys()


def test_the_spread_stays_above_the_floor(make_voice: MakeVoice) -> None:
    adapter = {"hidden": 16, "latent": 4, "floor": 0.2}
    training = learn(make_voice(rate=3e-3, adapter=adapter, loss={"mmd": 0.0}))
    stds = [training.step(n)["std"] for n in range(150)]
    assert stds[-1] < stds[0] and min(stds) >= 0.2


def test_without_vae_nothing_is_drawn_to_a_prior(make_voice: MakeVoice) -> None:
    training = learn(make_voice(adapter={"hidden": 16, "vae": False}))
    assert training.step(0).keys() == {"reconstruction", "contrastive", "centre"}


def test_the_checkpoint_says_how_it_was_made(voice_checkpoint: Path) -> None:
    model = load_voice(voice_checkpoint)
    facts = model.facts
    assert facts["stage"] == "voice" and facts["image_size"] == 32
    assert facts["tts"] == {"name": "babble", "settings": {}}
    assert speaker_of(model, None, CPU).fingerprint == facts["speaker"]["fingerprint"]
    wide = model.speakers.mean.shape[0]
    assert model.regression.weight.shape == (wide, 4) and facts["speaker"]["width"] == wide


def test_another_speaker_encoder_is_refused(
    voice_checkpoint: Path, checkpoint: Path, tmp_path: Path
) -> None:
    other = SpeechEncoder(16, [8] * 8 + [16], 16, 2, 2)
    other.save_pretrained(tmp_path / "other", safe_serialization=True)
    with pytest.raises(InputError, match="not the speaker encoder of this checkpoint"):
        speaker_of(load_voice(voice_checkpoint), str(tmp_path / "other"), CPU)


@pytest.mark.parametrize("folder", ["pretrain/encoders", "train/checkpoint"])
def test_what_is_no_voice_checkpoint_is_refused(chain: Path, folder: str) -> None:
    with pytest.raises(InputError, match=r"of stage \w+; give what scldm train-voice wrote"):
        load_voice(chain / folder)
