"""Laws of the speech front end, against a discrete Fourier transform written out."""

from __future__ import annotations

import numpy as np
import torch

from scldm.data.pairs import fit_window
from scldm.data.spectrogram import BINS, FRAMES, SAMPLES, STEEPEST, compress, fit_clip, spectrogram


def by_hand(audio: np.ndarray) -> np.ndarray:
    """(96000,) -> (598, 257) complex128: Hann of 400 in the middle of a frame of 512, hop 160."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.zeros((598, 512))
    for t in range(598):
        frames[t, 56:456] = audio[160 * t : 160 * t + 400] * hann
    n, k = np.arange(512)[:, None], np.arange(257)[None, :]
    return frames @ np.exp(-2j * np.pi * n * k / 512)


def test_shape_is_that_of_the_paper() -> None:
    assert (BINS, FRAMES, SAMPLES) == (257, 598, 96_000)
    result = spectrogram(torch.rand(2, SAMPLES) - 0.5)
    assert result.shape == (2, 2, 257, 598) and result.dtype == torch.float32


def test_it_is_the_transform_written_out_and_compressed() -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, SAMPLES).astype(np.float32)
    wanted = by_hand(audio.astype(np.float64))
    found = spectrogram(torch.from_numpy(audio)[None])[0].double().numpy()
    for part, exact in zip(found, (wanted.real.T, wanted.imag.T), strict=True):
        plain = np.sign(part) * np.abs(part) ** (1 / 0.3)
        assert np.abs(plain - exact).max() < 1e-4  # of values up to about 30
        far = np.abs(exact) > 0.1  # the root is steep at 0
        pressed = np.sign(exact) * np.abs(exact) ** 0.3
        assert np.abs(part - pressed)[far].max() < 1e-4


def test_compression_is_of_each_part_alone() -> None:
    x = torch.tensor([-32.0, -1.0, 0.0, 1.0, 32.0])
    wanted = torch.tensor([-(32**0.3), -1.0, 0.0, 1.0, 32**0.3])
    assert torch.allclose(compress(x), wanted)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(SAMPLES) / 16_000)  # bin 32, all of it
    real, imaginary = spectrogram(tone[None])[0, :, 32, 300]
    size = (real.abs() ** (2 / 0.3) + imaginary.abs() ** (2 / 0.3)).sqrt()
    assert abs(size.item() - 100) < 0.05  # half the sum of the window


def test_silence_is_zero_and_a_frame_sees_its_own_400_samples() -> None:
    audio = torch.zeros(1, SAMPLES)
    assert (spectrogram(audio) == 0).all()
    audio[0, 160 * 10 + 399] = 1.0  # the last sample of frame 10
    seen = spectrogram(audio)[0].abs().sum((0, 1)).nonzero().flatten().tolist()
    assert seen == [10, 11, 12]
    audio = torch.zeros(1, SAMPLES)
    audio[0, 160 * 10] = 1.0  # where frame 10's window is 0
    assert spectrogram(audio)[0].abs().sum((0, 1)).nonzero().flatten().tolist() == [8, 9]


def test_short_clips_are_repeated_and_long_ones_centred() -> None:
    short = torch.arange(1.0, 40_001)
    fitted = fit_clip(short)
    assert fitted.shape == (SAMPLES,)
    assert torch.equal(fitted, torch.cat((short, short, short[:16_000])))
    long = torch.arange(100_001.0)
    assert torch.equal(fit_clip(long), long[2000:98_000])
    assert torch.equal(fit_clip(long, 7), long[7:96_007])
    assert torch.equal(fit_clip(long[:SAMPLES]), long[:SAMPLES])
    both = torch.stack((short, -short))
    assert torch.equal(fit_clip(both), torch.stack((fitted, -fitted)))


def test_the_loader_fits_clips_alike() -> None:
    for length in (8000, 40_000, 96_000, 96_001, 200_000):
        audio = np.arange(length, dtype=np.float32)
        centred = fit_window(audio, max(0, length - SAMPLES) // 2)
        assert np.array_equal(centred, fit_clip(torch.from_numpy(audio)).numpy())


def test_the_slope_of_the_spectrogram_is_the_true_one_and_finite() -> None:
    audio = 0.1 * torch.randn(1, 96_000, generator=torch.Generator().manual_seed(0))
    audio.requires_grad_()
    weights = torch.randn(1, 2, 257, 598, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():  # away from the bound, where the slope is exact
        weights *= spectrogram(audio).abs() > (10 * STEEPEST) ** 0.3
    (spectrogram(audio) * weights).sum().backward()
    step = 1e-3 * torch.randn(audio.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ahead, behind = ((spectrogram(audio + s).double() * weights).sum() for s in (step, -step))
    assert audio.grad is not None
    expected = (audio.grad.double() * step).sum()
    assert abs((ahead - behind) / 2 - expected) < 0.01 * abs(expected)
    silent = torch.zeros(1, 96_000, requires_grad=True)
    spectrogram(silent).sum().backward()
    assert silent.grad is not None and silent.grad.isfinite().all()
