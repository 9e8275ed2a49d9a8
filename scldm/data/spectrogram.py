"""Speech front end: six seconds of waveform to a compressed complex spectrogram.

Public re-implementations of Speech2Face disagree on the second channel, on centring and on the
number of frames. This one: Hann window of 400 samples (25 ms), hop 160 (10 ms), n_fft 512, not
centred, so 598 frames of 257 bins; the window sits in the middle of its 512-sample frame, which
is where `torch.stft` puts it and which fixes the phase; the two channels are the real and the
imaginary part, each compressed alone by sgn(x)|x|^0.3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RATE, SAMPLES = 16_000, 96_000
WINDOW, HOP, FFT = 400, 160, 512
STEEPEST = 1e-2
BINS, FRAMES = FFT // 2 + 1, 1 + (SAMPLES - WINDOW) // HOP


def fit_clip(audio: Tensor, start: int | None = None) -> Tensor:
    """(..., n) -> (..., 96000): shorter is repeated; longer is cut at `start`, centred if None."""
    length = audio.shape[-1]
    if length < SAMPLES:
        times = -(-SAMPLES // length)
        return audio.repeat(*(1,) * (audio.ndim - 1), times)[..., :SAMPLES]
    start = (length - SAMPLES) // 2 if start is None else start
    return audio[..., start : start + SAMPLES]


def spectrogram(audio: Tensor) -> Tensor:
    """(B, 96000) waveform in [-1, 1], 16 kHz -> (B, 2, 257, 598) float32, on audio's device."""
    side = (FFT - WINDOW) // 2
    window = torch.hann_window(WINDOW, device=audio.device)
    frames = torch.stft(
        F.pad(audio.float(), (side, side)), FFT, HOP, WINDOW, window,
        center=False, return_complex=True,
    )
    return compress(torch.stack((frames.real, frames.imag), dim=1))


def compress(x: Tensor) -> Tensor:
    """sgn(x) |x|^0.3, element by element.

    Its slope has no bound at 0, where the imaginary parts of the first and the last bin always are:
    a gradient takes that of |x| = `STEEPEST` from there on.
    """
    value = x.detach()
    compressed = value.sign() * value.abs().pow(0.3)
    if not x.requires_grad:
        return compressed
    slope = 0.3 * value.abs().clamp(min=STEEPEST).pow(-0.7)
    return compressed + (x - value) * slope  # x - value is 0 and carries the gradient
