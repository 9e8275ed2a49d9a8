"""The generative stage through a tiny SpeechT5: it moves the adapter, resumes, is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scldm.cli import main
from scldm.core.config import check_config
from scldm.core.errors import InputError
from scldm.voice.checkpoint import load_voice
from scldm.voice.config import VoiceConfig
from scldm.voice.generative_training import read_texts
from scldm.voice.synthesis import open_synthesiser
from scldm.voice.training import train_voice
from tests.stop import stopped_after
from tests.voice.tiny import (
    BINS,
    SENTENCES,
    SPEAKER,
    save_hearing,
    save_speecht5,
    tiny_processor,
    tiny_tts,
    tiny_vocoder,
    tiny_wav2vec_network,
    tiny_xvector_network,
)


@pytest.fixture(scope="module")
def values(
    voice_values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A face to voice in the space of SpeechT5's x-vectors, with two steps of both stages."""
    folder = tmp_path_factory.mktemp("speecht5")
    (folder / "texts.txt").write_text("\n".join(SENTENCES[:2]) + "\n")
    hearing = {"do_normalize": True}
    return {
        **voice_values, "steps": 2, "tts": str(save_speecht5(folder / "t5", folder)),
        "speaker": str(save_hearing(tiny_xvector_network(SPEAKER), folder / "x", **hearing)),
        "generative": {
            "tts": str(folder / "t5"), "steps": 2, "faces": 2, "rate": 1e-2,
            "features": str(save_hearing(tiny_wav2vec_network(), folder / "w", **hearing)),
            "texts": str(folder / "texts.txt"),
        },
    }


def trained(values: dict[str, Any], out: Path, **more: Any) -> Path:
    return train_voice(check_config(VoiceConfig, {**values, "out": str(out), **more}, "tiny"))


@pytest.fixture(scope="module")
def both(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which both stages ran."""
    out = tmp_path_factory.mktemp("both") / "run"
    trained(values, out)
    return out


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_voice(checkpoint).adapter.state_dict()


def test_the_second_stage_moves_the_adapter_and_without_it_nothing_moves(
    values: dict[str, Any], both: Path, tmp_path: Path
) -> None:
    first = trained(values, tmp_path / "first", generative={"steps": 0})
    ours, before = weights(both / "checkpoint"), weights(first)
    moved = [name for name in ours if not torch.equal(ours[name], before[name])]
    assert moved and all(ours[name].isfinite().all() for name in ours)
    assert {name.split(".")[0] for name in moved} == {"encoder", "decoder"}  # through z as well
    assert load_voice(first).settings == {}


def test_stopped_in_the_second_stage_it_ends_with_the_same_bits(
    values: dict[str, Any], both: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    trained(values, tmp_path / "none", generative={"steps": 0})  # the caches' own digits
    with stopped_after(1):  # of the first stage
        trained(values, out)
    again = trained(values, out)
    ours, theirs = weights(again), weights(both / "checkpoint")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_checkpoint_speaks_with_its_own_tts_and_refuses_others(
    values: dict[str, Any], both: Path, population: Path, tmp_path: Path
) -> None:
    model = load_voice(both / "checkpoint")
    assert model.settings and model.facts["tts"]["name"] == values["tts"]
    command = ["voice", "--checkpoint", str(both / "checkpoint"), "--manifest", str(population),
               "--voices", "1", "--text", SENTENCES[0], "--out", str(tmp_path / "out")]
    assert main(command) == 0 and [*(tmp_path / "out").rglob("voice_0.wav")]
    other = tmp_path / "other"
    tiny_tts(num_mel_bins=BINS + 2).save_pretrained(other / "tts")
    tiny_processor(tmp_path, num_mel_bins=BINS + 2).save_pretrained(other / "tts")
    tiny_vocoder(model_in_dim=BINS + 2).save_pretrained(other / "vocoder")
    with pytest.raises(InputError, match="not those that the checkpoint was trained through"):
        open_synthesiser(str(other), model)


@pytest.mark.parametrize("content", [None, "\n  \n"])
def test_texts_that_are_none_are_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "texts").write_text(content)
    with pytest.raises(InputError, match=r"generative.texts: .*texts: (cannot be|has no)"):
        read_texts(tmp_path / "texts")
