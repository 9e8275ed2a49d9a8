"""The figure of a study with an axis: metrics over it (the paper's Fig. 6)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from scldm.core.artifact import read_json, staged

PANELS = {  # metric: what its axis says
    "cos, mean of three": "angle to the true face, degrees,\nmean over three portraits",
    "cos, variance of three": "its variance over three portraits",
    "KID": "KID of the judge's features",
}


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
        ticks = sorted({v["value"] for v in study["variants"]})
        axes.set_xscale("symlog", linthresh=min(x for x in ticks if x))
        axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(study["axis"].rpartition(".")[2], fontsize=8)
        axes.set_ylabel(PANELS[name], fontsize=8)
        axes.tick_params(labelsize=8)
        if study["variants"][0]["line"]:
            axes.legend(fontsize=8)
    with staged(path) as part:
        figure.savefig(part, format="png")
