"""What `scldm evaluate` writes: metrics.json, table.md and a figure."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from scldm.core.artifact import staged, write_json, write_text
from scldm.evaluation.evaluate import Scores, Truth, estimates
from scldm.evaluation.intervals import Estimate, bootstrap
from scldm.evaluation.pairing import Method

COLUMNS = {  # of the table, with what a better value does
    "cos": "lower", "cos similarity": "higher", "L1 normalised": "lower",
    "L2 normalised": "lower", "R@1": "higher", "R@10": "higher", "gender": "higher",
    "age within 10 years": "higher", "age error": "lower",
}  # fmt: skip
Found = dict[str, dict[str, tuple[Estimate, float | None]]]


def about(
    methods: list[Method], truth: Truth, judge: str, layer: str, real: Mapping[str, Any]
) -> dict[str, Any]:
    """How the figures were made: judge and its own error, gallery, counts, command, versions."""
    rows = np.unique(np.concatenate([method.rows for method in methods]))
    return {
        "judge": judge, "layer": layer, "judge_on_real_faces": dict(real),
        "gallery": len(truth.gallery), "identities": len(np.unique(truth.person[rows])),
        "clips": len(rows), "portraits": {m.name: len(m.files) for m in methods},
        "command": " ".join(["scldm", *sys.argv[1:]]),
        "versions": {"python": platform.python_version(),
                     **{name: version(name) for name in ("scldm", "torch", "numpy")}},
    }  # fmt: skip


def judge_on_real(truth: Truth) -> dict[str, Any]:
    """The judge's own gender and age on the true faces: no portrait can be expected to score
    more."""
    index, first = np.unique(truth.face[truth.face >= 0], return_index=True)
    rows = np.flatnonzero(truth.face >= 0)[first]
    found: dict[str, Any] = {}
    known = truth.gender[rows] != ""
    if known.any():
        said = np.where(truth.seen.gender.numpy()[index[known]] == 1, "M", "F")
        right = said == truth.gender[rows[known]]
        found["gender"] = vars(bootstrap(right, truth.person[rows[known]]))
    aged = ~np.isnan(truth.age[rows])
    if aged.any():
        gap = np.abs(truth.seen.age.numpy()[index[aged]] - truth.age[rows[aged]])
        found["age error"] = vars(bootstrap(gap, truth.person[rows[aged]]))
    return found


def summarise(table: dict[str, Scores]) -> Found:
    """Estimates and chance of every method; a control is measured against itself shuffled."""
    return {
        name: estimates(scores, table.get(f"{name.partition(', ')[0]}, shuffled speech"))
        for name, scores in table.items()
    }


def write_report(out: Path, found: Found, facts: dict[str, Any]) -> None:
    """Write `metrics.json`, `table.md` and `distances.png` below `out`, each whole."""
    methods = {
        name: {metric: {**vars(value), "chance": chance} for metric, (value, chance) in row.items()}
        for name, row in found.items()
    }
    write_json(out / "metrics.json", {"methods": methods, "about": facts})
    write_text(out / "table.md", markdown(found, facts))
    if any("cos" in row for row in found.values()):
        with staged(out / "distances.png") as part:
            draw({name: row["cos"] for name, row in found.items() if "cos" in row}, part)


def markdown(found: Found, facts: dict[str, Any]) -> str:
    """The table with 95 % intervals, and below it how it was made."""
    columns = [name for name in COLUMNS if any(name in row for row in found.values())]
    lines = ["| method | " + " | ".join(f"{c} ({COLUMNS[c]} is better)" for c in columns) + " |",
             "|---|" + "---|" * len(columns)]
    for name, row in found.items():
        cells = [_cell(row[c][0]) if c in row else "–" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    chances = next(iter(found.values()))
    known = [f"{c} {chances[c][1]:.3f}" for c in columns if c in chances and chances[c][1]]
    lines += ["", f"Chance: {', '.join(known)}." if known else "", "",
              f"{facts['identities']} people, {facts['clips']} clips, a gallery of "
              f"{facts['gallery']}; 95 % intervals by bootstrap over people. Judge: "
              f"{facts['judge']}, {facts['layer']}."]
    for name, value in facts["judge_on_real_faces"].items():
        lines.append(f"The judge's own {name} on real faces: {_cell(Estimate(**value))}.")
    return "\n".join([*lines, "", f"`{facts['command']}`"]) + "\n"


def _cell(value: Estimate) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def draw(rows: dict[str, tuple[Estimate, float | None]], path: Path) -> None:
    """The angle of every method with its interval, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.9 + 0.35 * len(rows)), dpi=110, layout="constrained")
    axes = figure.subplots()
    for place, (value, _) in enumerate(rows.values()):
        spread = [[value.value - value.low], [value.high - value.value]]
        axes.errorbar(value.value, -place, xerr=spread, fmt="o", color="#2b5c8a", capsize=3)
    axes.set_yticks([-i for i in range(len(rows))], list(rows), fontsize=8)
    axes.set_xlabel("angle between portrait and true face, degrees (lower is nearer)", fontsize=8)
    axes.tick_params(labelsize=8)
    figure.savefig(path, format="png")
