"""The contact sheet: each clip's waveform and spectrogram, its portraits, and the decoded prior."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from scldm.data.spectrogram import RATE

MOST_SIDE = 60_000  # pixels; matplotlib draws less than 2^16
MOST_PIXELS = 80e6  # Pillow warns above 89 million


@dataclass(frozen=True)
class Entry:
    """One row: name, waveform (n,) at 16 kHz, portraits."""

    name: str
    waveform: np.ndarray
    portraits: list[Image.Image]


def draw_sheet(entries: Sequence[Entry], prior: Image.Image | None, notice: str) -> Image.Image:
    """The sheet as an RGB picture, a row a clip; the prior, where there is one, on top right."""
    from matplotlib.figure import Figure

    most = max(len(entry.portraits) for entry in entries)
    rows = len(entries) + 1
    size = (4.2 + 2 * most, 2.15 * rows)
    figure = Figure(figsize=size, dpi=_resolution(*size), facecolor="white")
    grid = figure.add_gridspec(
        rows, most + 1, width_ratios=[2] + [1] * most, left=0.06, right=0.99, bottom=0.04, top=0.98,
        wspace=0.06, hspace=0.28,
    )
    words = figure.add_subplot(grid[0, :most])
    words.axis("off")
    words.text(0, 0.62, "Speech to face", fontsize=18, weight="bold")
    words.text(0, 0.36, notice, fontsize=13)
    words.text(0, 0.14, "AI-generated portraits", fontsize=10, color="0.4")
    if prior:
        _picture(figure.add_subplot(grid[0, most]), prior, "face prior, decoded")
    for row, entry in enumerate(entries, start=1):
        inner = grid[row, 0].subgridspec(2, 1, height_ratios=[1, 1.6], hspace=0.05)
        _waveform(figure.add_subplot(inner[0]), entry)
        _spectrogram(figure.add_subplot(inner[1]), entry, last=row == len(entries))
        for column, portrait in enumerate(entry.portraits, start=1):
            _picture(figure.add_subplot(grid[row, column]), portrait, f"portrait {column - 1}")
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a name in letters that the font lacks
        figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")


def _resolution(width: float, height: float) -> float:
    """Pixels an inch: 110, and less for a sheet (inches) that would be too large to draw."""
    return min(110, MOST_SIDE / max(width, height), (MOST_PIXELS / (width * height)) ** 0.5)


def _picture(axes: Any, image: Image.Image, title: str) -> None:
    axes.imshow(image, interpolation="bicubic")
    axes.set_title(title, fontsize=8, pad=3)
    axes.axis("off")


def _waveform(axes: Any, entry: Entry) -> None:
    time = np.arange(len(entry.waveform)) / RATE
    axes.plot(time, entry.waveform, linewidth=0.3, color="#2b5c8a")
    axes.set_xlim(0, time[-1])
    axes.set_title(entry.name, fontsize=9, loc="left", pad=3, parse_math=False)
    axes.axis("off")


def _spectrogram(axes: Any, entry: Entry, last: bool) -> None:
    quiet = np.random.default_rng(0).normal(0, 1e-6, len(entry.waveform))  # silence has a logarithm
    axes.specgram(
        entry.waveform + quiet, NFFT=512, noverlap=352, Fs=RATE, cmap="magma", vmin=-140
    )
    axes.set_ylim(0, 5000)
    axes.set_yticks([0, 2000, 4000], ["0", "2", "4 kHz"], fontsize=7)
    axes.tick_params(labelsize=7, labelbottom=last)
    axes.set_xlim(0, len(entry.waveform) / RATE)
    if last:
        axes.set_xlabel("seconds", fontsize=8)
