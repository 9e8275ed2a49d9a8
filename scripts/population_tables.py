"""Put the short tables of the controlled experiment into docs/population.md.

    python scripts/population_tables.py

After `scripts/experiment_population.py`, from the metrics.json files below docs/results/population.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marks import put

from scldm.core.artifact import write_text

RESULTS, PAGE = Path("docs/results/population"), Path("docs/population.md")
COLUMNS = {"cos": "cos, degrees", "cos, variance of three": "its variance of three",
           "R@10": "R@10 of 200", "gender": "gender", "KID": "KID"}  # fmt: skip


def row(name: str, values: dict[str, Any], columns: list[str]) -> str:
    """One line of figures with their intervals; a dash where something was not measured."""
    cells = []
    for column in columns:
        found = values.get(column)
        digits = 1 if column.startswith("cos") else 3 if column in ("R@10", "gender") else 1
        cells.append("–" if not found else "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(
            *(found[key] for key in ("value", "low", "high")), d=digits))
    return f"| {name} | " + " | ".join(cells) + " |\n"


def table(study: str, first: str) -> str:
    """All methods of a study; of the shuffled controls those of SCLDM alone."""
    single = study == "comparison"  # most methods draw one portrait a clip
    columns = [name for name in COLUMNS if not (single and "variance" in name)]
    methods = json.loads((RESULTS / study / "metrics.json").read_text())["methods"]
    rows = [
        row(name, values, columns) for name, values in methods.items()
        if "cos" in values and ("shuffled" not in name or name.startswith("scldm"))
    ]
    head = " | ".join([first, *(COLUMNS[name] for name in columns)])
    return f"| {head} |\n" + "|---|" + "---|" * len(columns) + "\n" + "".join(rows)


def main() -> None:
    page = PAGE.read_text()
    page = put(page, "methods", "population_tables.py", table("comparison", "method"))
    for study in ("components", "path", "tokens", "guidance", "steps"):
        page = put(page, study, "population_tables.py", table(study, "variant"))
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
