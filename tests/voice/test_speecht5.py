"""Laws of SpeechT5 with tiny random weights: forced speech is what it would have said itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scldm.core.errors import InputError
from scldm.voice.speecht5 import SpeechT5, open_speecht5
from tests.voice.tiny import BINS, SPEAKER, save_speecht5, tiny_processor, tiny_tts, tiny_vocoder

TEXT = "The quick brown fox."


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_processor(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def speecht5(processor: Any) -> SpeechT5:
    return SpeechT5(tiny_tts(), tiny_vocoder(), processor)


def voice(seed: int = 0, *shape: int) -> Tensor:
    return torch.randn(*shape, SPEAKER, generator=torch.Generator().manual_seed(seed))


def refused(words: str, speecht5: SpeechT5, text: str, *rest: Any, **wishes: Any) -> None:
    with pytest.raises(InputError, match=words) as caught:
        speecht5.speak(text, *(rest or (voice(),)), **wishes)
    assert "\n" not in str(caught.value)


def test_speech_is_sound_that_follows_voice_and_text(speecht5: SpeechT5) -> None:
    said = speecht5.speak(TEXT, voice())
    assert said.dtype == np.float32 and said.ndim == 1 and speecht5.rate == 16_000
    assert np.abs(said).max() <= 1 and said.std() > 0.01
    for other in (speecht5.speak(TEXT, voice(1)), speecht5.speak("How daft zebras jump!", voice())):
        assert not np.array_equal(said, other[: len(said)])


def test_only_the_direction_of_an_x_vector_is_heard(speecht5: SpeechT5) -> None:
    assert np.allclose(speecht5.speak(TEXT, voice()), speecht5.speak(TEXT, 7 * voice()), atol=1e-3)


def test_the_same_call_gives_the_same_bits_and_draws_nothing(speecht5: SpeechT5) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = speecht5.speak(TEXT, voice())
    assert torch.equal(torch.rand(3), wanted)
    assert np.array_equal(first, speecht5.speak(TEXT, voice()))
    drawn = [speecht5.mel_of(TEXT, voice(), seed) for seed in (0, 1)]
    assert not torch.equal(*drawn)  # the prenet drops other values


def test_forced_on_its_own_mel_it_says_what_it_said(processor: Any) -> None:
    """Without the prenet's dropout and the postnet, the mel is what the decoder itself read."""
    plain = {"speech_decoder_prenet_dropout": 0.0, "speech_decoder_postnet_layers": 0}
    for reduction in (1, 2, 3):
        tts = tiny_tts(reduction_factor=reduction, **plain)
        model = SpeechT5(tts, tiny_vocoder(), processor)
        mel = model.mel_of(TEXT, voice())
        assert mel.shape[0] % reduction == 0 and mel.shape[0] >= 40
        forced = model.forced([TEXT], mel[None], voice()[None])[0]
        torch.testing.assert_close(forced, model.vocoder(mel), atol=1e-3, rtol=0)
        other = model.forced([TEXT], mel[None], voice(1)[None])[0]
        assert (other - forced).abs().max() > 0.1


def test_forced_speech_has_the_length_of_the_mel(speecht5: SpeechT5) -> None:
    for frames in (20, 21):  # a frame beyond the decoder's last step is cut
        said = speecht5.forced([TEXT] * 3, torch.randn(3, frames, BINS), voice(0, 3))
        assert said.shape == (3, 20 * 256)


def test_shorter_texts_of_a_batch_do_not_hear_its_padding(speecht5: SpeechT5) -> None:
    texts, embeddings, mels = ["Jump!", TEXT], voice(0, 2), torch.randn(2, 20, BINS)
    together = speecht5.forced(texts, mels, embeddings)
    for i, text in enumerate(texts):
        # The dropped values follow from the first item of a batch, so each is doubled in its place.
        alone = speecht5.forced([texts[0], text], mels[[0, i]], embeddings[[0, i]])
        torch.testing.assert_close(together[i], alone[1], atol=1e-3, rtol=0)
    alone = speecht5.forced(texts[:1], mels[:1], embeddings[:1])
    torch.testing.assert_close(together[0], alone[0], atol=1e-3, rtol=0)


def test_gradients_reach_the_embedding_alone(speecht5: SpeechT5) -> None:
    embeddings = voice(0, 2).requires_grad_()
    before = {k: v.clone() for k, v in speecht5.state_dict().items()}
    mels = torch.randn(2, 20, BINS)
    speecht5.forced([TEXT, "Jump!"], mels, embeddings).square().sum().backward()
    assert embeddings.grad is not None and embeddings.grad.isfinite().all()
    assert (embeddings.grad.norm(dim=1) > 0).all()
    assert all(p.grad is None and not p.requires_grad for p in speecht5.parameters())
    assert all(torch.equal(v, before[k]) for k, v in speecht5.state_dict().items())


def test_pieces_hold_every_word_and_end_at_sentences(speecht5: SpeechT5) -> None:
    sentences = ["The quick brown fox jumps.", "How daft!", "Pack my box with five dozen jugs;",
                 "judge my vow, sphinx of black quartz, over and over the lazy zebras quick fox."]
    text = " ".join(sentences)
    pieces = speecht5.pieces(f"  {text}\n")
    assert " ".join(pieces) == text
    lengths = [len(speecht5.tokenizer(piece)["input_ids"]) for piece in pieces]
    assert max(lengths) <= speecht5.limit == 60
    assert pieces[0] == " ".join(sentences[:2])
    assert pieces[1].startswith(sentences[2])  # and the first words of one that must be cut
    assert speecht5.pieces("How daft!") == ["How daft!"]


