"""Figures of studies: a metric over an axis (the paper's Fig. 6), and portraits side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from scldm.core.artifact import read_json, staged
from scldm.core.errors import InputError
from scldm.data.media import read_image
from scldm.data.samples import Samples, open_samples
from scldm.evaluation.pairing import read_method, true_faces

CELL = 128  # side of a face, pixels
PANELS = {  # metric: what its axis says
    "cos, mean of three": "angle to the true face, degrees,\nmean over three portraits",
    "cos, variance of three": "its variance over three portraits",
    "KID": "KID of the judge's features",
}


def draw_study(folder: Path, truth: Path) -> None:
    """The figures of a study that was run in `folder`: over its axis, and portraits side by side.

    The latter where clips of the truth have a true face.
    """
    study = read_json(folder / "study.json")
    if study["axis"]:
        draw_axis(folder, folder / "axis.png")
    with suppress(InputError):
        draw_beside(open_samples(truth), portrait_folders(folder), folder / "portraits.png")


def draw_axis(folder: Path, path: Path) -> None:
    """Metrics of the study in `folder` over its axis, a line a series, 95 % intervals."""
    study, methods = read_json(folder / "study.json"), read_json(folder / "metrics.json")["methods"]
    names = [n for n in PANELS if any(n in methods[v["name"]] for v in study["variants"])]
    figure = Figure(figsize=(4 * len(names), 3.2), dpi=110, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for line in dict.fromkeys(v["line"] for v in study["variants"]):
            mine = [v for v in study["variants"] if v["line"] == line]
            found = [methods[v["name"]][name] for v in mine]
            values = np.array([[f["value"], f["low"], f["high"]] for f in found]).T
            spread = np.abs(values[1:] - values[0])
            x = [v["value"] for v in mine]
            axes.errorbar(x, values[0], yerr=spread, fmt="o-", capsize=3, label=line or None)
        least = min(v["value"] for v in study["variants"] if v["value"])
        axes.set_xscale("symlog", linthresh=least)
        axes.set_xlabel(study["axis"], fontsize=8)
        axes.set_ylabel(PANELS[name], fontsize=8)
        axes.tick_params(labelsize=8)
        if study["variants"][0]["line"]:
            axes.legend(fontsize=8)
    with staged(path) as part:
        figure.savefig(part, format="png")


def draw_beside(
    truth: Samples, folders: Sequence[Path], path: Path, clips: int = 6, portraits: int = 1
) -> None:
    """Portraits of several methods beside the true face (seed 003, Figs. 2, 3 and 5).

    A row a clip, of people spread over the truth; a column the true face, and `portraits` columns
    a method. Raises InputError where no clip has a true face.
    """
    true, _ = true_faces(truth.manifest)
    methods = [read_method(folder, truth.manifest) for folder in folders]
    shared = set(methods[0].rows.tolist()).intersection(*(m.rows.tolist() for m in methods))
    first = {truth.manifest["person"][row]: row for row in sorted(shared, reverse=True)
             if true[row] >= 0}  # fmt: skip
    if not first:
        raise InputError(f"{truth.manifest.path}: no clip has a true face to stand beside")
    everybody = sorted(first.values())
    rows = [everybody[i] for i in np.linspace(0, len(everybody) - 1, clips).astype(int)]
    grid = []
    for row in dict.fromkeys(rows):
        line = [Image.fromarray(truth.face(int(true[row]), CELL))]
        for method in methods:
            mine = np.flatnonzero(method.rows == row)[:portraits]
            line += [read_image(method.files[i]) for i in mine]
            line += [line[-1]] * (portraits - len(mine))  # a method without chance has but one
        grid.append(line)
    titles = ["true face", *(name for m in methods for name in [m.name] + [""] * (portraits - 1))]
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


def portrait_folders(folder: Path) -> list[Path]:
    """The folders of portraits of the study in `folder`, in its order."""
    study = read_json(folder / "study.json")
    return [folder / "portraits" / variant["name"] for variant in study["variants"]]
