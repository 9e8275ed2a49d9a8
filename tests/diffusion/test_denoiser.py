"""Laws of the conditioned UNet: which coordinate of Z^s is which matters, and attention attends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from scldm.core.errors import InputError
from scldm.diffusion.denoiser import ConditionTokens, Denoiser, build_denoiser

TOKENS, WIDTH, T = 4, 16, torch.tensor(500)
TURN = [1, 2, 3, 0]


def small(tokens: int = TOKENS) -> Denoiser:
    torch.manual_seed(0)
    return build_denoiser(4, 4, (32, 32), 1, 2, tokens, WIDTH).eval()


@pytest.fixture(scope="module")
def model() -> Denoiser:
    return small()


@pytest.fixture(scope="module")
def speech() -> Tensor:
    return torch.randn(3, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def z() -> Tensor:
    return torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def attention(model: Denoiser, z: Tensor, speech: Tensor) -> list[Tensor]:
    """Softmax of every cross-attention, (B heads, pixels, tokens) each."""
    modules = [m for name, m in model.unet.named_modules() if name.endswith("attn2")]
    seen: dict[nn.Module, Tensor] = {}
    hooks = [
        part.register_forward_hook(lambda part, given, made: seen.update({part: made}))
        for module in modules for part in (module.to_q, module.to_k)
    ]  # fmt: skip
    model(z, T, speech)
    for hook in hooks:
        hook.remove()
    return [
        m.get_attention_scores(*(m.head_to_batch_dim(seen[part]) for part in (m.to_q, m.to_k)))
        for m in modules
    ]


@torch.no_grad()
def test_prediction_is_like_the_latent(model: Denoiser, z: Tensor, speech: Tensor) -> None:
    assert model(z, T, speech).shape == z.shape
    one = model(z[1:2], T, speech[1:2])
    torch.testing.assert_close(model(z, T.expand(3), speech)[1:2], one, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("channels", [(32,), (32, 48), (48, 64), (64, 96), (6, 10)])
def test_time_reaches_the_prediction_at_every_width(
    z: Tensor, speech: Tensor, channels: tuple[int, ...]
) -> None:
    """A norm over single channels would take it away."""
    torch.manual_seed(0)
    model = build_denoiser(4, 4, channels, 1, 2, TOKENS, WIDTH).eval()
    assert (model(z, torch.tensor(10), speech) - model(z, T, speech)).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("channels", "heads", "tokens", "said"),
    [((32,), 2, 5, "unet.tokens 5: use a divisor of the latent's 64"),
     ((32, 50), 4, 4, "unet.heads 4: use a divisor of a level's 50 channels")],
)  # fmt: skip
def test_what_does_not_divide_is_one_line(
    channels: tuple[int, ...], heads: int, tokens: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        build_denoiser(4, 4, channels, 1, heads, tokens, WIDTH)


def test_attention_is_on_every_level(model: Denoiser, z: Tensor, speech: Tensor) -> None:
    shapes = {tuple(w.shape) for w in attention(model, z, speech)}
    assert shapes == {(3 * 2, side**2, TOKENS) for side in (4, 2)}
    heads = {m.heads for name, m in model.unet.named_modules() if name.endswith("attn2")}
    assert heads == {2}


@torch.no_grad()
def test_which_group_of_coordinates_is_which_matters(
    model: Denoiser, z: Tensor, speech: Tensor
) -> None:
    turned = speech.reshape(3, TOKENS, -1)[:, TURN].reshape(3, -1)
    assert (model(z, T, speech) - model(z, T, turned)).abs().max() > 1e-3


@torch.no_grad()
def test_attention_alone_would_not_see_the_order(
    model: Denoiser, z: Tensor, speech: Tensor
) -> None:
    """So each group needs a projection of its own."""
    tokens = model.condition(speech)
    ends = [model.unet(z, T, made).sample for made in (tokens, tokens[:, TURN])]
    torch.testing.assert_close(ends[0], ends[1], atol=1e-5, rtol=1e-4)


def test_attention_weighs_tokens_differently(model: Denoiser, z: Tensor, speech: Tensor) -> None:
    for weights in attention(model, z, speech):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
        assert (weights.amax(-1) - weights.amin(-1)).max() > 1e-3  # between tokens
        assert weights.std(dim=1).max() > 1e-4  # and between places


def test_a_single_token_would_leave_attention_without_choice(z: Tensor, speech: Tensor) -> None:
    for weights in attention(small(tokens=1), z, speech):
        assert torch.equal(weights, torch.ones_like(weights))


def test_every_group_goes_to_its_own_token_alone() -> None:
    tokens = ConditionTokens(64, TOKENS, WIDTH)
    speech = torch.randn(1, 64)
    groups = torch.nn.functional.layer_norm(speech, (64,)).reshape(TOKENS, 16)
    for token in range(TOKENS):
        alone = groups[token] @ tokens.weight[token] + tokens.bias[token]
        torch.testing.assert_close(tokens(speech)[0, token], alone, atol=1e-5, rtol=1e-4)


def test_only_the_direction_of_the_speech_latent_counts(speech: Tensor) -> None:
    tokens = ConditionTokens(64, TOKENS, WIDTH)
    torch.testing.assert_close(tokens(speech), tokens(40 * speech), atol=1e-4, rtol=1e-4)


def test_dropped_speech_is_the_learnt_silence(speech: Tensor) -> None:
    tokens = ConditionTokens(64, TOKENS, WIDTH)
    drop = torch.tensor([True, False, True])
    made = tokens(speech, drop)
    assert torch.equal(made[drop], tokens.silence.expand(2, -1, -1))
    assert torch.equal(made[~drop], tokens(speech)[~drop])
    made.sum().backward()
    assert tokens.silence.grad is not None and (tokens.silence.grad == 2).all()
