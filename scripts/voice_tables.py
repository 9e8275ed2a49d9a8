"""Put the tables of face to voice into docs/voice.md.

    python scripts/voice_tables.py

After `scripts/measure_voice.py`, `experiment_voice.py` and `measure_memory.py`, from what they
wrote below docs/results/voice.
"""

from __future__ import annotations

import json
from pathlib import Path

from marks import put

from scldm.core.artifact import write_text

RESULTS, PAGE, SCRIPT = Path("docs/results/voice"), Path("docs/voice.md"), "voice_tables.py"
POPULATION = {"similarity": 3, "R@10": 3, "gender by F0": 3, "F0 error": 2, "MCD": 2, "DCTS": 3}
VOICE = {"similarity": 3, "R@10": 3, "gender by F0": 3, "F0 error": 2}
FACE = {"cos": 1, "R@10": 3, "gender": 3}


def table(study: str, digits: dict[str, int]) -> str:
    """Some columns of a study's methods, each with its interval."""
    methods = json.loads((RESULTS / study / "metrics.json").read_text())["methods"]
    lines = ["| | " + " | ".join(digits) + " |", "|---|" + "---|" * len(digits)]
    for name, values in methods.items():
        if not ("shuffled" in name and name.startswith(("mean-face", "no-vae", "true-voice"))):
            cells = [
                "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(
                    *(values[column][key] for key in ("value", "low", "high")), d=d)
                if column in values else "–" for column, d in digits.items()
            ]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    page = PAGE.read_text()
    for name in ("bundled", "memory"):
        page = put(page, name, SCRIPT, (RESULTS / f"{name}.md").read_text())
    for name, digits in (("population", POPULATION), ("voice-face-voice", VOICE),
                         ("face-voice-face", FACE)):
        page = put(page, name, SCRIPT, table(name, digits))
    write_text(PAGE, page)


if __name__ == "__main__":
    main()
