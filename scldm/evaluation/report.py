"""What `scldm evaluate` writes: metrics.json, table.md and figures."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from scldm.core.artifact import staged, write_json, write_text
from scldm.evaluation.evaluate import Row, Table
from scldm.evaluation.intervals import Estimate, bootstrap
from scldm.evaluation.pairing import Method
from scldm.evaluation.retrieval import KS
from scldm.evaluation.seeing import Truth

COLUMNS = {  # of the table, with what a better value does
    "cos": "lower", "cos similarity": "higher", "L1 raw": "lower", "L2 raw": "lower",
    "L1 normalised": "lower", "L2 normalised": "lower", "R@1": "higher", "R@10": "higher",
    "gender": "higher", "age within 10 years": "higher", "age error": "lower", "KID": "lower",
    "FID": "lower", "nearest training face": "as of real faces",
    "similarity": "higher", "gender by F0": "higher", "F0 plausible": "higher",
    "F0 error": "lower", "MCD": "lower", "F0 RMSE": "lower", "word error rate": "lower",
    "DCTS": "more is consistency, less diversity", "RIR": "as DCTS", "RCR": "as DCTS",
}  # fmt: skip
SHORT = ("cos", "R@10", "gender", "age error")  # columns of the table of subgroups
FEW = 30  # people; a subgroup of fewer is marked


def about(
    methods: list[Method], truth: Truth, judge: str, layer: str, real: Mapping[str, Any]
) -> dict[str, Any]:
    """How the figures were made: judge and its own error, gallery, counts, command, versions."""
    rows = np.unique(np.concatenate([method.rows for method in methods]))
    return {
        "judge": judge, "layer": layer, "judge_on_real_faces": dict(real),
        "gallery": len(truth.gallery), "identities": len(np.unique(truth.person[rows])),
        "clips": len(rows), "portraits": {m.name: len(m.files) for m in methods}, **provenance(),
    }


def provenance() -> dict[str, Any]:
    """The command of this process, and the versions of what it ran on."""
    return {
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
    gender = truth.columns["gender"][rows]
    known = gender != ""
    if known.any():
        said = np.where(truth.seen.gender.numpy()[index[known]] == 1, "M", "F")
        found["gender"] = vars(bootstrap(said == gender[known], truth.person[rows[known]]))
    aged = ~np.isnan(truth.age[rows])
    if aged.any():
        gap = np.abs(truth.seen.age.numpy()[index[aged]] - truth.age[rows[aged]])
        found["age error"] = vars(bootstrap(gap, truth.person[rows[aged]]))
    return found


def write_report(out: Path, table: Table, facts: dict[str, Any]) -> None:
    """Write `metrics.json`, `table.md`, `distances.png` and `retrieval.png` below `out`."""
    write_metrics(out, table, facts)
    write_text(out / "table.md", markdown(table, facts))
    angles = {name: row["cos"][0] for name, row in table.methods.items() if "cos" in row}
    if angles:
        with staged(out / "distances.png") as part:
            draw_distances(angles, part)
    if any("R@1" in row for row in table.methods.values()):
        with staged(out / "retrieval.png") as part:
            draw_retrieval(table.methods, part)


def write_metrics(out: Path, table: Table, facts: Mapping[str, Any]) -> None:
    """Write `metrics.json` below `out`."""
    write_json(out / "metrics.json", {
        "methods": {name: plain(row) for name, row in table.methods.items()},
        "subgroups": {
            name: [{"column": c, "value": v, "metrics": plain(row)} for c, v, row in rows]
            for name, rows in table.subgroups.items()
        },
        "about": {**facts, "notes": table.notes},
    })


def plain(row: Row) -> dict[str, dict[str, Any]]:
    """Figures as values of JSON."""
    return {name: {**vars(value), "chance": chance} for name, (value, chance) in row.items()}


def markdown(table: Table, facts: dict[str, Any]) -> str:
    """The tables with 95 % intervals, and below them how they were made."""
    methods: dict[tuple[str, ...], Row] = {(name,): row for name, row in table.methods.items()}
    lines = table_lines(methods, tuple(COLUMNS), "method")
    chances = next(iter(table.methods.values()))
    known = [f"{c} {chances[c][1]:.3f}" for c in COLUMNS if c in chances and chances[c][1]]
    lines += ["", f"Chance: {', '.join(known)}." if known else "", "",
              f"{facts['identities']} people, {facts['clips']} clips, a gallery of "
              f"{facts['gallery']}; 95 % intervals over people. Judge: {facts['judge']}, "
              f"{facts['layer']}."]
    for name, value in facts["judge_on_real_faces"].items():
        lines.append(f"The judge's own {name} on real faces: {_cell(Estimate(**value))}.")
    lines += rest(table, SHORT)
    return "\n".join([*lines, "", f"`{facts['command']}`"]) + "\n"


def rest(table: Table, columns: tuple[str, ...]) -> list[str]:
    """What stands below the methods: some columns by subgroup, and what was not measured."""
    rows: dict[tuple[str, ...], Row] = {
        (method, f"{column} {value}"): row
        for method, found in table.subgroups.items() for column, value, row in found
    }
    lines = []
    if rows:
        lines += ["", f"By subgroup; fewer than {FEW} people are marked *.", "",
                  *table_lines(rows, columns, "method | subgroup")]
    for note in table.notes:
        lines += ["", f"Not measured: {note}."]
    return lines


def table_lines(
    rows: Mapping[tuple[str, ...], Row], names: tuple[str, ...], head: str
) -> list[str]:
    """A Markdown table of those columns `names` that any row has."""
    columns = [name for name in names if any(name in row for row in rows.values())]
    titles = " | ".join(f"{c} ({_better(c)})" for c in columns)
    lines = [f"| {head} | {titles} |", "|---" * (len(columns) + head.count("|") + 1) + "|"]
    for key, row in rows.items():
        few = len(key) > 1 and row and max(v.n for v, _ in row.values()) < FEW
        cells = [_cell(row[c][0]) if c in row else "–" for c in columns]
        lines.append(f"| {' | '.join(key)}{'*' if few else ''} | {' | '.join(cells)} |")
    return lines


def _better(column: str) -> str:
    what = COLUMNS[column]
    return what if " " in what else f"{what} is better"


def _cell(value: Estimate) -> str:
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def draw_distances(rows: dict[str, Estimate], path: Path) -> None:
    """The angle of every method with its interval, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.9 + 0.35 * len(rows)), dpi=110, layout="constrained")
    axes = figure.subplots()
    for place, value in enumerate(rows.values()):
        spread = [[value.value - value.low], [value.high - value.value]]
        axes.errorbar(value.value, -place, xerr=spread, fmt="o", color="#2b5c8a", capsize=3)
    axes.set_yticks([-i for i in range(len(rows))], list(rows), fontsize=8)
    axes.set_xlabel("angle between portrait and true face, degrees (lower is nearer)", fontsize=8)
    axes.tick_params(labelsize=8)
    figure.savefig(path, format="png")


def draw_retrieval(methods: dict[str, Row], path: Path) -> None:
    """R@K of every method over K with its interval, and the line of chance, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    chance: dict[int, float] = {}
    for name, row in methods.items():
        found = {k: row[f"R@{k}"] for k in KS if f"R@{k}" in row}
        if found:
            values = [value for value, _ in found.values()]
            [line] = axes.plot([*found], [v.value for v in values], "o-", label=name, markersize=3)
            axes.fill_between([*found], [v.low for v in values], [v.high for v in values],
                              color=line.get_color(), alpha=0.12)  # fmt: skip
            chance |= {k: c for k, (_, c) in found.items() if c is not None}
    axes.plot([*chance], [*chance.values()], "k--", linewidth=0.8, label="chance")
    axes.set_xscale("log")
    axes.set_xticks([*chance], [str(k) for k in chance])
    axes.minorticks_off()
    axes.set_xlabel("K", fontsize=8)
    axes.set_ylabel("share of true people among the K nearest", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=7)
    figure.savefig(path, format="png")
