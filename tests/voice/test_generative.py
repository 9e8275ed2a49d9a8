"""Laws of L_gen (seed 000, Eq. 5) through tiny frozen networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from scldm.core.errors import InputError
from scldm.voice.generative import GenerativeLoss, Wav2Vec, open_wav2vec
from scldm.voice.speaker import XVector
from scldm.voice.speecht5 import SpeechT5
from tests.voice.tiny import (
    SPEAKER,
    save_hearing,
    tiny_processor,
    tiny_tts,
    tiny_vocoder,
    tiny_wav2vec_network,
    tiny_xvector_network,
)

TEXTS = ["The fox.", "Jump!"]


@pytest.fixture(scope="module")
def loss(tmp_path_factory: pytest.TempPathFactory) -> GenerativeLoss:
    processor = tiny_processor(tmp_path_factory.mktemp("tokenizer"))
    return GenerativeLoss(
        SpeechT5(tiny_tts(), tiny_vocoder(), processor),
        XVector(tiny_xvector_network(), normalise=True),
        Wav2Vec(tiny_wav2vec_network(), normalise=True),
    )


def voices(seed: int, count: int = 2) -> Tensor:
    return torch.randn(count, SPEAKER, generator=torch.Generator().manual_seed(seed))


def test_the_same_voice_loses_nothing(loss: GenerativeLoss) -> None:
    same = loss(TEXTS, voices(0).requires_grad_(), voices(0))
    assert same["tts"].item() == pytest.approx(0, abs=1e-6) and same["vec"].item() == 0
    other = loss(TEXTS, voices(1), voices(0))
    assert other["tts"] > 1e-4 and other["vec"] > 1e-2


def test_gradients_reach_the_image_embeddings_alone(loss: GenerativeLoss) -> None:
    parts = (loss.tts, loss.speaker, loss.features)
    networks = [part for part in parts if isinstance(part, torch.nn.Module)]
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in networks]
    for term in ("tts", "vec"):
        ours, true = voices(1).requires_grad_(), voices(0).requires_grad_()
        loss(TEXTS, ours, true)[term].backward()
        assert ours.grad is not None and ours.grad.isfinite().all()
        assert (ours.grad.norm(dim=1) > 0).all() and true.grad is None
    assert len(networks) == 3
    for network, state in zip(networks, before, strict=True):
        assert all(p.grad is None for p in network.parameters())
        assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())


def test_the_loss_falls_towards_the_target(loss: GenerativeLoss) -> None:
    ours, true = voices(1).requires_grad_(), voices(0)
    assert isinstance(loss.tts, SpeechT5)
    mels = [loss.tts.mel_of(text, t) for text, t in zip(TEXTS, true, strict=True)]
    adam = torch.optim.Adam([ours], 0.1)
    seen = []
    for _ in range(20):
        terms = loss(TEXTS, ours, true, mels)
        total = torch.stack(list(terms.values())).sum()
        adam.zero_grad()
        total.backward()
        adam.step()
        seen.append(total.item())
    assert seen[-1] < 0.5 * seen[0]
    nearer = torch.cosine_similarity(ours, true) - torch.cosine_similarity(voices(1), true)
    assert (nearer > 0.1).all()


def test_a_batch_is_the_mean_of_its_items_and_weights_weigh(loss: GenerativeLoss) -> None:
    ours, true = voices(1), voices(0)
    whole = loss(TEXTS, ours, true)
    alone = [loss([t], ours[i : i + 1], true[i : i + 1]) for i, t in enumerate(TEXTS)]
    heavy = GenerativeLoss(loss.tts, loss.speaker, loss.features, 3.0, 0.5)(TEXTS, ours, true)
    for name, weight in (("tts", 3.0), ("vec", 0.5)):
        torch.testing.assert_close(whole[name], torch.stack([a[name] for a in alone]).mean())
        torch.testing.assert_close(heavy[name], weight * whole[name])
    only = GenerativeLoss(loss.tts, loss.speaker, None)(TEXTS, ours, true)
    assert only.keys() == {"tts"} and torch.equal(only["tts"], whole["tts"])


def test_the_seed_alone_says_what_is_drawn(loss: GenerativeLoss) -> None:
    drawn = [loss(TEXTS[:1], voices(1, 1), voices(0, 1), seed=seed)["vec"] for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert isinstance(loss.tts, SpeechT5)
    mel = loss.tts.mel_of(TEXTS[0], voices(0, 1)[0], seed=1)
    kept = loss(TEXTS[:1], voices(1, 1), voices(0, 1), [mel], seed=1)["vec"]
    assert torch.equal(kept, drawn[2])


@pytest.mark.parametrize(("samples", "frames"), [(640, 1), (16_000, 25), (20_480, 32)])
def test_features_have_the_frames_of_a_video(samples: int, frames: int) -> None:
    network = tiny_wav2vec_network()
    features = Wav2Vec(network, normalise=False)
    audio = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    found = features(audio)
    assert found.shape == (2, frames, 16)
    with torch.no_grad():
        heard = network(audio).last_hidden_state
    torch.testing.assert_close(found[:, 0], heard[:, 0])  # both ends stay where they are
    if frames > 1:
        torch.testing.assert_close(found[:, -1], heard[:, -1])


def test_features_of_a_folder_are_the_same_bits(tmp_path: Path) -> None:
    place = save_hearing(tiny_wav2vec_network(), tmp_path / "wav2vec", do_normalize=True)
    audio = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(open_wav2vec(place)(audio), Wav2Vec(tiny_wav2vec_network(), True)(audio))


def test_bad_inputs_are_told(loss: GenerativeLoss, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 texts for 1 predicted and 2 true voices"):
        loss(TEXTS, voices(1, 1), voices(0))
    assert loss.features is not None
    with pytest.raises(InputError, match="at least 320 samples"):
        loss.features(torch.zeros(1, 319))
    with pytest.raises(InputError, match="'hubert': use wav2vec2, or a folder of Wav2Vec2Model"):
        open_wav2vec("hubert")
    with pytest.raises(InputError, match="facebook/wav2vec2-base-960h: not on this machine"):
        open_wav2vec()  # tests are offline
    with pytest.raises(InputError, match="cannot be opened as Wav2Vec2Model"):
        open_wav2vec(tmp_path)
    other = SpeechT5(
        tiny_tts(), tiny_vocoder(sampling_rate=22_050, upsample_rates=[32, 11],
                                 upsample_kernel_sizes=[64, 33]),
        tiny_processor(tmp_path, sampling_rate=22_050),
    )
    with pytest.raises(InputError, match="a TTS of 22050 Hz: the generative loss needs 16000"):
        GenerativeLoss(other, loss.speaker, None)
