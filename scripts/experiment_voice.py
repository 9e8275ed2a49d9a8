"""Face to voice where identity is known: the controlled experiment on the synthetic population.

    python scripts/experiment_voice.py

After `scripts/experiment_population.py`, whose population, encoders, checkpoint and judges it uses.
Trains the adapter and its ablation without VAE, gives a face of every test person eight voices, and
compares them with what the people sound like; then sends voices to faces and back, and faces to
voices and back. Writes tables to docs/results/voice. About half an hour on two cores; resumes by
the same command.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from calls import call, run

from scldm.core.artifact import staged

MANIFEST, RUNS = Path("data/population/manifest.csv"), Path("runs/population")
OUTPUTS, RESULTS = Path("outputs/population/voice"), Path("docs/results/voice")
LISTENER = RUNS / "wen" / "checkpoint"  # learnt to name the training people; never a teacher here
JUDGE = RUNS / "judge" / "network"
TEXT = "the boat left the harbour before sunrise with the tide"
VARIANTS = {"adapter": "voice", "no-vae": "voice-mlp"}


def first_faces() -> Path:
    """A manifest of the first photo and clip of every test person, beside the population's."""
    path = MANIFEST.with_name("first-of-test.csv")
    with MANIFEST.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    first = {row["person"]: row for row in reversed(rows)}
    with staged(path) as part, part.open("w", newline="") as out:
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows(reversed(first.values()))
    return path


def voices(name: str, checkpoint: Path, *more: str) -> Path:
    """Voices of the first faces below OUTPUTS/name, unless they are there."""
    out = OUTPUTS / name
    run("-m", "scldm", "voice", "--checkpoint", str(checkpoint), "--manifest", str(first_faces()),
        "--text", TEXT, "--out", str(out), *more, unless=out / "manifest.jsonl")
    return out


def keep(folder: Path, name: str) -> None:
    """Copy what a reader wants to see to docs/results."""
    for file in ("metrics.json", "table.md"):
        with staged(RESULTS / name / file) as part:
            shutil.copy(folder / file, part)


def main() -> None:
    folders = []
    for name, folder in VARIANTS.items():
        made = RUNS / folder / "checkpoint"
        run("-m", "scldm", "train-voice", f"configs/population-{folder}.yaml", unless=made)
        folders.append(voices(name, made, "--voices", "8"))
    checkpoint = RUNS / "voice" / "checkpoint"
    folders.append(voices("mean-face", checkpoint, "--voices", "8", "--control", "mean-face"))
    true = voices("true-voice", checkpoint, "--voices", "1", "--control", "true-voice")
    call("-m", "scldm", "evaluate-voice", "--voices", *map(str, [*folders, true]), "--truth",
         str(first_faces()), "--speech", str(MANIFEST), "--judge", str(LISTENER), "--reference",
         str(true), "--words", "no", "--out", str(OUTPUTS / "evaluation"))
    keep(OUTPUTS / "evaluation", "population")
    call("-m", "scldm", "round-trip", "--clips", str(first_faces()), "--text", TEXT, "--checkpoint",
         str(RUNS / "train" / "checkpoint"), "--voice-checkpoint", str(checkpoint), "--judge",
         str(JUDGE), "--voice-judge", str(LISTENER), "--out", str(OUTPUTS / "round-trip"))
    for name in ("voice-face-voice", "face-voice-face"):
        keep(OUTPUTS / "round-trip" / name, name)


if __name__ == "__main__":
    main()
