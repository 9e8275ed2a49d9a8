"""eps_theta(Z^s, Z^t*, t): a UNet with self- and cross-attention on the face's latent map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DConditionModel
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from scldm.core.errors import InputError


class ConditionTokens(ModelMixin, ConfigMixin):
    """Z^s as several tokens, each with its own projection.

    With one token the softmax of cross-attention is identically 1, and attention, which does not
    see order, would lose which coordinate is which; so the d coordinates are cut into `tokens`
    groups and each group has its own weights and bias. Z^s enters with its mean and scale removed
    (only its direction is aligned by stage 1). A learnt set of tokens stands for "no speech".

    Args:
        latent_dim: d, a multiple of `tokens`.
        tokens: number of tokens.
        width: channels of a token.
    """

    @register_to_config
    def __init__(self, latent_dim: int = 4096, tokens: int = 64, width: int = 768) -> None:
        super().__init__()
        group = latent_dim // tokens
        self.weight = nn.Parameter(torch.randn(tokens, group, width) / group**0.5)
        self.bias = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.silence = nn.Parameter(torch.randn(tokens, width) * 0.02)

    def forward(self, speech: Tensor, drop: Tensor | None = None) -> Tensor:
        """speech (B, d), drop (B,) bool -> tokens (B, n, width); "no speech" where dropped."""
        count, group, _ = self.weight.shape
        groups = F.layer_norm(speech.float(), speech.shape[-1:]).reshape(-1, count, group)
        tokens = torch.einsum("bng,ngw->bnw", groups, self.weight) + self.bias
        if drop is None:
            return tokens
        return torch.where(drop[:, None, None], self.silence, tokens)


class Denoiser(nn.Module):
    """The UNet and its condition as one module: what stage 2 trains."""

    def __init__(self, unet: UNet2DConditionModel, condition: ConditionTokens) -> None:
        super().__init__()
        self.unet, self.condition = unet, condition

    def forward(self, z: Tensor, t: Tensor, speech: Tensor, drop: Tensor | None = None) -> Tensor:
        """Z^t* (B, C, s, s), t (B,) or (), Z^s (B, d), drop (B,) bool -> prediction like z."""
        return self.unet(z, t, self.condition(speech, drop)).sample


def build_denoiser(
    latent_channels: int, latent_side: int, channels: Sequence[int], layers: int, heads: int,
    tokens: int, token_width: int,
) -> Denoiser:
    """A denoiser for latents (C, s, s), attention on every level.

    Args:
        channels: of each level; every level but the last halves the side.
        layers: residual and attention blocks a level.
        heads: attention heads.
        tokens, token_width: of the condition.

    Raises InputError when `tokens` does not divide d, or `heads` the channels of a level.
    """
    latent_dim = latent_channels * latent_side**2
    if latent_dim % tokens:
        raise InputError(f"unet.tokens {tokens}: use a divisor of the latent's {latent_dim}")
    for width in channels:
        if width % heads:
            raise InputError(f"unet.heads {heads}: use a divisor of a level's {width} channels")
    levels, shared = len(channels), math.gcd(*channels)
    most = min(32, min(channels) // 2)  # a group of one channel would hide the time
    groups = max(n for n in range(1, max(most, 1) + 1) if shared % n == 0)
    unet = UNet2DConditionModel(
        sample_size=latent_side, in_channels=latent_channels, out_channels=latent_channels,
        block_out_channels=tuple(channels), layers_per_block=layers,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=token_width, attention_head_dim=heads,
        norm_num_groups=groups,
    )
    return Denoiser(unet, ConditionTokens(latent_dim, tokens, token_width))