def test_a_long_text_is_its_pieces_with_pauses(speecht5: SpeechT5) -> None:
    text = "The quick brown fox jumps over the lazy dog. How vexingly quick daft zebras jump!"
    pieces = speecht5.pieces(text)
    assert len(pieces) == 2
    alone = [speecht5.speak(piece, voice()) for piece in pieces]
    wanted = np.concatenate([alone[0], np.zeros(2400, np.float32), alone[1]])
    assert np.array_equal(speecht5.speak(text, voice()), wanted)


def test_speech_ends_even_where_the_model_does_not(speecht5: SpeechT5) -> None:
    assert len(speecht5.mel_of("a", voice())) == 3 * 20  # 20 frames for each of "_", "a", the end
    assert len(speecht5.mel_of("Jump the fox", voice())) == 40 * 2  # all steps that it knows


def test_rate_and_pitch_are_moved_only_when_asked(speecht5: SpeechT5) -> None:
    said = speecht5.speak(TEXT, voice())
    fast = speecht5.speak(TEXT, voice(), rate=2.0)
    assert abs(len(fast) - len(said) / 2) <= 1
    high = speecht5.speak(TEXT, voice(), pitch=4.0)
    assert len(high) == len(said) and not np.allclose(high, said, atol=1e-2)
    assert np.abs(high).max() <= 1 and high.dtype == np.float32
    for wish in ({"rate": 0.0}, {"rate": float("nan")}, {"pitch": 99.0}):
        refused("between", speecht5, TEXT, **wish)


def test_a_pitch_of_a_tone_moves_by_semitones() -> None:
    from scldm.voice.speecht5 import _moved

    tone = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(_moved(tone, 16_000, 12, 1)))
    assert spectrum.argmax() == pytest.approx(400, abs=2)  # Hz: the clip has one second


def test_texts_that_cannot_be_said_are_told(speecht5: SpeechT5) -> None:
    for empty in ("", " \n\t"):
        refused("the text is empty", speecht5, empty)
    refused("1001 words: at most 1000", speecht5, "fox " * 1001)
    refused("does not know: 2 é ж; write", speecht5, "fox é 2 ж fox")
    refused("the word quick.* has 76 tokens: fewer than 60", speecht5, "quick" * 15)
    refused("does not know: <", speecht5, "<s> fox")
    with pytest.raises(InputError, match="a text of 73 tokens: at most 60"):
        speecht5.mel_of("fox jump " * 8, voice())


def test_embeddings_that_do_not_fit_are_told(speecht5: SpeechT5) -> None:
    for bad in (torch.zeros(SPEAKER + 1), torch.zeros(1, SPEAKER)):
        refused(f"this SpeechT5 takes {SPEAKER} numbers a voice", speecht5, TEXT, bad)
    refused("not finite", speecht5, TEXT, torch.full((SPEAKER,), float("nan")))
    with pytest.raises(InputError, match="2 texts, 1 mels and 2 speaker"):
        speecht5.forced([TEXT] * 2, torch.zeros(1, 4, BINS), voice(0, 2))


@pytest.mark.parametrize(("vocoder", "features", "words"), [
    ({"model_in_dim": 12}, {}, "10 and 12 mel bins"),
    ({}, {"num_mel_bins": 12}, "12 and 10 mel bins"),
    ({"sampling_rate": 22_050}, {}, "16000 and 22050 Hz"),
    ({"upsample_rates": [16, 8]}, {}, "256 and 128 samples a frame"),
    ({}, {"hop_length": 10}, "160 and 256 samples a frame"),
])  # fmt: skip
def test_a_vocoder_of_other_mels_is_refused(
    tmp_path: Path, vocoder: dict[str, Any], features: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        SpeechT5(tiny_tts(), tiny_vocoder(**vocoder), tiny_processor(tmp_path, **features))


def test_settings_tell_another_mel(speecht5: SpeechT5, processor: Any, tmp_path: Path) -> None:
    import json

    assert json.loads(json.dumps(speecht5.settings)) == speecht5.settings
    assert speecht5.settings["num_mel_bins"] == BINS and speecht5.settings["hop"] == 256
    for other in (
        SpeechT5(tiny_tts(), tiny_vocoder(normalize_before=False), processor),
        SpeechT5(tiny_tts(), tiny_vocoder(), tiny_processor(tmp_path, fmax=8000)),
        SpeechT5(tiny_tts(reduction_factor=1), tiny_vocoder(), processor),
    ):
        assert other.settings != speecht5.settings


def test_a_folder_gives_the_same_bits(speecht5: SpeechT5, tmp_path: Path) -> None:
    opened = open_speecht5(save_speecht5(tmp_path / "speecht5", tmp_path))
    assert opened.settings == speecht5.settings
    assert np.array_equal(opened.speak(TEXT, voice()), speecht5.speak(TEXT, voice()))
    (tmp_path / "speecht5" / "tts" / "spm_char.model").unlink()
    with pytest.raises(InputError, match="cannot be opened as SpeechT5Processor"):
        open_speecht5(tmp_path / "speecht5")
    (tmp_path / "speecht5" / "vocoder" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be opened as SpeechT5HifiGan"):
        open_speecht5(tmp_path / "speecht5")


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="tts: no such folder; a folder of SpeechT5 holds tts/"):
        open_speecht5(tmp_path)
    with pytest.raises(InputError, match="microsoft/speecht5_tts: not on this machine"):
        open_speecht5("speecht5")  # tests are offline
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(InputError, match=r'this needs sentencepiece: pip install "scldm\[speech'):
        open_speecht5(tmp_path)
