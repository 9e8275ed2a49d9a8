"""VoiceAdapter: shapes, sampling, the floor, and the ablation without VAE."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scldm.core.errors import InputError
from scldm.encoders.bundle import load_network
from scldm.voice.adapter import VoiceAdapter

SIZES = {"face_width": 24, "embedding_width": 12, "hidden": 32, "latent": 8}


@pytest.fixture
def adapter() -> VoiceAdapter:
    torch.manual_seed(0)
    return VoiceAdapter(**SIZES, floor=0.3)


def test_a_face_becomes_a_distribution_and_a_unit_embedding(adapter: VoiceAdapter) -> None:
    v, noise = torch.randn(5, 24), torch.randn(5, 8)
    voices = adapter(v, noise)
    assert voices.mean.shape == voices.std.shape == voices.z.shape == (5, 8)
    torch.testing.assert_close(voices.z, voices.mean + voices.std * noise)
    torch.testing.assert_close(voices.embedding.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(adapter(v).z, voices.mean)


def test_the_standard_deviation_stays_above_its_floor(adapter: VoiceAdapter) -> None:
    assert adapter.encoder
    with torch.no_grad():
        adapter.encoder[-1].bias[8:] = -100.0  # all that training could do to let it go to 0
    std = adapter(torch.randn(4, 24)).std
    torch.testing.assert_close(std, torch.full_like(std, 0.3), rtol=1e-3, atol=0)


def test_without_vae_a_face_has_one_voice() -> None:
    plain = VoiceAdapter(**SIZES, vae=False)
    v = torch.randn(3, 24)
    mean, std = plain.posterior(v)
    assert torch.equal(plain.decode(mean + std * torch.randn(3, plain.width)), plain(v).embedding)
    assert sum(p.numel() for p in plain.parameters()) == 24 * 32 + 32 + 32 * 12 + 12


def test_the_papers_widths_have_two_layers_each_way() -> None:
    paper = VoiceAdapter(512, 192, 512, 64)
    linear = [x for x in paper.modules() if isinstance(x, torch.nn.Linear)]
    assert [(x.in_features, x.out_features) for x in linear] == [
        (512, 512), (512, 128), (64, 512), (512, 192),
    ]


def test_it_is_saved_and_loaded_to_the_same_bits(adapter: VoiceAdapter, tmp_path: Path) -> None:
    adapter.save_pretrained(tmp_path / "adapter", safe_serialization=True)
    again = load_network(VoiceAdapter, tmp_path / "adapter")
    v = torch.randn(2, 24)
    assert torch.equal(again(v).embedding, adapter(v).embedding)


def test_a_floor_of_one_or_more_is_refused() -> None:
    with pytest.raises(InputError, match=r"adapter.floor 1.0"):
        VoiceAdapter(**SIZES, floor=1.0)
