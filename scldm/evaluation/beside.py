"""Portraits of several methods beside the true faces, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scldm.core.artifact import staged
from scldm.data.media import read_image
from scldm.data.samples import Samples
from scldm.evaluation.pairing import Method, true_faces
from scldm.evaluation.seeing import Truth

CELL = 128  # side of a face, pixels
CLIPS = 6


def draw_beside(
    samples: Samples, truth: Truth, methods: Sequence[Method], path: Path
) -> None:
    """Portraits of methods beside the true face (seed 003, Figs. 2, 3 and 5), where there are such.

    A row a clip, of people spread over the truth; the true face, then one portrait a method, or
    three of one or two methods.
    """
    true, _ = true_faces(samples.manifest)
    shared = set(methods[0].rows.tolist()).intersection(*(m.rows.tolist() for m in methods))
    rows = sorted(row for row in shared if truth.face[row] >= 0)
    first = list({truth.person[row]: row for row in reversed(rows)}.values())[::-1]
    if not first:
        return
    picks = np.linspace(0, len(first) - 1, min(CLIPS, len(first))).astype(int)
    count = 3 if len(methods) < 3 else 1
    grid = []
    for row in (first[i] for i in picks):
        line = [Image.fromarray(samples.face(int(true[row]), CELL))]
        for method in methods:
            mine = np.flatnonzero(method.rows == row)[:count]
            line += [read_image(method.files[i]) for i in mine]
            line += [line[-1]] * (count - len(mine))  # a method without chance has but one
        grid.append(line)
    titles = ["true face", *(name for m in methods for name in [m.name] + [""] * (count - 1))]
    _sheet(grid, titles, path)


def _sheet(grid: list[list[Image.Image]], titles: list[str], path: Path) -> None:
    wide, high = max(map(len, grid)), len(grid)
    figure = Figure(figsize=(1.3 * wide, 1.3 * high + 0.4), dpi=110, layout="constrained")
    axes = figure.subplots(high, wide, squeeze=False)
    for line, cells in zip(grid, axes, strict=True):
        for face, cell in zip(line, cells, strict=True):
            cell.imshow(np.asarray(face.resize((CELL, CELL), Image.Resampling.BICUBIC)))
            cell.axis("off")
    for title, cell in zip(titles, axes[0], strict=True):
        cell.set_title(title, fontsize=7)
    with staged(path) as part:
        figure.savefig(part, format="png")
