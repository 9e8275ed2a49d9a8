"""`scldm table`: the paper's tables on one's own data, beside the published values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scldm.core.artifact import read_json, write_json, write_text
from scldm.core.errors import InputError
from scldm.prior.file import load_prior

COLUMNS = {  # the paper's: ours, and what ours is multiplied by
    "L1": ("L1 raw", 1), "L2": ("L2 raw", 1), "cos": ("cos", 1), "gender (%)": ("gender", 100),
    "age (%)": ("age within 10 years", 100),
}  # fmt: skip
PUBLISHED: dict[int, dict[str, tuple[float, ...]]] = {
    2: {"Wav2Pix": (144.72, 24.32, 82.51, 67.4, 41.3),
        "Speech2Face": (67.18, 3.94, 46.97, 95.6, 65.2),
        "SCLDM": (35.01, 1.48, 12.81, 98.8, 84.5)},
    3: {"Wav2Pix": (137.58, 22.19, 79.36, 74.5, 49.6),
        "Speech2Face": (66.46, 2.77, 44.38, 96.1, 69.4),
        "Wen et al.": (59.82, 2.41, 42.54, 97.4, 72.5),
        "SCLDM": (27.10, 1.09, 11.54, 99.4, 88.6)},
    4: {"base": (56.39, 3.30, 29.83, 95.9, 74.7), "CP": (47.61, 2.69, 21.79, 97.2, 82.6),
        "PN": (44.27, 2.38, 20.41, 96.4, 80.3), "CP and PN": (35.01, 1.48, 12.81, 98.8, 84.5)},
}  # fmt: skip
DATA = {2: "AVSpeech", 3: "VoxCeleb", 4: "AVSpeech"}
TABLE_1 = ((100, 500, 11.86), (500, 1000, 5.21), (1000, 5000, 3.35), (5000, 10000, 1.28),
           (10000, 15000, 0.67))


@dataclass(frozen=True)
class PaperTable:
    """A table as values of JSON, and in Markdown."""

    values: dict[str, Any]
    text: str


def paper_table(number: int, source: Path) -> PaperTable:
    """Table 1 of a prior file; Tables 2 to 4 of a `metrics.json`.

    Raises InputError where the source holds no such figures.
    """
    return first(source) if number == 1 else comparison(number, source)


def first(source: Path) -> PaperTable:
    """Convergence of the prior (seed 003, Table 1)."""
    facts = load_prior(source).facts
    rows = facts["convergence"]
    if not rows:
        raise InputError(f"{source}: was made without --convergence; make it again with it")
    lines = ["| N1 | N2 | L1(N1, N2) | c sqrt(1/N1 - 1/N2) |", "|---:|---:|---:|---:|"]
    lines += [f"| {r['n1']} | {r['n2']} | {r['l1']:.4g} | {r['predicted']:.4g} |" for r in rows]
    c = _published_constant()
    lines += ["", f"c = {facts['constant']:.4g}. Published, of another encoder and other faces "
              f"(c = {c:.4g}):", "", *lines[:2]]
    lines += [f"| {a} | {b} | {d} | {c * (1 / a - 1 / b) ** 0.5:.4g} |" for a, b, d in TABLE_1]
    return PaperTable({"rows": rows, "constant": facts["constant"], "published": TABLE_1},
                      "\n".join(lines) + "\n")


def _published_constant() -> float:
    ratios = [d / (1 / a - 1 / b) ** 0.5 for a, b, d in TABLE_1]
    return sum(ratios) / len(ratios)


def comparison(number: int, source: Path) -> PaperTable:
    """Distances and attributes by method (seed 003, Tables 2 to 4)."""
    try:
        report = read_json(source)
        methods, about = report["methods"], report["about"]
    except (KeyError, TypeError):
        raise InputError(f"{source}: no metrics.json as `scldm evaluate` writes it") from None
    lines = [f"| method | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    values: dict[str, Any] = {}
    for name, row in methods.items():
        values[name] = {c: row[ours] for c, (ours, _) in COLUMNS.items() if ours in row}
        cells = [_cell(row.get(ours), times) for ours, times in COLUMNS.values()]
        if values[name]:
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"{about['identities']} people, {about['clips']} clips; judge {about['judge']} "
              f"({about['layer']}); 95 % intervals over people.", "",
              f"Published on {DATA[number]}, whose features and attribute judge are others: not to "
              "be compared number by number.", "", *lines[:2]]
    lines += [f"| {name} | {' | '.join(map(str, row))} |"
              for name, row in PUBLISHED[number].items()]
    return PaperTable({"methods": values, "published": PUBLISHED[number], "about": about},
                      "\n".join(lines) + "\n")


def _cell(figure: dict[str, Any] | None, times: int) -> str:
    if figure is None:
        return "–"
    value, low, high = (times * figure[key] for key in ("value", "low", "high"))
    return f"{value:.4g} [{low:.4g}, {high:.4g}]"


def write_table(number: int, source: Path, out: Path) -> str:
    """Write `table<number>.md` and `.json` below `out`; returns the text."""
    table = paper_table(number, source)
    write_json(out / f"table{number}.json", table.values)
    write_text(out / f"table{number}.md", table.text)
    return table.text
