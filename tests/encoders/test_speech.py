"""Laws of the speech encoder: Speech2Face's shapes, and five CBAMs that take part."""

from __future__ import annotations

import pytest
import torch
from timm.layers.cbam import CbamModule
from torch import nn

from scldm.core.errors import InputError
from scldm.encoders.speech import SpeechEncoder


@pytest.fixture(scope="module")
def small(one_thread: None) -> SpeechEncoder:
    """In training mode: before training, only norms by the batch keep signals at their size."""
    torch.manual_seed(0)
    # 8 hidden units in a CBAM, as at least in the paper's
    widths = (8, 8, 128, 128, 128, 128, 32, 32, 128)
    return SpeechEncoder(24, widths, hidden=32, first_stride=2, frequency_pools=2)


@pytest.fixture(scope="module")
def clips() -> torch.Tensor:
    return torch.randn(4, 2, 257, 598, generator=torch.Generator().manual_seed(1))


def cbams(encoder: SpeechEncoder) -> list[CbamModule]:
    return [module for module in encoder.modules() if isinstance(module, CbamModule)]


def test_paper_size_has_the_documented_shapes(one_thread: None) -> None:
    encoder = SpeechEncoder().eval()  # sees one clip while it is built
    dense = [layer for layer in encoder.head if isinstance(layer, nn.Linear)]
    assert [(d.in_features, d.out_features) for d in dense] == [(29_184, 4096), (4096, 4096)]
    assert 29_184 == 512 * 57
    assert sum(p.numel() for p in encoder.head.parameters()) == (29_184 + 1 + 4096 + 1) * 4096
    assert 136e6 < sum(p.numel() for p in encoder.parameters()) < 150e6
    convolutions = [m for m in encoder.stages.modules() if isinstance(m, nn.Conv2d)]
    layers = [m for m in convolutions if m.kernel_size == (4, 4)]
    assert [m.out_channels for m in layers] == [64, 64, 128, 128, 128, 256, 512, 512, 512]
    assert [m.stride[0] for m in layers] == [1, 1, 1, 1, 1, 1, 1, 2, 2]
    assert all(m.padding == (0, 0) for m in layers)
    pools = [m.kernel_size for m in encoder.stages if isinstance(m, nn.Module)
             for m in m if isinstance(m, nn.MaxPool2d)]  # fmt: skip
    assert pools == [(1, 2)] * 4  # time only
    assert len(cbams(encoder)) == 5


def test_the_latent_has_the_dimension_asked_for(small: SpeechEncoder, clips: torch.Tensor) -> None:
    with torch.no_grad():
        assert small(clips).shape == (4, 24)


def test_a_clip_alone_is_the_clip_in_a_batch(one_thread: None, clips: torch.Tensor) -> None:
    encoder = SpeechEncoder(24, (8,) * 9, 32, 2, 2)
    with torch.no_grad():
        for _ in range(40):  # so that the running statistics are those of these clips
            encoder(clips)
        together = encoder.eval()(clips)
        assert torch.allclose(together[1:2], encoder(clips[1:2]), atol=1e-5)
        assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_there_is_a_cbam_at_the_end_of_each_of_five_stages(small: SpeechEncoder) -> None:
    assert len(small.stages) == len(cbams(small)) == 5
    assert [stage[-1] for stage in small.stages] == cbams(small)


@pytest.mark.parametrize("index", range(5))
@pytest.mark.parametrize("part", ["channel", "spatial"])
def test_every_cbam_shapes_the_output(
    small: SpeechEncoder, clips: torch.Tensor, index: int, part: str
) -> None:
    attention = getattr(cbams(small)[index], part)
    kept = {name: value.clone() for name, value in attention.state_dict().items()}
    with torch.no_grad():
        before = small(clips[:2])
        for parameter in attention.parameters():
            parameter.zero_()
        after = small(clips[:2])
        attention.load_state_dict(kept)
        assert (after - before).abs().max() > 1e-3 * before.abs().max()
        assert torch.equal(small(clips[:2]), before)


def test_a_gradient_reaches_every_parameter_of_every_cbam(
    small: SpeechEncoder, clips: torch.Tensor
) -> None:
    small.zero_grad()
    small(clips).square().sum().backward()
    for number, cbam in enumerate(cbams(small)):
        for name, parameter in cbam.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, (number, name)
    assert all(p.grad is not None for p in small.parameters())


def test_frequency_pools_make_it_small_and_too_many_are_refused() -> None:
    def width(stride: int, pools: int) -> int:
        return SpeechEncoder(8, (4,) * 9, 8, stride, pools).head[0].in_features

    assert (width(1, 0), width(1, 2)) == (4 * 57, 4 * 12)
    with pytest.raises(InputError, match="^speech: first_stride 2, frequency_pools 4: does not"):
        width(2, 4)
