"""Laws of the speaker encoders: they hear what their networks hear, and gradients pass them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scldm.core.errors import InputError
from scldm.data.spectrogram import fit_clip, spectrogram
from scldm.encoders.bundle import load_network
from scldm.encoders.speech import SpeechEncoder
from scldm.voice.speaker import (
    OwnSpeech,
    XVector,
    open_network,
    open_speaker,
)
from tests.voice.tiny import save_hearing, tiny_wav2vec_network, tiny_xvector_network

BUNDLED = Path(__file__).parents[2] / "scldm" / "bundled" / "checkpoint"


def speech(samples: int = 20_000, clips: int = 2, seed: int = 0) -> Tensor:
    """Noise with pauses, at most 0.5."""
    g = torch.Generator().manual_seed(seed)
    audio = torch.rand(clips, samples, generator=g) - 0.5
    audio[:, samples // 3 : samples // 2] *= 1e-4
    return audio


@pytest.fixture(scope="module")
def own() -> OwnSpeech:
    return OwnSpeech(load_network(SpeechEncoder, BUNDLED / "speech_encoder"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WavLMForXVector as a folder, for clips of mean 0 and variance 1."""
    place = tmp_path_factory.mktemp("xvector") / "wavlm"
    return save_hearing(tiny_xvector_network(), place, do_normalize=True)


@pytest.mark.parametrize("samples", [3000, 96_000, 130_000])
def test_own_hears_what_the_speech_encoder_hears(own: OwnSpeech, samples: int) -> None:
    audio = speech(samples)
    with torch.no_grad():
        assert torch.equal(own(audio), own.network(spectrogram(fit_clip(audio))))
    assert own(audio).shape == (2, own.width) and own.name == "own"


def test_gradients_pass_and_weights_take_none(own: OwnSpeech, folder: Path) -> None:
    for encoder in (own, open_speaker(folder)):
        assert isinstance(encoder, torch.nn.Module)
        audio = speech().requires_grad_()
        before = {k: v.clone() for k, v in encoder.state_dict().items()}
        encoder(audio).square().sum().backward()
        assert audio.grad is not None and audio.grad.isfinite().all() and audio.grad.abs().sum() > 0
        assert all(p.grad is None for p in encoder.parameters())
        after = encoder.state_dict()
        assert all(torch.equal(v, after[k]) for k, v in before.items())


@pytest.mark.parametrize("normalise", [True, False])
def test_xvectors_are_those_of_transformers(normalise: bool) -> None:
    from transformers import Wav2Vec2FeatureExtractor

    audio, network = 0.3 * speech() + 0.1, tiny_xvector_network().eval()
    extractor = Wav2Vec2FeatureExtractor(do_normalize=normalise)
    given = extractor(list(audio.numpy()), sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        wanted = network(given["input_values"]).embeddings
        found = XVector(network, normalise)(audio)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)
    assert found.shape == (2, 12)
    assert not torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-2)  # raw


def test_a_folder_gives_the_same_bits(folder: Path) -> None:
    opened = open_speaker(folder)
    made = XVector(tiny_xvector_network(), normalise=True)
    assert torch.equal(opened(speech()), made(speech()))
    assert opened.fingerprint == made.fingerprint and opened.width == made.width == 12
    assert opened.name == "xvector"


def test_another_network_has_another_fingerprint() -> None:
    network = tiny_xvector_network()
    made = XVector(network, normalise=True).fingerprint
    with torch.no_grad():
        network.projector.bias[0] += 1e-3
    assert XVector(network, normalise=True).fingerprint != made


def test_a_checkpoint_and_its_speech_encoder_are_the_same(own: OwnSpeech, tmp_path: Path) -> None:
    for place in (BUNDLED, BUNDLED / "speech_encoder"):
        opened = open_speaker(str(place))
        assert opened.fingerprint == own.fingerprint
        assert torch.equal(opened(speech()), own(speech()))
    shutil.copytree(BUNDLED, tmp_path / "altered")
    config = tmp_path / "altered" / "speech_encoder" / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(InputError, match="speech_encoder/config.json was altered"):
        open_speaker(tmp_path / "altered")


def test_clips_that_are_too_short_are_told_their_least_length(own: OwnSpeech, folder: Path) -> None:
    encoder = open_speaker(folder)
    assert encoder(speech(1920)).isfinite().all()  # two frames behind every convolution
    for bad in (speech(1919), speech()[0]):
        with pytest.raises(InputError, match=r"at least 1920 samples \(0.12 s\)"):
            encoder(bad)
    with pytest.raises(InputError, match="at least 1 samples"):
        own(torch.zeros(2, 0))


def test_the_public_networks_need_a_third_of_a_second() -> None:
    from transformers import WavLMConfig

    from scldm.voice.speaker import _least_samples

    config = WavLMConfig()  # convolutions and head of microsoft/wavlm-base-plus-sv
    # 16 frames of 400 samples, 320 apart; the head's kernels 5, 3, 3 (dilated 1, 2, 3) leave two
    assert _least_samples(config) == 400 + 15 * 320


def refused(name: str | Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_speaker(name)
    assert "\n" not in str(caught.value)


def test_what_is_no_speaker_encoder_is_told(tmp_path: Path, folder: Path) -> None:
    refused("resemblyzer", "'resemblyzer': use xvector, or a folder")
    refused(tmp_path, "holds neither the project's speech encoder nor WavLMForXVector")
    (tmp_path / "config.json").write_text("{")
    refused(tmp_path, "config.json: damaged")
    for left_out in ("model.safetensors", "preprocessor_config.json"):
        place = tmp_path / f"without {left_out}"
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns(left_out))
        refused(place, "without .*: cannot be opened as .* place what save_pretrained wrote")


def test_weights_that_are_missing_damaged_or_pickled_are_refused(
    tmp_path: Path, folder: Path
) -> None:
    place = tmp_path / "net"
    shutil.copytree(folder, place)
    weights = place / "model.safetensors"
    state = load_file(weights)
    save_file({k: v for k, v in state.items() if k != "projector.bias"}, weights, {"format": "pt"})
    refused(place, "not a whole WavLMForXVector: the weight projector.bias is missing")
    save_file({**state, "projector.bias": torch.zeros(3)}, weights, {"format": "pt"})
    refused(place, "cannot be opened as WavLMForXVector")
    weights.write_bytes(b"nonsense")
    refused(place, "cannot be opened as WavLMForXVector")
    weights.unlink()
    torch.save(state, place / "pytorch_model.bin")
    refused(place, "cannot be opened as WavLMForXVector .*model.safetensors")


def test_another_kind_or_rate_is_refused(tmp_path: Path) -> None:
    place = save_hearing(tiny_wav2vec_network(), tmp_path / "wav2vec")
    refused(place, "holds neither")
    with pytest.raises(InputError, match="not a whole WavLMForXVector"):
        open_network("WavLMForXVector", str(place))
    place = save_hearing(tiny_xvector_network(), tmp_path / "8k", sampling_rate=8000)
    refused(place, "for speech of 8000 Hz, not 16000")


def test_the_hub_that_cannot_be_asked_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OSError("no network")

    from huggingface_hub import HfApi

    monkeypatch.setattr(HfApi, "model_info", gone)
    refused("xvector", "microsoft/wavlm-base-plus-sv: not on this machine, .*name the folder")


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    refused("xvector", r'this needs transformers: pip install "scldm\[speecht5\]"')
