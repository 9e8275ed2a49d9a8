"""Draw every picture of the README and docs/ that is made of the bundled checkpoint.

    python scripts/figures.py --runs runs/bed

After `scripts/measure.py` and `scripts/measure_speed.py`. Writes docs/demo.png (the sheet of the
example clips), docs/results/bundled/training.png (the logs of both stages), and puts the measured
tables between the marks in README.md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from marks import put
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scldm.core.artifact import staged, write_text

RESULTS = Path("docs/results/bundled")
CURVES = {
    "pretrain": ("train/contrastive", "val/match", "train/mae", "train/perceptual"),
    "pretrain/refine": ("train/mae",),
    "train": ("train/loss",),
}
MEASURED = {
    "figures": (RESULTS / "figures.md", RESULTS / "speed.md"),
    "table 1": (Path("face_prior/bundled.table1.md"),),
}


def scalars(folder: Path, tag: str) -> dict[int, float]:
    """Step to value of one scalar in the logs of a run, interrupted or not."""
    found: dict[int, float] = {}
    for file in sorted(folder.glob("events.out.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        if tag in events.Tags()["scalars"]:
            found |= {event.step: event.value for event in events.Scalars(tag)}
    return dict(sorted(found.items()))


def draw_training(runs: Path) -> Figure:
    """The curves of both stages, a panel each; held-out people in orange."""
    panels = [(stage, tag) for stage, tags in CURVES.items() for tag in tags]
    figure = Figure(figsize=(9, 4.4), dpi=110, layout="constrained")
    for axes, (stage, tag) in zip(figure.subplots(2, 3).flat, panels, strict=True):
        values = scalars(runs / stage / "logs", tag)
        if not values:
            raise SystemExit(f"{runs / stage / 'logs'}: no {tag} in it; name the run with --runs")
        axes.plot([*values], [*values.values()], linewidth=0.8, color="#2b5c8a")
        held_out = scalars(runs / stage / "logs", tag.replace("train/", "val/"))
        if held_out and tag.startswith("train/"):
            axes.plot([*held_out], [*held_out.values()], linewidth=1.2, color="#c2562d")
        axes.set_title(f"{stage}: {tag}", fontsize=9)
        axes.tick_params(labelsize=7)
    return figure


def put_tables(readme: str) -> str:
    """The README with what was measured between its marks."""
    for name, files in MEASURED.items():
        tables = "\n".join(file.read_text() for file in files)
        readme = put(readme, name, "figures.py", tables)
    return readme


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/bed"))
    args = parser.parse_args()
    clips = sorted(map(str, Path("examples").glob("*.flac")))
    command = [sys.executable, "-m", "scldm", "generate", *clips, "--seed", "3",  # as `make demo`
               "--out", "outputs/demo"]
    subprocess.run(command, check=True)
    with staged("docs/demo.png") as part:
        shutil.copy("outputs/demo/sheet.png", part)
    with staged(RESULTS / "training.png") as part:
        draw_training(args.runs).savefig(part, format="png")
    write_text(Path("README.md"), put_tables(Path("README.md").read_text()))


if __name__ == "__main__":
    main()
